"""Traced datasets in formats that hold paths: they are traced again, and come back as the same channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from same_links import SAME, all_rows, compare, errors, with_gain

from channelbench.errors import RequestError
from channelbench.generation import generate
from channelbench.generators.imported.contract import Writer
from channelbench.generators.imported.deepmimo_export import DeepMIMOWriter
from channelbench.generators.imported.importing import import_dataset
from channelbench.generators.imported.sionna_export import SionnaCIRWriter
from channelbench.spec import ScenarioSpec
from channelbench.store.dataset import open_dataset


@pytest.mark.parametrize("writer", [DeepMIMOWriter, SionnaCIRWriter])
def test_paths_are_traced_again(street: Callable[..., ScenarioSpec], tmp_path: Path, writer: type[Writer]) -> None:
    dataset = open_dataset(generate(street(), tmp_path / "street.zarr", remember=False))
    writer().refuse(dataset)
    writer().write(dataset, tmp_path / "x", lambda done, total: None)
    again = open_dataset(import_dataset(tmp_path / "x", tmp_path / "y.zarr", remember=False).path)
    compare(dataset, again, ())
    for band in dataset.spec.bands:
        assert errors(with_gain(dataset, band), with_gain(again, band)).max() < SAME
    np.testing.assert_allclose(all_rows(again, "ue_velocity"), all_rows(dataset, "ue_velocity"), rtol=1e-5, atol=1e-5)


def test_slots_that_are_traced_each_have_no_paths_in_common(
    street: Callable[..., ScenarioSpec], tmp_path: Path
) -> None:
    dataset = open_dataset(generate(street(retrace=True), tmp_path / "tracks.zarr", remember=False))
    with pytest.raises(RequestError, match="retrace=true; formats of channels take it, such as npz"):
        DeepMIMOWriter().refuse(dataset)
