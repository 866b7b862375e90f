"""GRU for channel reconstruction."""

from __future__ import annotations

from channelbench.card import Card
from channelbench.models.lstm import LSTM

__all__ = ["GRU"]


class GRU(LSTM):
    """Four recurrent layers over slots; see ``networks.lstm``."""

    card = Card(
        name="gru",
        title="GRU",
        description="Four layers of gated recurrent units over slots reconstruct channels (CE, CP, PF).",
        reference="Multi-task PHY LLM, section V-B",
        family="small",
        notes=(
            "The paper fixes four layers. Ours: gated recurrent units, as many in a layer as the LSTM has, "
            "in the frame that the LSTM stands in (see its notes)."
        ),
    )
    cell = "GRU"
