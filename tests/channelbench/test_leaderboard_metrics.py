"""Scores of metrics that are not channelbench’s own, or that nobody has any more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from results_by_hand import FAMILY, NMSE, Terms, draws, put_run, rows_of

from channelbench.bootstrap import resampled_scores
from channelbench.leaderboard import report
from channelbench.results import MetricScore, Result, split_digest, write_cell

THIRD_PARTY = """
import numpy as np
from channelbench.card import Card
from channelbench.contracts import Metric


class Power(Metric):
    def __init__(self, exponent):
        self.exponent = exponent

    @property
    def card(self):
        return Card(name=f"power_{self.exponent}", description="A power.", reference="none", family="metric")

    @property
    def parameters(self):
        return {"exponent": self.exponent}

    def accumulate(self, prediction, target):
        return np.abs(prediction - target.value)[:, None]

    def finalize(self, mean_terms):
        return mean_terms[..., 0] ** self.exponent
"""


def put_foreign(folder: Path, method: str, terms: Terms, metric: str, parameters: Mapping[str, Any]) -> None:
    """A cell of CE whose primary metric is a third party's."""
    value = float(terms.mean() ** 3)
    result = Result(
        method=method,
        title=method.upper(),
        family=FAMILY.get(method, "classical"),
        reference="a paper",
        task="ce",
        primary_metric="power_3",
        seed=0,
        preset="quick",
        status="ok",
        scores={
            "power_3": MetricScore(value=value, low=0.9 * value, high=1.1 * value, metric=metric, parameters=parameters)
        },
        num_test=len(terms),
        train_digest="",
        test_digest=split_digest("d", "test"),
    )
    write_cell(folder, result, {"power_3": terms[:, None]})


def test_metrics_from_elsewhere_are_found_by_their_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an entry point: an advantage of 2 %, drop by drop, is seen as the certain one that it is."""
    module = f"metrics_from_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(THIRD_PARTY)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "results"
    folder.mkdir()
    put_run(folder, ["a", "b"])
    base = draws(6, 300)
    for method, factor in (("a", 1.0), ("b", 1.02), ("zero", 9.0), ("ceiling", 0.0)):
        put_foreign(folder, method, factor * base, f"{module}:Power", {"exponent": 3})
    rows = rows_of(folder)
    entries = {name: rows[name].entries["ce"] for name in ("A", "B")}
    for name, factor in (("A", 1.0), ("B", 1.02)):
        found = entries[name].scores["power_3"].replicates
        assert found is not None
        stored = (factor * base).astype(np.float32).astype(np.float64)[:, None]
        np.testing.assert_allclose(found, resampled_scores(NMSE, stored) ** 3, rtol=1e-12)
    assert [str(entries[name].rank) for name in ("A", "B")] == ["1", "2"]
    assert entries["B"].scores["power_3"].low < entries["A"].scores["power_3"].high, "which intervals alone do not tell"


@pytest.mark.parametrize(
    ("metric", "parameters"),
    [
        ("no_such_module_anywhere:Power", {"exponent": 3}),
        ("channelbench.metrics.channel:Power", {"exponent": 3}),
        ("channelbench.metrics.channel:NMSE", {"exponent": 3}),
        ("channelbench.results:Result", {}),
        ("", {}),
    ],
)
def test_metrics_that_cannot_be_imported_are_shown_still(
    tmp_path: Path, metric: str, parameters: Mapping[str, Any]
) -> None:
    put_run(tmp_path, ["a", "b"])
    base = draws(7, 300)
    for method, factor in (("a", 1.0), ("b", 1.02), ("zero", 9.0), ("ceiling", 0.0)):
        put_foreign(tmp_path, method, factor * base, metric, parameters)
    rows = rows_of(tmp_path)
    for name, factor in (("A", 1.0), ("B", 1.02)):
        entry = rows[name].entries["ce"]
        score = entry.scores["power_3"]
        assert entry.state == "ok"
        assert score.value == float((factor * base).mean() ** 3)
        assert (score.low, score.high) == (0.9 * score.value, 1.1 * score.value)
        assert score.replicates is None
        assert str(entry.rank) == "1–2"
        assert entry.skill is not None
    csv, html = report(tmp_path)
    shown = pd.read_csv(csv).query("metric == 'power_3' and method == 'a'")
    assert list(shown.value) == [rows["A"].entries["ce"].scores["power_3"].value]
    assert "power 3" in html.read_text()
    assert "metrics are not installed here, so that nobody can work them out again: a (ce); b (ce)" in html.read_text()
