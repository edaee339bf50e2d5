# Every target starts from nothing: Python >= 3.11, git and make. The environments are made once and kept.
#
#   make demo         prove real digits, verify them in a separate environment, refuse forgeries, compare with ezkl
#   make test         lint, type-check and run all tests
#   make lint         ruff and mypy alone
#   make complete     random programs of odd shapes, proven and verified: PROGRAMS=300 of them
#   make fuzz         property tests on new examples: for MINUTES=30, or one round with SEED=number
#   make test-older   kernels and quantized operators, compiled for a processor with AVX2 and without AVX-512
#   make test-newest  part of the tests with the newest versions of all dependencies
#   make test-lowest  the same with the lowest versions that pyproject.toml allows (Python 3.11 or 3.12)
#   make test-read-only  a whole job where neither the package's folder nor a home can be written
#   make test-bare    what a base install takes, verifies, refuses and says, in a new environment
#   make lock         choose the versions in constraints/ anew, from pyproject.toml
#   make circuits     train the reference models again and rewrite circuits/
#   make benchmarks   measure the published numbers again
#   make clean        remove environments and build outputs
#
# Another interpreter: `make test PYTHON=python3.12`. docs/development.md says more.

PYTHON ?= python3
# For what imports onnxruntime itself, before anything of zkinfer.
export ORT_DISABLE_TELEMETRY := 1
VENV := .venv
VERIFIER_VENV := .venv-verifier
BIN := $(VENV)/bin
VERIFIER_BIN := $(VERIFIER_VENV)/bin
PACKAGE := $(shell find zkinfer -name '*.py')

LOCKED := constraints/locked.txt
LOWEST := constraints/lowest.txt
PIP_INSTALL := python -m pip install --quiet --disable-pip-version-check
# By a path, which also serves in the folder above the clone: Python finds a hook after the clone's folder.
EDITABLE := --config-settings editable_mode=compat --editable
UV_COMPILE := uv pip compile --quiet --upgrade --python-version 3.11 --prerelease disallow --no-annotate \
	--custom-compile-command 'make lock'
MINUTES ?= 30
PROGRAMS ?= 300
comma := ,

# A processor with AVX2 and FMA and without AVX-512. The name alone would leave numba with this machine's features.
OLDER := NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx,+avx2,+fma NUMBA_CACHE_DIR=$(CURDIR)/$(VENV)/kernels-older
# Two tests that start processes with settings of their own are left out.
OLDER_TESTS := tests/protocol/field tests/protocol/sumcheck/test_protocol.py tests/protocol/lookup/test_protocol.py \
	tests/protocol/lookup/test_columns.py tests/protocol/lookup/test_column_kernels.py \
	tests/protocol/merkle/test_kernels.py tests/execution tests/native/kernels tests/compiler/onnx/ops/test_quantized.py \
	tests/compiler/calibration/test_integer_products.py \
	--ignore tests/protocol/field/kernels/test_warmup.py \
	--deselect tests/protocol/field/kernels/test_arithmetic.py::test_two_million_operations_agree_with_the_oracle

# What other versions of numpy, msgspec, onnx, onnxruntime, numba, pyarrow and scikit-learn could change. torch and ezkl
# are pinned to one version, and ray is large: tests that need them stay with `make test`.
VERSIONED_EXTRAS := prove,ezkl-verifier,stores,parquet,examples,dev
VERSIONED_TESTS := tests/compiler/onnx/ops tests/compiler/onnx/test_load.py tests/compiler/onnx/test_importer.py \
	tests/compiler/onnx/test_registry.py tests/compiler/onnx/test_decompose.py tests/compiler/onnx/decompositions \
	tests/compiler/lowering tests/compiler/calibration tests/circuit tests/compiler/test_model.py \
	tests/files/test_artifact.py tests/files/test_proof.py tests/files/test_commitment.py tests/files/test_rotation.py \
	tests/files/test_file.py tests/files/test_stores.py tests/verifier/test_verify.py tests/verifier/test_native.py tests/native/test_prove.py \
	tests/native/test_keys.py tests/jit tests/jobs/test_inputs.py tests/cli/test_arrays.py

.PHONY: demo test lint complete fuzz test-older test-newest test-lowest test-read-only test-bare lock circuits benchmarks clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed $(VERIFIER_VENV)/.installed
	$(BIN)/zkinfer demo --verifier-python $(VERIFIER_BIN)/python

test: lint
	$(BIN)/pytest -n 2 --dist worksteal
	$(MAKE) test-older

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-read-only: $(VENV)/.installed
	PYTHONPATH=tests $(BIN)/python tests/read_only.py

test-bare: $(VENV)/.installed
	$(PYTHON) -m venv --clear .venv-bare
	.venv-bare/bin/$(PIP_INSTALL) --constraint $(LOCKED) .
	PYTHONPATH=tests $(BIN)/python tests/bare.py .venv-bare/bin/python

complete: $(VENV)/.installed
	$(BIN)/python tests/complete.py --programs $(PROGRAMS)

fuzz: $(VENV)/.installed
	$(BIN)/python tests/fuzz.py $(if $(SEED),--seed $(SEED),--minutes $(MINUTES)) $(TESTS)

test-older: $(VENV)/.installed
	$(OLDER) $(BIN)/pytest -n 2 --dist worksteal $(OLDER_TESTS)

# Installed anew every time: what is newest changes.
test-newest:
	test -d .venv-newest || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/$(PIP_INSTALL) --upgrade --upgrade-strategy eager $(EDITABLE) '.[$(VERSIONED_EXTRAS)]'
	NUMBA_CACHE_DIR=$(CURDIR)/.venv-newest/kernels .venv-newest/bin/pytest -n 2 --dist worksteal $(VERSIONED_TESTS)

test-lowest: .venv-lowest/.installed
	NUMBA_CACHE_DIR=$(CURDIR)/.venv-lowest/kernels .venv-lowest/bin/pytest -n 2 --dist worksteal $(VERSIONED_TESTS)

# pip installs what uv has chosen, because uv does not read pip's settings, by which torch's CPU builds are found.
lock: $(VENV)/.installed
	$(BIN)/$(UV_COMPILE) --universal --extra all --output-file $(LOCKED) pyproject.toml
	$(BIN)/$(UV_COMPILE) --resolution lowest-direct $(foreach e,$(subst $(comma), ,$(VERSIONED_EXTRAS)),--extra $(e)) \
		--output-file $(LOWEST) pyproject.toml

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
	rm -rf $(VENV) $(VERIFIER_VENV) .venv-newest .venv-lowest .venv-bare build demo-output *.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The whole library, editable, with every extra.
$(VENV)/.installed: pyproject.toml $(LOCKED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "zkinfer needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP_INSTALL) --constraint $(LOCKED) $(EDITABLE) '.[all]'
	@touch $@

.venv-lowest/.installed: pyproject.toml $(LOWEST)
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/$(PIP_INSTALL) --constraint $(LOWEST) $(EDITABLE) '.[$(VERSIONED_EXTRAS)]'
	@touch $@

# What a third party installs: the verifier, with what the demonstration's ezkl proof takes, and nothing of the prover's
# dependencies.
$(VERIFIER_VENV)/.installed: pyproject.toml $(LOCKED) $(PACKAGE)
	$(PYTHON) -m venv $(VERIFIER_VENV)
	$(VERIFIER_BIN)/$(PIP_INSTALL) --constraint $(LOCKED) '.[ezkl-verifier]'
	@touch $@
