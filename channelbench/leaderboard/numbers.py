"""Numbers as text: aligned decimals, true minus signs, units that a reader can say aloud."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from channelbench.leaderboard.estimate import Estimate

__all__ = ["decimals", "fixed", "frequency", "interval", "percent", "quantity", "ticks"]

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def decimals(estimates: Iterable[Estimate], *, most: int = 4) -> int:
    """Decimals for a column of estimates: two digits of the finer half of the interval widths, all the same."""
    widths = sorted(w for e in estimates if math.isfinite(w := (e.high - e.low) / 2) and w > 0)
    if not widths:
        return min(3, most)
    return min(max(1 - math.floor(math.log10(widths[(len(widths) - 1) // 3])), 0), most)


def fixed(value: float, places: int) -> str:
    """``value`` with ``places`` decimals, a true minus sign and no negative zero."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def interval(estimate: Estimate, places: int) -> str:
    """``low–high``, spaced where a minus sign stands beside the dash; nothing where both read the same; in brackets
    where it leaves out what another training would change."""
    low, high = fixed(estimate.low, places), fixed(estimate.high, places)
    if low == high:
        return ""
    text = f"{low} – {high}" if "−" in low + high else f"{low}–{high}"
    return f"[{text}]" if estimate.spread_unknown else text


def percent(share: Estimate) -> tuple[str, str]:
    """A share as ``+2.1 %`` with its interval ``1.0–3.2``, both with as many decimals as the interval bears."""
    whole = share.affine(100.0, 0.0)
    places = decimals([whole], most=1)
    value = fixed(whole.value, places)
    sign = "+" if value.strip("0.") and not value.startswith("−") else ""
    return f"{sign}{value}\u00a0%", interval(whole, places)


def quantity(value: float | None) -> str:
    """Three significant digits with k, M or G: ``1.17 M``; a dash for what was not measured."""
    if value is None or math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    scale, prefix = next((p for p in _PREFIXES if abs(value) >= p[0]), _PREFIXES[-1])
    scaled = value / scale
    if prefix == "" and float(value).is_integer():
        return fixed(value, 0)
    places = max(2 - math.floor(math.log10(abs(scaled))), 0)
    text = fixed(scaled, min(places, 4))
    return f"{text} {prefix}" if prefix else text


def frequency(hertz: float) -> str:
    """``1.9 GHz``, ``60 MHz``."""
    scale, prefix = next((p for p in _PREFIXES if abs(hertz) >= p[0]), _PREFIXES[-1])
    return f"{hertz / scale:.4g} {prefix}Hz"


def ticks(low: float, high: float, *, log: bool) -> Sequence[float]:
    """Round numbers from ``low`` to ``high``: multiples of 1, 2 or 5 on a linear axis, 1–2–5 on a log one."""
    if log:
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1, 2, 5) if high / low < 300 else (1,)
        marks = [step * 10.0**exponent for exponent in exponents for step in steps]
        return [mark for mark in marks if low <= mark <= high]
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]
