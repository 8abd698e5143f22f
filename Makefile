# Everything a person needs: `make demo` and `make test` set themselves up on a machine with Python 3.11 and git.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check lint soak lock format clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo "Setting up $(VENV): a minute or two, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
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

soak: $(READY) ## the long kill tests with their full counts (minutes)
	$(BIN)/python -m pytest -m soak -s

format: $(READY) ## let ruff write the format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(READY) ## pin every dependency again, with hashes
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --all-extras --group dev --python-version 3.11 pyproject.toml -o requirements.lock

clean: ## remove what make set up
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
