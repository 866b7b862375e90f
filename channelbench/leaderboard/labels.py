"""What the page calls things: names from cards where they are installed, readable forms of the names elsewhere."""

from __future__ import annotations

from channelbench import registry
from channelbench.contracts import Conditions
from channelbench.errors import RequestError

__all__ = [
    "FAMILIES",
    "condition_sentence",
    "condition_title",
    "family_label",
    "metric_label",
    "scenario",
    "task_code",
    "task_title",
    "unit",
]

FAMILIES = {
    "classical": "Classical",
    "small": "Small network",
    "multi-task": "Multi-task network",
    "llm": "LLM",
    "bundle": "Bundle",
    "reference": "Reference",
    "floor": "Floor",
    "ceiling": "Ceiling",
}
_ACRONYMS = {word: word.upper() for word in ("nmse", "mae", "rmse", "se", "ser", "ber", "snr")} | {"db": "dB"}
_FIELDS = {"snr_db": "SNR", "pilot_spacing": "pilot spacing", "snr_reference": "SNR reference"}


def family_label(family: str) -> str:
    return FAMILIES.get(family, family.capitalize())


def task_code(task: str) -> str:
    """Short names are acronyms."""
    return task.upper() if len(task) <= 4 else task


def task_title(task: str) -> str:
    """The task's title or description; nothing where its card is not installed here."""
    try:
        card = registry.find("tasks", task).card
    except RequestError:
        return ""
    return str(card.description.rstrip(".") if card.label.lower() == task.lower() else card.title)


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


def condition_title(conditions: Conditions) -> str:
    """A tab's name: ``Default``, ``SNR 0 dB``, ``Paper-compatible``."""
    if conditions.label == "default":
        return "Default"
    parts = []
    for item in conditions.label.split(","):
        key, _, value = item.partition("=")
        if key == "paper_compat":
            parts.append("Paper-compatible")
        elif value == "true":
            parts.append(key.replace("_", " "))
        else:
            parts.append(f"{_FIELDS.get(key, key)} {value}{' dB' if key == 'snr_db' else ''}".replace("-", "−"))
    return ", ".join(parts)


def condition_sentence(conditions: Conditions) -> str:
    """What was observed and what it was compared with."""
    reference = "each sample's" if conditions.effective_snr_reference == "sample" else "the training set's"
    pilots = (
        "only the pilot subcarriers are seen in every task"
        if conditions.pilots_only
        else f"channel estimation sees every{_ordinal(conditions.pilot_spacing)} subcarrier"
    )
    targets = "targets carry the pilots' noise" if conditions.paper_compat else "targets are clean"
    snr = f"{conditions.snr_db:g}".replace("-", "−")
    return f"SNR {snr} dB relative to {reference} mean power; {targets}; {pilots}."


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return "" if number == 1 else f" {number}{suffix}"


def scenario(name: str) -> str:
    """3GPP's spelling of its scenarios."""
    return {"uma": "UMa", "umi": "UMi", "rma": "RMa"}.get(name, name)
