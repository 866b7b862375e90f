"""The multi-task physical-layer LLM: its encoders and decoders, and losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from networks_by_hand import stir
from phy_networks import (
    TASKS,
    SmallPhyLLM,
    SmallPhyLLMSingle,
    channel_batch,
    detection_part,
    examples,
    network,
    precoding_part,
    splits,
    variant,
)

from channelbench.models.networks.data import Batch, as_batch
from channelbench.models.networks.groups import DetectionPart, parts_of
from channelbench.models.networks.phy_llm import fitting
from channelbench.models.networks.phy_llm.network import PhyLLMNetwork
from channelbench.models.networks.phy_llm.readout import MIXES, Readout
from channelbench.models.phy_llm import PhyLLM
from channelbench.registry import find, tasks_of
from channelbench.solvers.constellation import constellation_named, hard_decision, symbol_bits
from channelbench.solvers.detection import lmmse
from channelbench.solvers.precoding import rzf, sum_rate
from channelbench.solvers.wmmse import structure_labels, wmmse
from channelbench.tasks.multiuser.answers import DetectionAnswer
from channelbench.testing import MethodTests

pytestmark = pytest.mark.usefixtures("seeded")

pytest.importorskip("transformers", reason="language models need the extra `llm`")


class TestPhyLLM(MethodTests):
    method = SmallPhyLLM
    preset = "smoke"


class TestPhyLLMSingle(MethodTests):
    method = SmallPhyLLMSingle
    preset = "smoke"


def test_it_understands_the_three_problems() -> None:
    assert set(tasks_of(PhyLLM)) == set(TASKS)


# --- what it answers before training


@pytest.mark.parametrize("users", [1, 2, 5, 8, 11])
def test_untrained_precoders_are_regularised_zero_forcing(users: int) -> None:
    whole, part = network().eval(), precoding_part(users)
    expected = rzf(part.h.numpy(), part.power.numpy(), part.noise_var.numpy())
    for task in ("pre_sr", "pre_mm"):
        for found in (whole.answer(task, part), whole.alone(task, part)):
            torch.testing.assert_close(found.detach(), torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("users", [1, 4, 8])
def test_untrained_detectors_are_lmmse(users: int) -> None:
    whole, part = network().eval(), detection_part(users)
    expected = lmmse(part.h.numpy(), part.y.numpy(), part.noise_var.numpy())
    with torch.no_grad():
        answers = whole.answer("det", part), whole.alone("det", part)
    baseline = find("methods", "lmmse_detector")()
    observation = _detection_observation(part)
    decided = baseline.predict("det", observation)
    for found in answers:
        assert isinstance(found, DetectionAnswer)
        np.testing.assert_allclose(found.x, expected.estimate, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found.decisions, decided.decisions)
        np.testing.assert_allclose(found.llrs, decided.llrs, rtol=1e-3, atol=1e-4)


def _detection_observation(part: DetectionPart) -> Any:
    return replace(
        examples()["det"],
        h=part.h.numpy(),
        y=part.y.numpy(),
        noise_var=part.noise_var.numpy(),
        users=np.full(len(part), part.h.shape[2]),
    )


def test_untrained_predictors_are_the_aligned_start() -> None:
    whole, batch = network().eval(), replace(channel_batch(), target=torch.zeros(0))
    with torch.no_grad():
        said, _ = whole.said("cp", batch)
        expected = whole.branch("cp").frame.alone(batch.h, batch.noise_var)
    torch.testing.assert_close(whole.branch("cp").frame.whole(said), expected)


def test_raw_networks_know_nothing_beforehand() -> None:
    whole, part = network(variant("raw")).eval(), detection_part(4)
    with torch.no_grad():
        assert (whole.answer("det", part).x == 0).all()
        batch = replace(channel_batch(), target=torch.zeros(0))
        assert (whole.said("cp", batch)[0] == 0).all()
        assert whole.branch("det").begin(part).estimate.abs().max() == 0
    assert whole.branch("pre_sr").inlet.in_features == 2 * 8 + 1
    assert whole.branch("det").of_pair is None


# --- tokens


def test_prompts_go_before_the_data_and_are_dropped() -> None:
    whole = network().eval()
    stir(whole)
    seen: list[torch.Tensor] = []
    whole.trunk.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    for task, part, tokens in (
        ("pre_sr", precoding_part(5), 5),
        ("det", detection_part(5), 5 + 8),
        ("cp", replace(channel_batch(), target=torch.zeros(0)), 5),
    ):
        assert whole.prompts is not None
        prompt = whole.prompts(task, 0 if task == "cp" else 5)
        assert 0 < len(prompt) <= 16
        start = whole.branch(task).begin(part)
        embedded = whole.branch(task).embed(start)
        features = whole._through_trunk(task, embedded, whole.branch(task).users(start))
        assert embedded.shape[1] == features.shape[1] == tokens
        torch.testing.assert_close(seen[-1][:, len(prompt) :], embedded)
        torch.testing.assert_close(seen[-1][0, : len(prompt)], prompt)
        with torch.no_grad():
            whole.prompts.table.add_(torch.randn_like(whole.prompts.table))
        other = whole._through_trunk(task, embedded, whole.branch(task).users(start))
        assert (other - features).abs().max() > 1e-4


def test_no_prompt() -> None:
    whole = network(variant("no-prompt"))
    assert whole.prompts is None
    tokens = torch.randn(2, 3, 32)
    torch.testing.assert_close(whole.eval()._through_trunk("det", tokens, 3), whole.trunk(tokens))


def test_groups_of_all_sizes_share_a_batch() -> None:
    """The loss is the mean over cases, whatever the number of users of each."""
    whole = network()
    stir(whole)
    training, _ = splits("det")
    parts = parts_of(*training.observe(np.arange(12), epoch=0), "cpu")
    assert len({part.h.shape[2] for _, part in parts}) > 2  # type: ignore[union-attr]
    batch = fitting.TaskBatch("det", parts, step=0, progress=0.0)
    with torch.no_grad():
        total = sum(float(whole.loss("det", part, 0.0)) * len(part) for _, part in parts)
        assert float(fitting.Curves({"det": 3})(whole, batch)) == pytest.approx(total / 12, rel=1e-5)


# --- losses


def test_precoding_learns_from_labels_and_then_from_rates() -> None:
    whole, part = network().requires_grad_(False), precoding_part(4)
    stir(whole)
    said, start = whole.said("pre_sr", part)
    branch = whole.branch("pre_sr")
    h, power, noise_var = part.h.numpy(), part.power.double().numpy(), part.noise_var.double().numpy()
    wanted = structure_labels(h, wmmse(h, power, noise_var, 20), power, noise_var)
    found = [power[:, None] * share.double().numpy() for share in said.softmax(2).unbind(1)]
    errors = [(p - label) / (power[:, None] / 4) for p, label in zip(found, wanted, strict=True)]
    expected = sum((error**2).sum(1) for error in errors).mean() / (2 * 4)
    assert float(branch.loss(said, start, 0.0)) == pytest.approx(expected, rel=1e-3)
    beams = branch.beams(said, start).numpy()
    np.testing.assert_allclose((np.abs(beams) ** 2).sum((1, 2)), power, rtol=1e-5)
    rate = sum_rate(h, beams, noise_var)
    assert float(branch.loss(said, start, 0.5)) == pytest.approx(-rate.mean() / 4, rel=1e-4)
    alone = np.log2(1 + power[:, None] * (np.abs(h) ** 2).sum(2) / noise_var[:, None]).sum(1)
    assert float(branch.score(said, start)) == pytest.approx((alone - rate).mean(), rel=1e-4)


def test_fairness_learns_the_least_rate() -> None:
    whole, part = network().requires_grad_(False), precoding_part(3, loss="min_rate")
    said, start = whole.said("pre_mm", part)
    w = whole.branch("pre_mm").beams(said, start).numpy()
    powers = np.abs(part.h.numpy().conj() @ w.swapaxes(1, 2)) ** 2
    own = np.einsum("gkk->gk", powers)
    least = np.log2(1 + own / (powers.sum(2) - own + 0.1)).min(1)
    assert float(whole.branch("pre_mm").loss(said, start, 1.0)) == pytest.approx(-least.mean(), rel=1e-4)


def test_detection_learns_squared_errors() -> None:
    whole, part = network().requires_grad_(False), detection_part(3)
    stir(whole)
    said, start = whole.said("det", part)
    pairs = torch.view_as_real(said - part.x).double()  # [groups, uses, users, 2]
    expected = (pairs**2).sum((2, 3)).mean() / (2 * 3)
    assert float(whole.branch("det").loss(said, start, 0.0)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("modulation", ["bpsk", "qpsk", "16qam"])
def test_what_formulas_say_of_symbols(modulation: str) -> None:
    """Posterior means by summing over the points, and the matched filter's find user by user, in float64."""
    part = replace(detection_part(3, groups=2), modulation=modulation)
    start = network().branch("det").begin(part)
    unbiased, v = start.unbiased.numpy().astype(complex), start.error_var.numpy().astype(float)
    points = constellation_named(modulation).points
    weight = np.exp(-(np.abs(unbiased[..., None] - points) ** 2) / v[..., None])
    weight /= weight.sum(-1, keepdims=True)
    mean = weight @ points
    variance = weight @ np.abs(points) ** 2 - np.abs(mean) ** 2
    h, y, unit = part.h.numpy(), part.y.numpy(), np.sqrt(v / (1 + v))
    found = np.empty_like(mean)
    for group, use, user in np.ndindex(mean.shape):
        rest = y[group, use] - h[group] @ mean[group, use]
        found[group, use, user] = np.vdot(h[group, :, user], rest) / np.linalg.norm(h[group, :, user]) ** 2
    shown = start.of_pairs.numpy()
    for place, expected in ((2, (mean - start.estimate.numpy()) / unit), (4, found / unit)):
        np.testing.assert_allclose(shown[..., place], expected.real.clip(-3, 3), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(shown[..., place + 1], expected.imag.clip(-3, 3), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(shown[..., 6], np.sqrt(variance) / unit, rtol=1e-3, atol=2e-3)
    errors = np.abs(start.estimate.numpy() - unbiased / (1 + v))
    np.testing.assert_allclose(errors, 0, atol=1e-5)  # of gain 1/(1 + v), which `unit` is made of


def test_readout_is_the_best_of_its_choices_on_the_validation_split() -> None:
    """By decisions and bits as the task counts them; a network that says nothing is no worse than LMMSE."""
    whole = network().eval().requires_grad_(False)
    validation = splits("det")[1]
    parts = [part for _, part in parts_of(*validation.observe(np.arange(20)), "cpu")]
    for stirred in (False, True):
        if stirred:
            stir(whole)
        whole.finish("det", parts)
        readout = whole.branch("det").readout
        ours = _counted(whole, parts)
        whole.branch("det").readout = Readout()
        start = _counted(whole, parts) if not stirred else (np.inf, np.inf)
        assert ours[0] <= start[0]
        assert ours[1] <= start[1]
        other = Readout()
        for mix in range(len(MIXES)):
            other.decided.fill_(mix)
            other.soft.fill_(mix)
            for factor in (0.7, 1.0, 1.4):
                other.scale.copy_(readout.scale * factor)
                whole.branch("det").readout = other
                theirs = _counted(whole, parts)
                assert ours[0] <= theirs[0]
                assert ours[1] <= theirs[1] + 1e-6
        whole.branch("det").readout = readout


def _counted(whole: PhyLLMNetwork, parts: Any) -> tuple[float, float]:
    """Wrong decisions, and the cross-entropy of all bits."""
    constellation = constellation_named("16qam")
    wrong, entropy = 0.0, 0.0
    for part in parts:
        answer = whole.answer("det", part)
        sent = hard_decision(part.x.numpy(), constellation)
        wrong += float((answer.decisions != sent).sum())
        signs = 2.0 * symbol_bits(sent, constellation) - 1
        entropy += float(-np.log(1 / (1 + np.exp(-signs * answer.llrs))).sum())
    return wrong, entropy


def test_prediction_learns_of_several_antennas_of_each_sample() -> None:
    """Each once in a step, and each with its own target: what is read is that antenna of what all antennas give."""
    net, (observation, target) = network(), splits("cp")[0].observe(np.arange(3))
    branch, batch = net.branch("cp"), as_batch(observation, target, "cpu")
    torch.manual_seed(3)
    start = branch.begin(batch)
    assert start.frame.pairs.shape[3] == 2
    assert len(start.target) == 3 * 8
    whole = branch.begin(Batch(h=batch.h, noise_var=batch.noise_var, target=torch.zeros(0))).frame
    said = branch.frame.end(start.frame, branch.frame.nothing(start.frame))
    all_said = branch.frame.end(whole, branch.frame.nothing(whole))
    for sample in range(3):
        taken = {int((all_said[sample] - one).abs().sum((0, 1)).argmin()) for one in said[8 * sample : 8 * sample + 8]}
        assert taken == set(range(8))
    for one, wanted in zip(said, start.target, strict=True):
        antenna = (all_said.permute(0, 3, 1, 2).flatten(0, 1) - one[..., 0]).abs().sum((1, 2)).argmin()
        torch.testing.assert_close(wanted[..., 0], batch.target.permute(0, 3, 1, 2).flatten(0, 1)[antenna])
