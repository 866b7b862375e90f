"""What a block of samples holds, and what its bytes depend on."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channelbench.errors import RequestError
from channelbench.generator import Block
from channelbench.registry import create, names
from channelbench.spec import KMH, SPLITS, ScenarioSpec
from channelbench.store.schema import variables
from channelbench.testing import small_spec

MakeSpec = Callable[..., ScenarioSpec]
SCENARIOS = ("uma", "rma", "umi")
SMALL = {"sub6.num_subcarriers": 6, "sub6.num_slots": 3, "mmwave.num_subcarriers": 4, "mmwave.array": {"columns": 8}}


def digest(dataset: Any) -> str:
    check = hashlib.sha256()
    for name in dataset:
        check.update(name.encode() + np.ascontiguousarray(dataset[name].values).tobytes())
    return check.hexdigest()


def test_registered() -> None:
    assert set(SCENARIOS) <= set(names("generators"))


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("case", [("dualband", "random"), ("multiuser", "nlos")])
def test_dataset_follows_the_schema(make_spec: MakeSpec, scenario: str, case: tuple[str, str]) -> None:
    system, state = case
    spec = make_spec(scenario, system, state=state)
    data = create("generators", scenario).sample(spec, Block(split="val", index=1, start=3, stop=10), 0)
    table = variables(spec)
    assert list(data) == list(table)
    for name, variable in table.items():
        assert data[name].dims == variable.dims
        assert data[name].dtype == variable.dtype
        assert data[name].shape == (7, *variable.shape[1:])
        may_be_nan = ~data.los.values if variable.nan == "nlos" else np.zeros(7, bool)
        assert np.array_equal(np.isnan(data[name].values).reshape(7, -1).any(axis=1), may_be_nan), name
    assert np.array_equal(data["drop"], 2**40 + 200 + np.arange(3, 10))
    assert np.all(data.block == 1)
    assert np.all(data.split == 1)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_users_stand_where_the_spec_says(make_spec: MakeSpec, draw: Callable[..., Any], scenario: str) -> None:
    block = draw(scenario, sector_deg=90.0)
    spec, position = block.spec, block.drops.position
    distance = np.hypot(position[:, 0], position[:, 1])
    assert np.all((distance >= spec.min_distance_m) & (distance <= spec.max_distance_m))
    assert np.all(np.abs(np.degrees(np.arctan2(position[:, 1], position[:, 0]))) <= 45)
    assert np.all(position[:, 2] == spec.ue_height_m)
    assert np.all(block.drops.velocity[:, 2] == 0)
    np.testing.assert_allclose(np.linalg.norm(block.drops.velocity, axis=1), 30 * KMH)


def test_users_are_uniform_in_area_and_heading(draw: Callable[..., Any]) -> None:
    from scipy.stats import kstest

    drops = [draw("uma", index=index, min_distance_m=100.0).drops for index in range(5)]
    position = np.concatenate([block.position for block in drops])
    velocity = np.concatenate([block.velocity for block in drops])
    squared = (position[:, 0] ** 2 + position[:, 1] ** 2 - 100**2) / (500**2 - 100**2)
    azimuth = np.degrees(np.arctan2(position[:, 1], position[:, 0])) / 120 + 0.5
    heading = np.arctan2(velocity[:, 1], velocity[:, 0]) / (2 * np.pi) + 0.5
    for values in (squared, azimuth, heading):
        assert kstest(values, "uniform").pvalue > 1e-3


def test_speeds(make_spec: MakeSpec) -> None:
    """Uniform in training, the grid of the velocity figures in the test split."""
    spec = make_spec("uma", "multiuser", **{"sub6.num_slots": 1, "sub6.num_subcarriers": 1})
    generator = create("generators", "uma")
    train = np.linalg.norm(generator.sample(spec, Block(split="train", index=0), 0).ue_velocity, axis=1) / KMH
    assert 10 <= train.min() < 15
    assert 95 < train.max() <= 100
    test = np.linalg.norm(generator.sample(spec, Block(split="test", index=1, start=7, stop=30), 0).ue_velocity, axis=1)
    np.testing.assert_allclose(test / KMH, 10 * (np.arange(207, 230) % 10 + 1), rtol=1e-6)


def test_rows_do_not_depend_on_what_else_was_made(make_spec: MakeSpec) -> None:
    """Other blocks before, other thread counts, fewer rows, a shorter split: the same bytes."""
    import torch

    spec, generator = make_spec("uma", state="random", **SMALL), create("generators", "uma")
    block = Block(split="train", index=3)
    whole = generator.sample(spec, block, 7)
    for other in (Block(split="test", index=3), Block(split="train", index=2, stop=5)):
        assert digest(generator.sample(spec, other, 7)) != digest(whole.isel(sample=slice(other.start, other.stop)))
    create("generators", "rma").sample(
        make_spec("rma", "multiuser", state="nlos"), Block(split="val", index=0, stop=1), 1
    )
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert digest(generator.sample(spec, block, 7)) == digest(whole)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    part = generator.sample(spec, Block(split="train", index=3, start=20, stop=33), 7)
    assert digest(part) == digest(whole.isel(sample=slice(20, 33)))
    assert digest(generator.sample(spec.replace({"sizes.train": 17}), block, 7)) == digest(whole)
    assert digest(generator.sample(spec, block, 8)) != digest(whole)


SCRIPT = """
import sys
from channelbench.generator import Block
from channelbench.registry import create
from channelbench.spec import ScenarioSpec
sys.path.insert(0, {here!r})
from test_blocks import digest
spec = ScenarioSpec.model_validate_json({spec!r})
print(digest(create("generators", "uma").sample(spec, Block(split="val", index=1), 7)))
"""


def test_bytes_are_the_same_in_a_fresh_process(make_spec: MakeSpec, tmp_path: Path) -> None:
    """With other thread counts, and with loops that are compiled there rather than loaded from numba's cache."""
    spec = make_spec("uma", **{**SMALL, "sub6.num_subcarriers": 64, "sub6.num_slots": 20})
    want = digest(create("generators", "uma").sample(spec, Block(split="val", index=1), 7))
    script = SCRIPT.format(here=os.path.dirname(__file__), spec=spec.model_dump_json())
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **threads, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == want


