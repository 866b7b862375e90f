"""Numbers for people to read."""

import pytest

from channelbench.bands import BandSpec
from channelbench.quantities import band_words, duration, size_words
from channelbench.systems import SYSTEMS


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0.0, "0 s"), (0.2, "0.2 s"), (3.36, "3.4 s"), (9.4, "9.4 s"), (9.6, "10 s"), (89, "89 s"), (90, "2 min")),
        *((3600, "60 min"), (5400, "1 h 30 min"), (12000, "3 h 20 min")),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (34_503_434, "34.5 MB")]
)
def test_sizes_are_in_powers_of_1000(size: int, words: str) -> None:
    assert size_words(size) == words


def test_bands() -> None:
    two = "1.9 GHz, 60 MHz in 64 subcarriers, 1×8 antennas 0.5 wavelengths apart, 20 slots of 0.5 ms"
    one = "28 GHz, 500 MHz in 64 subcarriers, 1×64 antennas 0.5 wavelengths apart, 1 slot of 0.5 ms"
    assert [band_words(BandSpec(**SYSTEMS["dualband"][name])) for name in ("sub6", "mmwave")] == [two, one]
