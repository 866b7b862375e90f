"""The suites that ``channelbench run --suite`` knows."""

from __future__ import annotations

from channelbench.card import Card
from channelbench.experiment import ExperimentSpec
from channelbench.suite import Suite

SIX_TASKS = ("ce", "cp", "pf", "bf", "de", "pe")
GROUP_TASKS = ("pre_sr", "pre_mm", "det")

FLOORS = ("zero", "mean", "median", "hold", "repeat", "common_beam")
FORMULA_REFERENCES = ("lmmse_genie", "lmmse_genie_comb", "received_power")
REFERENCES = (*FORMULA_REFERENCES, "start")
"""Of every suite with a network in it: the last is what the networks correct."""

CLASSICAL = ("bi", "lmmse", "wiener", "prony", "sparse", "codebook", "fifs")
SMALL = ("mlp", "lstm", "cnn", "transformer", "wit")
MULTI_TASK = ("cross_stitch(s)", "cross_stitch")
LANGUAGE = ("llm4cp", "llm4wm(s)", "llm4wm")
LLM4WM_CONTROLS = ("llm4wm+random", "llm4wm+none", "llm4wm+scratch")
FULL_CONTROLS = LLM4WM_CONTROLS[:2]
"""The questions that most readers come with; a trunk from scratch costs as much again."""

PRECODERS = ("mrt", "zf", "zf_waterfilling", "rzf", "wmmse", "wmmse_converged", "max_min")
DETECTORS = ("random_symbols", "zf_detector", "lmmse_detector", "ml_detector")
GROUP_ROWS = (*PRECODERS, *DETECTORS, "cnn_precoder", "oamp_net")
"""On groups of users: the formulas and the two networks that learn most of few steps; ``phy`` has the others."""

BUNDLES = {
    "BI + Codebook + FIFS": ("bi", "codebook", "fifs"),
    "LMMSE + Wiener + Codebook + FIFS": ("lmmse", "wiener", "codebook", "fifs"),
    "Sparse Bayes + Codebook + FIFS": ("sparse", "codebook", "fifs"),
    "CNN + WiT": ("cnn", "wit"),
    "LSTM + MLP": ("lstm", "mlp"),
    "CNN + MLP": ("cnn", "mlp"),
    "Transformer + MLP": ("transformer", "mlp"),
}

CLEAN_AND_COMPATIBLE: tuple[dict[str, bool], ...] = ({}, {"paper_compat": True})
TABLE_IV = FLOORS + REFERENCES + CLASSICAL + SMALL + MULTI_TASK + LANGUAGE

SLOW = {"quick": ("sparse",)}
"""It takes minutes where all other formulas together take one."""

full = Suite(
    card=Card(
        name="full",
        description="Every method on the six tasks of LLM4WM, with clean targets and as the paper's code evaluates; "
        "formulas and two networks on groups of users.",
        reference="LLM4WM, Table IV; multi-task PHY LLM, section V",
        family="suite",
    ),
    scenario="uma",
    tasks=SIX_TASKS + GROUP_TASKS,
    methods=TABLE_IV + FULL_CONTROLS + GROUP_ROWS,
    conditions=CLEAN_AND_COMPATIBLE,
    once=SLOW,
    overall=SIX_TASKS,
    bundles=BUNDLES,
    exhibits=("table4", "pretraining"),
)

classical = Suite(
    card=Card(
        name="classical",
        description="Floors, references and classical methods on the six tasks: no training, a minute or two.",
        reference="the protocol's own",
        family="suite",
    ),
    tasks=SIX_TASKS,
    methods=FLOORS + FORMULA_REFERENCES + CLASSICAL,
    bundles={name: members for name, members in BUNDLES.items() if not set(members) & set(SMALL)},
)

# --- the experiments of LLM4WM ---------------------------------------------------------------------------------------

llm4wm = Suite(
    card=Card(
        name="llm4wm",
        description="Table IV of LLM4WM: all its methods on six tasks, beside ours, the floors and the controls.",
        reference="Liu et al. 2025 (LLM4WM), arXiv 2501.12983, Table IV",
        family="suite",
    ),
    scenario="uma",
    tasks=SIX_TASKS,
    methods=TABLE_IV + LLM4WM_CONTROLS,
    conditions=CLEAN_AND_COMPATIBLE,
    once=SLOW,
    bundles=BUNDLES,
    exhibits=("table4", "pretraining"),
)

