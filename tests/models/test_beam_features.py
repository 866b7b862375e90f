"""What networks on language models see of a channel in BF, and that it reaches what they answer with."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch

from channelbench.contracts import FitContext
from channelbench.models.llm4cp import LLM4CP
from channelbench.models.networks.alignment import at_strongest_path
from channelbench.models.networks.joint import task_frame
from channelbench.models.networks.layers import Standardised
from channelbench.models.networks.llm4wm import BeamBranch, LLM4WMNetwork
from channelbench.models.networks.sensing import spatial_covariance
from channelbench.registry import create, find
from channelbench.solvers.dft import dft_codebook
from channelbench.tasks.link.observations import BeamObservation
from channelbench.testing import conformance_dataset, small_backbone

pytestmark = pytest.mark.usefixtures("seeded")

SUBCARRIERS, ANTENNAS = 64, 8


def example() -> BeamObservation:
    """An observation of one sample, for shapes."""
    task = create("tasks", "bf")
    observation, _ = task.observe(conformance_dataset().view("test"), np.arange(1), task.conditions(), epoch=0)
    return cast(BeamObservation, observation)


def links(count: int, beams: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Channels of a path in the direction of a beam and a weaker one elsewhere, at 10 dB; and the beams."""
    rng = np.random.default_rng(seed)
    seen = example().h.shape
    codebook = dft_codebook(seen[3], beams) * np.sqrt(seen[3])
    wanted, other = rng.integers(beams, size=(2, count))
    delay = rng.uniform(0, seen[2] / 4, size=(2, count))
    ramps = np.exp(-2j * np.pi * delay[:, :, None] * np.arange(seen[2]) / seen[2])
    phase = np.exp(2j * np.pi * rng.uniform(size=(2, count)))
    h = (phase[0, :, None] * ramps[0])[:, :, None] * codebook[wanted][:, None]
    h = h + 0.2 * (phase[1, :, None] * ramps[1])[:, :, None] * codebook[other][:, None]
    noise = rng.normal(size=(2, *h.shape)) * np.sqrt(0.05)
    h = (h + noise[0] + 1j * noise[1])[:, None]
    return torch.as_tensor(h.astype(np.complex64)), torch.full((count,), 0.1), torch.as_tensor(wanted)


def raw_network() -> LLM4WMNetwork:
    pytest.importorskip("transformers", reason="language models need the extra `llm`")
    kind = cast(Any, find("methods", "llm4wm+raw"))
    return kind().build({"bf": example()}, FitContext(preset="smoke", backbone=small_backbone()))


# --- the covariance


def test_covariance_is_the_mean_over_subcarriers() -> None:
    """In float64, term by term, in the frequency domain."""
    h = links(3, 32)[0][:, 0]
    found = spatial_covariance(torch.fft.ifft(h, dim=1)).numpy()
    for i, channel in enumerate(h.numpy().astype(complex)):
        wanted = np.zeros((channel.shape[1],) * 2, complex)
        for row in channel:
            wanted += np.outer(row, row.conj())
        np.testing.assert_allclose(found[i], wanted / (np.trace(wanted).real / len(wanted)), atol=1e-5)


def test_covariance_of_one_path_is_its_steering_vector() -> None:
    """R[a, c] = e^{j2π k (a − c)/beams}, whatever delay, phase and power."""
    beams, wanted = 64, 9
    vector = dft_codebook(ANTENNAS, beams)[wanted]
    ramp = np.exp(-2j * np.pi * 7.3 * np.arange(SUBCARRIERS) / SUBCARRIERS + 1.1j)
    h = torch.as_tensor(1e-5 * ramp[:, None] * vector).to(torch.complex64)[None]
    steps = np.subtract.outer(np.arange(ANTENNAS), np.arange(ANTENNAS))
    expected = np.exp(2j * np.pi * wanted * steps / beams)[None]
    np.testing.assert_allclose(spatial_covariance(torch.fft.ifft(h, dim=1)).numpy(), expected, atol=1e-5)
    # Turned to its strongest path it is the same for all directions.
    turned = spatial_covariance(at_strongest_path(h, beams).taps).numpy()
    np.testing.assert_allclose(turned, np.ones_like(turned), atol=1e-4)


def test_covariance_of_nothing_is_zero() -> None:
    assert not spatial_covariance(torch.zeros(2, 4, 3, dtype=torch.complex64)).abs().any()


