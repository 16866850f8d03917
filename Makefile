# humwatch: `make run` and `make test` do all the set-up that they need.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run test test-slow bench campaign schema lint format docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/installed  ## the demo: recordings, features, trials, AUC tables in results/demo
	snakemake --cores $(CORES)

test: .venv/installed  ## run the tests
	pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: .venv/installed  ## train on real recordings for minutes (HUMWATCH_DATA)
	pytest -m slow

bench: .venv/installed  ## measure speed, memory and growth: tables on the screen and in results/benchmarks
	for b in training features modspec scoring stages overhead startup trials time_to_auc study use service; do \
	  echo "== $$b" && OMP_NUM_THREADS=1 python benchmarks/$$b.py || exit 1; done

campaign: .venv/installed  ## kill runs, damage files, use hostile names; count what becomes of it (an hour)
	python benchmarks/campaign.py

schema: .venv/installed  ## enter the parameters of detectors, features and sources into the configuration's schema
	python -m humwatch.study.schema

lint: .venv/installed  ## check format, style, types and the workflow
	ruff format --check . && ruff check .
	snakefmt --check Snakefile workflow
	mypy
	lint-imports
	snakemake --lint

format: .venv/installed  ## format the code
	ruff format . && ruff check --fix . && snakefmt Snakefile workflow

docs: .venv/docs/installed  ## build the documentation's site in site/
	NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs build --quiet --strict

clean:  ## remove results (not data/, not .venv)
	rm -rf results .snakemake site

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "humwatch needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	touch $@

.venv/docs/installed: docs/requirements.txt
	$(PYTHON) -m venv .venv/docs
	.venv/docs/bin/pip install --disable-pip-version-check --quiet -r docs/requirements.txt
	touch $@