llm4wm_transfer = Suite(
    card=Card(
        name="llm4wm-transfer",
        description="Table V: UMa at 1.9 GHz to RMa and to 2.4 GHz, with a tenth of the target's data and with none.",
        reference="LLM4WM, Table V",
        family="suite",
    ),
    scenario="uma",
    tasks=SIX_TASKS,
    methods=(*FLOORS, *REFERENCES, *CLASSICAL, "lstm", "mlp", "cnn", "wit", "llm4cp", "llm4wm", *LLM4WM_CONTROLS),
    experiment=ExperimentSpec(
        name="transfer",
        parameters={
            "targets": {"rma-1.9": {"scenario": "rma"}, "uma-2.4": {"sub6.carrier_hz": "2.4e9"}},
            "share": 0.1,
        },
    ),
    exhibits=("transfer",),
    bundles={"CNN + WiT": ("cnn", "wit"), "LSTM + MLP": ("lstm", "mlp")},
    seeds={"standard": 1},
)

llm4wm_ablation = Suite(
    card=Card(
        name="llm4wm-ablation",
        description="Table VI: LLM4WM without one or both adapters, without a trunk, and with the trunk left frozen.",
        reference="LLM4WM, Table VI",
        family="suite",
    ),
    scenario="uma",
    tasks=SIX_TASKS,
    methods=(
        *REFERENCES,
        "llm4wm",
        *(f"llm4wm+{name}" for name in ("no-adapter-in", "no-adapter-out", "no-adapter", "none", "frozen", "random")),
    ),
    exhibits=("ablation",),
)

llm4wm_hyper = Suite(
    card=Card(
        name="llm4wm-hyper",
        description="Fig. 7: LLM4WM with 2 to 16 experts of rank 8, and with 8 experts of rank 2 to 16.",
        reference="LLM4WM, Fig. 7",
        family="suite",
    ),
    scenario="uma",
    tasks=SIX_TASKS,
    methods=(
        *REFERENCES,
        "llm4wm",
        *(f"llm4wm+{what}{number}" for what in ("rank", "experts") for number in (2, 4, 16)),
    ),
    exhibits=("hyper",),
)

llm4wm_experts = Suite(
    card=Card(
        name="llm4wm-experts",
        description="Fig. 6: how alike the mixtures of experts are that LLM4WM learns for different tasks.",
        reference="LLM4WM, Fig. 6",
        family="suite",
    ),
    scenario="uma",
    tasks=SIX_TASKS,
    methods=(*REFERENCES, "llm4wm"),
    exhibits=("experts",),
)

llm4wm_cost = Suite(
    card=Card(
        name="llm4wm-cost",
        description="Table VII: parameters, operations, latency and memory of the learned methods.",
        reference="LLM4WM, Table VII",
        family="suite",
    ),
    scenario="uma",
    tasks=SIX_TASKS,
    methods=(*REFERENCES, "mlp", "cnn", "lstm", "wit", "transformer", "cross_stitch", "llm4cp", "llm4wm"),
    seeds={"standard": 1, "paper": 1},
    exhibits=("cost",),
)

llm4wm_multitask = Suite(
    card=Card(
        name="llm4wm-multitask",
        description="Fig. 5: a large and a small network, each fitted to all tasks at once and to every task alone.",
        reference="LLM4WM, Fig. 5",
        family="suite",
    ),
    scenario="uma",
    tasks=SIX_TASKS,
    methods=(*REFERENCES, "cross_stitch(s)", "cross_stitch", "llm4wm(s)", "llm4wm"),
    exhibits=("multitask",),
)

# --- from drawn channels to traced ones -------------------------------------------------------------------------------

site_transfer = Suite(
    card=Card(
        name="site-transfer",
        description="From drawn UMa to traced Munich, from Munich to Florence; with a tenth of the data, with none.",
        reference="the protocol's own",
        family="suite",
    ),
    scenario="uma",
    tasks=SIX_TASKS,
    methods=(*FLOORS, *REFERENCES, *CLASSICAL, "lstm", "mlp", "cnn", "wit", "llm4cp", "llm4wm"),
    once=SLOW,
    experiment=ExperimentSpec(
        name="sites",
        parameters={
            "sites": {
                "munich": {"source": "raytraced", "scene": "munich"},
                "florence": {"source": "raytraced", "scene": "florence"},
            },
            "share": 0.1,
        },
    ),
    seeds={"standard": 1},
)
