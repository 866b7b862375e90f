"""Networks that detect symbols: their steps against formulas in float64, and what they say of their errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks_by_hand import stir

from channelbench.contracts import FitContext, TaskSplit
from channelbench.errors import RequestError
from channelbench.models.detnet import DetNet as DetNetMethod
from channelbench.models.dnn_detector import DNNDetector as DNNMethod
from channelbench.models.networks import groups
from channelbench.models.networks.detection import CalibratedDetector, axis_levels
from channelbench.models.networks.detnet import DetNet
from channelbench.models.networks.dnn_detector import DNNDetector
from channelbench.models.networks.groups import DetectionPart
from channelbench.models.networks.oamp_net import OAMPNet
from channelbench.models.oamp_net import OAMPNet as OAMPMethod
from channelbench.registry import create
from channelbench.solvers.constellation import constellation_named
from channelbench.solvers.detection import lmmse, posterior
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import MethodTests

pytestmark = pytest.mark.usefixtures("seeded")

METHODS = (DNNMethod, DetNetMethod, OAMPMethod)


class SmokeTests(MethodTests):
    preset = "smoke"


class TestDNNDetector(SmokeTests):
    method = DNNMethod


class TestDetNet(SmokeTests):
    method = DetNetMethod


class TestOAMPNet(SmokeTests):
    method = OAMPMethod


def part_of(
    cases: int = 5, users: int = 3, antennas: int = 6, *, snr_db: float = 10.0, modulation: str = "16qam", seed: int = 0
) -> DetectionPart:
    """Rayleigh channels of unequal users, and what is received."""
    rng = np.random.default_rng(seed)
    h = rng.standard_normal((cases, antennas, users)) + 1j * rng.standard_normal((cases, antennas, users))
    h *= 10 ** rng.uniform(-0.3, 0.3, (cases, 1, users))
    noise_var = (np.abs(h) ** 2).sum(axis=(1, 2)) / antennas * 10 ** (-snr_db / 10)
    x = rng.choice(constellation_named(modulation).points, (cases, 8, users))
    noise = rng.standard_normal((cases, 8, antennas, 2)) @ np.array([1, 1j]) * np.sqrt(noise_var / 2)[:, None, None]
    found = [torch.as_tensor(value).to(torch.complex64) for value in (h, x @ h.swapaxes(1, 2) + noise, x)]
    return DetectionPart(
        h=found[0], y=found[1], x=found[2], noise_var=torch.as_tensor(noise_var).float(), modulation=modulation
    )


def in_double(part: DetectionPart) -> tuple[Any, Any, Any]:
    return part.h.numpy().astype(complex), part.y.numpy().astype(complex), part.noise_var.numpy().astype(float)


# --- OAMP-Net ---


def test_one_untrained_layer_is_lmmse_up_to_its_length() -> None:
    """With nothing known of x but its power, v² = 1, the linear estimate is K/tr(WH) times that of LMMSE."""
    part = part_of(antennas=4)
    h, y, noise_var = in_double(part)
    # The residual of an x of power 1 exactly, on average over noise: y of norm ‖H‖²_F + Nσ².
    norm = np.sqrt((np.abs(h) ** 2).sum(axis=(1, 2)) + h.shape[1] * noise_var)[:, None, None]
    y = y / np.linalg.norm(y, axis=2, keepdims=True) * norm
    seen = replace(part, y=torch.as_tensor(y).to(torch.complex64))
    _, r, _ = OAMPNet("16qam", layers=1).passed(seen)
    wanted = lmmse(h, y, noise_var).estimate
    gram = h.conj().swapaxes(1, 2) @ h
    filtered = np.linalg.solve(gram + noise_var[:, None, None] * np.eye(3), gram)
    wanted = wanted * (3 / np.einsum("bkk->b", filtered).real)[:, None, None]
    np.testing.assert_allclose(r.detach().numpy(), wanted, atol=1e-4 * np.abs(wanted).max())


def test_layers_are_the_published_formulas() -> None:
    """Two layers with any scalars, by the matrices of antennas × antennas that the paper names, case by case."""
    part, network = part_of(cases=3, users=4, antennas=5), OAMPNet("16qam", layers=2)
    stir(network)
    points = constellation_named("16qam").points
    h, y, noise_var = in_double(part)
    found, linear, own = (each.detach().numpy() for each in network.passed(part))
    scalars = [[getattr(network, name)[t].item() for name in ("gamma", "theta", "xi", "phi")] for t in range(2)]
    for case in range(len(y)):
        matrix, noise, x = h[case], noise_var[case], np.zeros((4, 8), complex)
        for gamma, theta, xi, phi in scalars:
            left = y[case].T - matrix @ x
            power = np.trace(matrix.conj().T @ matrix).real
            variance = max((np.linalg.norm(left) ** 2 / 8 - 5 * noise) / power, 1e-4)
            w = variance * matrix.conj().T @ np.linalg.inv(variance * matrix @ matrix.conj().T + noise * np.eye(5))
            w *= 4 / np.trace(w @ matrix)
            r = x + gamma * w @ left
            c = np.eye(4) - theta * w @ matrix
            tau = (variance * np.linalg.norm(c) ** 2 + theta**2 * noise * np.linalg.norm(w) ** 2) / 4
            weight = np.exp(-(np.abs(r[..., None] - points) ** 2) / tau)
            x = phi * (weight @ points / weight.sum(axis=-1) - xi * r)
        np.testing.assert_allclose(linear[case], r.T, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(own[case, 0, 0], tau, rtol=2e-3)
        np.testing.assert_allclose(found[case], x.T, rtol=5e-3, atol=5e-3)


def test_orthogonal_users_are_detected_at_once() -> None:
    """Where users do not hear each other, an estimate is the posterior mean of each alone."""
    part = part_of(cases=4, users=4, antennas=4)
    unitary = torch.linalg.qr(part.h).Q
    noise_var = torch.full((4,), 0.1)
    y = part.x @ unitary.mT + 0.2 * torch.randn_like(part.y)
    seen = DetectionPart(h=unitary, y=y, x=part.x, noise_var=noise_var, modulation="16qam")
    h, received, noise = in_double(seen)
    wanted = posterior(h, received, noise, constellation_named("16qam"))
    # τ² is σ² there whatever v² is, so any number of layers gives the same.
    for layers in (1, 5):
        network = OAMPNet("16qam", layers=layers)
        np.testing.assert_allclose(network(seen).detach().numpy(), wanted.mean, atol=2e-3)
        with torch.no_grad():
            np.testing.assert_array_equal(network.answer(seen).decisions, wanted.decision)


def test_errors_of_the_linear_estimate_are_as_large_as_it_says() -> None:
    """Of the first layer, which knows the power of x alone: the mean square of r − x is τ²."""
    part = part_of(cases=600, users=4, antennas=6)
    _, r, tau = (each.detach() for each in OAMPNet("16qam", layers=1).passed(part))
    error = (r - part.x).abs().square().mean((1, 2))
    assert float(tau.mean() / error.mean()) == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(tau.flatten(), error)[0, 1] > 0.5


def test_nothing_received_gives_numbers() -> None:
    part = part_of(cases=2)
    empty = DetectionPart(
        h=torch.zeros_like(part.h), y=torch.zeros_like(part.y), x=part.x, noise_var=torch.zeros(2), modulation="16qam"
    )
    for network in (OAMPNet("16qam"), DetNet("16qam", layers=3, width=4), DNNDetector(6, 8, width=8)):
        with torch.no_grad():
            answer = network.answer(empty)
        assert np.isfinite(answer.x).all()


# --- DetNet ---


def test_gradient_step_is_that_of_real_numbers() -> None:
    """``x − δ₁ D⁻¹Hᵀy + δ₂ D⁻¹HᵀHx`` with the real matrix of 2N × 2K, in float64."""
    part, network = part_of(), DetNet("16qam", layers=3, width=4)
    h, y, noise_var = in_double(part)
    with torch.no_grad():
        network.backward_step.copy_(torch.tensor([-0.3, -0.4, -0.5]))
        network.forward_step.copy_(torch.tensor([-0.6, -0.7, -0.8]))
        gram = part.h.mH @ part.h
        scale = (torch.einsum("bkk->bk", gram).real + part.noise_var[:, None])[:, None]
        found = network.stepped(1, part.x, (part.y @ part.h.conj()) / scale, part.x @ gram.mT / scale).numpy()
    for case, use in np.ndindex(y.shape[:2]):
        matrix = np.block([[h[case].real, -h[case].imag], [h[case].imag, h[case].real]])
        received = np.concatenate([y[case, use].real, y[case, use].imag])
        x = part.x[case, use].numpy()
        x = np.concatenate([x.real, x.imag]).astype(float)
        divided = (matrix**2).sum(axis=0) + noise_var[case]
        wanted = x + 0.4 * matrix.T @ received / divided - 0.7 * matrix.T @ matrix @ x / divided
        np.testing.assert_allclose(np.concatenate([found[case, use].real, found[case, use].imag]), wanted, atol=1e-5)


def test_first_layer_is_a_soft_projection_of_the_matched_filter() -> None:
    part, network = part_of(), DetNet("16qam", layers=30, width=4)
    with torch.no_grad():
        scale = (part.h.abs().square().sum(1) + part.noise_var[:, None])[:, None]
        q = -network.backward_step[0] * (part.y @ part.h.conj()) / scale
        levels = axis_levels("16qam")
        weight = (-network.sharpness[0] * (torch.view_as_real(q)[..., None] - levels).square()).softmax(-1)
        wanted = 0.1 * torch.view_as_complex((weight * levels).sum(-1))
        torch.testing.assert_close(network.layers(part)[0], wanted, rtol=1e-4, atol=1e-5)


def test_loss_weighs_layers_by_their_logarithm() -> None:
    part, network = part_of(), DetNet("16qam", layers=4, width=4)
    stir(network)
    with torch.no_grad():
        errors = np.array([float((x - part.x).abs().square().mean()) for x in network.layers(part)])
        wanted = (np.log([1, 2, 3, 4]) * errors).sum() / np.log(24)
        assert float(network.loss(part, 0.0)) == pytest.approx(wanted, rel=1e-5)
        assert float(network.score(part)) == pytest.approx(errors[-1], rel=1e-5)


def test_fewer_layers_keep_as_much_in_all() -> None:
    for layers in (5, 10, 30):
        assert DetNet("qpsk", layers=layers, width=4).residual ** layers == pytest.approx(0.9**30)


@pytest.mark.parametrize("kind", [DetNet, OAMPNet])
def test_users_may_come_in_any_order_and_number(kind: type) -> None:
    network = DetNet("16qam", layers=3, width=8) if kind is DetNet else OAMPNet("16qam")
    stir(network)
    for users in (1, 4, 9):
        part = part_of(users=users, antennas=5)
        order = torch.randperm(users)
        with torch.no_grad():
            found, other = network(part), network(replace(part, h=part.h[:, :, order]))
        torch.testing.assert_close(other, found[:, :, order], rtol=2e-3, atol=2e-3)


# --- what all share ---


@pytest.mark.parametrize("modulation", ["bpsk", "qpsk", "16qam", "64qam", "256qam"])
def test_levels_are_those_of_the_points(modulation: str) -> None:
    points, levels = constellation_named(modulation).points, axis_levels(modulation).numpy()
    for part, axis in zip((points.real, points.imag), levels, strict=True):
        np.testing.assert_allclose(np.unique(axis), np.unique(part), atol=1e-6)
        assert (np.diff(axis) >= 0).all()


@pytest.mark.parametrize("modulation", ["bpsk", "qpsk", "64qam"])
def test_estimates_lie_within_the_constellation(modulation: str) -> None:
    """Means of points: of BPSK they are real."""
    part = part_of(modulation=modulation)
    most = axis_levels(modulation).abs().amax(1)
    for network in (OAMPNet(modulation), DetNet(modulation, layers=3, width=4)):
        with torch.no_grad():
            x = torch.view_as_real(network(part))
        assert (x.abs() <= most + 1e-6).all()


class Constant(CalibratedDetector):
    """Says 0."""

    def forward(self, part: DetectionPart) -> torch.Tensor:
        return torch.zeros_like(part.x)


def test_error_variances_are_counted_by_snr() -> None:
    """Bins of 3 dB from 5 to 20, the ends reaching further; the mean where there was no case."""
    parts = [part_of(snr_db=snr_db, seed=seed) for seed, snr_db in enumerate((6.0, 7.0, 12.0, 19.5))]
    scaled = [replace(part, x=part.x * size) for part, size in zip(parts, (1, 2, 3, 4), strict=True)]
    network = Constant()
    network.finish(scaled)
    power = [float(part.x.abs().square().mean()) for part in scaled]
    wanted = [(power[0] + power[1]) / 2, np.mean(power), power[2], np.mean(power), power[3]]
    np.testing.assert_allclose(network.error_var, wanted, rtol=1e-5)
    for snr_db, bin_of in ((-40.0, 0), (7.9, 0), (8.1, 1), (13.0, 2), (60.0, 4)):
        stated = network.answer(part_of(snr_db=snr_db)).error_var
        np.testing.assert_allclose(stated, np.full((5, 1, 1), wanted[bin_of]), rtol=1e-5)


def test_more_users_or_other_antennas_are_refused_by_the_plain_network() -> None:
    network = DNNDetector(6, 4, width=8)
    for users, antennas in ((9, 6), (3, 5)):
        with pytest.raises(RequestError, match="at most 8 users and 6 antennas"):
            network(part_of(users=users, antennas=antennas))


def splits(dataset: ChannelDataset, **conditions: Any) -> tuple[TaskSplit, TaskSplit]:
    task = create("tasks", "det")
    chosen = task.default_conditions(dataset.spec).model_copy(update=conditions)
    return TaskSplit(task, dataset.view("train"), chosen), TaskSplit(task, dataset.view("val"), chosen)


@pytest.mark.parametrize("method", METHODS)
def test_other_numbers_of_users_and_pieces(
    method: type[Any], few_rays: ChannelDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fit answers groups of any number, mixed or apart, in pieces of any size, alike."""
    instance, (training, validation) = method(), splits(few_rays)
    instance.fit({"det": (training, validation)}, FitContext(preset="smoke"))
    mixed, _ = validation.observe(np.arange(20))
    assert len(np.unique(mixed.users)) > 1
    whole = instance.predict("det", mixed)
    monkeypatch.setattr(groups, "PIECE", 3)
    for rows, alone in mixed.by_users():
        found = instance.predict("det", alone)
        users = alone.h.shape[2]
        np.testing.assert_allclose(found, whole[rows][:, :, :users], rtol=2e-3, atol=2e-3 * np.abs(whole).max())
        assert not whole[rows][:, :, users:].any()