def test_leaves_random_states_alone(make_spec: MakeSpec) -> None:
    import torch
    from sionna.phy import config

    states = [torch.get_rng_state(), config.torch_rng("cpu").get_state()]
    seed, numpy_state, precision = config.seed, config.np_rng.bit_generator.state, config.precision
    create("generators", "uma").sample(make_spec("uma", **SMALL), Block(split="train", index=0, stop=1), 0)
    assert all(
        torch.equal(a, b)
        for a, b in zip(states, [torch.get_rng_state(), config.torch_rng("cpu").get_state()], strict=True)
    )
    assert (seed, precision) == (config.seed, config.precision)
    assert numpy_state == config.np_rng.bit_generator.state


def test_splits_and_blocks_share_no_user(make_spec: MakeSpec) -> None:
    spec, generator = make_spec("umi", **SMALL), create("generators", "umi")
    made = [generator.sample(spec, Block(split=s, index=i), 0) for s in SPLITS for i in (0, 1)]
    positions = np.concatenate([data.ue_position.values for data in made])
    assert len(np.unique(positions, axis=0)) == len(positions)
    assert len(np.unique(np.concatenate([data["drop"].values for data in made]))) == len(positions)


def test_the_second_band_changes_nothing_in_the_first(make_spec: MakeSpec) -> None:
    spec, generator = make_spec("uma", state="random", **SMALL), create("generators", "uma")
    block = Block(split="train", index=0, stop=4)
    both, alone = (generator.sample(s, block, 0) for s in (spec, spec.replace({"mmwave": None})))
    for name in alone:
        np.testing.assert_array_equal(alone[name], both[name])


# Table 7.4.2-1, users below 13 m: how fast the probability of a line of sight decays beyond the first 18 m
DECAY_M = {"uma": 63.0, "umi": 36.0}


