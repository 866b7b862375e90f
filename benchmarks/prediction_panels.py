"""The pictures of a prediction: what was seen, what is true, what methods say; by the kind of the task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelbench.benchmarks.predicted import Answer, Predicted
from channelbench.generator import Panel
from channelbench.metrics.precoding import user_rates
from channelbench.solvers.constellation import constellation_named
from channelbench.tasks.link.beam import BeamPrediction
from channelbench.tasks.link.channel import ChannelTask
from channelbench.tasks.link.scalar import ScalarTask
from channelbench.tasks.multiuser.answers import detected
from channelbench.tasks.multiuser.detection import Detection
from channelbench.tasks.multiuser.precoding import PrecodingTask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["panels_for", "score_words"]

TRUTH = "#0f172a"
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#805ad5", "#b7791f", "#c53030", "#0987a0", "#97266d")

FLOOR_DB = -30.0
"""Below the strongest coefficient of the truth: the dark end of a map."""


def score_words(answer: Answer, value: float | None = None) -> str:
    """A score with its name and unit; by default the one on this case alone."""
    score = answer.cell.scores[answer.cell.primary_metric]
    number = answer.value if value is None else value
    return f"{score.title or answer.cell.primary_metric} {number:.3g}{f' {score.unit}' if score.unit else ''}"


def panels_for(one: Predicted) -> list[Panel]:
    """The pictures of one task."""
    for kind, made in KINDS:
        if isinstance(one.task, kind):
            return made(one)
    return [_any(one)]


# --- channels ---


def _channels(one: Predicted) -> list[Panel]:
    grid, seen, truth = one.observation.grid, one.observation.h[0], one.target.value[0]
    peak = float(_db(truth).max())
    wanted = grid.target_slot_s, grid.target_subcarrier_hz
    panels = [
        Panel(
            "What is seen",
            partial(_map, title="Seen, with noise", h=seen, at=(grid.slot_s, grid.subcarrier_hz), one=one, peak=peak),
            "What methods are given: coefficients with noise at the places that are observed; white is not seen.",
        ),
        Panel(
            "Truth",
            partial(_map, title="Truth", h=truth, at=wanted, one=one, peak=peak),
            "What is wanted, without noise: a prediction as good as can be looks the same.",
        ),
    ]
    for answer in one.answers:
        panels.append(
            Panel(
                f"{answer.cell.title}",
                partial(_map, title=_titled(answer), h=answer.prediction[0], at=wanted, one=one, peak=peak),
                "What the method says of the same places: fades that are missing, shifted or washed out are its error.",
            )
        )
    return [*panels, Panel("All of them, last slot", partial(_lines, one=one), LINES)]


LINES = (
    "The last wanted slot over frequency: the closer a method's line lies to the black one, the better; a line of "
    "another height has the power wrong, one of another shape the phases of its paths."
)


def _map(ax: Axes, *, title: str, h: NDArray[Any], at: tuple[Any, Any], one: Predicted, peak: float) -> None:
    """|H| of the first antenna over slots and subcarriers; a line where there is one of either."""
    slot_s, subcarrier_hz = at
    band = one.view.spec.sub6
    offset = (subcarrier_hz - one.observation.grid.carrier_hz) / 1e6
    level = _db(h[..., 0])
    ax.set_title(title, fontsize=11)
    if min(level.shape) == 1:
        along, label = (offset, "frequency from carrier (MHz)") if len(offset) > 1 else (slot_s * 1e3, "time (ms)")
        ax.plot(along, level.ravel(), color=COLOURS[0], lw=1.4, marker=".")
        ax.set(xlabel=label, ylabel="|h| (dB)", ylim=(peak + FLOOR_DB, peak + 3))
        ax.grid(alpha=0.3)
        return
    width, step = band.slot_s * 1e3, band.bandwidth_hz / band.num_subcarriers / 1e6
    for number in range(len(offset)):  # each by itself: pilots are not beside each other
        x = np.append(slot_s * 1e3, slot_s[-1] * 1e3 + width)
        y = offset[number] + np.array([-step, step]) / 2
        mesh = ax.pcolormesh(x, y, level[:, number][None], cmap="viridis", vmin=peak + FLOOR_DB, vmax=peak)
    ax.figure.colorbar(mesh, ax=ax, label="|h| of antenna 1 (dB)", extend="both")
    half = band.bandwidth_hz / 2e6
    low, high = (-half, half) if offset[0] < 0 < offset[-1] else (offset[0] - step / 2, offset[-1] + step / 2)
    ax.set(xlabel="time (ms)", ylabel="frequency from carrier (MHz)", ylim=(low, high))


def _lines(ax: Axes, one: Predicted) -> None:
    grid, truth = one.observation.grid, one.target.value[0]
    offset = (grid.target_subcarrier_hz - grid.carrier_hz) / 1e6
    by_time = len(offset) == 1
    along = grid.target_slot_s * 1e3 if by_time else offset

    def line(h: NDArray[Any]) -> NDArray[np.float64]:
        return _db(h[:, 0, 0] if by_time else h[-1, :, 0])

    ax.plot(along, line(truth), color=TRUTH, lw=2.4, label="truth")
    for colour, answer in zip(_colours(one.answers), one.answers, strict=True):
        ax.plot(along, line(answer.prediction[0]), color=colour, lw=1.3, label=answer.cell.title)
    ax.set_title("All of them" if by_time else "All of them, last slot", fontsize=11)
    ax.set(xlabel="time (ms)" if by_time else "frequency from carrier (MHz)", ylabel="|h| of antenna 1 (dB)")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)


def _db(h: NDArray[Any]) -> NDArray[np.float64]:
    return 20 * np.log10(np.maximum(np.abs(h.astype(np.complex128)), 1e-6))


# --- beams ---


def _beams(one: Predicted) -> list[Panel]:
    panels = [
        _seen_first_slot(one),
        Panel(
            "Rate of every beam",
            partial(_beam_rates, one=one),
            "The rate that each beam of the codebook would give, and which one methods choose: a good choice stands at "
            "the highest peak, a neighbour of it costs little, another peak is another path.",
        ),
    ]
    for colour, answer in zip(_colours(one.answers), one.answers, strict=True):
        drawn = partial(_beam_scores, one=one, answer=answer, colour=colour)
        panels.append(
            Panel(
                answer.cell.title,
                drawn,
                "How high the method scores each beam: its choice is the highest; the right beam is the black line, "
                "and a score that is flat there has not seen it.",
            )
        )
    return panels


def _beam_rates(ax: Axes, one: Predicted) -> None:
    rates, best = one.target.context["beam_se"][0], int(one.target.value[0])
    ax.plot(rates, color="#94a3b8", lw=1.2)
    ax.axvline(best, color=TRUTH, lw=1.2, label=f"right: beam {best}, {rates[best]:.3g} bit/s/Hz")
    markers = "osD^vP*X"
    for number, (colour, answer) in enumerate(zip(_colours(one.answers), one.answers, strict=True)):
        choice = int(answer.prediction[0].argmax())
        share = rates[choice] / rates[best]
        text = f"{answer.cell.title}: beam {choice}, {share:.1%}"
        ax.plot(choice, rates[choice], markers[number % len(markers)], color=colour, ms=9 - number % 4, label=text)
    ax.set_title("Rate of every beam", fontsize=11)
    ax.set(xlabel="beam", ylabel="spectral efficiency (bit/s/Hz)", ylim=(0, 1.45 * rates.max()))
    ax.legend(fontsize=8, loc="upper right")


def _beam_scores(ax: Axes, one: Predicted, answer: Answer, colour: str) -> None:
    scores, best = answer.prediction[0].astype(np.float64), int(one.target.value[0])
    choice = int(scores.argmax())
    ax.plot(scores, color=colour, lw=1.2)
    ax.axvline(best, color=TRUTH, lw=1.2, label=f"right: {best}")
    ax.plot(choice, scores[choice], "o", color=colour, ms=7, label=f"chosen: {choice}")
    ax.set_title(_titled(answer), fontsize=11)
    ax.set(xlabel="beam", ylabel="the method's score")
    ax.legend(fontsize=8)


# --- one number ---


def _numbers(one: Predicted) -> list[Panel]:
    sentence = (
        "The true number as a black line, what methods say as dots, and in grey how many training samples have such a "
        "number: a method that answers in the middle of the grey whatever it sees has learned nothing."
    )
    return [_seen_first_slot(one), Panel("True and estimated", partial(_on_an_axis, one=one), sentence)]


def _on_an_axis(ax: Axes, one: Predicted) -> None:
    task = one.task
    assert isinstance(task, ScalarTask)
    variable = one.view.spec, task.needs[0]
    unit = {"distance_m": "m"}.get(variable[1], "dB")
    known, truth = task.values(one.view.train), float(one.target.value[0])
    ax.hist(known, bins=min(40, max(5, len(known) // 8)), color="#cbd5e1", label="training samples")
    top = ax.get_ylim()[1]
    ax.axvline(truth, color=TRUTH, lw=2, label=f"truth {truth:.4g} {unit}")
    for number, (colour, answer) in enumerate(zip(_colours(one.answers), one.answers, strict=True)):
        said = float(answer.prediction[0])
        height = top * (0.9 - 0.75 * number / max(len(one.answers), 2))
        ax.plot([truth, said], [height, height], color=colour, lw=1, ls=":")
        text = f"{answer.cell.title}: {said:.4g} {unit}, off by {abs(said - truth):.3g}"
        ax.plot(said, height, "o", color=colour, ms=8, label=text)
    ax.set_title(task.card.title, fontsize=11)
    ax.set(xlabel=f"{'distance' if unit == 'm' else 'loss of the main path'} ({unit})", ylabel="training samples")
    ax.legend(fontsize=8)


def _seen_first_slot(one: Predicted) -> Panel:
    def draw(ax: Axes) -> None:
        h = _db(one.observation.h[0, 0])
        offset = (one.observation.grid.subcarrier_hz - one.observation.grid.carrier_hz) / 1e6
        step = offset[1] - offset[0] if len(offset) > 1 else 1.0
        edges = np.append(offset - step / 2, offset[-1] + step / 2)
        mesh = ax.pcolormesh(np.arange(h.shape[1] + 1) + 0.5, edges, h, cmap="viridis")
        ax.figure.colorbar(mesh, ax=ax, label="|h| (dB)")
        ax.set_title("Seen, with noise", fontsize=11)
        ax.set(xlabel="antenna", ylabel="frequency from carrier (MHz)")

    return Panel(
        "What is seen", draw, "What methods are given: the first slot over antennas and frequency, with noise."
    )


# --- groups of users ---


def _precoding(one: Predicted) -> list[Panel]:
    sentence = (
        "The rate that each user of the group gets: bars of one height are fair, a missing bar is a user who is not "
        "served; the sum is what PRE-SR counts and the lowest bar what PRE-MM counts."
    )
    return [_channel_gains(one), Panel("Rates of the users", partial(_rates, one=one), sentence)]


def _rates(ax: Axes, one: Predicted) -> None:
    users = np.arange(one.observation.h.shape[2])
    width = 0.8 / len(one.answers)
    for number, (colour, answer) in enumerate(zip(_colours(one.answers), one.answers, strict=True)):
        rates = user_rates(answer.prediction, one.target)[0]
        text = f"{answer.cell.title}: sum {rates.sum():.3g}, least {rates.min():.3g}"
        ax.bar(users + 1 - 0.4 + (number + 0.5) * width, rates, width, color=colour, label=text)
    ax.set_title("Rates of the users", fontsize=11)
    ax.set(xlabel="user", ylabel="rate (bit/s/Hz)", xticks=users + 1)
    ax.set_ylim(0, 1.35 * ax.get_ylim()[1])
    ax.legend(fontsize=8, loc="upper right")


def _channel_gains(one: Predicted) -> Panel:
    """How alike the users' channels are, which is what makes serving them at once hard."""
    h = one.observation.h[0]
    rows = h.reshape(-1, *h.shape[-2:])[0] if isinstance(one.task, PrecodingTask) else h.T

    def draw(ax: Axes) -> None:
        unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
        users = np.arange(len(rows) + 1) + 0.5
        mesh = ax.pcolormesh(users, users, np.abs(unit.conj() @ unit.T), cmap="magma", vmin=0, vmax=1)
        ax.figure.colorbar(mesh, ax=ax, label="correlation of channels")
        ax.set_title("Seen: how alike the users' channels are", fontsize=11)
        ax.set(xlabel="user", ylabel="user", aspect="equal", xticks=users[:-1] + 0.5, yticks=users[:-1] + 0.5)

    sentence = (
        "What methods are given, as the correlation of each two users' channels: dark squares beside the diagonal are "
        "users who are told apart easily, bright ones are users who disturb each other."
    )
    return Panel("What is seen", draw, sentence)


