"""What tests of networks share."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def seeded() -> Iterator[None]:
    """Torch draws the same in every test, and leaves no other test other draws."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
