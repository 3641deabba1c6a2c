# audiolib: every target sets up `.venv` by itself when that is needed. GNU make 3.81 (macOS) or newer.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

# MLX has its backend built in on macOS; on Linux it comes as the extra `cpu` (see pyproject.toml).
ifeq ($(shell uname -s),Darwin)
EXTRAS := offline,dev
else
EXTRAS := cpu,offline,dev
endif

# The first interpreter that runs and is new enough, unless PYTHON names one.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && { echo $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint type format wheel clean

help: ## show this list
	@echo "make demo        set up, make music with the bundled model, search it, make a clip again"
	@echo "make test        set up, then lint, types and every quick test"
	@echo "make test-slow   the tests that take longer: true model sizes, training, the wheel"
	@echo "make setup       only create .venv and install the project there"
	@echo "make lint        ruff: rules and formatting"
	@echo "make type        mypy --strict"
	@echo "make format      let ruff rewrite what it can"
	@echo "make wheel       build dist/*.whl, the starter model included"
	@echo "make clean       remove .venv, dist, caches and the demo's library"

setup: $(STAMP)

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" && "$(PYTHON)" -c '$(NEW_ENOUGH)' || { \
		echo "audiolib needs Python 3.11 or newer. Install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@echo "== setup: creating $(VENV) with $$("$(PYTHON)" --version)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) || { \
		rm -rf $(VENV); echo "The environment could not be made. On Debian: apt install python3-venv"; exit 1; }
	@echo "== setup: installing audiolib and its packages (.[$(EXTRAS)]); once, a few minutes"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable ".[$(EXTRAS)]"
	@touch $(STAMP)
	@echo "== setup: done"

demo: $(STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh

test: lint type
	@echo "== test: the quick tests, a few minutes"
	@$(BIN)/python -m pytest -m "not slow" -q -n auto --maxprocesses 4

test-slow: $(STAMP)
	@echo "== test: the slow tests"
	@$(BIN)/python -m pytest -m slow -q -n auto --maxprocesses 2

lint: $(STAMP)
	@echo "== lint: ruff"
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

type: $(STAMP)
	@echo "== type: mypy --strict"
	@$(BIN)/python -m mypy --strict

format: $(STAMP)
	@echo "== format: ruff"
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

wheel: $(STAMP)
	@echo "== wheel: building into dist/"
	@$(BIN)/python -m hatchling build
	@ls -l dist

clean:
	@echo "== clean: removing .venv, dist, caches and data/demo"
	@rm -rf $(VENV) dist build data/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
