"""The two engines draw the same distributions: Sionna's classes are the reference for the loops of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from channelbench.generator import Block
from channelbench.generators.evaluate.statistics import link_statistics
from channelbench.registry import create

Draw = Callable[..., Any]
Columns = dict[tuple[str, str], NDArray[Any]]
CASES = [(scenario, state) for scenario in ("uma", "rma", "umi") for state in ("los", "nlos")]
LINKS_IN_BLOCK = 200


def per_link(block: Any, rng: np.random.Generator) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Numbers of which each link gives one, so that they are independent: (band, name, values).

    Of a link's clusters one in use is taken at random, and of its rays one; angles are those from the direct path.
    """
    link = np.arange(LINKS_IN_BLOCK)
    direct = np.arctan2(block.drops.offset[:, 1], block.drops.offset[:, 0])
    ray = rng.integers(0, 20, LINKS_IN_BLOCK)
    for band, rays in block.rays.items():
        cluster = np.argmax(np.where(rays.power > 0, rng.random(rays.power.shape), -1), axis=1)
        anchor, lsp = rays.anchor, rays.large_scale
        columns = dict(vars(lsp))
        if not rays.los.all():
            del columns["k_factor"]  # without meaning there
        columns |= {
            "clusters": (rays.power > 0).sum(axis=1) + rng.random(LINKS_IN_BLOCK),  # KS is for continuous numbers
            "delay": anchor.delay_s[link, cluster],
            "last delay": anchor.delay_s.max(axis=1),
            "power": rays.power[link, cluster],
            "strongest power": rays.power.max(axis=1),
            "aod": np.angle(np.exp(1j * (anchor.aod[link, cluster, ray] - direct))),
            "aoa": np.angle(np.exp(1j * (anchor.aoa[link, cluster, ray] - direct - np.pi))),
            "zod": anchor.zod[link, cluster, ray],
            "zoa": anchor.zoa[link, cluster, ray],
            # Step 8: which zenith goes with which azimuth, in the split clusters and in the others.
            "coupling": np.std(anchor.aoa[link, cluster] * (anchor.zoa[link, cluster] - np.pi / 2), axis=1),
        }
        statistics = link_statistics(block.paths[band], lsp.path_gain_db)
        columns |= {f"realised {name}": statistics[name] for name in ("delay_spread_s", "asd_deg", "asa_deg")}
        for name, values in columns.items():
            yield band, name, values


def gather(draw: Draw, scenario: str, engine: str, blocks: int, first: int, **changes: Any) -> Columns:
    rng = np.random.default_rng(blocks + first)
    columns: dict[tuple[str, str], list[NDArray[Any]]] = {}
    for index in range(first, first + blocks):
        for band, name, values in per_link(draw(scenario, index=index, engine=engine, **changes), rng):
            columns.setdefault((band, name), []).append(values)
    return {key: np.concatenate(values) for key, values in columns.items()}


def disagreements(own: Columns, reference: Columns, tests: int) -> dict[tuple[str, str], float]:
    """Kolmogorov and Smirnov with two samples, at 1 % for all ``tests`` together (Bonferroni)."""
    values = {key: float(ks_2samp(own[key], reference[key]).pvalue) for key in reference}
    return {key: value for key, value in values.items() if value < 0.01 / tests}


def compare(draw: Draw, scenario: str, state: str, blocks: int) -> None:
    own = gather(draw, scenario, "fast", blocks, 0, state=state)
    reference = gather(draw, scenario, "sionna", blocks, 1000, state=state)
    assert own.keys() == reference.keys()
    assert not disagreements(own, reference, len(CASES) * len(reference))


@pytest.mark.parametrize(("scenario", "state"), CASES)
def test_fast_rays_are_distributed_as_sionnas(draw: Draw, scenario: str, state: str) -> None:
    compare(draw, scenario, state, 5)


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "state"), [*CASES, ("uma", "random"), ("rma", "random")])
def test_fast_rays_are_distributed_as_sionnas_in_many_links(draw: Draw, scenario: str, state: str) -> None:
    compare(draw, scenario, state, 50)


def test_the_comparison_finds_what_is_wrong(draw: Draw) -> None:
    """A fifth more spread of one angle, and a sixth less delay spread, do not pass."""
    own = gather(draw, "uma", "fast", 20, 0, state="nlos")
    reference = gather(draw, "uma", "sionna", 20, 1000, state="nlos")
    own["sub6", "zoa"] = np.pi / 2 + 1.2 * (own["sub6", "zoa"] - np.pi / 2)
    own["sub6", "ds"] /= 1.2
    assert {("sub6", "zoa"), ("sub6", "ds")} <= disagreements(own, reference, len(reference)).keys()


def test_large_scale_parameters_are_correlated_alike(draw: Draw) -> None:
    """Table 7.5-6: the correlations of the logarithms, between all pairs, as Sionna's draws have them."""
    names = ["ds", "asd", "asa", "zsd", "zsa", "sf", "k_factor"]
    found = {}
    for engine in ("fast", "sionna"):
        columns = [vars(draw("uma", index=index, engine=engine).rays["sub6"].large_scale) for index in range(30)]
        found[engine] = np.corrcoef([np.log(np.concatenate([block[name] for block in columns])) for name in names])
    assert np.abs(found["fast"] - found["sionna"]).max() < 4.5 * np.sqrt(2 / (30 * LINKS_IN_BLOCK))


def test_channels_have_the_same_correlations(make_spec: Callable[..., Any]) -> None:
    """End to end: power, and correlations over subcarriers, slots and antennas, within what chance allows."""
    blocks, small = 6, {"sub6.num_subcarriers": 16, "mmwave.num_subcarriers": 16}
    for scenario, state in (("uma", "los"), ("uma", "nlos"), ("rma", "nlos")):
        found: dict[str, dict[str, NDArray[np.float64]]] = {}
        for engine in ("fast", "sionna"):
            spec = make_spec(scenario, state=state, engine=engine, **small)
            generator = create("generators", scenario)
            # Other users for the reference: on the same ones the two would agree better than they have to.
            first = 0 if engine == "fast" else 500
            made = [generator.sample(spec, Block(split="train", index=first + i), 0) for i in range(blocks)]
            found[engine] = {
                f"{band} {name}": np.concatenate([values(block[f"h_{band}"].values) for block in made])
                for band in spec.bands
                for name, values in CORRELATIONS.items()
            }
        for name, own in found["fast"].items():
            reference = found["sionna"][name]
            allowed = 4.5 * np.sqrt((own.var() + reference.var()) / len(own))
            assert abs(own.mean() - reference.mean()) < allowed + 1e-12, (scenario, state, name)


def lagged(axis: int, lag: int) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Each sample's correlation at a lag along an axis of ``[batch, slots, subcarriers, antennas]``."""

    def values(h: NDArray[Any]) -> NDArray[np.float64]:
        size = h.shape[axis]
        if size <= lag:
            return np.zeros(len(h))
        early, late = (np.take(h, range(a, a + size - lag), axis=axis) for a in (0, lag))
        return np.mean(late * early.conj(), axis=(1, 2, 3)).real

    return values


CORRELATIONS = {
    "power": lagged(2, 0),
    "frequency 1": lagged(2, 1),
    "frequency 8": lagged(2, 8),
    "time 1": lagged(1, 1),
    "time 10": lagged(1, 10),
    "antennas 1": lagged(3, 1),
    "antennas 4": lagged(3, 4),
}
