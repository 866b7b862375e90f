"""Presets: the numbers of the protocol, one table, one check of a name."""

import ast
import re
from pathlib import Path

import pytest

from channelbench.benchmarks.request import RunOptions, prepare
from channelbench.benchmarks.suites import classical, llm4wm_cost, llm4wm_transfer
from channelbench.errors import RequestError
from channelbench.generation import make_spec
from channelbench.models.networks.training import budget_of
from channelbench.presets import DEFAULT_PRESET, PRESETS, PUBLIC_PRESETS, preset_of, preset_words
from channelbench.suite import Suite

ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
CODE = [
    path
    for folder in ("channelbench", "generators", "baselines", "models", "benchmarks", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def test_the_table() -> None:
    assert PUBLIC_PRESETS == ("quick", "standard", "paper")
    assert set(PRESETS) == {"smoke", *PUBLIC_PRESETS}
    assert DEFAULT_PRESET == "quick"
    assert preset_words() == "quick, standard or paper"
    assert [preset_of(name).seeds for name in PUBLIC_PRESETS] == [1, 3, 3]
    assert [preset_of(name).silence_s for name in PUBLIC_PRESETS] == [10 * 60, 60 * 60, 6 * 3600]
    assert [preset_of(name).width for name in PRESETS] == ["narrow", "narrow", "medium", "published"]


def test_the_protocol_states_the_sizes() -> None:
    for name in PUBLIC_PRESETS:
        for system, label in (("dualband", f"`{name}`"), ("multiuser", f"`{name}`, `multiuser`")):
            row = re.search(rf"^\| {label} \| (\d+) \| (\d+) \| (\d+) \|$", PROTOCOL, re.M)
            if row is None:  # a system without sizes of its own has the preset's
                assert preset_of(name).sizes_of(system) == preset_of(name).sizes
            else:
                assert preset_of(name).sizes_of(system) == tuple(map(int, row.groups()))
    assert PROTOCOL.count("| `paper`, `multiuser` | 48000 | 2000 | 10000 |") == 1


def test_the_protocol_states_the_budgets() -> None:
    for name in PUBLIC_PRESETS:
        budget = budget_of(name)
        length = f"{budget.steps}" if budget.steps else f"{budget.epochs} epochs"
        assert f"| `{name}` | {budget.batch_size} | {length} |" in PROTOCOL


def test_a_spec_has_the_sizes_of_its_preset() -> None:
    for system in ("dualband", "multiuser"):
        for name in PUBLIC_PRESETS:
            sizes = make_spec(system=system, preset=name).sizes
            assert (sizes.train, sizes.val, sizes.test) == preset_of(name).sizes_of(system)


@pytest.mark.parametrize("name", ["huge", "smoke", ""])
def test_a_wrong_name_is_the_same_line_everywhere(name: str) -> None:
    line = re.escape(f"preset: expected a known preset, got {name!r}; choices: quick, standard, paper")
    for call in (
        lambda: make_spec(preset=name),
        lambda: prepare(RunOptions(suite="classical", preset=name)),
        lambda: Suite(card=classical.card, tasks=("ce",), methods=("bi",), seeds={name: 2}),
        lambda: preset_of(name, public=True),
        *([] if name == "smoke" else [lambda: budget_of(name)]),
    ):
        with pytest.raises(RequestError, match=f"^{line}$"):
            call()


def test_suites_say_where_their_seeds_differ() -> None:
    assert [classical.num_seeds(name) for name in PUBLIC_PRESETS] == [1, 3, 3]
    assert [llm4wm_transfer.num_seeds(name) for name in PUBLIC_PRESETS] == [1, 1, 3]
    assert [llm4wm_cost.num_seeds(name) for name in PUBLIC_PRESETS] == [1, 1, 1]


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_asks_for_a_preset_by_name(path: Path) -> None:
    assert not compared(path.read_text()) & set(PRESETS)


def compared(code: str) -> set[str]:
    """Strings that something is compared with."""
    nodes = (inner for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Compare) for inner in ast.walk(node))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_the_checker_sees_a_violation() -> None:
    assert compared('wide = preset in ("standard", "paper")') == {"standard", "paper"}
