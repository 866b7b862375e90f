"""Four-bit weights against brute force, the levels' definition and what bitsandbytes gives."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from channelbench.errors import RequestError
from channelbench.solvers.nf4 import BLOCK, LEVELS, DoubleScales, dequantise, quantise, stored_bytes

CODES = (
    "04c16e29f3b05d17e2af4c06d18e2af4c16e29f3b05d17e29f4b05d18e2af4c16e18f3b04d17e29f3b05d17e2af4c06e18e3b04d16e29f3b05d1"
    "7e2af3c06d18e3af4c16e29e3b05d17e29"
)
"""Of ``fixed()``, by bitsandbytes 0.50.2: ``functional.quantize_4bit(w, blocksize=64, quant_type="nf4")``."""


def fixed() -> torch.Tensor:
    """Two blocks and a part of one, the second much smaller than the others."""
    number = torch.arange(150)
    w = ((number * 37 % 101) - 50) / 16 + ((number * 11) % 7) / 64
    w[64:128] /= 1000
    return w


def random_weights(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.05


def test_codes_scales_and_values_are_those_of_bitsandbytes() -> None:
    found = quantise(fixed())
    assert bytes(found.codes.tolist()).hex() == CODES
    assert found.scales.tolist() == [3.140625, 0.003046874888241291, 3.21875]
    assert dequantise(found).double().sum().item() == pytest.approx(5.385899930275627, abs=1e-12)


def test_bitsandbytes_where_it_is_installed() -> None:
    functional = pytest.importorskip("bitsandbytes.functional", reason="bitsandbytes is not needed for anything else")
    w = random_weights(96, 128)
    codes, state = functional.quantize_4bit(w, blocksize=64, quant_type="nf4")
    found = quantise(w)
    assert torch.equal(found.codes, codes.reshape(-1))
    assert torch.equal(found.scales, state.absmax.reshape(-1))
    assert torch.equal(dequantise(found), functional.dequantize_4bit(codes, state))


def test_the_levels_are_quantiles_of_the_normal_distribution() -> None:
    """Eight above 0, and seven below, of probabilities evenly spread from 1/2 to 1 − (1/30 + 1/32)/2; QLoRA, appendix E
    and the code that it names."""
    last = 1 - (1 / 30 + 1 / 32) / 2
    above, below = norm.ppf(np.linspace(last, 0.5, 9)[:-1]), -norm.ppf(np.linspace(last, 0.5, 8)[:-1])
    levels = np.sort(np.concatenate([above, [0], below]))
    np.testing.assert_allclose(LEVELS["nf4"], levels / levels.max(), atol=2e-7)


@pytest.mark.parametrize("kind", LEVELS)
def test_codes_are_the_nearest_levels(kind: str) -> None:
    w = random_weights(40, 64)
    found = dequantise(quantise(w, kind=kind)).double()
    scales = w.abs().amax(dim=1).double()
    values = torch.tensor(LEVELS[kind], dtype=torch.float64) * scales[:, None]
    least = (w.double()[..., None] - values[:, None]).abs().amin(dim=2)
    torch.testing.assert_close((w.double() - found).abs(), least, rtol=0, atol=1e-8)


def test_uniform_codes_are_rounded_numbers() -> None:
    w = random_weights(64)
    normalised = (w / w.abs().max() + 1) / 2
    codes = quantise(w, kind="q4").codes
    torch.testing.assert_close(
        torch.stack([codes >> 4, codes & 15], dim=1).reshape(-1).float(), (15 * normalised).round()
    )


def test_of_normal_weights_nf4_loses_less_than_uniform_levels() -> None:
    w = random_weights(256, 256)
    errors = {kind: (dequantise(quantise(w, kind=kind)) - w).norm() / w.norm() for kind in LEVELS}
    assert errors["nf4"] < 0.95 * errors["q4"]


@pytest.mark.parametrize("shape", [(1,), (63,), (65,), (3, 5, 7), (64, 64), ()])
@pytest.mark.parametrize("double", [False, True])
def test_any_shape_and_its_bytes(shape: tuple[int, ...], double: bool) -> None:
    w = random_weights(*shape)
    found = quantise(w, double=double)
    blocks = -(-w.numel() // BLOCK)
    assert stored_bytes(found) == (w.numel() + 1) // 2 + (blocks + 8 if double else 4 * blocks)
    values = dequantise(found)
    assert values.shape == w.shape
    assert (values - w).abs().max() <= 0.16 * w.abs().max()  # half of the widest gap between levels, .152


def test_what_is_nothing_stays_nothing() -> None:
    for double in (False, True):
        assert not dequantise(quantise(torch.zeros(200), double=double)).any()
        assert dequantise(quantise(torch.zeros(0, 4), double=double)).shape == (0, 4)


def test_of_half_precision_the_type_is_what_is_asked_for() -> None:
    w = random_weights(128).to(torch.bfloat16)
    assert torch.equal(quantise(w).codes, quantise(w.float()).codes)
    assert dequantise(quantise(w), torch.bfloat16).dtype == torch.bfloat16


def test_scales_twice_quantised_are_near() -> None:
    w = random_weights(512, 384) * torch.linspace(0.5, 2, 512)[:, None]
    once, twice = quantise(w), quantise(w, double=True)
    assert torch.equal(once.codes, twice.codes)
    assert isinstance(twice.scales, DoubleScales)
    scales = twice.scales.steps.float() * twice.scales.scales.repeat_interleave(256) + twice.scales.offset
    half_a_step = twice.scales.scales.repeat_interleave(256) / 2
    assert ((scales - once.scales).abs() <= half_a_step * 1.001).all()
    torch.testing.assert_close(dequantise(twice), dequantise(once), rtol=0, atol=float(half_a_step.max()) * 1.001)


@pytest.mark.parametrize(("double", "saved"), [(False, 0.71875), (True, 0.742)])
def test_what_is_saved_against_fp16(double: bool, saved: float) -> None:
    w = random_weights(384, 384)
    assert 1 - stored_bytes(quantise(w, double=double)) / (2 * w.numel()) == pytest.approx(saved, abs=1e-4)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(RequestError, match="quantisation: expected one of the choices, got 'nf3'; choices: nf4, q4"):
        quantise(torch.ones(3), kind="nf3")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kind", LEVELS)
def test_a_gpu_gives_the_same(kind: str, double: bool) -> None:
    w = random_weights(300, 100)
    there, here = quantise(w.cuda(), kind=kind, double=double), quantise(w, kind=kind, double=double)
    assert torch.equal(there.codes.cpu(), here.codes)
    assert torch.equal(dequantise(there).cpu(), dequantise(here))
