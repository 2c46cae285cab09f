# qimg: two commands on a fresh machine: `make demo`, then `make test`.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
KERNELS := plugins/qimg-kernels
PLUGINS := $(filter-out $(KERNELS),$(sort $(wildcard plugins/qimg-*)))
DEMO    := plugins/qimg-circuits plugins/qimg-simulator plugins/qimg-diffusion
PIP     := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS ?= 1
.DEFAULT_GOAL := help
TOOLS   := golang-go golang-golang-x-mod-dev softhsm2 opensc postgresql openssl
.PHONY: help tools setup demo test test-all bench docs lint clean train-models

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "qimg needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt $(DEMO:%=%/pyproject.toml) | $(BIN)/python
	$(PIP) -e . $(DEMO:%=-e %)
	@touch $@

$(VENV)/.all: pyproject.toml constraints.txt $(PLUGINS:%=%/pyproject.toml) $(KERNELS)/pyproject.toml | $(BIN)/python
	$(PIP) -e ".[dev,docs]" $(PLUGINS:%=-e %)
	@# optional: they need a C compiler, and nothing else needs them
	@command -v gcc >/dev/null && $(PIP) -e $(KERNELS) || echo "qimg-kernels not built (it needs GCC 12 or newer); the simulator computes in torch"
	@touch $@ $(VENV)/.demo

tools: ## Debian: install the programs that some tests compare with (as root); without them these tests skip and say so
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(TOOLS) >/dev/null

setup: $(VENV)/.all ## create .venv with the core, every plugin and the development tools, editable

demo: $(VENV)/.demo ## make 64 digits with the hybrid model into out/, and verify their record
	$(BIN)/qimg demo

test: $(VENV)/.all ## the suite: lint, types, floors, unit and end-to-end tests, documentation examples
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not slow" -n 2 -q
	$(BIN)/sphinx-build -n -W -q docs docs/_build/html

test-all: $(VENV)/.all ## the suite with the slow tests
	$(BIN)/python -m pytest -n 2 -q

lint: $(VENV)/.all ## format and lint
	$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(VENV)/.all ## measure the engine beside its peers: ONLY=W2 runs one workload
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

docs: $(VENV)/.all ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -n -W -q docs docs/_build/html

train-models: $(VENV)/.all ## train the models of the model cards again: hours on one core (DATA=mnist)
	docs/recipes/train_models.sh $(or $(DATA),mnist) out/models out/models/ledgers

clean: ## remove what was built
	rm -rf $(VENV) docs/_build out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
