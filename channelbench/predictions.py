"""Predictions that one stage of an experiment keeps and the tasks of a later one read: an artefact of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.results import read_artefact, read_cells

__all__ = ["KEPT", "Kept", "KeptPredictions"]

KEPT = "predictions"
"""Name of the artefact."""


@dataclass(frozen=True)
class Kept:
    """Whose prediction a task wants to read.

    Attributes:
        method: What has predicted.
        snr_db: The SNR that it has predicted from.
    """

    method: str
    snr_db: float

    def refused(self, got: str) -> RequestError:
        """The line for who asks for it where it is not."""
        varied = f"--condition csi=predicted:{self.method} --condition csi_snr_db={self.snr_db:g}"
        makes = f"channelbench run --suite phy-csi --methods rzf,{self.method} {varied}"
        return RequestError("csi", expected=f"predictions of {self.method} at {self.snr_db:g} dB ({makes})", got=got)


@dataclass(frozen=True)
class KeptPredictions:
    """The predictions in a results folder.

    Attributes:
        folder: The folder.
        test_digest: Of the split that they have to be of.
    """

    folder: Path
    test_digest: str

    def read(self, wanted: Kept, name: str) -> NDArray[Any]:
        """The array called ``name`` of what is wanted, of the first seed that has it, ``[samples, …]``.

        Raises:
            RequestError: it is not there.
        """
        for cell in read_cells(self.folder):
            if cell.method != wanted.method or KEPT not in cell.artefacts or cell.test_digest != self.test_digest:
                continue
            kept = read_artefact(self.folder, cell, KEPT)
            if name in kept and float(kept["snr_db"]) == wanted.snr_db:
                return kept[name]
        raise wanted.refused(f"none in {self.folder}")
