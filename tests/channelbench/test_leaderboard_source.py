"""What the source of a dataset has to say of every score on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from results_by_hand import put_run

from channelbench.leaderboard import report
from channelbench.leaderboard.labels import source_remark
from channelbench.sources import SourceSpec
from channelbench.testing import FewRays


def test_every_row_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    put_run(tmp_path, ("zero",))
    report(tmp_path)
    assert "strange squares" not in (tmp_path / "leaderboard.html").read_text()
    monkeypatch.setattr(SourceSpec, "remark", property(lambda self: "strange squares"))
    report(tmp_path)
    frame, page = pd.read_csv(tmp_path / "leaderboard.csv"), (tmp_path / "leaderboard.html").read_text()
    assert len(frame)
    assert frame["remark"].str.contains("strange squares").all()
    assert page.count("strange squares") >= len(np.unique(frame["method"]))


def test_sources_have_nothing_to_say_by_themselves() -> None:
    assert FewRays.source().remark == ""
    assert source_remark({"scenario": "nowhere", "source": "gone"}) == ""
