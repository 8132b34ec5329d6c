# Every target installs what it needs into .venv, from locks/; nothing has to be activated.
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
BENCH := .venv/bench/bin
LOCKED := $(BIN)/python -m pip install --quiet --no-deps --only-binary :all: --require-hashes
PROJECT := $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .

.DEFAULT_GOAL := help
.PHONY: help demo test quick check format docs bench fuzz clean

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

docs: .venv/docs  ## Build the documentation site, warnings are errors; then open build/docs/index.html
	$(BIN)/python -m sphinx --builder html --nitpicky --fail-on-warning --keep-going --quiet docs/site build/docs
	@echo build/docs/index.html

bench: .venv/bench  ## Run the benchmarks; each names its rival; write docs/results/speed
	for file in benchmarks/bench_*.py; do OMP_NUM_THREADS=1 $(BENCH)/python $$file || exit 1; done
	$(BENCH)/python benchmarks/table.py

fuzz: .venv/dev  ## Read ten thousand damaged files of every format; minutes to hours
	PYTHONPATH=tests OMP_NUM_THREADS=1 COVALIGN_MAX_DECODED=268435456 COVALIGN_MAX_UNPACKED=268435456 \
		$(BIN)/python -m fuzz.campaign

clean:  ## Remove the environment and caches; results and trainings stay
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist src/*.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/bench: pyproject.toml constraints.txt benchmarks/requirements.txt .venv/dev
	$(BIN)/python -m venv --system-site-packages $@
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')')" \
		> "$$($@/bin/python -c 'import site; print(site.getsitepackages()[0])')/dev.pth"
	$@/bin/python -m pip install --quiet --constraint constraints.txt --requirement benchmarks/requirements.txt
	@touch $@

# pip refuses an editable project among hashes, so it comes second. Only the public build of PyTorch asks for CUDA.
define install
	$(LOCKED) --requirement locks/$(1).txt
	@if $(BIN)/python -m pip show torch | grep '^Requires:.*nvidia' >/dev/null; then \
		$(LOCKED) --requirement locks/cuda.txt; fi
	$(PROJECT)
	@touch $@ .venv/demo
endef

.venv/demo: pyproject.toml locks/base.txt | .venv/bin/python
	$(call install,base)

.venv/dev: pyproject.toml locks/base.txt locks/dev.txt | .venv/bin/python
	$(call install,dev)

.venv/docs: pyproject.toml locks/base.txt locks/docs.txt | .venv/bin/python
	$(call install,docs)
