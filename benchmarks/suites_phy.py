"""The suites of the multi-task physical-layer LLM: every table and figure of its section V, and one of imperfect CSI.

The paper's setting is groups of four users at random and 0 dBW; ours is what tells methods apart, near users at 20 dB
(docs/protocol.md). Both are conditions, and both stand in every sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from channelbench.benchmarks.suites import DETECTORS, PRECODERS, SLOW
from channelbench.card import Card
from channelbench.experiment import ExperimentSpec
from channelbench.suite import Suite

PHY_TASKS = ("pre_sr", "pre_mm", "det", "cp")
START = ("start",)

PREDICTORS = ("zero", "hold", "bi", "wiener", "prony", "sparse")
NETWORK_PREDICTORS = ("rnn", "gru", "lstm", "transformer", "llm4cp")
CSI_PREDICTORS = ("hold", "wiener", "prony", "sparse", "llm4cp", "phy_llm(s)")
"""Whose predictions are precoded for; the last of these precodes as well."""

DETECTOR_NETWORKS = ("dnn_detector", "detnet", "oamp_net")
PHY_LLM = ("phy_llm(s)", "phy_llm")
PHY_CONTROLS = ("phy_llm+random", "phy_llm+none", "phy_llm+scratch")
PHY_RAW = ("phy_llm+raw",)

SNRS_DB = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
"""Of Figs. 6, 9 and 10, and what Tables I and II average over; training sees 5 to 20 dB."""

DETECTION_SNRS_DB = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 25.0)
POWERS_DBW = (-10.0, -5.0, 0.0, 5.0, 10.0)
USERS = (4, 5, 6, 7, 8)

Varied = Mapping[str, bool | int | float | str]


def paper_precoding(users: int = 4, power_dbw: float = 0.0) -> Varied:
    """A precoding condition of the paper."""
    return {"users": users, "grouping": "random", "power_dbw": power_dbw}


def near_precoding(users: int = 8, power_dbw: float = 10.0) -> Varied:
    """One of ours, where precoders differ."""
    return {"users": users, "grouping": "near", "power_dbw": power_dbw}


def detection(snr_db: float, users: int = 4, grouping: str = "random") -> Varied:
    """A detection condition: the paper's, unless said otherwise."""
    return {"users": users, "grouping": grouping, "snr_db": snr_db}


def prediction(snr_db: float) -> Varied:
    """A prediction condition; detection has no ``snr_reference``, so that it stays at its own."""
    return {"snr_reference": "sample", "snr_db": snr_db}


AVERAGED = (paper_precoding(), *map(detection, SNRS_DB), *map(prediction, SNRS_DB))
"""What Tables I and II are of."""

BUNDLES = {
    "RZF + LMMSE + Wiener": ("rzf", "lmmse_detector", "wiener"),
    "WMMSE + LMMSE + Wiener": ("wmmse", "lmmse_detector", "wiener"),
    "CNN + DNN + LSTM": ("cnn_precoder", "dnn_detector", "lstm"),
    "CNN + OAMP-Net + LLM4CP": ("cnn_precoder", "oamp_net", "llm4cp"),
}


def _suite(
    name: str,
    description: str,
    reference: str,
    tasks: Sequence[str],
    methods: Sequence[str],
    conditions: Sequence[Varied],
    exhibits: Sequence[str],
    bundles: Mapping[str, tuple[str, ...]] | None = None,
    experiment: ExperimentSpec | None = None,
) -> Suite:
    """A suite of the paper's system."""
    return Suite(
        card=Card(name=name, description=description, reference=reference, family="suite"),
        scenario="uma",
        system="multiuser",
        tasks=tuple(tasks),
        methods=tuple(methods),
        conditions=tuple(conditions),
        bundles=bundles or {},
        once=SLOW,
        experiment=experiment or ExperimentSpec(),
        exhibits=tuple(exhibits),
    )


_PRECODING = (*START, *PRECODERS, "cnn_precoder", *PHY_LLM)
_DETECTION = (*START, *DETECTORS, *DETECTOR_NETWORKS, *PHY_LLM)
_PREDICTION = (*START, *PREDICTORS, *NETWORK_PREDICTORS, *PHY_LLM)

