# Every target installs what it needs into .venv; nothing has to be activated.
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test quick check format bench clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/demo  ## Train four small networks on embedded photographs, compare them, write covalign-demo/report.html
	$(BIN)/covalign demo --out covalign-demo

test: .venv/dev  ## Run all tests
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

quick: .venv/dev  ## Run the tests that are neither slow nor in need of shared data, between two edits
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile -m 'not slow and not shared'

check: .venv/dev  ## Lint, format, types, doctests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --doctest-modules src/covalign -p no:cacheprovider

format: .venv/dev  ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/dev  ## Run the benchmarks; each names its rival
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

clean:  ## Remove the environment and caches; results and trainings stay
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist src/*.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable .
	@touch $@

.venv/dev: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[dev]'
	@touch $@ .venv/demo
