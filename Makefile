# Everything a developer runs. Needs Python 3.11 or newer and make; the rest is installed into .venv.

# The first that runs and is new enough; a name on the path may be a shim for nothing.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
ARGS ?=

.PHONY: help install demo up test check bench format lock clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install: .venv/installed  ## Set everything up in .venv

.venv/installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with make PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install  ## Show the whole pipeline on made-up exports (ARGS=--no-ui: without the UI)
	$(BIN)/cg demo $(ARGS)

up: install  ## Run the pipeline: database, Dagster's UI and daemon
	$(BIN)/cg up $(ARGS)

test: install check  ## All checks: lint, types, tests with coverage
	$(BIN)/python -m pytest -n 4 --no-loadscope-reorder --cov --cov-report=term $(ARGS)

check: install  ## The quick checks: lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/bench-installed  ## Benchmarks, as ratios against a named baseline (ARGS=--rows=20000: smaller, --docs: docs/benchmarks.md)
	$(BIN)/python -m cg_pipeline_tests.benchmarks $(ARGS)

# What only the benchmarks need. It adds to what is installed and changes none of it.
.venv/bench-installed: requirements-bench.lock .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-bench.lock
	@touch $@

format: install  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## Renew requirements.lock and requirements-bench.lock from pyproject.toml
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip setuptools
	.venv-lock/bin/python -m pip install --quiet --group dev --editable .
	.venv-lock/bin/python -m pip freeze --all --exclude-editable --exclude pip > requirements.lock
	.venv-lock/bin/python -m pip install --quiet --group bench --constraint requirements.lock
	.venv-lock/bin/python -m pip freeze --all --exclude-editable --exclude pip | grep -vxFf requirements.lock > requirements-bench.lock
	rm -rf .venv-lock

clean:  ## Remove what the above have made, the demo's and your own installation aside
	rm -rf .venv .venv-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* *.egg-info
