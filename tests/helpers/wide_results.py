"""A results folder as wide as any: nine tasks, four conditions of which three are one sweep, and every kind of row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from results_by_hand import draws, put

from channelbench.results import DatasetCard, RunManifest, VariedEntry

__all__ = ["DROPS", "METHODS", "SWEPT", "TASKS", "put_wide"]

TASKS = ("ce", "cp", "pf", "bf", "de", "pe", "pre_sr", "pre_mm", "det")
DROPS = 30
DIGEST = "0123456789ab" + 52 * "c"

# method: (score, family, seeds)
METHODS = {
    "zero": (1.0, "floor", 1),
    "ceiling": (0.0, "ceiling", 1),
    "lmmse_genie": (0.02, "reference", 1),
    "formula": (0.3, "classical", 1),
    "other": (0.31, "classical", 1),
    "far": (402.0, "classical", 1),
    "worse": (1.3, "small", 1),
    "net": (0.1, "small", 3),
    "joint": (0.12, "multi-task", 3),
    "language": (0.11, "llm", 3),
}
SWEPT = {"default": 1.0, "snr_db=0": 2.0, "snr_db=10": 1.2, "snr_db=20": 0.6}


def put_wide(folder: Path, tasks: tuple[str, ...] = TASKS) -> Path:
    """Write it: each score is the table's, times that of the condition, times what is hard for all."""
    manifest = RunManifest(
        suite="wide",
        preset="quick",
        dataset=DatasetCard(digest="d", spec={"scenario": "uma"}, seed=0),
        tasks=tasks,
        conditions={label: VariedEntry(cells=dict.fromkeys(tasks, label), tasks=tasks) for label in SWEPT},
        methods=tuple(METHODS),
        seeds={name: seeds for name, (_, _, seeds) in METHODS.items()},
        bundles={"formula + net": ("formula", "net")},
    )
    (folder / "run.json").write_text(manifest.model_dump_json())
    for label, factor in SWEPT.items():
        conditions = {} if label == "default" else {"snr_db": float(label.split("=")[1])}
        for place, (method, (score, family, seeds)) in enumerate(METHODS.items()):
            for number, task in enumerate(tasks):
                if method == "formula" and task == "det":
                    continue
                for seed in range(seeds):
                    anchor = family in ("floor", "ceiling")
                    value = score if anchor else score * factor * (1 + 0.02 * seed)
                    terms = np.full(DROPS, value) if anchor else value * draws(number, DROPS)
                    if not anchor:
                        terms = terms + 0.02 * value * (draws(100 * place + seed, DROPS) - 1)
                    put(
                        folder,
                        method,
                        task,
                        float(terms.mean()),
                        seed,
                        conditions=conditions,
                        terms=terms,
                        family=family,
                        weights=f"tiny-model, SHA-256 {DIGEST}, frozen" if family == "llm" else "",
                        costs={"total_parameters": 1e6, "fit_s": 3.2},
                        created="2026-01-02T03:04:05Z",
                    )
    for path in (folder / "cells").glob("*__pre_*.json"):
        cell = json.loads(path.read_text())
        cell["scores"]["nmse"] |= {"title": "Least user's rate", "unit": "bit/s/Hz"}
        path.write_text(json.dumps(cell))
    return folder
