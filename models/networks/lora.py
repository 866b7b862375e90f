"""Plain LoRA on the feed-forward linears of a trunk, by peft: what MoE-LoRA is compared with."""

from __future__ import annotations

import warnings

from torch import nn

from channelbench.errors import RequestError
from channelbench.models.networks.backbones import Backbone, IdentityTrunk
from channelbench.models.networks.moe_lora import feed_forward_linears

__all__ = ["attach_lora"]


def attach_lora(backbone: Backbone, *, rank: int) -> list[nn.Parameter]:
    """Put LoRA of ``rank`` and α = 2·rank around the feed-forward linears of ``backbone``, in place.

    Its results do not change until something is trained; its own parameters are frozen.

    Returns:
        The parameters of LoRA. No trunk has no linears and gets none.

    Raises:
        RequestError: peft is not installed, or the trunk has no feed-forward linear of a known name.
    """
    if isinstance(backbone, IdentityTrunk):
        return []
    try:
        import peft
    except ImportError:
        raise RequestError(
            "method", expected="peft for plain LoRA: pip install 'channelbench[llm]'", got="no such package"
        ) from None
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=feed_forward_linears(backbone))
    with warnings.catch_warnings():
        # That GPT-2 stores its weights transposed is seen, said, and handled.
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        peft.inject_adapter_in_model(config, backbone)
    return [parameter for name, parameter in backbone.named_parameters() if "lora_" in name]
