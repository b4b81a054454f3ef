# Every target sets up .venv by itself: once, and again after pyproject.toml or constraints.txt changed.
# What must be there is make, a C compiler and Python 3.11 or later.
#
#   make test PYTHON=/opt/python3.13/bin/python    another Python than the first that is found (only when .venv is made)
#   make test EXTRAS=dev,detect                    more extras of pyproject.toml (by default dev, and none for make demo)
#   make test CONSTRAINTS=                         the newest versions instead of the tested ones
#   make test ARGS="-k loop -x"                    more arguments for pytest or the program that is run

PYTHON      ?=
CONSTRAINTS ?= constraints.txt
JOBS        ?= 2
ARGS        ?=

comma := ,
BIN   := .venv/bin
# .venv with extras is ready once its stamp is there; the demo needs none of them, development does.
stamp  = .venv/.ready-$(subst $(comma),-,$(or $(EXTRAS),$(1)))
PLAIN := $(call stamp,plain)
READY := $(call stamp,dev)

# On small operations one thread a process is faster than several that wait for each other.
# Each process begins with a part of its own, so that what a file of tests prepares is prepared once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow bench docs lint results weights clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## only set up .venv

demo: $(PLAIN) ## invert four classes, score them, say which page to open
	$(BIN)/invert3d demo $(ARGS)

test: $(READY) ## the tests, a few minutes
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(READY) ## the long checks
	$(PYTEST) -m slow $(ARGS)

bench: $(READY) ## time the loop against the bare network, explanations against captum, pruned against dense, detectors, two workers against one
	$(BIN)/python benchmarks/bench.py $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/explaining.py $(filter-out --quick,$(ARGS))
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/detecting.py $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/layouts.py $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/introspective.py $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/describing.py $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/jobs.py $(ARGS)

docs: $(call stamp,dev$(comma)docs) ## the manual, with the examples run, into docs/_build/index.html
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build $(ARGS)

lint: $(READY) ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

results: $(READY) ## write the tables of README.md anew from docs/results/*.json
	$(BIN)/python -m invert3d.jobs.record $(ARGS)

weights: $(READY) ## train the bundled networks again, some hours on two cores
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/train_references.sh

clean: ## remove caches and builds; .venv and runs/ stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis docs/_build docs/examples docs/reference docs/sg_*
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for python in $(or $(PYTHON),python3 python python3.14 python3.13 python3.12 python3.11); do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "making .venv with $$($$python -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
			exec $$python -m venv .venv; \
		fi; \
	done; \
	echo "invert3d needs Python 3.11 or later with its venv module (Debian, Ubuntu: package python3-venv)." >&2; \
	echo "Found: $$($(or $(PYTHON),python3) --version 2>&1 || echo none). Name another: make PYTHON=/path/to/python" >&2; \
	exit 1

# uv installs in seconds what pip installs in minutes; where it cannot be had, pip does it.
.venv/.ready-%: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@export PIP_DISABLE_PIP_VERSION_CHECK=1; \
	limits="$(addprefix -c ,$(CONSTRAINTS))"; \
	here=".$(addsuffix ],$(addprefix [,$(subst -,$(comma),$(filter-out plain,$*))))"; \
	uv=$$(command -v uv || echo $(BIN)/uv); \
	test -x "$$uv" || $(BIN)/python -m pip install --quiet $$limits uv || echo "no uv: pip instead"; \
	if test -x "$$uv"; then \
		"$$uv" pip install --python $(BIN)/python $$limits -e "$$here"; \
	else \
		$(BIN)/python -m pip install $$limits -e "$$here"; \
	fi
	@touch $@
