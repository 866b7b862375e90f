"""Numbers for people to read: how long, how large, and what a band is."""

from __future__ import annotations

from channelbench.bands import BandSpec

__all__ = ["band_words", "duration", "size_words"]


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3 h 20 min``; below ten seconds with two digits."""
    if seconds < 9.5:
        return f"{seconds:.2g} s"
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def size_words(num_bytes: int) -> str:
    """``34.5 MB``: powers of 1000."""
    from rich.filesize import decimal

    return decimal(num_bytes)


def band_words(band: BandSpec) -> str:
    """``1.9 GHz, 60 MHz in 64 subcarriers, 1×8 antennas 0.5 wavelengths apart, 20 slots of 0.5 ms``."""
    array, slots = band.array, f"{band.num_slots} slot{'s' * (band.num_slots != 1)}"
    return (
        f"{band.carrier_hz / 1e9:g} GHz, {band.bandwidth_hz / 1e6:g} MHz in {band.num_subcarriers} subcarriers, "
        f"{array.rows}×{array.columns} antennas {array.spacing_wavelengths:g} wavelengths apart, "
        f"{slots} of {band.slot_s * 1e3:g} ms"
    )