@pytest.mark.parametrize("scenario", DECAY_M)
def test_random_state_follows_the_probability_of_the_standard(draw: Callable[..., Any], scenario: str) -> None:
    """Table 7.4.2-1: Pr(LOS) = 18/d + exp(−d/63)(1 − 18/d) in UMa, with 36 m in place of 63 m in UMi."""
    blocks = [draw(scenario, state="random", index=index) for index in range(10)]
    los = np.concatenate([block.rays["sub6"].los for block in blocks])
    assert all(np.array_equal(block.rays["sub6"].los, block.rays["mmwave"].los) for block in blocks)
    d = np.concatenate([np.hypot(*block.drops.position[:, :2].T) for block in blocks])
    probability = np.where(d < 18, 1, 18 / d + np.exp(-d / DECAY_M[scenario]) * (1 - 18 / d))
    assert abs(los.mean() - probability.mean()) < 4 * np.sqrt(np.mean(probability * (1 - probability)) / len(los))
    near = d < np.median(d) / 2
    assert los[near].mean() > 2 * los[~near].mean()


def test_scenarios_of_one_seed_share_their_random_numbers(draw: Callable[..., Any]) -> None:
    """Users are drawn from the seed, the split and the block alone, then placed within the scenario's distances."""
    own = {scenario: draw(scenario) for scenario in SCENARIOS}
    share = {}
    for scenario, block in own.items():
        position, (nearest, farthest) = block.drops.position, (block.spec.min_distance_m, block.spec.max_distance_m)
        squared = np.sum(position[:, :2] ** 2, axis=1)
        share[scenario] = (squared - nearest**2) / (farthest**2 - nearest**2)
        assert np.array_equal(block.drops.velocity, own["uma"].drops.velocity)
        azimuth, want = (np.arctan2(at[:, 1], at[:, 0]) for at in (position, own["uma"].drops.position))
        np.testing.assert_allclose(azimuth, want, rtol=1e-12)
    for scenario in ("rma", "umi"):
        np.testing.assert_allclose(share[scenario], share["uma"], atol=1e-9)
        assert not np.isclose(own[scenario].drops.position[:, 0], own["uma"].drops.position[:, 0]).any()

    states = [draw("uma", state=state).drops.position for state in ("los", "nlos")]
    assert np.array_equal(*states)
    same = [draw(scenario, min_distance_m=50.0, max_distance_m=150.0).drops.position for scenario in ("uma", "umi")]
    assert np.array_equal(*same)


def test_equal_cluster_counts_have_the_same_delays_but_for_a_factor(draw: Callable[..., Any]) -> None:
    """UMa and UMi have twelve clusters in line of sight: one seed draws them the same exponentials. RMa has eleven."""
    delays = {name: draw(name).rays["sub6"].anchor.delay_s for name in SCENARIOS}
    shares = {}
    for name in ("umi", "rma"):
        uma, other = (delays[each][:, :11] for each in ("uma", name))
        ratio = np.full(uma.shape, np.nan)
        np.divide(other, uma, out=ratio, where=(uma > 0) & (other > 0))  # weak clusters are dropped from either
        same = np.isclose(ratio, np.nanmedian(ratio, axis=1, keepdims=True), rtol=1e-4)
        shares[name] = same[np.isfinite(ratio)].mean()
    assert shares["umi"] == 1
    assert shares["rma"] < 0.6


def test_wrong_requests_are_refused(make_spec: MakeSpec) -> None:
    generator = create("generators", "uma")
    with pytest.raises(RequestError, match="got 'drawn_by_hand'; choices: raytraced, stochastic"):
        make_spec("uma", source="drawn_by_hand")
    with pytest.raises(RequestError, match="source: expected stochastic for this generator"):
        generator.sample(small_spec(), Block(split="train", index=0), 0)
    for start, stop in ((5, 5), (-1, 3), (0, 201)):
        with pytest.raises(RequestError, match="block: expected rows within 0:200"):
            generator.sample(make_spec("uma"), Block(split="train", index=0, start=start, stop=stop), 0)


def test_modules_of_the_registry_scan_are_light() -> None:
    code = "import sys; from channelbench.registry import names; print(names('generators')); " + (
        "print(sorted({'torch', 'sionna', 'numba', 'xarray'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
