"""What the page calls things: names from cards where they are installed, readable forms of the names elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channelbench import registry
from channelbench.conditions import DEFAULT
from channelbench.errors import RequestError
from channelbench.spec import source_of

__all__ = [
    "axis",
    "condition_title",
    "metric_label",
    "scenario",
    "source",
    "task_code",
    "unit",
]

_ACRONYMS = {word: word.upper() for word in ("nmse", "mae", "rmse", "se", "ser", "ber", "snr")} | {"db": "dB"}
_FIELDS = {"snr_db": "SNR", "pilot_spacing": "pilot spacing", "snr_reference": "SNR reference"}
_FIELDS |= {"power_dbw": "power", "csi": "CSI", "csi_snr_db": "CSI SNR"}
_UNITS = {"snr_db": " dB", "power_dbw": " dBW", "csi_snr_db": " dB"}


def task_code(task: str) -> str:
    """Names of short parts are acronyms: ``PRE-SR`` for ``pre_sr``."""
    return task.upper().replace("_", "-") if max(map(len, task.split("_"))) <= 4 else task


def metric_label(metric: str) -> str:
    """``NMSE`` for ``nmse``, ``top-1 accuracy`` for ``top1_accuracy``."""
    try:
        title = str(registry.find("metrics", metric).card.title)
    except RequestError:
        title = ""
    if title:
        return title
    words = [_ACRONYMS.get(word, word) for word in metric.split("_")]
    return " ".join(f"top-{word[3:]}" if word.startswith("top") and word[3:].isdigit() else word for word in words)


def unit(text: str) -> str:
    """A unit as shown: pure numbers have none."""
    return "" if text == "1" else text


def condition_title(label: str) -> str:
    """A tab's name: ``Default``, ``SNR 0 dB``, ``Paper-compatible``."""
    if label == DEFAULT:
        return "Default"
    parts = []
    for item in label.split(","):
        key, _, value = item.partition("=")
        if key == "paper_compat":
            parts.append("Paper-compatible")
        elif value == "true":
            parts.append(key.replace("_", " "))
        else:
            name = _FIELDS.get(key, key.replace("_", " "))
            parts.append(f"{name} {_signed(value)}{_UNITS.get(key, '')}")
    return ", ".join(parts)


def axis(field: str) -> tuple[str, str]:
    """A condition and its unit, as an axis has them."""
    return _FIELDS.get(field, field.replace("_", " ")), _UNITS.get(field, "").strip()


def _signed(value: str) -> str:
    """A number with a true minus sign; words, such as a method's name, as they are."""
    return f"−{value[1:]}" if value.startswith("-") else value


def scenario(record: Mapping[str, Any]) -> str:
    """What a spec's scenario is called; its name where it is not installed here."""
    name = str(record.get("scenario", "?"))
    try:
        return str(registry.find("generators", name, source=record.get("source")).card.label)
    except RequestError:
        return name


def source(record: Mapping[str, Any]) -> str:
    """What a spec's source is called; its name where a record has what the source does not know."""
    try:
        return source_of(record).label
    except RequestError:
        return str(record.get("source", "?"))


def source_remark(record: Mapping[str, Any]) -> str:
    """What a spec's source has to say on every row; empty if nothing."""
    try:
        return source_of(record).remark
    except RequestError:
        return ""
