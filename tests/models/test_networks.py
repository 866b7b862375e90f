"""Alignment, features and networks against closed forms, and their symmetries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from channelbench.contracts import FitContext, TaskSplit
from channelbench.errors import RequestError
from channelbench.grid import ChannelGrid
from channelbench.models.networks.alignment import antenna_groups, at_strongest_path, lag_phase
from channelbench.models.networks.cnn import BeamCNN, ConvolutionStack, ReconstructionCNN
from channelbench.models.networks.data import training_batches, validation_batches
from channelbench.models.networks.fitting import count_flops, fit_network
from channelbench.models.networks.lstm import ReconstructionRecurrent
from channelbench.models.networks.mlp import BeamMLP, ScalarMLP
from channelbench.models.networks.reconstruction import (
    ReconstructionFrame,
    ReconstructionNetwork,
    ReconstructionShape,
    nmse,
)
from channelbench.models.networks.sensing import clean_power_db
from channelbench.models.networks.training import BUDGETS
from channelbench.registry import create
from channelbench.store.dataset import ChannelDataset

pytestmark = pytest.mark.usefixtures("seeded")

SLOTS, SUBCARRIERS, ANTENNAS = 20, 64, 8


def path(doppler: float, delay: float, angle: float, phase: float = 0.0, antennas: int = ANTENNAS) -> torch.Tensor:
    """One path by its phase step per slot, subcarrier and antenna, ``[1, slots, subcarriers, antennas]``."""
    steps = zip((doppler, -delay, angle), (SLOTS, SUBCARRIERS, antennas), strict=True)
    time, frequency, space = (torch.polar(torch.ones(n), step * torch.arange(n)) for step, n in steps)
    h = torch.einsum("t,k,a->tka", time, frequency, space)
    return (h * np.exp(1j * phase))[None].to(torch.complex64)


def shape(seen: tuple[range, range], wanted: tuple[range, range], antennas: int = ANTENNAS) -> ReconstructionShape:
    """From grids in slots of 0.5 ms and subcarriers of 1 MHz."""
    return ReconstructionShape.of(
        ChannelGrid(
            carrier_hz=2e9,
            slot_s=0.5e-3 * np.array(seen[0]),
            subcarrier_hz=2e9 + 1e6 * np.array(seen[1]),
            target_slot_s=0.5e-3 * np.array(wanted[0]),
            target_subcarrier_hz=2e9 + 1e6 * np.array(wanted[1]),
            antenna_position=np.zeros((antennas, 3)),
        )
    )


GRIDS = {
    "ce": ((range(16), range(0, 64, 8)), (range(16), range(64))),
    "cp": ((range(16), range(64)), (range(16, 20), range(64))),
    "pf": ((range(16), range(32)), (range(16), range(32, 64))),
}


def cut(h: torch.Tensor, where: tuple[range, range]) -> torch.Tensor:
    return h[:, list(where[0])][:, :, list(where[1])]


def build(name: str, of: ReconstructionShape) -> ReconstructionNetwork:
    return ReconstructionRecurrent(of, width=8) if name == "lstm" else ReconstructionCNN(of, width=8, patch=(2, 4))


def stir(network: nn.Module) -> None:
    """Random weights where untrained ones are zero."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)


def test_lag_phase_of_one_path() -> None:
    h = path(0.21, 0.05, -0.6)
    for dim, step in ((1, 0.21), (2, -0.05), (3, -0.6)):
        assert lag_phase(h, dim).item() == pytest.approx(step, abs=1e-5)
    assert lag_phase(h[:, :1], 1).item() == 0.0


@pytest.mark.parametrize(("antennas", "groups"), [(1, 1), (8, 1), (9, 3), (13, 13), (16, 2), (128, 16)])
def test_antenna_groups(antennas: int, groups: int) -> None:
    assert antenna_groups(antennas) == groups


