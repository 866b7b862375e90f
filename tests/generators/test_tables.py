"""What is drawn and what comes of it, against the tables of TR 38.901 and published numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gathered_links import Draw, gather

# lg mu/sigma: DS (s), ASD, ASA (degrees), and K (dB), of v16.1's Table 7.5-6 at 1.9 and at 28 GHz. Notes 6 and 7 put
# 6 GHz in place of a lower carrier in UMa, 2 GHz in UMi.
TABLE = {
    ("uma", "los", "sub6"): (-7.030, 0.66, 1.147, 0.28, 1.81, 0.20, 9, 3.5),
    ("uma", "los", "mmwave"): (-7.094, 0.66, 1.221, 0.28, 1.81, 0.20, 9, 3.5),
    ("uma", "nlos", "sub6"): (-6.439, 0.39, 1.411, 0.28, 1.870, 0.11, None, None),
    ("uma", "nlos", "mmwave"): (-6.575, 0.39, 1.334, 0.28, 1.689, 0.11, None, None),
    ("umi", "los", "sub6"): (-7.2545, 0.38, 1.1861, 0.41, 1.6918, 0.2867, 9, 5),
    ("umi", "los", "mmwave"): (-7.4910, 0.38, 1.1369, 0.41, 1.6130, 0.3005, 9, 5),
    ("umi", "nlos", "sub6"): (-6.9445, 0.3563, 1.4203, 0.3825, 1.7718, 0.3239, None, None),
    ("umi", "nlos", "mmwave"): (-7.1810, 0.5140, 1.1936, 0.4909, 1.6930, 0.3731, None, None),
    ("rma", "los", "sub6"): (-7.49, 0.55, 0.90, 0.38, 1.52, 0.24, 7, 4),
    ("rma", "los", "mmwave"): (-7.49, 0.55, 0.90, 0.38, 1.52, 0.24, 7, 4),
    ("rma", "nlos", "sub6"): (-7.43, 0.48, 0.95, 0.45, 1.52, 0.13, None, None),
    ("rma", "nlos", "mmwave"): (-7.43, 0.48, 0.95, 0.45, 1.52, 0.13, None, None),
}


CASES = [(scenario, state) for scenario in ("uma", "umi", "rma") for state in ("los", "nlos")]


@pytest.mark.parametrize(("scenario", "state"), CASES)
def test_drawn_parameters_follow_the_table(draw: Draw, scenario: str, state: str) -> None:
    found = gather(draw, scenario, state=state)
    for band in ("sub6", "mmwave"):
        row = TABLE[scenario, state, band]
        for name, mu, sigma in (("ds", *row[:2]), ("asd", *row[2:4]), ("asa", *row[4:6])):
            drawn = np.log10(found[band, name])
            error = 4 * sigma / np.sqrt(len(drawn))
            # Spreads are cut at 104°: the median of the rest, below the cut, is the table's.
            assert abs(np.median(drawn) - mu) < 1.3 * error + 1e-3, (band, name)
            quartiles = np.subtract(*np.quantile(drawn, [0.75, 0.25])) / 1.349
            assert abs(quartiles - sigma) < 0.1 * sigma, (band, name)
        if state == "los":
            k_db = 10 * np.log10(found[band, "k"])
            assert abs(k_db.mean() - row[6]) < 4 * row[7] / np.sqrt(len(k_db))
            assert abs(k_db.std() - row[7]) < 0.08 * row[7]
            # What the paths realise is the K that was drawn, but for what the −25 dB rule removes.
            np.testing.assert_allclose(found[band, "k_factor_db"], k_db, atol=0.15)


def test_large_scale_parameters_are_the_same_draws_in_both_bands(draw: Draw) -> None:
    for scenario, state in (("uma", "los"), ("rma", "nlos"), ("umi", "los")):
        found = gather(draw, scenario, 3, state=state)
        for name in ("ds", "asd", "asa", "sf", *(["k"] if state == "los" else [])):
            a, b = (np.log(found[band, name]) for band in ("sub6", "mmwave"))
            assert np.corrcoef(a, b)[0, 1] > 0.97, (scenario, state, name)


# Medians that Sionna's own classes realise with the same tables: DS (ns), ASD, ASA (degrees)
REALISED = {"los": (96, 13.5, 28.0), "nlos": (348, 26.7, 80.3)}


@pytest.mark.parametrize("state", ["los", "nlos"])
def test_realised_medians(draw: Draw, state: str) -> None:
    found = gather(draw, "uma", state=state)
    ds, asd, asa = (np.median(found["sub6", name]) for name in ("delay_spread_s", "asd_deg", "asa_deg"))
    want_ds, want_asd, want_asa = REALISED[state]
    assert ds * 1e9 == pytest.approx(want_ds, rel=0.12 if state == "los" else 0.06)
    assert asd == pytest.approx(want_asd, rel=0.06)
    assert asa == pytest.approx(want_asa, rel=0.08 if state == "los" else 0.04)
    if state == "los":
        assert np.mean(found["sub6", "k_factor_db"]) == pytest.approx(9.0, abs=0.3)
        assert np.std(found["sub6", "k_factor_db"]) == pytest.approx(3.5, abs=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["los", "nlos"])
def test_realised_medians_to_a_few_percent(draw: Draw, state: str) -> None:
    found = gather(draw, "uma", 60, state=state)
    got = [np.median(found["sub6", n]) * f for n, f in (("delay_spread_s", 1e9), ("asd_deg", 1), ("asa_deg", 1))]
    np.testing.assert_allclose(got, REALISED[state], rtol=0.04)


def test_newer_tables_narrow_the_departure_spread(draw: Draw) -> None:
    medians = {v: np.median(gather(draw, "uma", 3, table_version=v)["sub6", "asd_deg"]) for v in ("16.1", "19.2")}
    assert medians["19.2"] == pytest.approx(8.2, rel=0.15)
    assert medians["16.1"] == pytest.approx(13.5, rel=0.15)


def test_unclipped_carrier_reads_the_tables_at_the_true_carrier(draw: Draw) -> None:
    """Table 7.5-6: lgDS of UMa NLOS is −6.28 − 0.204·lg(f/GHz), with 6 GHz in place of a lower carrier."""
    for clip, carrier_ghz in ((True, 6.0), (False, 1.9)):
        found = gather(draw, "uma", 5, state="nlos", uma_fc_clip=clip)
        assert np.log10(found["sub6", "ds"]).mean() == pytest.approx(-6.28 - 0.204 * np.log10(carrier_ghz), abs=0.05)


PATH_LOSS = [
    ("uma", "sub6", [100, 200, 500, 1000], [77.8, 84.3, 96.8, 108.9], [97.7, 109.2, 124.6, 136.4]),
    ("uma", "mmwave", [100, 200, 500, 1000], [101.2, 107.6, 116.3, 122.9], [121.1, 132.5, 148.0, 159.7]),
    (
        "umi",
        "sub6",
        [20, 50, 100, 200, 500],
        [66.05, 73.78, 80.01, 90.93, 106.83],
        [75.54, 88.53, 98.99, 109.58, 123.61],
    ),
    (
        "umi",
        "mmwave",
        [20, 50, 100, 200, 500],
        [89.42, 97.15, 103.38, 109.67, 118.02],
        [100.42, 113.42, 123.88, 134.46, 148.5],
    ),
    ("rma", "sub6", [200, 1000, 3000, 5000], [84.8, 100.2, 114.5, 123.4], [98.3, 125.1, 143.5, 152.1]),
]


@pytest.mark.parametrize(("scenario", "band", "distances", "los", "nlos"), PATH_LOSS)
def test_path_loss(draw_at: Draw, scenario: str, band: str, distances: Any, los: Any, nlos: Any) -> None:
    for state, want in (("los", los), ("nlos", nlos)):
        rays = draw_at(scenario, distances, state=state)[band]
        loss = 10 * np.log10(rays.large_scale.sf) - rays.large_scale.path_gain_db
        np.testing.assert_allclose(loss, np.resize(want, 200), atol=0.06)


# Table 7.4.1-1: dB in line of sight (RMa: up to the breakpoint) and without
SHADOWING = {"uma": (4.0, 6.0), "umi": (4.0, 7.82), "rma": (4.0, 8.0)}


@pytest.mark.parametrize("scenario", SHADOWING)
def test_shadowing_is_part_of_the_path_gain(draw_at: Draw, scenario: str) -> None:
    for state, sigma in zip(("los", "nlos"), SHADOWING[scenario], strict=True):
        gain = draw_at(scenario, [200.0], state=state)["sub6"].large_scale.path_gain_db
        assert gain.std() == pytest.approx(sigma, rel=0.2)


# Table 7.5-6: clusters in line of sight and without; each has 20 rays
CLUSTERS = {"uma": (12, 20), "umi": (12, 19), "rma": (11, 10)}


@pytest.mark.parametrize(("scenario", "state"), CASES)
def test_clusters_and_rays_are_as_many_as_the_table_has(draw: Draw, scenario: str, state: str) -> None:
    block = draw(scenario, state=state)
    clusters = CLUSTERS[scenario][state == "nlos"]
    for band, rays in block.rays.items():
        assert rays.power.shape == (200, clusters), band
        assert (np.count_nonzero(rays.power, axis=1) > 1).all()
        assert block.paths[band].power.shape == (200, 1 + 20 * clusters)
