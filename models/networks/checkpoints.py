"""Checkpoints: tensors and a few numbers in one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from channelbench.errors import RequestError
from channelbench.results import write_atomic
from channelbench.store.dataset import data_key

__all__ = ["read_checkpoint", "read_tensors", "write_checkpoint"]


def write_checkpoint(
    path: Path, tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, Any], identity: Mapping[str, Any]
) -> None:
    """Write ``tensors`` with ``numbers`` (anything JSON holds) and the ``identity`` of the fit that they belong to.

    One file, so that weights, optimiser and step can never come from different moments.
    """
    header = {"numbers": json.dumps(dict(numbers)), "identity": json.dumps(dict(identity), sort_keys=True)}
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, safetensors.torch.save(stored, metadata=header))


def read_checkpoint(
    path: Path, identity: Mapping[str, Any], device: str = "cpu"
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and numbers of a checkpoint that belongs to the fit ``identity``.

    Raises:
        RequestError: the file is no checkpoint, or is that of another fit; the field in which they differ is named.
    """
    try:
        with safetensors.safe_open(path, framework="pt", device=device) as file:
            header = file.metadata() or {}
            theirs, numbers = json.loads(header["identity"]), json.loads(header["numbers"])
            _compare(path, json.loads(json.dumps(dict(identity))), _as_now(theirs))
            return {name: file.get_tensor(name) for name in file.keys()}, numbers  # noqa: SIM118 - no mapping
    except (OSError, safetensors.SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise RequestError("checkpoint", expected="a checkpoint of this program", got=f"{path} ({error})") from None


def read_tensors(path: Path, device: str = "cpu") -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, whichever fit it belongs to.

    Raises:
        RequestError: the file is no checkpoint.
    """
    try:
        return safetensors.torch.load_file(path, device=device)
    except (OSError, safetensors.SafetensorError) as error:
        raise RequestError("checkpoint", expected="a checkpoint of this program", got=f"{path} ({error})") from None


def _as_now(theirs: dict[str, Any]) -> dict[str, Any]:
    """Earlier fits named the dataset by its spec and seed, and did not say by which code they are."""
    if "training_budget" in theirs:
        theirs = {"code": "", **theirs}
    if "dataset_seed" not in theirs:
        return theirs
    key = data_key(theirs.pop("spec"), theirs.pop("dataset_seed"))
    return {**theirs, "data": key}


def _compare(path: Path, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    for field in sorted({*ours, *theirs}):
        if ours.get(field) != theirs.get(field):
            raise RequestError(
                f"checkpoint {path.name}: {field}", expected=_short(ours.get(field)), got=theirs.get(field)
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
