"""Conformance tests and factories for whoever adds a scenario, a task or a method.

What is taken from here is imported when it is taken: every process that reads a small dataset imports its generator,
and would wait for pytest and pandas without need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from channelbench.testing.conformance import GeneratorTests, MethodTests, TaskTests, conformance_dataset
    from channelbench.testing.factories import FewRays, make_dataset, small_spec
    from channelbench.testing.language import small_backbone

__all__ = [
    "FewRays",
    "GeneratorTests",
    "MethodTests",
    "TaskTests",
    "conformance_dataset",
    "make_dataset",
    "small_backbone",
    "small_spec",
]

_MODULES = {
    **dict.fromkeys(("GeneratorTests", "MethodTests", "TaskTests", "conformance_dataset"), "conformance"),
    **dict.fromkeys(("FewRays", "make_dataset", "small_spec"), "factories"),
    "small_backbone": "language",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