@pytest.mark.parametrize(("delay", "beam"), [(0, 0), (3, 20), (63, 255)])
def test_strongest_path_is_turned_to_the_origin(delay: int, beam: int) -> None:
    h = path(0.0, 2 * np.pi * delay / SUBCARRIERS, 2 * np.pi * beam / 256, phase=1.0)[:, 0]
    weak = path(0.0, 2 * np.pi * 10 / SUBCARRIERS, 1.0)[:, 0]
    peak = at_strongest_path(h, bins=256)
    assert peak.beam.item() == beam
    expected = torch.zeros(1, SUBCARRIERS, ANTENNAS, dtype=torch.complex64)
    expected[:, 0] = 1.0
    torch.testing.assert_close(peak.taps, expected, atol=1e-5, rtol=0)
    assert peak.spectrum[0, 0].item() == pytest.approx(ANTENNAS**2, rel=1e-4)
    assert at_strongest_path(h + 0.1 * weak, bins=256).beam.item() == beam


@pytest.mark.parametrize("name", ["lstm", "cnn"])
@pytest.mark.parametrize("task", GRIDS)
def test_untrained_network_is_exact_for_a_path_without_delay(name: str, task: str) -> None:
    """Doppler, angle and phase are taken out and put back; what is left is constant, and its mean is set apart."""
    seen, wanted = GRIDS[task]
    h = 3.0 * path(0.15, 0.0, 0.7, phase=2.0)
    network = build(name, shape(seen, wanted))
    out = network(cut(h, seen), torch.zeros(1))
    torch.testing.assert_close(out, cut(h, wanted), atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", ["lstm", "cnn"])
def test_untrained_network_hands_through_what_is_observed(name: str) -> None:
    """Whatever the Dopplers, angles and delays: what is taken out is put back."""
    everything = (range(16), range(32))
    h = cut(path(0.1, 0.2, 0.5) + 0.6 * path(-0.3, 0.9, -1.5), everything)
    network = build(name, shape(everything, everything))
    torch.testing.assert_close(network(h, torch.full((1,), 0.1)), h, atol=2e-5, rtol=0)


def test_untrained_estimation_is_linear_interpolation() -> None:
    """With no motion and no angle, against ``numpy.interp`` of real and imaginary parts."""
    seen, wanted = GRIDS["ce"]
    h = path(0.0, 0.04, 0.0)
    network = build("cnn", shape(seen, wanted))
    out = network(cut(h, seen), torch.zeros(1))[0, 5, :, 3].detach().numpy()
    pilots = h[0, 5, ::8, 3].numpy()
    grid = np.arange(57)
    expected = np.interp(grid, grid[::8], pilots.real) + 1j * np.interp(grid, grid[::8], pilots.imag)
    np.testing.assert_allclose(out[:57], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "cnn"])
@pytest.mark.parametrize("task", GRIDS)
def test_prediction_follows_a_complex_factor(name: str, task: str) -> None:
    seen, wanted = GRIDS[task]
    h = path(0.1, 0.2, 0.5) + 0.3 * path(-0.1, 0.9, -1.5)
    network = build(name, shape(seen, wanted))
    stir(network)
    factor = 1e-4 * np.exp(2.1j)
    plain = network(cut(h, seen), torch.full((1,), 0.1))
    scaled = network(factor * cut(h, seen), torch.full((1,), 0.1 * abs(factor) ** 2))
    assert plain.shape == (1, len(wanted[0]), len(wanted[1]), ANTENNAS)
    assert nmse(scaled / factor, plain).item() < 1e-6


