"""Conformance tests and factories for whoever adds a scenario, a task or a method."""

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
