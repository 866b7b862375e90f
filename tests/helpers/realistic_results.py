"""A realistic results folder: six tasks, two conditions, one failed and several missing cells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from channelbench import registry
from channelbench.results import DatasetCard, MetricScore, Result, RunManifest, split_digest, write_cell
from channelbench.spec import SYSTEMS, ScenarioSpec, SizesSpec

DROPS = 200
PRIMARY = {"ce": "nmse", "cp": "nmse", "pf": "nmse", "bf": "top1_accuracy", "de": "mae_m", "pe": "rmse_db"}
UNITS = {"mae_m": "m", "rmse_db": "dB", "nmse_db": "dB", "se": "bit/s/Hz"}
HIGHER = {"top1_accuracy", "top3_accuracy", "se"}
EXTRA = {"ce": ("nmse_db", "se"), "cp": ("nmse_db", "se"), "pf": ("nmse_db",), "bf": ("top3_accuracy",)}
MALICIOUS = '<script>alert("x")</script>'

# method: (title, family, {task: typical score})
METHODS: dict[str, tuple[str, str, dict[str, float]]] = {
    "zero": ("Zero", "floor", {"ce": 1.0, "cp": 1.0, "pf": 1.0}),
    "mean": ("Training mean", "floor", {"ce": 1.0, "cp": 1.0, "pf": 1.0, "pe": 12.1}),
    "hold": ("Hold last slot", "floor", {"cp": 0.31}),
    "repeat": ("Repeat nearest pilot", "floor", {"ce": 0.42}),
    "median": ("Training median", "floor", {"de": 96.0}),
    "common_beam": ("Most common beam", "floor", {"bf": 0.021}),
    "ceiling": ("Ceiling", "ceiling", {"ce": 0.0, "cp": 0.0, "pf": 0.0, "bf": 1.0, "de": 0.0, "pe": 0.0}),
    "lmmse_genie": ("LMMSE, true covariance", "reference", {"ce": 0.011, "cp": 0.036, "pf": 0.18}),
    "received_power": ("Received power", "reference", {"de": 41.0, "pe": 0.76}),
    "bi": ("BI", "classical", {"ce": 0.12, "cp": 0.27, "pf": 1.21}),
    "lmmse": ("LMMSE", "classical", {"ce": 0.021}),
    "wiener": ("Wiener", "classical", {"cp": 0.061}),
    "codebook": ("Codebook", "classical", {"bf": 0.41}),
    "fifs": ("FIFS", "classical", {"bf": 0.12, "de": 57.0, "pe": 7.3}),
    "mlp": (f"MLP {MALICIOUS}", "small", {"bf": 0.63, "de": 38.0, "pe": 1.9}),
    "lstm": ("LSTM", "small", {"ce": 0.071, "cp": 0.12, "pf": 0.33, "bf": 0.55, "de": 44.0, "pe": 2.6}),
    "cnn": ("CNN", "small", {"ce": 0.031, "cp": 0.09, "pf": 0.24, "bf": 0.71, "de": 36.5, "pe": 1.8}),
}
SEEDS = {"mlp": 1, "lstm": 3, "cnn": 3}
FAILED = ("fifs", "pe")
MISSING = ("mlp", "de")
BUNDLE = "BI + Codebook + FIFS"
DATASET = "3f9ac1d2" * 8
DIGEST = "0123456789ab" + 52 * "c"
WEIGHTS = f"tiny-model, SHA-256 {DIGEST}, first 3 layers, frozen"


def terms_of(method: str, task: str, name: str, typical: float, seed: int) -> NDArray[np.float64]:
    """Per-drop terms whose mean is near ``typical``; drops that are hard for one method are hard for all."""
    draws = np.random.default_rng([ord(c) for c in f"{method}{task}{seed}"])
    hard = np.random.default_rng([ord(c) for c in task]).gamma(3.0, 1 / 3, DROPS)
    worse = typical * (1 + 0.03 * draws.standard_normal()) if seed else typical
    if name in ("top1_accuracy", "top3_accuracy"):
        values = (draws.random(DROPS) < worse).astype(float)
    elif name == "rmse_db":
        values = worse**2 * hard * draws.gamma(8.0, 1 / 8, DROPS)
    elif name == "se":
        values = np.log2(1 + 80 * (1 - min(worse, 1) / 2)) * np.ones(DROPS)
    else:
        values = worse * hard * draws.gamma(8.0, 1 / 8, DROPS)
    return values[:, None]


def write(folder: Path, method: str, task: str, conditions: Mapping[str, bool], seed: int) -> None:
    title, family, scores = METHODS[method]
    noise = 0.0909 if "paper_compat" in conditions and PRIMARY[task] == "nmse" else 0.0
    failed = (method, task) == FAILED and not conditions
    names = [PRIMARY[task], *EXTRA.get(task, ())]
    terms = {name: terms_of(method, task, name, scores[task] + noise, seed) for name in names}
    scored = {}
    for name, values in terms.items():
        finalize = registry.create("metrics", name).finalize
        value = float(finalize(values.mean(axis=0)))
        spread = [float(finalize(values[i::4].mean(axis=0))) for i in range(4)]
        scored[name] = MetricScore(
            value=value,
            low=min([value, *spread]) if np.isfinite(value) else value,
            high=max([value, *spread]),
            unit=UNITS.get(name, ""),
            higher_is_better=name in HIGHER,
        )
    learned = family == "small"
    result = Result(
        method=method,
        title=title,
        family=family,
        reference="Liu et al., LLM4WM, Table IV",
        notes="Width from the parameter count." if learned else "",
        task=task,
        primary_metric=PRIMARY[task],
        conditions=conditions,
        seed=seed,
        preset="quick",
        status="failed" if failed else "ok",
        error="ValueError: no fingerprint within 40 m & <none> beyond" if failed else "",
        scores={} if failed else scored,
        num_test=DROPS,
        train_digest="t" * 64,
        test_digest=split_digest(DATASET, "test"),
        costs={
            "trainable_parameters": 1_170_000 if learned else 0,
            "total_parameters": 1_170_000 if learned else 0,
            "fit_s": 31.4 if learned else 0.02,
            "predict_s": 0.61,
            "latency_ms_batch1": 1.93,
            "latency_ms_batch512": 88.0,
            "peak_memory_mb": 812.0,
        },
        weights=WEIGHTS if method == "lstm" else "",
        hardware="2-core CPU",
        versions={"channelbench": "0.1.0", "torch": "2.11"},
        created=f"2025-06-0{1 + seed}T10:00:00Z",
    )
    write_cell(folder, result, {} if failed else terms)


def synthesise(folder: Path) -> Path:
    """A results folder as a run leaves it."""
    spec = ScenarioSpec(
        scenario="uma",
        bs_height_m=25,
        min_distance_m=35,
        max_distance_m=500,
        sizes=SizesSpec(train=2000, val=400, test=600),
        **SYSTEMS["dualband"],
    )
    for conditions in ({}, {"paper_compat": True}):
        for method, (_, _, scores) in METHODS.items():
            for task in scores:
                if (method, task) != MISSING:
                    for seed in range(SEEDS.get(method, 1)):
                        write(folder, method, task, conditions, seed)
    manifest = RunManifest(
        suite="full",
        preset="quick",
        dataset=DatasetCard(digest=DATASET, spec=spec.model_dump(mode="json"), seed=0, versions={"sionna": "2.2.0"}),
        tasks=tuple(PRIMARY),
        methods=tuple(METHODS),
        seeds=SEEDS,
        method_tasks={method: tuple(scores) for method, (_, _, scores) in METHODS.items()},
        bundles={BUNDLE: ("bi", "codebook", "fifs"), "BI + LMMSE": ("lmmse", "wiener", "bi", "mlp")},
    )
    (folder / "run.json").write_text(manifest.model_dump_json())
    return folder
