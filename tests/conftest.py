"""Datasets that many tests share."""

import signal

import pytest

from channelbench.store.dataset import ChannelDataset
from channelbench.testing import conformance_dataset


@pytest.fixture(scope="session")
def few_rays() -> ChannelDataset:
    """Six-ray channels, both bands: 60 train, 20 val, 30 test."""
    return conformance_dataset()


@pytest.fixture(scope="session", autouse=True)
def heed_ctrl_c() -> None:
    """Commands that tests start stop at Ctrl-C, even where the tests run in the background of a shell, which makes all
    that it starts there ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
