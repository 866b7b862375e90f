"""Families: one table, whose names stand nowhere else but in cards, and cards that are refused in one line."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from channelbench import registry
from channelbench.card import OTHER_FAMILIES, Card
from channelbench.errors import RequestError
from channelbench.families import FAMILIES, declared, family_of, palette

ROOT = Path(__file__).parents[2]
FOLDERS = ("channelbench", "generators", "baselines", "models", "benchmarks", "docs")
CODE = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if path.name != "families.py"]
TEMPLATES = sorted((ROOT / "channelbench" / "leaderboard").glob("*.jinja"))

OTHER_MEANINGS = {
    "table.py": {"floor", "ceiling"},  # columns of the CSV
    "cards.py": {"reference"},  # where a method is from
    "scoring.py": {"reference"},
    "multitask.py": {"small"},  # how large a network is
}
"""Words that are a family's name elsewhere and mean something else there."""


def names_outside_cards(code: str) -> set[str]:
    """Strings that are the name of a family and stand outside a call of ``Card``."""
    tree = ast.parse(code)
    cards = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Card"]
    declared_there = {id(node) for call in cards for node in ast.walk(call)}
    constants = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in declared_there)
    return {n.value for n in constants if isinstance(n.value, str) and n.value in FAMILIES}


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_knows_a_family_by_name(path: Path) -> None:
    assert names_outside_cards(path.read_text()) <= OTHER_MEANINGS.get(path.name, set())


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_knows_a_family_by_name(path: Path) -> None:
    words = re.findall(rf"(?:f-|--|[\"'])({'|'.join(FAMILIES)})\b", path.read_text())
    assert not words


def test_the_checker_sees_a_violation() -> None:
    assert names_outside_cards('card = Card(family="llm", notes="floor")') == set()
    assert names_outside_cards('card = Card(family="llm")\nranked = card.family not in ("floor", "llm")') == {
        "floor",
        "llm",
    }


def test_every_method_is_of_a_family_that_cards_may_have() -> None:
    found = {registry.find("methods", name).card.family for name in registry.names("methods")}
    assert found == set(declared()) == {"classical", "small", "multi-task", "llm", "reference", "floor"}


def test_everything_else_says_what_it_is() -> None:
    for kind in ("generators", "metrics", "suites", "tasks"):
        for name in registry.names(kind):  # type: ignore[arg-type]
            assert registry.find(kind, name).card.family in OTHER_FAMILIES  # type: ignore[arg-type]


def test_learned_contestants_are_those_of_seeded_families() -> None:
    """Of the references one is trained, on the path of those whose start it is."""
    learned = {}
    for name in registry.names("methods"):
        method = registry.find("methods", name)
        family = family_of(method.card.family)
        assert method.learned == family.seeded or not family.ranked, name
        learned[name] = method.learned and not family.ranked
    assert [name for name, is_so in learned.items() if is_so] == ["start"]


def test_contestants_come_first_and_anchors_are_unranked() -> None:
    ranked = [family.ranked for family in FAMILIES.values()]
    assert ranked == sorted(ranked, reverse=True)
    assert not any(family.ranked for family in FAMILIES.values() if family.anchor)


def test_a_family_from_elsewhere_is_a_contestant() -> None:
    unknown = family_of("quantum")
    assert (unknown.title, unknown.ranked, unknown.anchor, unknown.seeded) == ("Quantum", True, False, False)


def test_colours_are_those_of_both_modes() -> None:
    assert palette().keys() == palette(dark=True).keys()
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in (*palette().values(), *palette(dark=True).values()))


def test_one_more_line_is_one_more_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Card, docs, chips and ranks follow the table."""
    line = replace(FAMILIES["small"], name="diffusion", title="Diffusion model", plural="Diffusion models")
    monkeypatch.setattr("channelbench.families.FAMILIES", {**FAMILIES, line.name: line})
    card = Card(name="ddpm", description="Denoises a channel.", reference="none", family="diffusion")
    assert family_of(card.family).heading == "Diffusion models"
    assert "diffusion" in palette()


GOOD = {"name": "mine", "description": "Answers zero.", "reference": "none", "family": "classical"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "ceiling"}, "card.family: expected a known family, got 'ceiling'; choices: classical, small, "),
        ({"family": None}, "card.family: expected a valid string, got None"),
        ({"name": "My Method"}, "card.name: expected text of the form ^[a-z0-9][a-z0-9_.+()-]*$, got 'My Method'"),
        ({"name": "a" * 300}, "card.name: expected at most 100 characters, got 'aaa"),
        ({"name": "a__b"}, "card.name: expected a name without __, got 'a__b'"),
        ({"description": "Zero."}, "card.description: expected at least 10 characters, got 'Zero.'"),
        ({"authors": "me"}, "card.authors: expected a known field, got 'authors'; choices: code, description, extra, "),
        ({"notes": 1}, "card.notes: expected a valid string, got 1"),
    ],
)
def test_a_bad_card_is_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        Card(**(GOOD | change))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_card_that_lacks_a_field_is_one_line() -> None:
    with pytest.raises(RequestError, match=r"^card\.reference: expected a value, got 'nothing'$"):
        Card(**{key: value for key, value in GOOD.items() if key != "reference"})