@pytest.mark.parametrize("method", METHODS)
def test_a_finished_fit_is_loaded_with_its_variances(
    method: type[Any], few_rays: ChannelDataset, tmp_path: Path
) -> None:
    instances = [method(), method()]
    for each in instances:
        each.fit({"det": splits(few_rays)}, FitContext(preset="smoke", workdir=tmp_path))
    observation, _ = splits(few_rays)[1].observe([0, 1])
    np.testing.assert_array_equal(*(each.predict("det", observation) for each in instances))
    assert instances[1]._fitted["det"].outcome.trained_steps == 0
    if method is not OAMPMethod:
        assert (instances[1]._fitted["det"].module.error_var != 1).all()


@pytest.mark.parametrize("kind", [OAMPNet, DetNet])
def test_some_steps_of_training_help_on_other_cases(kind: type) -> None:
    module = DetNet("16qam", layers=5, width=16) if kind is DetNet else OAMPNet("16qam")
    cases, other = (part_of(cases=64, users=4, seed=seed) for seed in (0, 1))
    before = float(module.score(other).detach())
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        module.loss(cases, 0.0).backward()
        optimizer.step()
    assert float(module.score(other).detach()) < 0.99 * before


def test_the_plain_network_learns_one_channel(few_rays: ChannelDataset) -> None:
    """With one H it has to learn a linear map, and does."""
    part = part_of(cases=1, users=2, antennas=6, snr_db=25.0)
    network = DNNDetector(6, 2, width=32)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    before = float(network.score(part).detach())
    for _ in range(150):
        optimizer.zero_grad()
        network.loss(part, 0.0).backward()
        optimizer.step()
    assert float(network.score(part).detach()) < 0.1 * before
