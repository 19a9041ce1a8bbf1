# What a developer and CI type. Each target does its own set-up in .venv; `make help` lists them.
# Settings: VENV=DIR (default .venv), PYTHON=COMMAND (default: the first of python3.11 to 3.13 and python3 that works).

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo demo-serve test test-all-pythons check bench bench-quick bench-starts scorecard scorecard-quick faults soak proto clients setup clean

VENV ?= .venv
export VENV PYTHON
# Without bytecode every start of a worker compiles its libraries anew, which takes ten times as long.
unexport PYTHONDONTWRITEBYTECODE

PINS := pyproject.toml constraints.txt $(wildcard clients/python/pyproject.toml)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.ready-demo ## Call a DSPy program over gRPC, show the next command, exit
	@$(VENV)/bin/bridge demo --once
	@echo "(bridge is in $(VENV)/bin; to keep the demo's server running: make demo-serve)"

demo-serve: $(VENV)/.ready-demo ## The same, and keep the server running until Ctrl-C
	@$(VENV)/bin/bridge demo

test: $(VENV)/.ready-all ## Run every test
	@.ci/test

test-all-pythons: ## Run every test with each of Python 3.11, 3.12 and 3.13 that is installed
	@.ci/test-all-pythons

check: $(VENV)/.ready-all ## Lint, types, import contracts, generated code, buf lint
	@.ci/check

bench: $(VENV)/.ready-all ## Every figure of the benchmark; writes bench.json (about 10 minutes); PARTS="echo memory" for some
	@$(VENV)/bin/python tests/bench/run.py $(PARTS:%=--part %)

bench-quick: $(VENV)/.ready-all ## The echo figures only, in under 50 seconds
	@$(VENV)/bin/python tests/bench/run.py --quick

scorecard: $(VENV)/.ready-all ## Faults against several servers: SERVERS="bridge handwritten litserve ray" (default: the first two)
	@$(VENV)/bin/python tests/faults/scorecard/run.py $(SERVERS)

scorecard-quick: $(VENV)/.ready-all ## The same faults against the bridge alone, in under 50 seconds
	@$(VENV)/bin/python tests/faults/scorecard/run.py --quick

faults: $(VENV)/.ready-all ## Every fault of docs/reference/faults.md at full length, with its table (under 15 minutes)
	@$(VENV)/bin/python tests/faults/run.py

MINUTES ?= 30
soak: $(VENV)/.ready-all ## Faults for MINUTES (default 30) while callers go on, and the long tests of leaks; SEED=N repeats one
	@$(VENV)/bin/python tests/soak/run.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

bench-starts: $(VENV)/.ready-all ## How fast and light workers start; writes bench-starts.json (about 3 minutes)
	@$(VENV)/bin/python tests/bench/starts.py

clients: $(VENV)/.ready-all ## Every client of every language against one set of cases: LANGUAGES="go elixir" CASES="streams/*" for some
	@$(VENV)/bin/python clients/conformance/run.py $(LANGUAGES:%=--language %) $(CASES:%=--case '%')

proto: $(VENV)/.ready-all ## Write everything that is generated from proto/
	@$(VENV)/bin/python .ci/generated.py --write

setup: $(VENV)/.ready-all ## Install everything into .venv, run nothing

clean: ## Remove what the other targets made
	rm -rf .venv .venv-3.* .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench.json bench-starts.json scorecard.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find clients -name node_modules -type d -prune -exec rm -rf {} +

$(VENV)/.ready-demo: pyproject.toml constraints.txt
	@.ci/setup demo

$(VENV)/.ready-all: $(PINS)
	@.ci/setup all
