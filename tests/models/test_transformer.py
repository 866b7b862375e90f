"""The encoder–decoder over slots, its layers, and the method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from channelbench.contracts import FitContext, TaskSplit
from channelbench.grid import ChannelGrid
from channelbench.models.networks.fitting import count_flops
from channelbench.models.networks.layers import sinusoids
from channelbench.models.networks.reconstruction import ReconstructionShape, nmse
from channelbench.models.networks.transformer import (
    Attention,
    DecoderLayer,
    EncoderLayer,
    ReconstructionTransformer,
    decoder_slots,
)
from channelbench.models.transformer import Transformer
from channelbench.registry import create
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import MethodTests

pytestmark = pytest.mark.usefixtures("seeded")

GRIDS = {
    "ce": ((range(16), range(0, 64, 8)), (range(16), range(64))),
    "cp": ((range(16), range(64)), (range(16, 20), range(64))),
    "pf": ((range(16), range(32)), (range(16), range(32, 64))),
}


def shape(seen: tuple[range, range], wanted: tuple[range, range], antennas: int = 8) -> ReconstructionShape:
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


def build(task: str, antennas: int = 8) -> ReconstructionTransformer:
    return ReconstructionTransformer(shape(*GRIDS[task], antennas), width=16, heads=4)


def stir(network: ReconstructionTransformer) -> None:
    """Random weights where untrained ones are zero."""
    for parameter in network.head.parameters():
        nn.init.normal_(parameter)


def observed(task: str, batch: int = 3, antennas: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    slots, subcarriers = GRIDS[task][0]
    h = torch.randn(batch, len(slots), len(subcarriers), antennas, dtype=torch.complex64)
    return h, torch.linspace(0.05, 0.3, batch)


class TestTransformer(MethodTests):
    method = Transformer
    preset = "smoke"


# --- layers


def test_sinusoids_by_hand() -> None:
    """Angles of position 3 at width 4: 3 and 3/100."""
    expected = [np.sin(3.0), np.cos(3.0), np.sin(0.03), np.cos(0.03)]
    np.testing.assert_allclose(sinusoids(torch.tensor([0.5, 3.0]), 4)[1], expected, rtol=1e-6)


def plain_attention(module: Attention, x: torch.Tensor, memory: torch.Tensor) -> np.ndarray:
    """Loops over samples, heads and tokens in float64."""

    def linear(layer: nn.Linear, v: np.ndarray) -> np.ndarray:
        weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
        return v @ weight.T + bias

    tokens, others = x.double().numpy(), memory.double().numpy()
    query, key, value = linear(module.query, tokens), linear(module.key, others), linear(module.value, others)
    size = query.shape[2] // module.heads
    out = np.zeros_like(query)
    for sample in range(len(query)):
        for head in range(module.heads):
            part = slice(head * size, (head + 1) * size)
            for token in range(query.shape[1]):
                score = np.exp(key[sample, :, part] @ query[sample, token, part] / np.sqrt(size))
                out[sample, token, part] = (score / score.sum()) @ value[sample, :, part]
    return linear(module.out, out)


def test_attention_is_softmax_by_loops() -> None:
    module = Attention(12, heads=3)
    x, memory = 2 * torch.randn(2, 5, 12), 2 * torch.randn(2, 7, 12)
    np.testing.assert_allclose(module(x, memory).detach(), plain_attention(module, x, memory), atol=1e-5)


def copy_attention(theirs: nn.MultiheadAttention, ours: Attention) -> None:
    weights, biases = (p.detach().chunk(3) for p in (theirs.in_proj_weight, theirs.in_proj_bias))
    for layer, weight, bias in zip((ours.query, ours.key, ours.value), weights, biases, strict=True):
        layer.load_state_dict({"weight": weight, "bias": bias})
    ours.out.load_state_dict(theirs.out_proj.state_dict())


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_layers_are_those_of_torch(kind: str) -> None:
    """With its weights, and as many of them."""
    options: dict[str, Any] = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
    ours: Any
    theirs: Any
    inputs: tuple[torch.Tensor, ...]
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    if kind == "encoder":
        ours, theirs, inputs = EncoderLayer(16, 4, 32), nn.TransformerEncoderLayer(16, 4, 32, **options), (x,)
        norms = [(ours.attention_norm, theirs.norm1), (ours.feed_forward_norm, theirs.norm2)]
    else:
        ours, theirs = DecoderLayer(16, 4, 32), nn.TransformerDecoderLayer(16, 4, 32, **options)
        inputs = (x, memory)
        norms = [(ours.attention_norm, theirs.norm1), (ours.memory_norm, theirs.norm2)]
        norms.append((ours.feed_forward_norm, theirs.norm3))
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    for here, there in norms:
        here.load_state_dict(there.state_dict())
    copy_attention(theirs.self_attn, ours.attention)
    if kind == "decoder":
        copy_attention(theirs.multihead_attn, ours.memory_attention)
    ours.feed_forward[0].load_state_dict(theirs.linear1.state_dict())
    ours.feed_forward[3].load_state_dict(theirs.linear2.state_dict())
    torch.testing.assert_close(ours(*inputs), theirs(*inputs), atol=1e-5, rtol=1e-5)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


# --- the network


@pytest.mark.parametrize(
    ("seen", "wanted", "slots", "zeros"),
    [
        (range(16), range(16, 20), range(4, 20), range(16, 20)),  # Jiang et al.: 12 known, 4 zeros
        (range(16), range(16, 18), range(10, 18), range(16, 18)),
        (range(6), range(6, 10), range(10), range(6, 10)),  # no more than there are
        (range(16), range(16), range(16), range(0)),
        (range(16), range(12, 16), range(16), range(0)),
        (range(16), range(18, 20), range(10, 18), range(16, 18)),  # a gap is no slot of the grid
    ],
)
def test_decoder_is_given_three_known_slots_to_an_unknown_one(
    seen: range, wanted: range, slots: range, zeros: range
) -> None:
    given, zero = decoder_slots(shape((seen, range(8)), (wanted, range(8))))
    assert given.tolist() == list(slots)
    assert given[zero].tolist() == list(zeros)


@pytest.mark.parametrize("task", GRIDS)
def test_untrained_network_is_the_linear_start(task: str) -> None:
    network = build(task)
    h, noise = observed(task)
    start = network.begin(h, noise)
    expected = network.end(start, torch.zeros_like(start.pairs))
    torch.testing.assert_close(network(h, noise), expected, atol=0, rtol=0)
    stir(network)
    assert nmse(network(h, noise), expected) > 1e-4


def test_untrained_prediction_is_exact_for_one_path() -> None:
    """Doppler and angle of a single path are taken out and put back."""
    ramps = [torch.polar(torch.ones(n), step * torch.arange(n)) for n, step in ((20, 0.15), (64, 0.0), (8, 0.7))]
    h = 3.0 * torch.einsum("t,k,a->tka", *ramps)[None]
    torch.testing.assert_close(build("cp")(h[:, :16], torch.zeros(1)), h[:, 16:], atol=2e-5, rtol=0)


def test_unknown_slots_are_not_looked_at() -> None:
    """Whatever stands in the unknown slots of the start, corrections are the same; in a known slot they are not."""
    network = build("cp")
    stir(network)
    start = network.begin(*observed("cp"))
    plain = network.correction(start.pairs, start.context)
    other = start.pairs.clone()
    other[:, 16:] = torch.randn_like(other[:, 16:])
    torch.testing.assert_close(network.correction(other, start.context), plain, atol=0, rtol=0)
    for slot in (0, 15):
        other = start.pairs.clone()
        other[:, slot] += 1.0
        assert (network.correction(other, start.context)[:, 16:] - plain[:, 16:]).abs().max() > 1e-4


def test_slots_before_the_decoders_are_left_alone() -> None:
    network = build("cp")
    stir(network)
    start = network.begin(*observed("cp"))
    correction = network.correction(start.pairs, start.context)
    assert (correction[:, :4] == 0).all()
    assert (correction[:, 4:].abs().amax((0, 2, 3)) > 0).all()


def test_decoder_reads_its_own_slots() -> None:
    """The last twelve slots reach the answer by the decoder too, not through the encoder's tokens alone."""
    network = build("cp")
    stir(network)
    for parameter in network.encoder_embedding.parameters():
        nn.init.zeros_(parameter)
    start = network.begin(*observed("cp"))
    plain = network.correction(start.pairs, start.context)[:, 16:]
    for slot, read in ((3, False), (4, True), (15, True)):
        other = start.pairs.clone()
        other[:, slot] += 1.0
        change = (network.correction(other, start.context)[:, 16:] - plain).abs().max()
        assert (change > 1e-5) == read, slot


