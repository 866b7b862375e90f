"""LoRA on queries and values of a frozen trunk, whose matrices may be stored in four bits (multi-task PHY LLM, IV).

``W x`` becomes ``W x + (α/r) A Bᵀ x`` (Eq. 28) with α = 2r. With ``loftq``, Q and the starts of A and B are chosen
together (algorithm 1), so that the trunk begins close to what it was; plain four-bit weights begin with no update, as
full precision does. All matrices of the trunk's linears are quantised; the updates make up for errors of queries and
values, where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from channelbench.errors import RequestError
from channelbench.models.networks.phy_llm.packed import PackedLinear, base_weight, is_linear, packed
from channelbench.solvers.loftq import loftq
from channelbench.solvers.nf4 import LEVELS

__all__ = ["SCALE", "LowRankLinear", "Storage", "adapt", "merge", "query_value_linears", "trunk_bytes"]

Storage = Literal["full", "loftq", "nf4", "q4"]

SCALE = 2.0
"""α/r."""
LOFTQ_ITERATIONS = 5
"""Section V-E."""

ALONE = re.compile(
    r"(?:^|\.)(?:query|value"  # BERT
    r"|q_proj|v_proj"  # LLaMA, Qwen, Mistral, OPT
    r"|q_lin|v_lin)$"  # DistilBERT
)
FUSED = re.compile(r"(?:^|\.)attn\.c_attn$")
"""GPT-2's: queries, keys and values in one, in thirds of its rows."""


class LowRankLinear(nn.Module):
    """A frozen linear with a low-rank update of some of its rows.

    Args:
        base: A linear, dense or packed.
        rows: How many rows each part of W has, in order, and whether it has an update.
        rank: Rank r of each update.
    """

    def __init__(self, base: nn.Module, rows: Mapping[int, tuple[int, bool]], rank: int) -> None:
        super().__init__()
        self.base, self.rows, self.rank = base, dict(rows), rank
        weight = base_weight(base)
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for part, (size, adapted) in self.rows.items():
            if adapted:
                down = torch.randn(rank, weight.shape[1], device=weight.device) * weight.shape[1] ** -0.5
                self.down[str(part)] = nn.Parameter(down)
                self.up[str(part)] = nn.Parameter(torch.zeros(size, rank, device=weight.device))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """``[…, d_in]`` to ``[…, d_out]``."""
        output = self.base(inputs)
        updates = [self._update(inputs, output, str(part), size) for part, (size, _) in self.rows.items()]
        return output + (updates[0] if len(updates) == 1 else torch.cat(updates, dim=-1))

    def merged(self) -> torch.Tensor:
        """``W + (α/r) A Bᵀ``, ``[d_out, d_in]``: the plain linear that this layer is."""
        parts = base_weight(self.base).split([size for size, _ in self.rows.values()])
        return torch.cat(
            [
                part + SCALE * self.up[str(index)] @ self.down[str(index)] if str(index) in self.up else part
                for index, part in enumerate(parts)
            ]
        )

    def _update(self, inputs: torch.Tensor, output: torch.Tensor, part: str, size: int) -> torch.Tensor:
        if part not in self.up:
            return output.new_zeros(*output.shape[:-1], size)
        # Both factors are small: in single precision they need no casts of what is trained.
        hidden = functional.linear(inputs, self.down[part])
        return SCALE * functional.linear(hidden, self.up[part]).to(output.dtype)


def query_value_linears(trunk: nn.Module) -> dict[str, nn.Module]:
    """The linears of a trunk that make queries and values, by their path.

    Raises:
        RequestError: it has none of a known name.
    """
    found = {
        name: module
        for name, module in trunk.named_modules()
        if is_linear(module) and (ALONE.search(name) or FUSED.search(name))
    }
    if not found:
        raise RequestError(
            "--backbone",
            expected="linears of queries and values that LoRA knows by name",
            got=getattr(trunk, "description", type(trunk).__name__),
        )
    return found