phy = _suite(
    "phy",
    "All methods of precoding, detection and prediction, under the paper's conditions and where methods differ.",
    "Zheng and Dai 2024 (Multi-task PHY LLM), arXiv 2412.20772, section V",
    PHY_TASKS,
    tuple(dict.fromkeys((*_PRECODING, *_DETECTION, *_PREDICTION, *PHY_CONTROLS, *PHY_RAW))),
    ({}, paper_precoding(), detection(10.0), prediction(10.0)),
    ("phy-pretraining",),
    BUNDLES,
)

phy_velocity = _suite(
    "phy-velocity",
    "Fig. 5: error of channel prediction by the user's speed, 10 to 100 km/h, at 20 dB.",
    "Multi-task PHY LLM, Fig. 5",
    ("cp",),
    _PREDICTION,
    ({"snr_db": 20.0},),
    ("phy-velocity",),
)

phy_snr = _suite(
    "phy-snr",
    "Fig. 6: error of channel prediction by the SNR of the observed slots, 0 to 25 dB.",
    "Multi-task PHY LLM, Fig. 6",
    ("cp",),
    _PREDICTION,
    [{"snr_db": snr_db} for snr_db in SNRS_DB],
    ("phy-snr",),
)

phy_power = _suite(
    "phy-power",
    "Fig. 7: sum rate by the base station's power, −10 to 10 dBW: four users at random, and eight near ones.",
    "Multi-task PHY LLM, Fig. 7",
    ("pre_sr",),
    _PRECODING,
    [of(power_dbw=power_dbw) for of in (paper_precoding, near_precoding) for power_dbw in POWERS_DBW],
    ("phy-power",),
)

phy_users = _suite(
    "phy-users",
    "Fig. 8: sum rate of four to eight users, one fit for all: at random and 0 dBW, near and 10 dBW.",
    "Multi-task PHY LLM, Fig. 8",
    ("pre_sr",),
    _PRECODING,
    [of(users=users) for of in (paper_precoding, near_precoding) for users in USERS],
    ("phy-users",),
)

phy_detection = _suite(
    "phy-detection",
    "Figs. 9 and 10: error of the symbols and of decisions, 0 to 25 dB: four users at random, and eight near ones.",
    "Multi-task PHY LLM, Figs. 9 and 10",
    ("det",),
    _DETECTION,
    [detection(snr_db, *group) for group in ((4, "random"), (8, "near")) for snr_db in DETECTION_SNRS_DB],
    ("phy-detection",),
)

phy_loftq = _suite(
    "phy-loftq",
    "Table I: the multi-task PHY LLM at full precision, with LoftQ and with plain 4-bit weights; merged and quantised.",
    "Multi-task PHY LLM, Table I",
    ("pre_sr", "det", "cp"),
    (*START, "phy_llm", "phy_llm+loftq", "phy_llm+nf4", "phy_llm+merged"),
    AVERAGED,
    ("phy-loftq",),
)

phy_instruction = _suite(
    "phy-instruction",
    "Fig. 11: training loss of one network for all tasks and of one for each, with instructions and without.",
    "Multi-task PHY LLM, Fig. 11",
    ("pre_sr", "det", "cp"),
    (*START, "phy_llm", "phy_llm(s)", "phy_llm(s)+no-prompt"),
    ({},),
    ("phy-instruction",),
)

phy_backbone = _suite(
    "phy-backbone",
    "Table II: the multi-task PHY LLM on the run's backbone and on none, beside our controls of it.",
    "Multi-task PHY LLM, Table II",
    ("pre_sr", "det", "cp"),
    (*START, "phy_llm", *PHY_CONTROLS),
    AVERAGED,
    ("phy-backbone",),
)

phy_csi = _suite(
    "phy-csi",
    "Rates over the last slot's channels where they are known perfectly, estimated, and predicted by several methods.",
    "the protocol's own",
    ("cp", "pre_sr", "pre_mm"),
    (*START, *PRECODERS, "cnn_precoder", *CSI_PREDICTORS),
    (
        {"slot": "last"},
        {"csi": "estimated"},
        *({"csi": f"predicted:{name}"} for name in CSI_PREDICTORS),
    ),
    ("phy-csi",),
    experiment=ExperimentSpec(name="csi", parameters={"predicted": ["cp"], "precoded": ["pre_sr", "pre_mm"]}),
)