@pytest.mark.parametrize("task", GRIDS)
def test_prediction_follows_a_complex_factor(task: str) -> None:
    network = build(task)
    stir(network)
    h, noise = observed(task)
    factor = 1e-4 * np.exp(2.1j)
    scaled = network(factor * h, abs(factor) ** 2 * noise)
    assert nmse(scaled / factor, network(h, noise)).item() < 1e-6


def test_antenna_groups_are_samples_of_their_own() -> None:
    """An array of 16: both groups of eight as if alone, in order."""
    wide, narrow = build("cp", antennas=16), build("cp")
    stir(wide)
    narrow.load_state_dict(wide.state_dict())
    h, noise = observed("cp", antennas=16)
    alone = torch.cat([narrow(part, noise) for part in h.split(8, dim=3)], dim=3)
    torch.testing.assert_close(wide(h, noise), alone, atol=1e-4, rtol=1e-3)


def test_loss_of_a_fixed_batch_falls() -> None:
    """Targets without a rule, the linear start held fixed: what is learned by heart is the layers' work."""
    network = build("cp")
    for matrix in (network.slot_matrix, network.subcarrier_matrix, network.antenna_matrix):
        matrix.requires_grad_(False)
    h, noise = observed("cp", batch=2)
    target = torch.randn(2, 4, 64, 8, dtype=torch.complex64)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=2e-2)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = network.loss(h, noise, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_flops_are_matrix_products_by_hand() -> None:
    """Attention's among them."""
    network, width, features = build("pf"), 16, 64 * 16
    blocks = {"encoder": 4 * width**2 + 8 * width**2, "decoder": 8 * width**2 + 8 * width**2}
    tokens = 16
    products = 3 * blocks["encoder"] + 2 * blocks["decoder"] + 2 * width * (features + 17) + width * features
    attention = (3 + 2 * 2) * 2 * tokens * width
    layers = 2 * tokens * (products + attention)
    # Resampling: complex products, counted as one multiply-add each.
    resampling = 2 * (16 * 16 * 32 * 8 + 16 * 32 * 8 * 8 + 16 * 32 * 64 * 8)
    assert layers <= count_flops(network, (16, 32, 8)) <= layers + 4 * resampling


# --- the method


@pytest.mark.parametrize(("preset", "width"), [("quick", 128), ("standard", 256), ("paper", 256)])
def test_sizes(preset: str, width: int, few_rays: ChannelDataset) -> None:
    """Three encoders, two decoders, two embeddings and a head, by the formula, beside the resampling matrices."""
    split = TaskSplit(create("tasks", "cp"), few_rays.view("train"))
    network = Transformer().build(split.observe([0])[0], preset)
    encoder = 12 * width**2 + 13 * width
    decoder = 16 * width**2 + 19 * width
    embeddings, head = 2 * (1024 + 17 + 1) * width, 1024 * (width + 1)
    matrices = 2 * (16 * 20 + 64 * 64 + 8 * 8)
    expected = 3 * encoder + 2 * decoder + 4 * width + embeddings + head + matrices
    assert sum(p.numel() for p in network.parameters()) == expected


def test_other_pilots(few_rays: ChannelDataset) -> None:
    """Every fourth subcarrier: another shape of CE is another network of the same method."""
    task = create("tasks", "ce")
    conditions = task.conditions(pilot_spacing=4)
    training, validation = (TaskSplit(task, few_rays.view(s), conditions) for s in ("train", "val"))
    method = Transformer()
    method.fit({"ce": (training, validation)}, FitContext(preset="smoke"))
    observation, target = task.observe(few_rays.view("test"), np.arange(3), conditions)
    assert method.predict("ce", observation).shape == target.value.shape