def _detection(one: Predicted) -> list[Panel]:
    panels = [_channel_gains(one)]
    for colour, answer in zip(_colours(one.answers), one.answers, strict=True):
        panels.append(
            Panel(
                answer.cell.title,
                partial(_constellation, one=one, answer=answer, colour=colour),
                "The method's estimates of all symbols of the group around the points that can be sent: a cloud around "
                "each point is right, red crosses are symbols that it decides wrongly.",
            )
        )
    return panels


def _constellation(ax: Axes, one: Predicted, answer: Answer, colour: str) -> None:
    points = constellation_named(one.observation.modulation).points
    said = detected(answer.prediction)
    wrong = said.decisions[0] != one.target.context["symbols"][0]
    x = said.x[0]
    ax.scatter(points.real, points.imag, marker="+", color=TRUTH, s=60, label="can be sent", zorder=3)
    ax.scatter(x[~wrong].real, x[~wrong].imag, s=10, color=colour, label=f"right ({int((~wrong).sum())})")
    ax.scatter(x[wrong].real, x[wrong].imag, s=26, marker="x", color="#c53030", label=f"wrong ({int(wrong.sum())})")
    ax.set_title(_titled(answer), fontsize=11)
    ax.set(xlabel="in phase", ylabel="quadrature", aspect="equal")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


# --- what others' tasks ask for ---


def _any(one: Predicted) -> Panel:
    """Numbers in a row: no more is known of a task of somebody else's."""

    def draw(ax: Axes) -> None:
        truth = np.abs(np.ravel(one.target.value[0]))
        for colour, answer in zip(_colours(one.answers), one.answers, strict=True):
            said = np.abs(np.ravel(answer.prediction[0]))
            ax.plot(said, ".-", color=colour, lw=1, label=_titled(answer))
        ax.plot(truth, color=TRUTH, lw=2, label="target", marker="_")
        ax.set_title(one.task.card.label, fontsize=11)
        ax.set(xlabel="number of the answer", ylabel="magnitude")
        ax.legend(fontsize=8)

    return Panel("Target and answers", draw, "Magnitudes of the target and of the answers, number by number.")


KINDS: tuple[tuple[type, Any], ...] = (
    (ChannelTask, _channels),
    (BeamPrediction, _beams),
    (ScalarTask, _numbers),
    (PrecodingTask, _precoding),
    (Detection, _detection),
)


def _titled(answer: Answer) -> str:
    return f"{answer.cell.title}: {score_words(answer)}"


def _colours(answers: Sequence[Answer]) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(len(answers))]
