"""What a run measures of a fit itself, whosever method it is: samples seen and parameters."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Method, Target, TaskSplit
from channelbench.presets import preset_of
from channelbench.results import Training

__all__ = ["CountedSplit", "budget_of", "parameters_of", "with_parameters"]

DEPTH = 6
"""So many containers and objects deep are a method's modules looked for,"""

LENGTH = 10_000
"""and in no longer lists: these are numbers."""

_PARAMETERS = ("trainable_parameters", "total_parameters")


class CountedSplit(TaskSplit):
    """A split that counts the cases that it has handed out, each time.

    Attributes:
        seen: So many.
    """

    __slots__ = ("seen",)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.seen = 0

    def observe(self, cases: NDArray[np.int64] | Sequence[int] | None = None, *, epoch: int = 0) -> tuple[Any, Target]:
        found = super().observe(cases, epoch=epoch)
        self.seen += len(self) if cases is None else len(cases)
        return found


def budget_of(preset: str, sizes: Sequence[int], *, goes_on: bool) -> Training:
    """What a preset allows a learned method.

    Args:
        preset: Its name.
        sizes: Training cases of each task of the fit.
        goes_on: Whether it starts from the weights of another fit.
    """
    budget = preset_of(preset).budget
    steps = budget.total_steps(min(sizes), goes_on=goes_on)
    samples = sum(steps * min(budget.batch_size, size) + size for size in sizes)
    return Training(budget_steps=steps, budget_samples=samples)


def with_parameters(stated: Mapping[str, float], method: Method) -> dict[str, float]:
    """Costs with the parameters of the torch modules that a method has, where it does not state any."""
    costs = dict(stated)
    if all(costs.get(name) for name in _PARAMETERS):
        return costs
    for name, count in zip(_PARAMETERS, parameters_of(method), strict=True):
        costs[name] = costs.get(name) or count
    return costs


def parameters_of(method: object) -> tuple[int, int]:
    """Trainable and all numbers in the torch modules and parameters among an object's attributes, each once: in
    containers too, and in the attributes of other objects."""
    torch = sys.modules.get("torch")
    if torch is None:  # then it has none
        return 0, 0
    found: dict[int, Any] = {}
    seen: set[int] = set()
    todo: list[tuple[Any, int]] = [(method, 0)]
    while todo:
        item, depth = todo.pop()
        if id(item) in seen or depth > DEPTH:
            continue
        seen.add(id(item))
        if isinstance(item, torch.nn.Module):
            found |= {id(parameter): parameter for parameter in item.parameters()}
        elif isinstance(item, torch.nn.Parameter):
            found[id(item)] = item
        else:
            todo += [(part, depth + 1) for part in _parts(item)]
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in found.values()]
    return sum(size for size, is_trained in sizes if is_trained), sum(size for size, _ in sizes)


def _parts(item: Any) -> Iterable[Any]:
    """What a container holds, or an object of somebody's class."""
    if isinstance(item, Mapping):
        return list(item.values())
    if isinstance(item, (list, tuple, set, frozenset)):
        return list(item) if len(item) <= LENGTH else ()
    if isinstance(item, (type, str, bytes, np.ndarray, ModuleType, FunctionType, MethodType)):
        return ()
    names = [getattr(kind, "__slots__", ()) for kind in type(item).__mro__]
    slots = [name for each in names for name in ([each] if isinstance(each, str) else each)]
    return [*getattr(item, "__dict__", {}).values(), *(getattr(item, name, None) for name in slots)]