@pytest.mark.parametrize("name", ["lstm", "cnn"])
def test_antenna_groups_are_samples_of_their_own(name: str) -> None:
    """An array of 128 on 48 subcarriers: each group of eight as if it were alone, in order."""
    seen, wanted = (range(16), range(48)), (range(16, 20), range(48))
    h = torch.randn(2, 16, 48, 128, dtype=torch.complex64)
    noise = torch.tensor([0.1, 0.2])
    network = build(name, shape(seen, wanted, antennas=128))
    stir(network)
    out = network(h, noise)
    assert out.shape == (2, 4, 48, 128)
    loss = network.loss(h, noise, out.detach())
    assert loss.item() < 1e-6
    network.shape = replace(network.shape, groups=1)
    for antennas in (slice(0, 8), slice(40, 48), slice(120, 128)):
        alone = network(h[..., antennas], noise)
        torch.testing.assert_close(out[..., antennas], alone, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("antenna", [0, 3, 7])
def test_start_of_one_antenna(antenna: int) -> None:
    """An antenna taken out of a start ends as it does among the others."""
    h, noise = torch.randn(2, 16, 48, 8, dtype=torch.complex64), torch.tensor([0.1, 0.2])
    frame = ReconstructionFrame(shape((range(16), range(48)), (range(16, 20), range(48))))
    start = frame.begin(h, noise)
    answer = torch.randn_like(start.pairs)
    chosen = torch.full((2,), antenna)
    one = frame.end(start.of_antennas(torch.arange(2), chosen), answer[..., [antenna, 8 + antenna]])
    torch.testing.assert_close(one[..., 0], frame.end(start, answer)[..., antenna])
    assert start.of_antennas(torch.arange(2), chosen).context.shape == (2, 3)


def test_image_folds_and_unfolds() -> None:
    """Every point of the image comes back to where it was: grids that the patch does not divide are padded."""
    network = ReconstructionCNN(shape((range(5), range(7)), (range(5), range(7))), width=4, patch=(2, 4))
    network.stack = PassThrough(network.channels * 8)  # type: ignore[assignment]
    x = torch.randn(3, 5, 7, network.channels)
    torch.testing.assert_close(network.correction(x, torch.zeros(3, network.channels + 1)), x)


class PassThrough(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, : self.channels]


def test_ten_convolutions_of_three_by_three() -> None:
    stack = ConvolutionStack(3, 5, 2)
    assert [layer.kernel_size for layer in stack.layers] == [(3, 3)] * 10
    assert stack(torch.zeros(1, 3, 6, 7)).shape == (1, 2, 6, 7)


@pytest.mark.parametrize("network", [BeamMLP(64, 8, 256, width=8, dropout=0.0), BeamCNN(8, 256, width=8, fold=4)])
def test_beam_scores_turn_with_the_channel(network: nn.Module) -> None:
    """A channel whose angles are all b bins further round has its scores b beams further round."""
    stir(network)
    # The first path stands on a bin: where two bins tie, rounding would choose.
    h = (path(0.0, 0.0, 2 * np.pi * 16 / 256) + 0.4 * path(0.0, 0.8, 1.9))[:, :1]
    turn = torch.polar(torch.ones(8), 2 * torch.pi * 37 / 256 * torch.arange(8))
    noise = torch.full((1,), 0.1)
    torch.testing.assert_close(network(h * turn, noise), network(h, noise).roll(37, dims=1), atol=1e-3, rtol=1e-3)


def test_beam_score_of_one_path_is_its_direction() -> None:
    for network in (BeamMLP(64, 8, 256, width=8, dropout=0.0), BeamCNN(8, 256, width=8, fold=4)):
        h = path(0.0, 0.3, 2 * np.pi * 200 / 256)[:, :1]
        assert network(h, torch.zeros(1)).argmax().item() == 200


def test_calibrated_curve_is_least_squares_in_the_received_power() -> None:
    """A target that is a cubic of the power in dB is met exactly by the untrained network."""
    generator = torch.Generator().manual_seed(1)
    power_db = 20 * torch.randn(300, generator=generator)
    h = path(0.0, 0.0, 0.3)[:, :1] * (10 ** (power_db / 20))[:, None, None, None]
    noise = torch.zeros(300)
    target = 100 - 1.2 * power_db + 0.02 * power_db**2 + 1e-4 * power_db**3
    inside = (power_db - power_db.mean()).abs() < 4 * power_db.std()
    network = ScalarMLP(64, 8, "squared", width=8, dropout=0.0)
    network.calibrate(h, noise, target)
    out = network(h, noise)
    torch.testing.assert_close(out[inside], target[inside], atol=0.05, rtol=1e-3)
    assert network.state_dict()["curve"].shape == (5,)


def test_clean_power_takes_the_noise_off() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((4, 1, 512, 64, 2)).astype(np.float32) @ np.array([1, 1j], np.complex64) * 0.5
    received = torch.as_tensor(2.0 + noise)
    np.testing.assert_allclose(clean_power_db(received, torch.full((4,), 0.5)).numpy(), 6.0206, atol=0.1)
    assert torch.isfinite(clean_power_db(torch.zeros(1, 1, 4, 4, dtype=torch.complex64), torch.ones(1))).all()


def test_flops_of_matrix_products_by_hand() -> None:
    """Of an LSTM too, which the counter sees nothing of by itself."""
    of = shape(*GRIDS["pf"])
    inputs, width, features = 64 * 16 + 17, 8, 64 * 16
    lstm = 2 * 16 * 4 * width * (inputs + width + 3 * 2 * width)
    head = 2 * 16 * width * features
    total = count_flops(ReconstructionRecurrent(of, width=width), (16, 32, 8))
    # Resampling: complex products, counted as one multiply-add each.
    resampling = 2 * (16 * 16 * 32 * 8 + 16 * 32 * 64 * 8)
    assert lstm + head <= total <= lstm + head + 4 * resampling


def test_batches_are_functions_of_seed_and_step(few_rays: ChannelDataset) -> None:
    split = TaskSplit(create("tasks", "bf"), few_rays.view("train"))
    batches = training_batches(split, 16, 0, "cpu")
    stream, late = batches(0), batches(4)
    first = [next(stream) for _ in range(7)]
    for expected in first[4:]:
        got = next(late)
        assert torch.equal(got.h, expected.h)
        assert torch.equal(got.target, expected.target)
    other = next(training_batches(split, 16, 1, "cpu")(0))
    assert not torch.equal(other.h, first[0].h)


def test_epoch_has_every_sample_at_most_once_and_new_noise(few_rays: ChannelDataset) -> None:
    split = TaskSplit(create("tasks", "de"), few_rays.view("train"))
    stream = training_batches(split, 20, 0, "cpu")(0)
    epochs = [[next(stream) for _ in range(3)] for _ in range(2)]
    truth = np.sort(few_rays.array("distance_m", "train"))
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(torch.cat([batch.target for batch in epoch]).numpy()), truth)
    noise = [torch.cat([batch.noise_var for batch in epoch]).sort().values for epoch in epochs]
    assert not torch.equal(*noise)


