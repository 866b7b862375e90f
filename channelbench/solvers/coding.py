"""The LDPC code of 5G (3GPP TS 38.212, section 5.3.2), as sionna encodes and decodes it.

Log-likelihood ratios are ``log p(b = 1) − log p(b = 0)``, as in ``solvers.constellation``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ITERATIONS", "LinkCode", "link_code"]

ITERATIONS = 20
"""Of belief propagation."""

LARGEST_LLR = 1e3
"""Beyond this a ratio says nothing more; the decoder clips far below."""


@dataclass(frozen=True)
class LinkCode:
    """A code of rate 1/2, with the bit interleaver of TS 38.212, section 5.4.2.2.

    Attributes:
        length: Coded bits of a codeword, even.
        bits_per_symbol: Of the symbols that they are sent as, which the interleaver knows.
    """

    length: int
    bits_per_symbol: int

    @property
    def information_bits(self) -> int:
        """Of a codeword."""
        return self.length // 2

    def encode(self, bits: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Codewords ``[codewords, length]`` of information bits ``[codewords, length/2]``."""
        import torch

        coded = self._encoder(torch.as_tensor(np.asarray(bits, np.float32)))
        return coded.numpy().astype(np.uint8)

    def decode(self, llrs: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Information bits ``[codewords, length/2]`` after 20 iterations, from ratios ``[codewords, length]``."""
        import torch

        known = np.clip(llrs, -LARGEST_LLR, LARGEST_LLR).astype(np.float32)
        with torch.inference_mode():
            return self._decoder(torch.as_tensor(known)).numpy().astype(np.uint8)

    @cached_property
    def _encoder(self) -> Any:
        from sionna.phy.fec.ldpc import LDPC5GEncoder

        options = {"num_bits_per_symbol": self.bits_per_symbol, "device": "cpu"}
        return LDPC5GEncoder(self.information_bits, self.length, **options)

    @cached_property
    def _decoder(self) -> Any:
        from sionna.phy.fec.ldpc import LDPC5GDecoder

        return LDPC5GDecoder(self._encoder, num_iter=ITERATIONS, hard_out=True, return_infobits=True, device="cpu")


@cache
def link_code(length: int, bits_per_symbol: int) -> LinkCode:
    """One code per length, since making it takes a second."""
    return LinkCode(length, bits_per_symbol)
