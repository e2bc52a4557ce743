SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: demo test lint types unit fuzz soak tools benchmark generate lock clean help

BIN := .venv/bin
BUILT_FROM := pyproject.toml setup.py exporter/ml_exporter/__init__.py $(wildcard exporter/ml_exporter/*/*.c)

demo: .venv/demo.stamp  ## A real model whose traffic drifts, the exporter, and its status page
	$(BIN)/ml-exporter demo $(ARGS)

test: .venv/dev.stamp tools  ## All checks: format, lint, types, tests, rules and configurations
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses=auto --dist=loadfile $(ARGS)

lint: .venv/dev.stamp  ## Format and lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: .venv/dev.stamp  ## Static types
	$(BIN)/mypy

unit: .venv/dev.stamp  ## The tests that can run with what is installed
	$(BIN)/pytest $(ARGS)

fuzz: .venv/dev.stamp  ## Inputs that no run has tried, for the tests that make up their own
	$(BIN)/pytest -m hypothesis --hypothesis-profile=fuzz $(ARGS)

soak: .venv/dev.stamp  ## An hour of requests through the proxy; ARGS=--soak=60 for a minute of them
	$(BIN)/pytest tests/proxy/test_soak.py --soak=3600 -s $(ARGS)

tools:  ## The servers and the browser that the tests need
	tools/servers
	tools/debian browser redis postgresql

benchmark: .venv/dev.stamp  ## Speed and memory, beside DuckDB, Polars and nginx
	$(BIN)/python benchmarks/ingestion.py $(ARGS)
	$(BIN)/python benchmarks/counting.py
	$(BIN)/python benchmarks/monitors.py
	$(BIN)/python benchmarks/rules.py
	$(BIN)/python benchmarks/false_alarms.py
	$(BIN)/python benchmarks/detection.py
	$(BIN)/python benchmarks/detection_weeks.py --models 2
	$(BIN)/python benchmarks/components.py
	$(BIN)/python benchmarks/estimation.py
	$(BIN)/python benchmarks/client.py
	$(BIN)/python benchmarks/anomalies.py
	$(BIN)/python benchmarks/concept_drift.py
	$(BIN)/python benchmarks/proxy.py

generate: .venv/dev.stamp  ## The files that are made from code: rules, dashboards, tables in docs
	$(BIN)/python tools/generate.py

lock: .venv/dev.stamp  ## The lock files from pyproject.toml; ARGS=--upgrade for newer versions
	$(BIN)/python tools/lock.py $(ARGS)

clean:  ## Everything that was set up or built here
	rm -rf .venv .tools build .*_cache .hypothesis tests/screenshots
	find . -name '*.egg-info' -prune -exec rm -rf {} +

help:  ## This list
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' Makefile | expand -t 12

.venv/bin/python:
	tools/debian compiler
	tools/venv .venv

.venv/demo.stamp: requirements-demo.lock $(BUILT_FROM) | .venv/bin/python
.venv/dev.stamp: requirements-dev.lock $(BUILT_FROM) | .venv/bin/python
.venv/%.stamp:
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-$*.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
