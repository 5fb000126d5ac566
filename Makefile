# Everything a person, CI and the demo run. `make help` lists it; each line after ## is that help.
# Values on the command line (AS_OF=2026-02-05) reach commands as quoted environment variables, never as shell text.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PY := .venv/bin/python
NIGHTREEL_HOME ?= var
ifeq (,$(findstring ://,$(NIGHTREEL_HOME)))
override NIGHTREEL_HOME := $(abspath $(NIGHTREEL_HOME))
endif
WAIT ?= 0
AS_OF ?=
FROM ?=
TO ?=
K ?= 50
ACTIVE_DAYS ?= 0
export NIGHTREEL_HOME AS_OF FROM TO K ACTIVE_DAYS WAIT
# Spark's workers take python3 from PATH unless told, and would lack our packages.
export PYSPARK_PYTHON := $(CURDIR)/$(PY)
export PYSPARK_DRIVER_PYTHON := $(CURDIR)/$(PY)
export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  NIGHTREEL_HOME=$(NIGHTREEL_HOME) holds everything made at run time; set it to keep two worlds apart."

.PHONY: setup
setup: .venv/.installed ## make .venv with the locked packages (GPU: TORCH_INDEX=https://download.pytorch.org/whl/cu130) and check Java
	@$(PY) -m jobs.require_java
	@test -e .venv/spark-classes.jsa || $(PY) -m jobs.spark_context >/dev/null 2>&1 \
		|| echo "setup: no archive of Spark's classes (python -m jobs.spark_context says why); it starts 2 s slower"

.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(f"error: Nightreel needs Python 3.11 or newer, and $(PYTHON) is {sys.version.split()[0]}. Name a newer one: make setup PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "setup: packages into .venv (a few minutes, once)"
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@# torch first, from the index that says CPU or CUDA: the plain PyPI build brings gigabytes of CUDA along.
	@$(PY) -m pip install --quiet --disable-pip-version-check --retries 1 --constraint requirements.txt \
		--extra-index-url $(TORCH_INDEX) torch
	@$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: setup ## simulate 35 days of a video service, train and publish through a real Airflow, show what came out
	@$(PY) -m jobs.demo

.PHONY: test
test: setup ## every test (six to ten minutes on two cores); ARGS="tests/lake -k seal" narrows it
	@$(PY) -m pytest -q $(ARGS)

.PHONY: chaos
chaos: setup ## the long fault tests, with a table of what was survived; ARGS="zombie-publisher" picks some
	@$(PY) -m tests.chaos $(ARGS)

.PHONY: leak-zoo
leak-zoo: setup ## plant twenty leaks in real stages and see which task goes red; clean worlds must raise no alarm
	@$(PY) -m benchmarks.leak_zoo $(ARGS)

.PHONY: ui
ui: setup ## Airflow and MLflow on 127.0.0.1 (prints addresses and Airflow's password; Ctrl-C stops both)
	@$(PY) -m jobs.ui

.PHONY: train
train: need-as-of setup ## AS_OF=2026-02-02: train and judge a model, without Airflow
	$(PY) -m jobs.wait --as-of "$$AS_OF" --timeout "$$WAIT"
	$(PY) -m jobs.training_tables --as-of "$$AS_OF"
	$(PY) -m jobs.audit --as-of "$$AS_OF" --training
	$(PY) -m jobs.train --as-of "$$AS_OF"

.PHONY: night
night: need-as-of setup ## AS_OF=2026-02-05 [K=500] [ACTIVE_DAYS=28]: one night's release, without Airflow
	$(PY) -m jobs.wait --as-of "$$AS_OF" --timeout "$$WAIT"
	$(PY) -m jobs.build events tiles feature_snapshots catalogue histories popularity --as-of "$$AS_OF"
	$(PY) -m jobs.ann_index --as-of "$$AS_OF"
	$(PY) -m jobs.recommendations --as-of "$$AS_OF" --k "$$K" --active-days "$$ACTIVE_DAYS"
	$(PY) -m jobs.audit --as-of "$$AS_OF" --k "$$K" --active-days "$$ACTIVE_DAYS"
	$(PY) -m jobs.release --as-of "$$AS_OF" --k "$$K" --active-days "$$ACTIVE_DAYS"
	$(PY) -m jobs.report --as-of "$$AS_OF"

.PHONY: need-as-of
need-as-of:
	@$(PYTHON) -c 'import datetime, os; datetime.date.fromisoformat(os.environ["AS_OF"])' 2>/dev/null || \
		{ echo 'error: which day? Name it: make train AS_OF=2026-02-02 (the night of that day sees what arrived before it)' >&2; exit 2; }

.PHONY: explain
explain: setup ## AS_OF=2026-02-05 (or FROM=… TO=…): what a night, or a backfill, would reuse and compute, and why
	@$(PY) -m jobs.explain --as-of "$${TO:-$$AS_OF}" $${FROM:+--from "$$FROM"} --k "$$K" --active-days "$$ACTIVE_DAYS"

.PHONY: backfill
backfill: setup ## FROM=2026-02-03 TO=2026-02-05: Airflow's own backfill of nightly, both days included (make ui must be running)
	@test -n "$$FROM" -a -n "$$TO" || { echo 'error: which days? make backfill FROM=2026-02-03 TO=2026-02-05' >&2; exit 2; }
	@$(PY) -m jobs.backfill --from "$$FROM" --to "$$TO"

.PHONY: airflow
airflow: setup ## ARGS="dags list-runs nightly": Airflow's command line in this project's settings
	@$(PY) -m jobs.with_airflow airflow $(ARGS)

.PHONY: advisories
advisories: ## requirements.txt against known vulnerabilities (pip-audit, in an environment of its own; needs the network)
	@$(PYTHON) -m venv .audit && .audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@.audit/bin/pip-audit --requirement requirements.txt --no-deps --disable-pip; rm -rf .audit

.PHONY: lock
lock: ## remake requirements.txt from pyproject.toml (needs uv), keeping its header
	@{ sed -n '/^#/!q;p' requirements.txt; \
	   uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header pyproject.toml \
	   | sed -E '/^(nvidia-|cuda-|triton)/d; s/^([^ ]+==[^+ ]+)\+[^ ]*/\1/'; } > .requirements.new
	@mv .requirements.new requirements.txt

.PHONY: clean
clean: ## remove .venv and caches; asks for nothing under NIGHTREEL_HOME (delete that folder yourself: it is your data)
	@rm -rf .venv build *.egg-info .pytest_cache .hypothesis .ruff_cache
	@find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +
	@echo "clean: kept $(NIGHTREEL_HOME)"
