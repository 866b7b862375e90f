"""The systems: what a spec of each begins with, scenario aside."""

from __future__ import annotations

from typing import Any

__all__ = ["KMH", "SYSTEMS"]

KMH = 1000.0 / 3600.0

SYSTEMS: dict[str, dict[str, Any]] = {
    # LLM4WM Table II
    "dualband": {
        "state": "los",
        "sub6": {"carrier_hz": 1.9e9, "bandwidth_hz": 60e6, "num_slots": 20, "array": {"columns": 8}},
        "mmwave": {"carrier_hz": 28e9, "bandwidth_hz": 0.5e9, "num_slots": 1, "array": {"columns": 64}},
    },
    # Multi-task PHY LLM, section V-A
    "multiuser": {
        "state": "nlos",
        "sub6": {
            "carrier_hz": 2.4e9,
            "bandwidth_hz": 48 * 180e3,
            "num_subcarriers": 48,
            "num_slots": 20,
            "array": {"rows": 8, "columns": 16},
        },
        "mmwave": None,
        "min_distance_m": 20.0,
        "max_distance_m": 100.0,
        "sector_deg": 180.0,
        "speed_min_mps": 10 * KMH,
        "speed_max_mps": 100 * KMH,
        "test_speeds_mps": tuple(speed * KMH for speed in range(10, 101, 10)),
    },
}
