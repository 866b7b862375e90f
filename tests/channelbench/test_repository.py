"""One line of pyproject.toml says where the project is published, and nothing names an address that is not there."""

from __future__ import annotations

import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "docs" / "make_repository.py"))
ADDRESS = TOOL["repository"]((ROOT / "pyproject.toml").read_text())
SOMEWHERE = "https://github.com/somebody/channelbench"
OURS = r"(?:https?://|git@)[^\s\"'<>)`]*channelbench[^\s\"'<>)`]*"
ARCHIVED = r"(?:https?://)?(?:\w+\.)?zenodo\.org/(?:record|doi|badge)\S*|10\.5281/zenodo\.\d+"


def texts() -> dict[str, str]:
    """What of the checkout people read, and what code says, but for results and these tests."""
    folders = ("channelbench", "generators", "baselines", "models", "benchmarks", "docs", "tests", ".github")
    found = [path for path in ROOT.iterdir() if path.is_file()]
    found += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    kinds = {".py", ".md", ".cff", ".toml", ".jinja", ".yml", ".yaml", ".txt", ".csv", ""}
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for path in found
        if path.suffix in kinds and path != Path(__file__) and "docs/results" not in str(path)
    }


def addresses(text: str) -> list[str]:
    """Addresses of this project, and of archives of it."""
    return re.findall(f"{OURS}|{ARCHIVED}", text)


def test_nothing_names_an_address_that_is_not_there() -> None:
    named = {
        name: [found for found in addresses(text) if not (ADDRESS and found.startswith(ADDRESS))]
        for name, text in texts().items()
    }
    assert {name: found for name, found in named.items() if found} == {}


def test_the_checker_sees_addresses() -> None:
    """Those that there could be, one of which stood in every dataset; not those of others."""
    wrong = ["https://pypi.org/project/channelbench", f"{SOMEWHERE}.git", "10.5281/zenodo.123", "zenodo.org/record/1"]
    assert all(addresses(f"see {address}.") for address in wrong)
    assert addresses("https://github.com/stjaeckel/quadriga-lib, https://doi.org/10.1109/TSP.2020.2976585") == []


@pytest.mark.parametrize("name", TOOL["FILES"])
def test_readme_and_citation_have_the_address_of_pyproject(name: str) -> None:
    text = (ROOT / name).read_text()
    assert TOOL["with_address"](name, text, ADDRESS) == text, "make docs"
    there = TOOL["with_address"](name, text, SOMEWHERE)
    assert SOMEWHERE in there
    assert TOOL["with_address"](name, there, SOMEWHERE) == there
    assert addresses(TOOL["with_address"](name, there, "")) == []
    assert TOOL["with_address"](name, TOOL["with_address"](name, there, ""), ADDRESS) == text


def test_one_line_feeds_clone_line_badge_and_citation() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    project = re.sub(r"^\[project\.urls\]\nRepository = .*\n", "", project, flags=re.M)
    assert TOOL["repository"](project) == ""
    address = TOOL["repository"](f'{project}\n[project.urls]\nRepository = "{SOMEWHERE}/"\n')
    assert address == SOMEWHERE
    readme = TOOL["with_address"]("README.md", (ROOT / "README.md").read_text(), address)
    assert f"$ git clone {SOMEWHERE}\n$ cd channelbench\n" in readme
    assert readme.index(f"{SOMEWHERE}/actions/workflows/tests.yml/badge.svg") < readme.index("git clone")
    assert (ROOT / ".github" / "workflows" / "tests.yml").is_file()
    elsewhere = TOOL["with_address"]("README.md", readme, "https://example.org/channelbench")
    assert "badge.svg" not in elsewhere, "only GitHub has that one"
    citation = TOOL["with_address"]("CITATION.cff", (ROOT / "CITATION.cff").read_text(), address)
    assert yaml.safe_load(citation)["repository-code"] == SOMEWHERE


def test_setuptools_takes_no_empty_address(tmp_path: Path) -> None:
    """Which is why the line is not there before the project is."""
    from setuptools.config import pyprojecttoml

    path = tmp_path / "pyproject.toml"
    text = '[project]\nname = "x"\nversion = "1"\n[project.urls]\nRepository = "{}"\n'
    path.write_text(text.format(""))
    with pytest.raises(ValueError, match="must be url"):
        pyprojecttoml.read_configuration(path)
    path.write_text(text.format(SOMEWHERE))
    assert pyprojecttoml.read_configuration(path)["project"]["urls"] == {"Repository": SOMEWHERE}


def test_the_citation_file_is_valid() -> None:
    """By the schema of CFF 1.2.0: what it requires, and the form of what is there."""
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert found["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= found.keys()
    known = {
        "abstract",
        "authors",
        "cff-version",
        "commit",
        "contact",
        "date-released",
        "doi",
        "identifiers",
        "keywords",
    }
    known |= {"license", "license-url", "message", "preferred-citation", "references", "repository", "type", "title"}
    known |= {"repository-artifact", "repository-code", "url", "version"}
    assert found.keys() <= known
    assert found["type"] in ("software", "dataset")
    assert all({"name"} == author.keys() or {"family-names"} <= author.keys() for author in found["authors"])
    assert all(isinstance(word, str) and word for word in found["keywords"])
    assert len(set(found["keywords"])) == len(found["keywords"])
    unreleased = f"## {found['version']} (unreleased)" in (ROOT / "CHANGELOG.md").read_text()
    assert ("date-released" in found) != unreleased, "a date once it is released"
    assert re.fullmatch(r"(\d{4}-\d\d-\d\d)?", str(found.get("date-released", "")))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found["license"] == project["license"]
    namespace = runpy.run_path(str(ROOT / "channelbench" / "_version.py"))
    assert str(found["version"]) == namespace["__version__"]


def test_the_workflow_runs_what_the_readme_says_on_the_pythons_that_are_claimed() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    linux = workflow["jobs"]["linux"]
    assert "make test PYTHON=python" in [step.get("run") for step in linux["steps"]]
    assert "$ make test" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    claimed = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert linux["strategy"]["matrix"]["python"] == claimed
    assert project["requires-python"] == f">={claimed[0]}"
    tests = re.findall(r"tests/\S+\.py", " ".join(step.get("run", "") for step in workflow["jobs"]["macos"]["steps"]))
    assert tests
    assert all((ROOT / test).is_file() for test in tests)


def test_make_takes_the_python_it_is_told() -> None:
    made = subprocess.run(
        ["make", "-n", "-B", "test", "PYTHON=some-python"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "some-python -m venv .venv" in made.stdout


def test_make_takes_the_first_python_that_runs(tmp_path: Path) -> None:
    """Not one that is there and does not run, as the shims of version managers."""
    for name, status in (("python3.11", 127), ("python3.12", 0), ("python3.13", 0)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    made = subprocess.run(
        ["make", "-n", "-B", "test"], cwd=ROOT, capture_output=True, text=True, check=True, env={"PATH": path}
    )
    assert "python3.12 -m venv .venv" in made.stdout
