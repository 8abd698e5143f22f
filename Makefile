# Everything a person needs: `make demo` and `make test` set themselves up on a machine with Python 3.11 and git.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
BENCH  := $(VENV)/.bench
LOCK   := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help demo test check lint soak simulate torture bench bench-quick lock format clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo "Setting up $(VENV): a minute or two, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(BENCH): requirements-bench.lock $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

demo: $(READY) ## watch several workers coordinate real work on this repository
	$(BIN)/trichrome demo

test: $(READY) ## the whole test suite, with the real Claude Code binary
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not soak"

lint: $(READY) ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test ## the whole gate: what CI runs

soak: $(READY) ## the long tests with their full counts: kills, power cuts, fuzzing (a quarter of an hour)
	$(BIN)/python -m pytest -m soak -s

simulate: $(READY) ## 100,000 simulated histories with crashes, each from a seed (a quarter of an hour)
	$(BIN)/python -m tests.simulation --seeds 100000 --jobs 2

torture: $(READY) ## 2,000 faults against a scratch project with eight workers (seven minutes)
	$(BIN)/trichrome torture --faults 2000 --workers 8 --seed 1

bench: $(BENCH) ## every figure of docs/performance.md, measured anew (ten minutes)
	$(BIN)/python -m bench

bench-quick: $(BENCH) ## the same with fewer rounds, and what changed in the hot paths (a minute)
	$(BIN)/python -m bench --quick

format: $(READY) ## let ruff write the format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(READY) ## pin every dependency again, with hashes
	$(BIN)/$(LOCK) --all-extras --group dev pyproject.toml -o requirements.lock
	$(BIN)/$(LOCK) --group bench -c requirements.lock -o requirements-bench.lock

clean: ## remove what make set up
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis bench/.scratch bench/results
