"""RNN for channel reconstruction."""

from __future__ import annotations

from channelbench.card import Card
from channelbench.models.lstm import LSTM

__all__ = ["RNN"]


class RNN(LSTM):
    """Four recurrent layers over slots; see ``networks.lstm``."""

    card = Card(
        name="rnn",
        title="RNN",
        description="Four plain recurrent layers over slots reconstruct channels (CE, CP, PF).",
        reference="Multi-task PHY LLM, section V-B",
        family="small",
        notes=(
            "The paper fixes four layers. Ours: plain recurrent units (tanh), as many in a layer as the LSTM has, "
            "in the frame that the LSTM stands in (see its notes)."
        ),
    )
    cell = "RNN"
