# Everything runs in .venv, which every target makes for itself: only python3 (>= 3.11,
# with venv and pip), git and make are needed. `make help` lists the targets.

PYTHON ?= python3
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --no-input -q
NOX := $(RUN) -m nox

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.package  ## Fit travel times through the Earth; options in ARGS="--help"
	$(RUN) examples/earth/run.py $(ARGS)

test: $(VENV)/.package  ## Everything CI checks (.venv/bin/nox -l lists the parts)
	$(NOX)

lint: $(VENV)/.package  ## Formatting, lint, types and imports only
	$(NOX) -s lint types imports

docs: $(VENV)/.package  ## Build the documentation into docs/_build/html
	$(NOX) -s docs

bench: $(VENV)/.bench  ## Run the benchmarks beside their peers (needs a C++ compiler)
	$(NOX) -s bench -- $(ARGS)

clean:  ## Remove the environment, caches and built documentation; keeps runs/
	rm -rf $(VENV) .cache .nox .pytest_cache .ruff_cache .hypothesis .import_linter_cache \
		dist docs/_build
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# The pinned dependencies. A changed constraints.txt starts from an empty environment.
$(VENV)/.pins: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "eqjax needs Python 3.11 or newer; $(PYTHON) is" \
			"`$(PYTHON) --version 2>&1`. Name another one: make PYTHON=python3.12 ..."; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
		echo "$(PYTHON) lacks venv or pip. Install them" \
			"(on Debian and Ubuntu: the package python3-venv)."; \
		exit 1; }
	@echo "Installing the pinned dependencies into $(VENV) (once; about a minute)."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes --no-deps --only-binary :all: -r constraints.txt
	@touch $@

# eqjax itself, editable, built with the pinned build tools.
$(VENV)/.package: pyproject.toml $(VENV)/.pins
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Peers of the benchmarks are compiled here, and only here.
$(VENV)/.bench: $(VENV)/.package
	@$(RUN) -c 'import tomllib; \
		groups = tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]; \
		print("\n".join(groups["bench"]))' > $@.txt
	@$(PIP) install --no-deps -r $@.txt
	@touch $@
