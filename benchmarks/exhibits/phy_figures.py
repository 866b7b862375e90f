"""Figs. 5 to 10 of the multi-task PHY LLM. The paper shows them as pictures, without numbers."""

from __future__ import annotations

from collections.abc import Mapping

from channelbench.benchmarks.exhibits.sweep import Part, Sweep, Swept, SweptRow, shown_rows, task_views, titles_of
from channelbench.card import Card
from channelbench.families import CEILING, FLOOR
from channelbench.leaderboard.curves import Point
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.spread import widened
from channelbench.leaderboard.views import Run, View
from channelbench.tasks.link.conditions import TRAIN_SNR_DB as LINK_SNR_DB
from channelbench.tasks.multiuser.conditions import TRAIN_POWER_DBW, TRAIN_SNR_DB, TRAIN_USERS

__all__ = ["DetectionBySNR", "PredictionBySNR", "PredictionBySpeed", "SumRateByPower", "SumRateByUsers"]

_PICTURE = "The paper shows this as a picture without numbers."
_ORTHOGONAL = (
    "Few users at random hardly disturb each other at 128 antennas, so that every precoder but MRT is near the "
    "ceiling there; near users are ours."
)


def _card(name: str, description: str, figure: str) -> Card:
    return Card(name=name, description=description, reference=f"Multi-task PHY LLM, {figure}", family="exhibit")


class PredictionBySpeed(Sweep):
    """Fig. 5. The speeds are those of the test's cases, which all stand in one cell."""

    card = _card("phy-velocity", "Fig. 5: error of channel prediction by the user's speed.", "Fig. 5")
    task = "cp"
    field = "speed_kmh"
    axis = "speed in km/h"
    parts = (
        Part(
            name="phy-velocity",
            title="Fig. 5: channel prediction by speed",
            metric="nmse_db",
            label="NMSE, dB",
            text=(
                f"NMSE of the predicted slots over the test’s cases of each speed. {_PICTURE} It has the error of all "
                "methods grow with speed, attention before recurrence, the single-task LLM first at every speed and "
                "the multi-task one next to it."
            ),
            without=(CEILING,),
        ),
    )

    def swept(self, run: Run, part: Part) -> list[Swept]:
        found = task_views(run, self.task)
        titles = titles_of([conditions for _, conditions in found])
        panels = [_by_speed(title, view, part) for title, (view, _) in zip(titles, found, strict=True)]
        return [panel for panel in panels if panel.steps]


def _by_speed(title: str, view: View, part: Part) -> Swept:
    rows = shown_rows(view, part)
    of = {row.method: view.by_stratum(row.method, "cp", part.metric, "speed_kmh") for row in rows}
    speeds = tuple(sorted({speed for scores in of.values() for speed in scores}))
    families = {row.method: row.family for row in rows}
    columns = {speed: _widened(speed, of, families) for speed in speeds}
    shown = [
        SweptRow(
            row.method,
            row.title,
            row.family,
            tuple(Point(speed, columns[speed].get(row.method)) for speed in speeds),
            (view.missing(row.method, "cp"),) * len(speeds),
        )
        for row in rows
        if of[row.method]
    ]
    return Swept(title, speeds, tuple(shown))


def _widened(
    speed: float, of: Mapping[str, Mapping[float, Estimate]], families: Mapping[str, str]
) -> dict[str, Estimate]:
    """All rows at one speed, with the spread between trainings."""
    return widened({method: scores[speed] for method, scores in of.items() if speed in scores}, families)


class PredictionBySNR(Sweep):
    """Fig. 6."""

    card = _card("phy-snr", "Fig. 6: error of channel prediction by the SNR of the observed slots.", "Fig. 6")
    task = "cp"
    field = "snr_db"
    axis = "SNR in dB"
    trained = LINK_SNR_DB
    parts = (
        Part(
            name="phy-snr",
            title="Fig. 6: channel prediction by SNR",
            metric="nmse_db",
            label="NMSE, dB",
            text=(
                f"NMSE of the predicted slots over all speeds; targets are clean. {_PICTURE} It has the proposed "
                "method lowest over the whole range."
            ),
            without=(CEILING,),
        ),
    )


def _share(name: str, by: str) -> Part:
    """What the curves of rates, which lie close, do not tell apart."""
    return Part(
        name=f"{name}-share",
        title=f"How near the capacity, by {by}",
        metric="capacity_share",
        label="share of capacity",
        text=(
            "Mean sum rate over the mean sum capacity of dirty-paper coding on the same groups, without the floor: "
            "what is missing to 1 is all that better precoders, linear or not, could add."
        ),
        without=(CEILING, FLOOR),
    )


_RATE = "Sum rate of a group on the centre subcarrier over noise of −10 dBW"


class SumRateByPower(Sweep):
    """Fig. 7."""

    card = _card("phy-power", "Fig. 7: sum rate of precoders by the base station's power.", "Fig. 7")
    task = "pre_sr"
    field = "power_dbw"
    axis = "P_max in dBW"
    trained = TRAIN_POWER_DBW
    parts = (
        Part(
            name="phy-power",
            title="Fig. 7: sum rate by power",
            metric="sum_rate",
            label="sum rate, bit/s/Hz",
            text=(
                f"{_RATE}. {_PICTURE} It has four users, ZF last, WMMSE with 20 iterations at an “obvious gap” from "
                f"the capacity, the CNN better, and the LLM near-optimal at all powers. {_ORTHOGONAL}"
            ),
        ),
        _share("phy-power", "power"),
    )


class SumRateByUsers(Sweep):
    """Fig. 8."""

    card = _card("phy-users", "Fig. 8: sum rate of precoders by the number of users, one fit for all.", "Fig. 8")
    task = "pre_sr"
    field = "users"
    axis = "number of users"
    trained = TRAIN_USERS
    parts = (
        Part(
            name="phy-users",
            title="Fig. 8: sum rate by the number of users",
            metric="sum_rate",
            label="sum rate, bit/s/Hz",
            text=(
                f"{_RATE}; each learned method is one fit for all numbers of users. {_PICTURE} It has 0 dBW, the sum "
                f"rate growing with the users and the LLM first for every number of them. {_ORTHOGONAL}"
            ),
        ),
        _share("phy-users", "number of users"),
    )


class DetectionBySNR(Sweep):
    """Figs. 9 and 10."""

    card = _card("phy-detection", "Figs. 9 and 10: errors of detected symbols by SNR.", "Figs. 9 and 10")
    task = "det"
    field = "snr_db"
    axis = "SNR in dB"
    trained = TRAIN_SNR_DB
    parts = (
        Part(
            name="phy-detection-nmse",
            title="Fig. 9: error of the symbols by SNR",
            metric="symbol_nmse",
            label="NMSE of x",
            text=(
                "NMSE of the estimated symbols; the SNR is ‖H‖²/(Nσ²) of each group. A detector that answers "
                f"decisions, as maximum likelihood does, is not made for it. {_PICTURE} It has the DNN poor, LMMSE "
                "“relatively high”, DetNet and OAMP-Net well below, and OAMP-Net before the LLM at high SNR."
            ),
            log=True,
            lowest=1e-5,
        ),
        Part(
            name="phy-detection-ser",
            title="Fig. 10: wrong decisions by SNR",
            metric="ser",
            label="SER",
            text=(
                "Share of symbols that are decided wrongly. Where the test split has no error the curve stands at half "
                f"an error, hollow, and the table says what was counted. {_PICTURE} It has the LLM best below 8 dB and "
                "OAMP-Net best above."
            ),
            log=True,
        ),
    )
