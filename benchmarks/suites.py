"""The suites that ``channelbench run --suite`` knows."""

from __future__ import annotations

from channelbench.card import Card
from channelbench.contracts import Conditions, Suite

SIX_TASKS = ("ce", "cp", "pf", "bf", "de", "pe")

FLOORS = ("zero", "mean", "median", "hold", "repeat", "common_beam")
REFERENCES = ("lmmse_genie", "received_power")
CLASSICAL = ("bi", "lmmse", "wiener", "codebook", "fifs")
SMALL = ("mlp", "lstm", "cnn")

BUNDLES = {
    "BI + Codebook + FIFS": ("bi", "codebook", "fifs"),
    "LMMSE + Wiener + Codebook + FIFS": ("lmmse", "wiener", "codebook", "fifs"),
    "LSTM + MLP": ("lstm", "mlp"),
    "CNN + MLP": ("cnn", "mlp"),
}

full = Suite(
    card=Card(
        name="full",
        description="Every method on the six tasks of LLM4WM, with clean targets and as the paper's code evaluates.",
        reference="LLM4WM, Table IV",
        family="suite",
    ),
    tasks=SIX_TASKS,
    methods=FLOORS + REFERENCES + CLASSICAL + SMALL,
    conditions=(Conditions(), Conditions(paper_compat=True)),
    bundles=BUNDLES,
)

classical = Suite(
    card=Card(
        name="classical",
        description="Floors, references and classical methods on the six tasks: no training, a minute or two.",
        reference="the protocol's own",
        family="suite",
    ),
    tasks=SIX_TASKS,
    methods=FLOORS + REFERENCES + CLASSICAL,
    bundles={name: members for name, members in BUNDLES.items() if not set(members) & set(SMALL)},
)