def adapt(trunk: nn.Module, *, rank: int, storage: Storage = "full") -> None:
    """Put LoRA around the queries and values of ``trunk``, in place, and its matrices into four bits if asked to.

    What it computes changes only by what quantisation costs. LoRA's parameters are trainable, the rest stays as it was.

    Args:
        trunk: Frozen. One without linears (no trunk) stays as it is.
        rank: r.
        storage: ``full`` precision; four bits with their LoRA by ``loftq``; or ``nf4`` or uniform ``q4`` levels with
            the usual LoRA.

    Raises:
        RequestError: the trunk has no queries and values of a known name.
    """
    if not any(is_linear(module) for module in trunk.modules()):
        return
    for name, linear in query_value_linears(trunk).items():
        trunk.set_submodule(name, _adapted(linear, bool(FUSED.search(name)), rank, storage))
    if storage != "full":
        _pack(trunk, "nf4" if storage == "loftq" else storage)


def _adapted(linear: nn.Module, fused: bool, rank: int, storage: Storage) -> LowRankLinear:
    weight = base_weight(linear)
    size = len(weight) // 3 if fused else len(weight)
    rows = {0: (size, True), 1: (size, False), 2: (size, True)} if fused else {0: (size, True)}
    if storage == "full":
        return LowRankLinear(linear, rows, rank)
    if storage != "loftq":
        return LowRankLinear(packed(linear, storage, [size for size, _ in rows.values()]), rows, rank)
    found = {
        part: loftq(each, rank if adapted else 0, iterations=LOFTQ_ITERATIONS, scaling=SCALE)
        for (part, (_, adapted)), each in zip(rows.items(), weight.split(size), strict=True)
    }
    base = PackedLinear([each.quantised for each in found.values()], linear.bias)  # type: ignore[arg-type]
    layer = LowRankLinear(base, rows, rank)
    with torch.no_grad():
        for part in layer.up:
            layer.up[part].copy_(found[int(part)].a)
            layer.down[part].copy_(found[int(part)].b.T)
    return layer


def merge(trunk: nn.Module, kind: str = "") -> None:
    """Put the updates into the weights, in place: LoRA is gone. With a ``kind`` of ``nf4`` levels, all matrices of the
    trunk are quantised after that, as for deployment (section IV-B); those that have no LoRA and lie in four bits stay.

    Raises:
        RequestError: there is no such kind.
    """
    if kind and kind not in LEVELS:
        raise RequestError("quantisation", expected="one of the choices", got=kind, choices=LEVELS)
    for name, layer in list(trunk.named_modules()):
        if isinstance(layer, LowRankLinear):
            trunk.set_submodule(name, _plain(layer.merged(), layer.base.bias))  # type: ignore[arg-type]
    if kind:
        _pack(trunk, kind)


def _plain(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return linear


def _pack(trunk: nn.Module, kind: str) -> None:
    """Every linear that is not yet, in four bits; the factors of LoRA are none."""
    for name, module in list(trunk.named_modules()):
        if is_linear(module):
            trunk.set_submodule(name, packed(module, kind))


def trunk_bytes(trunk: nn.Module) -> tuple[int, int]:
    """Bytes that a trunk is stored in, and those of it in half precision.

    Of four-bit matrices codes and scales count; everything else has two bytes a number, as the paper counts it. LoRA
    is no part of the trunk.
    """
    dense = sum(parameter.numel() for parameter in _own_parameters(trunk))
    layers = [module for module in trunk.modules() if isinstance(module, PackedLinear)]
    stored = sum(layer.stored_bytes for layer in layers)
    return 2 * dense + stored, 2 * dense + 2 * sum(layer.num_weights for layer in layers)


def _own_parameters(trunk: nn.Module) -> Iterator[nn.Parameter]:
    of_lora = {
        id(parameter)
        for module in trunk.modules()
        if isinstance(module, LowRankLinear)
        for parameter in (*module.up.values(), *module.down.values())
    }
    return (parameter for parameter in trunk.parameters() if id(parameter) not in of_lora)
