# Every target starts from nothing: Python >= 3.11, git and make. The environments are made once and kept.
#
#   make demo        prove real digits, verify them in a separate environment, refuse forgeries, compare with ezkl
#   make test        lint, type-check and run all tests
#   make lint        ruff and mypy alone
#   make circuits    train the reference models again and rewrite circuits/
#   make benchmarks  measure the published numbers again
#   make clean       remove environments and build outputs
#
# Another interpreter: `make test PYTHON=python3.12`.

PYTHON ?= python3
VENV := .venv
VERIFIER_VENV := .venv-verifier
BIN := $(VENV)/bin
VERIFIER_BIN := $(VERIFIER_VENV)/bin
PACKAGE := $(shell find zkinfer -name '*.py')

.PHONY: demo test lint circuits benchmarks clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed $(VERIFIER_VENV)/.installed
	$(BIN)/zkinfer demo --verifier-python $(VERIFIER_BIN)/python

test: lint
	$(BIN)/pytest -n 2 --dist worksteal

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

circuits: $(VENV)/.installed
	$(BIN)/python circuits/train.py
	$(BIN)/python circuits/pin.py

benchmarks: $(VENV)/.installed
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/backends.py
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/python benchmarks/approximation.py
	$(BIN)/python benchmarks/batches.py

clean:
	rm -rf $(VENV) $(VERIFIER_VENV) build demo-output *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The whole library, editable, with every extra.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "zkinfer needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@

# What a third party installs: the verifier, with what the demonstration's ezkl proof takes, and nothing of the prover's
# dependencies.
$(VERIFIER_VENV)/.installed: pyproject.toml $(PACKAGE)
	$(PYTHON) -m venv $(VERIFIER_VENV)
	$(VERIFIER_BIN)/python -m pip install --quiet --disable-pip-version-check '.[ezkl-verifier]'
	@touch $@
