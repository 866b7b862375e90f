"""The parameters of LLM4WM in its Table VII: 1.13 M trainable of 88.71 M.

The modules below have the shapes of the public implementation as far as they can be inferred from its counts: layer
types as its source states them; pilots and residual blocks, which are arguments there, such that both published numbers
come out. Layers without parameters are left out. They differ from the paper's text, which our method follows:

* the text aligns both dimensions in the adapters; here tokens stay as they are, and a layer norm ends each adapter;
* the text has eight residual blocks (N_a = 8); here they are eight per task, four in either adapter;
* the text has heads of three layers; here CE, CP and PF have four more residual blocks, a layer norm and one dense
  layer per dimension, and BF, DE and PE one linear on the flattened features.

Biases are everywhere but in MoE-LoRA, which neither number includes. 1.13 M is what one task adds: a sixth of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest
import torch
from torch import nn

from channelbench.models.networks.adapters import Adapter, ResidualBlock, VectorHead
from channelbench.models.networks.backbones import Backbone
from channelbench.models.networks.moe_lora import attach_moe_lora

WIDTH, SLOTS, AHEAD, ANTENNAS, ANGLES, SUBCARRIERS, BEAMS = 768, 16, 4, 8, 64, 64, 256
GPT2 = 81_912_576
"""Six layers with vocabulary and positions."""
ADAPTERS_AND_HEADS = 6_797_414


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def adapter(tokens: int, features: int, blocks: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, WIDTH), *(ResidualBlock(tokens) for _ in range(blocks)), nn.LayerNorm(WIDTH)
    )


def reconstruction_head(tokens: int, outside: tuple[int, int]) -> nn.Module:
    residual = (ResidualBlock(tokens) for _ in range(4))
    return nn.Sequential(*residual, nn.LayerNorm(WIDTH), Adapter((tokens, WIDTH), outside, blocks=0))


def public_modules(*, pilots: int = 8, blocks: int = 4) -> Mapping[str, nn.Module]:
    """What each task has of its own. A token is a slot in CE, CP and PF, a pilot in the angle domain in BF, DE and PE.

    Args:
        pilots: Of the 64 subcarriers; 8 in section V-A.
        blocks: Residual blocks of one adapter.
    """
    at_pilots = pilots * ANTENNAS * 2
    images = {
        "ce": (SLOTS, SUBCARRIERS * ANTENNAS * 2),
        "cp": (AHEAD, at_pilots),
        "pf": (SLOTS, at_pilots),
    }
    vectors = {"bf": BEAMS, "de": 1, "pe": 1}
    with torch.device("meta"):
        heads = {task: reconstruction_head(SLOTS, image) for task, image in images.items()}
        heads |= {task: nn.Linear(pilots * WIDTH, outputs) for task, outputs in vectors.items()}
        inside = dict.fromkeys(images, (SLOTS, at_pilots)) | dict.fromkeys(vectors, (pilots, ANGLES * 2))
        return {
            task: nn.ModuleList((adapter(tokens, features, blocks), adapter(tokens, WIDTH, blocks), heads[task]))
            for task, (tokens, features) in inside.items()
        }


def millions(**shapes: int) -> tuple[float, float]:
    """(one task's share, all of it with GPT-2) to the two decimals of Table VII."""
    own = sum(count(modules) for modules in public_modules(**shapes).values())
    return round(own / 6 / 1e6, 2), round((GPT2 + own) / 1e6, 2)


def test_adapters_and_heads_give_both_published_numbers() -> None:
    by_task = {task: count(modules) for task, modules in public_modules().items()}
    assert sum(by_task.values()) == ADAPTERS_AND_HEADS
    assert millions() == (1.13, 88.71)
    # An average: the flat linear to 256 beams and the dense layer to all subcarriers outweigh the rest.
    assert by_task == {
        "ce": 1_500_816, "cp": 811_588, "pf": 811_792, "bf": 2_269_056, "de": 702_081, "pe": 702_081
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shapes", "numbers"),
    [
        pytest.param({"blocks": 8}, (1.14, 88.76), id="eight-blocks-per-adapter"),
        pytest.param({"blocks": 2}, (1.13, 88.69), id="two-blocks-per-adapter"),
        pytest.param({"pilots": 16}, (1.48, 90.81), id="a-pilot-every-four-subcarriers"),
    ],
)
def test_other_shapes_do_not(shapes: dict[str, int], numbers: tuple[float, float]) -> None:
    assert millions(**shapes) == numbers


def test_total_is_with_vocabulary_and_without_moe_lora() -> None:
    transformers = pytest.importorskip("transformers", reason="language models need the extra `llm`")
    with torch.device("meta"):
        model = transformers.GPT2Model(transformers.GPT2Config(n_layer=6))
        assert count(model) == GPT2
        assert count(model) + sum(count(modules) for modules in public_modules().values()) == 88_709_990
        # Our trunks compute something when they are built, which nothing on this device can.
        attach_moe_lora(cast(Backbone, model), 6, experts=8, rank=8)
    added = count(model) - GPT2
    assert added == 2_949_696
    # With MoE-LoRA neither number would be the published one.
    assert round((count(model) + ADAPTERS_AND_HEADS) / 1e6, 2) == 91.66
    assert round((ADAPTERS_AND_HEADS + added) / 6 / 1e6, 2) == 1.62


def test_one_head_of_the_text_is_larger_than_all_that_the_published_share_leaves() -> None:
    """BF's three layers of 768 units and a dense layer to 256 beams are 6.1 M on 8 tokens and 10.8 M on 16; with the
    dense layer as the third of the three, as our head has it, 5.5 M and 10.2 M. The adapters leave 2.6 M for six heads.
    """
    with torch.device("meta"):
        dense = count(nn.Linear(WIDTH, BEAMS))
        four, three = (
            {tokens: VectorHead(tokens * WIDTH, beside=0, width=WIDTH, outputs=size) for tokens in (8, 16)}
            for size in (WIDTH, BEAMS)
        )
    sizes = [{tokens: count(head) for tokens, head in heads.items()} for heads in (four, three)]
    assert {tokens: size + dense for tokens, size in sizes[0].items()} == {8: 6_097_408, 16: 10_816_000}
    assert sizes[1] == {8: 5_506_816, 16: 10_225_408}
    adapters = sum(count(into) + count(out) for into, out, _ in map(nn.Module.children, public_modules().values()))
    assert ADAPTERS_AND_HEADS - adapters == 2_593_766 < min(sizes[1].values())
