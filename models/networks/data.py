"""From task splits to tensors: training batches by step, validation in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from channelbench.contracts import Target, TaskSplit
from channelbench.models.networks.training import seeded
from channelbench.tasks.link.observations import LinkObservation

__all__ = ["Batch", "as_batch", "training_batches", "validation_batches"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch on its device.

    Attributes:
        h: ``[batch, slots, subcarriers, antennas]``, complex64.
        noise_var: ``[batch]``, float32.
        target: As ``Target.value``; empty where there is none.
    """

    h: torch.Tensor
    noise_var: torch.Tensor
    target: torch.Tensor

    def __len__(self) -> int:
        return len(self.h)


def as_batch(observation: LinkObservation, target: Target | None, device: str) -> Batch:
    """An observation, and its target where it is known, as tensors."""
    value = np.empty(0, np.float32) if target is None else target.value
    return Batch(
        h=torch.as_tensor(observation.h, device=device),
        noise_var=torch.as_tensor(observation.noise_var, device=device),
        target=torch.as_tensor(value, device=device),
    )


def training_batches(split: TaskSplit, batch_size: int, seed: int, device: str) -> Callable[[int], Iterator[Batch]]:
    """Batches from a step on: a new permutation and new noise each epoch, both functions of seed and epoch.

    An epoch is cut into whole batches; what is left over waits for another permutation.
    """
    size = min(batch_size, len(split))
    per_epoch = len(split) // size

    def batches(step: int) -> Iterator[Batch]:
        while True:
            epoch, first = divmod(step, per_epoch)
            order = np.random.default_rng(seeded(seed, 2, epoch)).permutation(len(split))
            for position in range(first, per_epoch):
                indices = order[position * size : (position + 1) * size]
                yield as_batch(*split.observe(indices, epoch=epoch), device)
            step = (epoch + 1) * per_epoch

    return batches


def validation_batches(split: TaskSplit, batch_size: int, device: str) -> Iterator[Batch]:
    """A whole split in pieces, always with the noise of epoch 0."""
    for start in range(0, len(split), batch_size):
        indices = np.arange(start, min(start + batch_size, len(split)))
        yield as_batch(*split.observe(indices, epoch=0), device)
