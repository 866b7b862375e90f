"""The dataset card: a README that Hugging Face's hub reads, YAML in front, and people everywhere."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from channelbench._version import __version__
from channelbench.quantities import size_words
from channelbench.store.cards import samples
from channelbench.store.cards.facts import Facts
from channelbench.store.cards.licences import hub_names

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["FILE", "MARK", "card"]

FILE = "README.md"

MARK = "<!-- Written by `channelbench card`"
"""In every card: what has it may be written again."""

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")
"""Hugging Face's words for numbers of samples, a power of ten each from 1000."""


def card(facts: Facts) -> str:
    """The card as Markdown."""
    return _template().render(
        facts=facts,
        recipe=facts.recipe,
        publication=facts.publication,
        front=_front(facts),
        columns=samples.columns(facts),
        table=samples.FILE,
        mark=f"{MARK}, channelbench {__version__}. -->",
        size=size_words(facts.num_bytes),
    )


def _front(facts: Facts) -> dict[str, Any]:
    """What stands in front of the card, by the hub's names, as JSON values, which are YAML."""
    licences = hub_names(facts.licence)
    front = {
        "pretty_name": facts.title,
        "license": licences if len(licences) > 1 else licences[0],
        "size_categories": [size_category(facts.spec.sizes.total)],
        "tags": [*facts.keywords, "croissant"],
        "configs": [{"config_name": "samples", "data_files": [{"split": "samples", "path": samples.FILE}]}],
    }
    if licences == ["other"]:
        front["license_name"] = facts.licence
    return {name: facts.as_json(value) for name, value in front.items()}


def size_category(total: int) -> str:
    """The hub's word for a number of samples."""
    return next((word for power, word in enumerate(SIZES) if total < 1000 * 10**power), "n>1T")


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("channelbench.store.cards", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment.get_template("card.md.jinja")
