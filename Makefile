# Every command works in a fresh clone: the targets build what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, every process would compile our modules again: half of what a worker's start takes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo up down check test faults faults-short contract fuzz lint lint-js format bench screens lock clean

help: ## what each command does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The stamp says which lock the environment was made from. On a machine like the one that the lock was
# made on nothing is left to resolve, so two pips unpack side by side; what another one needs beside it
# (CUDA's libraries, a backport for an older Python) is found and installed afterwards. What is seldom
# imported is compiled when it is; the rest now, on all cores. Some packages bring files that are no
# Python, which the compiler tells and nobody needs.
PACKAGES = grep -v '^\#' requirements-dev.txt | sort -r
SELDOM := /(tests?|pip|pandas|networkx|mypyc?|transformers/models|torch/(testing|_inductor))/
$(VENV)/.installed: requirements.txt requirements-dev.txt pyproject.toml
	@echo "Setting up $(VENV) with the packages of requirements-dev.txt (a few minutes at first)"
	@$(PYTHON) -m venv $(VENV)
	@$(PACKAGES) | xargs -n 12 -P 2 $(BIN)/python -m pip install --quiet --no-compile --no-deps
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@$(BIN)/python -m pip check >/dev/null || $(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@$(BIN)/python -m compileall -q -j 0 -x '$(SELDOM)' $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

setup: $(VENV)/.installed ## environment and model cache
	$(BIN)/python -m academy.trainer.prepare

demo: setup ## from a git history to a better model, live
	$(BIN)/python examples/demo.py

up: setup ## the whole stack on this machine
	$(BIN)/academy up

down: ## stop what `make up` started
	$(BIN)/academy down

# Tests run side by side, what measures time afterwards, alone. In another order: make test OPTIONS=--random-order
JOBS ?= 3
OPTIONS ?=
SIDE_BY_SIDE := -n $(JOBS) --dist loadscope --no-loadscope-reorder
QUICK := tests/unit
TIMED = $(shell grep -rl --include='test_*.py' mark.timing tests)

check: lint ## for every save: lint and the quick tests
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m "not slow and not timing" $(OPTIONS) $(QUICK)

test: $(VENV)/.installed ## every test but the faults
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not timing" $(OPTIONS)
	$(BIN)/python -m pytest -m timing $(OPTIONS) $(TIMED)

# Only some of the faults: make faults SELECT="-k SIGSTOP" ROUNDS=5
SELECT ?=
ROUNDS ?=

faults: $(VENV)/.installed ## hours: every fault, production intervals; writes docs/reliability.md
	FAULTS=long FAULTS_REPORT=1 FAULT_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest tests/faults -m faults $(SELECT)

faults-short: $(VENV)/.installed ## minutes: the same faults, every interval shortened
	FAULTS=short FAULT_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest tests/faults -m faults $(SELECT)

contract: $(VENV)/.installed ## minutes: made-up requests, right and wrong, against the OpenAPI document
	$(BIN)/python -m pytest -m contract tests/integration/api/contract

FUZZ_SECONDS ?= 600
fuzz: $(VENV)/.installed ## FUZZ_SECONDS of coverage-guided fuzzing of what reads foreign bytes
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/python -m pip install --quiet --editable ".[fuzz]"
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

JS := tools/js

# The lock decides; npm writes this file last.
$(JS)/node_modules/.package-lock.json: $(JS)/package.json $(JS)/package-lock.json
	@command -v npm >/dev/null || { echo "make lint needs node 18 or newer and npm (apt-get install nodejs npm)" >&2; exit 1; }
	@cd $(JS) && npm ci --loglevel=error
	@touch $@

lint: $(VENV)/.installed lint-js ## style, types, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-js: $(JS)/node_modules/.package-lock.json
	$(JS)/node_modules/.bin/eslint --config $(JS)/eslint.config.js --max-warnings 0 academy/dashboard/static
	$(JS)/node_modules/.bin/tsc --project $(JS)

format: $(VENV)/.installed ## correct the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One of them: make bench-jobs
bench: $(patsubst benchmarks/%.py,bench-%,$(wildcard benchmarks/*.py)) ## every benchmark

$(VENV)/.bench: $(VENV)/.installed requirements-bench.txt
	@$(BIN)/python -m pip install --quiet --requirement requirements-bench.txt
	@touch $@

bench-%: setup $(VENV)/.bench
	$(BIN)/python benchmarks/$*.py

screens: setup ## the pictures of the README
	$(BIN)/python tools/screens.py

lock: ## resolve the ranges of pyproject.toml into exact versions
	$(PYTHON) tools/lock.py

clean: ## remove what the commands made here
	rm -rf $(VENV) $(JS)/node_modules .cache build dist *.egg-info
