"""Adapters and heads of joint networks against plain references."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from networks_by_hand import stir
from torch import nn

from channelbench.models.networks.adapters import Adapter, ImageHead, VectorHead

pytestmark = pytest.mark.usefixtures("seeded")


def convolved(x: np.ndarray, layer: nn.Conv1d) -> np.ndarray:
    """A convolution of kernel 3 over the last axis of ``[channels, length]`` written out, zeros around."""
    weight, bias = (cast(torch.Tensor, p).detach().double().numpy() for p in (layer.weight, layer.bias))
    padded = np.pad(x, ((0, 0), (1, 1)))
    return sum(weight[:, :, k] @ padded[:, k : k + x.shape[1]] for k in range(3)) + bias[:, None]


def test_adapter_is_two_linears_and_residual_blocks() -> None:
    """Eq. 19 and 20 in float64."""
    adapter = Adapter((5, 7), (3, 4), blocks=8)
    stir(adapter)
    x = torch.randn(2, 5, 7)
    parts = {name: p.detach().double().numpy() for name, p in adapter.named_parameters()}
    blocks = [block for block in adapter.blocks if not isinstance(block, nn.GELU)]
    assert len(blocks) == 8
    assert isinstance(adapter.blocks[4], nn.GELU)
    for given, out in zip(x.double().numpy(), adapter(x), strict=True):
        aligned = parts["tokens.weight"] @ (given @ parts["features.weight"].T + parts["features.bias"])
        aligned = aligned + parts["tokens.bias"][:, None]
        for place, block in enumerate(cast(Any, blocks)):
            if place == 4:
                aligned = nn.functional.gelu(torch.as_tensor(aligned)).numpy()
            aligned = aligned + convolved(np.maximum(convolved(aligned, block.first), 0), block.second)
        np.testing.assert_allclose(out.detach().numpy(), aligned, atol=1e-4)


def test_adapter_without_blocks_is_linear() -> None:
    adapter = Adapter((5, 7), (3, 4), blocks=0)
    x, y = torch.randn(2, 2, 5, 7)
    zero = adapter(torch.zeros(1, 5, 7))
    torch.testing.assert_close(adapter(x) + adapter(y) - zero, adapter(x + y), atol=1e-5, rtol=1e-4)
    assert len(list(adapter.parameters())) == 4


def test_heads_start_at_zero_and_keep_shapes() -> None:
    image, vector = ImageHead((3, 4), (7, 9, 6), width=5), VectorHead(12, beside=3, width=8, outputs=5)
    x = torch.randn(2, 3, 4)
    assert torch.equal(image(x), torch.zeros(2, 7, 9, 6))
    assert torch.equal(vector(x, torch.randn(2, 3)), torch.zeros(2, 5))


def test_image_head_reads_each_point_from_its_neighbours() -> None:
    """A change of one aligned value reaches three points to each side and no further."""
    head = ImageHead((3, 4), (9, 11, 2), width=5)
    stir(head)
    aligned = torch.randn(1, 9, 22)
    head.align = nn.Identity()  # type: ignore[assignment]
    changed = aligned.clone()
    changed[0, 4, 11 + 5] += 1.0  # slot 4, channel 1, subcarrier 5
    reached = (head(changed) - head(aligned)).abs().amax(3)[0] > 0
    expected = torch.zeros(9, 11, dtype=torch.bool)
    expected[1:8, 2:9] = True
    assert torch.equal(reached, expected)