@pytest.mark.parametrize("aligned", [True, False])
def test_features_are_the_covariance_without_repetition(aligned: bool) -> None:
    h, noise_var, _ = links(4, 32)
    start = cast(Any, task_frame(example(), aligned=aligned)).begin(h, noise_var)
    features, covariance = start.beam_features().numpy(), start.covariance().numpy()
    antennas = covariance.shape[1]
    assert features.shape == (4, antennas**2 + 1)
    np.testing.assert_array_equal(features[:, -1], start.noise.numpy())
    real, imaginary = np.split(features[:, :-1], [antennas * (antennas + 1) // 2], axis=1)
    again = np.zeros_like(covariance)
    upper, above = np.triu_indices(antennas), np.triu_indices(antennas, 1)
    again[:, upper[0], upper[1]] = real
    again[:, above[0], above[1]] += 1j * imaginary
    again += np.triu(again, 1).swapaxes(1, 2).conj()
    np.testing.assert_allclose(again, covariance, atol=1e-5)


@pytest.mark.parametrize("aligned", [True, False])
def test_features_do_not_see_phase_nor_delay(aligned: bool) -> None:
    h, noise_var, _ = links(4, 32)
    frame = cast(Any, task_frame(example(), aligned=aligned))
    delayed = (
        h * torch.polar(torch.ones(h.shape[2]), 2 * torch.pi * 5 / h.shape[2] * torch.arange(h.shape[2]) + 0.7)[:, None]
    )
    first, second = (frame.begin(x, noise_var).beam_features() for x in (h, delayed))
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)


# --- standardised inputs


def test_standardised_by_hand() -> None:
    layer = Standardised(2)
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert torch.equal(layer(x), x)
    layer.calibrate(x)
    # Means 2 and 5, spreads 1 and 0, which counts as 0.01.
    torch.testing.assert_close(
        layer(torch.tensor([[2.5, 5.02], [99.0, -5.0]])), torch.tensor([[0.5, 2.0], [5.0, -5.0]])
    )
    assert set(layer.state_dict()) == {"centre", "spread"}
    assert not list(layer.parameters())


def test_what_tells_samples_apart_reaches_the_last_layer() -> None:
    """Of hidden units about a tenth must differ between samples; it was a hundredth, and BF learned nothing."""
    network = raw_network().eval()
    h, noise_var, wanted = links(200, example().grid.num_beams)
    network.calibrate("bf", h, noise_var, wanted)
    branch = cast(BeamBranch, network._branch("bf"))
    start = network.frame("bf").begin(h, noise_var)
    with torch.no_grad():
        tokens = branch.preprocessed(start)
        features = branch.adapter_out(network._through_trunk({"bf": branch.embed(start)})["bf"])
        beside = branch.standardised_features(start.beam_features())
        hidden = cast(Any, branch.head).layers[:-1](torch.cat([features.flatten(1), beside], dim=1))
    assert tokens.mean().abs() < 0.05
    assert tokens.std(0).mean() == pytest.approx(1.0, abs=0.15)
    assert hidden.std(0).mean() > 0.1


def test_raw_network_learns_beams() -> None:
    """Of channels that it has not seen, several times as many as by chance after a few seconds."""
    network, beams = raw_network(), example().grid.num_beams
    h, noise_var, wanted = links(1024, beams)
    network.calibrate("bf", h, noise_var, wanted)
    network.set_stage(tuning=False)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=3e-3)
    for step in range(128):
        rows = slice(32 * (step % 32), 32 * (step % 32 + 1))
        loss = network.frame("bf").criterion(network("bf", h[rows], noise_var[rows]), wanted[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    h, noise_var, wanted = links(400, beams, seed=1)
    with torch.no_grad():
        scores = network.eval()("bf", h, noise_var)
    off = (scores.argmax(1) - wanted + beams // 2) % beams - beams // 2
    assert (off.abs() <= 1).float().mean() > 0.3, "3 in `beams` is chance"


def test_llm4cp_sees_the_covariance_standardised() -> None:
    pytest.importorskip("transformers", reason="language models need the extra `llm`")
    network = cast(Any, LLM4CP().build(example(), FitContext(preset="smoke", backbone=small_backbone())))
    h, noise_var, wanted = links(200, example().grid.num_beams)
    network.calibrate(h, noise_var, wanted)
    start = network.begin(h, noise_var)
    seen = network.standardised(start.beam_features())
    torch.testing.assert_close(seen.mean(0), torch.zeros(seen.shape[1]), atol=0.05, rtol=0)
    with torch.no_grad():
        network.layers.head.weight[0, -1] = 1.0  # the noise share, the last number, to the first offset
        scores = network.answer(start)
    torch.testing.assert_close(scores[:, 0], seen[:, -1])
    assert not scores[:, 1:].any()
