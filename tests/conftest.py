"""Datasets that many tests share."""

import pytest

from channelbench.store.dataset import ChannelDataset
from channelbench.testing import conformance_dataset


@pytest.fixture(scope="session")
def few_rays() -> ChannelDataset:
    """Six-ray channels, both bands: 60 train, 20 val, 30 test."""
    return conformance_dataset()
