"""Ranks and seeds as the page and the table show them, of folders whose scores are worked out by hand."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from results_by_hand import draws, put, put_run, rows_of

from channelbench.leaderboard import report
from channelbench.leaderboard.board import Row

DROPS = 400
BASE = draws(3, DROPS)


def put_net(folder: Path, method: str, task: str, score: float, *shifts: float, family: str = "small") -> None:
    """A network: the score on every drop is ``score`` of what is common to all, moved by each seed's ``shift``."""
    for seed, shift in enumerate(shifts or (0.0,)):
        terms = score * BASE + shift
        put(folder, method, task, float(terms.mean()), seed, terms=terms, family=family)


def cells(page: str, title: str) -> list[str]:
    """The HTML of a row's cells in the first table: place, method, overall, tasks."""
    board = page[page.index('<table class="board') : page.index("</table>")]
    row = next(row for row in re.findall(r"<tr data-family.*?</tr>", board, re.DOTALL) if f">{title}<" in row)
    return re.findall(r"<t[dh][ >].*?</t[dh]>", row, re.DOTALL)


def text(cell: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", cell)).split())


def notes_on_ranks(page: str) -> list[str]:
    notes = map(text, re.findall(r'<p class="note">.*?</p>', page, re.DOTALL))
    return [note for note in notes if "rank" in note]


def page_of(folder: Path) -> str:
    return report(folder)[1].read_text()


def test_a_quick_run_says_why_networks_have_no_rank(tmp_path: Path) -> None:
    """One seed each: the formulas are ranked among themselves, though both networks are better."""
    put_run(tmp_path, ["cnn", "mlp", "lmmse", "bi"], {"CNN + BI": ("cnn", "bi")}, drops=DROPS)
    for task in ("ce", "cp"):
        put_net(tmp_path, "cnn", task, 0.1)
        put_net(tmp_path, "mlp", task, 0.12)
        put_net(tmp_path, "lmmse", task, 0.2, family="classical")
        put_net(tmp_path, "bi", task, 0.4, family="classical")
    page = page_of(tmp_path)
    shown = {title: cells(page, title) for title in ("CNN", "MLP", "LMMSE", "BI", "CNN + BI")}
    for title in ("CNN", "MLP", "CNN + BI"):
        place, _, overall, *tasks = shown[title]
        assert text(place) == ""
        for cell in (overall, *tasks):
            assert re.search(r"\[0\.\d+–0\.\d+\] seed spread unknown", text(cell) + text(overall))
            assert "best" not in cell.split(">")[0]
            assert 'class="rank"' not in cell
    assert [text(shown[title][1]) for title in ("CNN + BI", "LMMSE")] == ["CNN + BI 1 seed of CNN", "LMMSE Classical"]
    assert [text(shown[title][0]) for title in ("LMMSE", "BI")] == ["1", "2"]
    assert shown["LMMSE"][3].startswith('<td class="num best tied"')
    assert text(shown["LMMSE"][3]).startswith("rank 1 ")
    (note,) = notes_on_ranks(page)
    assert note.startswith("CNN and MLP have no rank in CE, CP: one seed each, and no learned row with two or more")
    assert "Run more seeds to rank them." in note
    assert "around an interval: seed spread unknown" in page
    frame = pd.read_csv(tmp_path / "leaderboard.csv").set_index(["method", "task"])
    assert frame.loc[("cnn", "ce")].seed_spread == "unknown"
    assert pd.isna(frame.loc[("cnn", "ce")].rank_low)
    assert pd.isna(frame.loc[("lmmse", "ce")].seed_spread)
    assert (frame.loc[("lmmse", "ce")].rank_low, frame.loc[("lmmse", "ce")].rank_high) == (1, 1)


def test_one_lender_ranks_them_all(tmp_path: Path) -> None:
    put_run(tmp_path, ["cnn", "mlp", "lmmse"], drops=DROPS)
    for task in ("ce", "cp"):
        put_net(tmp_path, "cnn", task, 0.1)
        put_net(tmp_path, "mlp", task, 0.1, -0.02, 0.0, 0.02)
        put_net(tmp_path, "lmmse", task, 0.9, family="classical")
    page = page_of(tmp_path)
    assert notes_on_ranks(page) == []
    assert [text(cells(page, title)[0]) for title in ("CNN", "MLP", "LMMSE")] == ["1–2", "1–2", "3"]
    tied = [re.findall(r'class="num([^"]*)"', cells(page, title)[3]) for title in ("CNN", "MLP", "LMMSE")]
    assert sorted(tied[:2]) == [[" best tied"], [" tied"]], "one is bold, the other not shown to be worse"
    assert tied[2] == [""]
    frame = pd.read_csv(tmp_path / "leaderboard.csv").set_index(["method", "task", "seed"])
    one, three = frame.loc[("cnn", "ce", 0)], frame.loc[("mlp", "ce", 0)]
    assert (one.seed_spread, three.seed_spread) == ("pooled", "own")
    assert one.mean_high - one.mean_low > three.mean_high - three.mean_low, "one seed is known less well than three"
    assert (one.rank_low, one.rank_high) == (1, 2)
    assert frame.loc[("lmmse", "ce", 0)].overall_rank_low == 3


def test_one_lucky_seed_is_not_alone_at_the_top(tmp_path: Path) -> None:
    """Its score is .04 better than that of three seeds which lie .05 apart: that is luck as likely as not."""
    put_run(tmp_path, ["lucky", "steady"], drops=DROPS)
    put_net(tmp_path, "lucky", "ce", 0.30)
    put_net(tmp_path, "steady", "ce", 0.34, -0.05, 0.0, 0.05)
    rows = rows_of(tmp_path)
    assert [str(rows[name].entries["ce"].rank) for name in ("LUCKY", "STEADY")] == ["1–2", "1–2"]
    lucky, steady = (rows[name].entries["ce"].scores["nmse"] for name in ("LUCKY", "STEADY"))
    assert lucky.high - lucky.low > steady.high - steady.low


def test_worse_than_trivial_is_nowhere_first(tmp_path: Path) -> None:
    """Floors are 1 (CE) and .5 (CP)."""
    put_run(tmp_path, ["bad", "worse"], drops=DROPS)
    for task, floor in (("ce", 1.0), ("cp", 0.5)):
        put_net(tmp_path, "bad", task, 1.5 * floor, family="classical")
        put_net(tmp_path, "worse", task, 2.0 * floor, family="classical")
    rows = rows_of(tmp_path)
    assert [str(rows["BAD"].entries[task].rank) for task in ("ce", "cp")] == ["2", "2"]
    assert [str(rows[name].rank) for name in ("BAD", "WORSE")] == ["2", "2"]
    assert "num best" not in page_of(tmp_path)


def ranks_of(row: Row) -> list[str]:
    return [str(row.entries[task].rank) for task in ("ce", "cp")]


@pytest.mark.parametrize("shifts", [(), (-0.01, 0.0, 0.01)])
def test_a_bundles_ranks_are_its_members(tmp_path: Path, shifts: tuple[float, ...]) -> None:
    """In each task; over all of them it has none, for it is no method, but the score of the one that it is made of."""
    names = [f"net{i}" for i in range(5)]
    bundles = {"alone": ("net1",), "twice": ("net1", "net2"), "mixed": ("left", "net3")}
    put_run(tmp_path, [*names, "left"], bundles, drops=DROPS)
    for i, name in enumerate(names):
        terms = (0.2 + 0.01 * i) * draws(20 + i, DROPS)
        for task in ("ce", "cp"):
            for seed, shift in enumerate(shifts or (0.0,)):
                family = "small" if shifts else "classical"
                put(tmp_path, name, task, float((terms + shift).mean()), seed, terms=terms + shift, family=family)
    put_net(tmp_path, "left", "ce", 0.05, family="classical")
    rows = rows_of(tmp_path)
    assert len(set(map(str, (rows[name.upper()].rank for name in names)))) > 1
    for title, members in {"alone": ("NET1", "NET1"), "twice": ("NET1", "NET1"), "mixed": ("LEFT", "NET3")}.items():
        for task, member in zip(("ce", "cp"), members, strict=True):
            ours, theirs = rows[title].entries[task], rows[member].entries[task]
            assert ours.rank == theirs.rank is not None
            assert ours.scores == theirs.scores
    assert rows["alone"].rank is rows["twice"].rank is None
    assert rows["NET1"].rank is not None
    alone, net = rows["alone"].overall, rows["NET1"].overall
    assert alone is not None
    assert net is not None
    assert (alone.value, alone.low, alone.high) == (net.value, net.low, net.high)


def test_every_metric_has_the_spread_of_its_own_seeds(tmp_path: Path) -> None:
    put_run(tmp_path, ["net", "one"])
    for seed, value in enumerate((0.2, 0.3, 0.4)):
        put(tmp_path, "net", "ce", value, seed, metrics=("nmse", "nmse_db"), family="small")
    put(tmp_path, "one", "ce", 0.3, metrics=("nmse", "nmse_db"), family="small")
    scores = rows_of(tmp_path)["ONE"].entries["ce"].scores
    variances = {name: score.spread.variance for name, score in scores.items() if score.spread is not None}
    assert variances == {
        "nmse": pytest.approx(0.01),
        "nmse_db": pytest.approx(np.var(10 * np.log10([0.2, 0.3, 0.4]), ddof=1)),
    }