def test_fewer_samples_than_a_batch(few_rays: ChannelDataset) -> None:
    split = TaskSplit(create("tasks", "de"), few_rays.view("val"))
    stream = training_batches(split, 64, 0, "cpu")(0)
    assert [len(next(stream)) for _ in range(3)] == [20, 20, 20]


def test_validation_is_the_whole_split_in_order(few_rays: ChannelDataset) -> None:
    split = TaskSplit(create("tasks", "pe"), few_rays.view("val"))
    whole, target = split.observe()
    pieces = list(validation_batches(split, 7, "cpu"))
    assert [len(piece) for piece in pieces] == [7, 7, 6]
    np.testing.assert_array_equal(torch.cat([piece.h for piece in pieces]).numpy(), whole.h)
    np.testing.assert_array_equal(torch.cat([piece.target for piece in pieces]).numpy(), target.value)


class OneAttention(nn.Module):
    def forward(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        tokens = h.real[:, None, 0]
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


def test_flops_include_fused_attention() -> None:
    """Queries times keys, then weights times values: two products of 64 × 64 × 8."""
    assert count_flops(OneAttention(), (1, 64, 8)) == 2 * 2 * 64 * 64 * 8


class Budgeted(nn.Module):
    """One weight, no data."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def loss(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (self.weight - 1) ** 2


def test_fits_of_other_budgets_are_told_apart(
    few_rays: ChannelDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same preset with another batch size is another fit, though its weights have the same shapes."""
    training, validation = (TaskSplit(create("tasks", "de"), few_rays.view(split)) for split in ("train", "val"))

    def fit() -> None:
        context = FitContext(preset="smoke", workdir=tmp_path)
        fit_network(lambda example: Budgeted(), (training, validation), context=context, identity={})

    fit()
    fit()
    other = replace(BUDGETS["smoke"], batch_size=8)
    monkeypatch.setattr("channelbench.models.networks.fitting.budget_of", lambda preset: other)
    with pytest.raises(RequestError, match="budget"):
        fit()
