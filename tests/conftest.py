"""What all tests share: the same examples and the same random numbers in every run."""

import os
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from support.ezkl_vectors import columns, data, dense, other_output, product, vector

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["columns", "data", "dense", "other_output", "product", "vector"]

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # for test modules that import onnxruntime before zkinfer.compiler does

# Kernels compile at their first call, which no single example should be timed by. `make test` tries the same examples
# every time, so that a change is judged by the change. `make fuzz` tries new ones, which a printed seed determines.
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=200, database=None, print_blob=True)
settings.load_profile("fixed")

_FIRST_STATES: dict[str, Any] = {}
"""By a test module's name: the state of its generator `RNG` before its first test."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A module's generator starts every test in the same state, whichever tests of the module ran before it here."""
    module: ModuleType | None = getattr(item, "module", None)
    if module is None:
        return
    match getattr(module, "RNG", None):
        case np.random.Generator() as rng:
            rng.bit_generator.state = _FIRST_STATES.setdefault(module.__name__, rng.bit_generator.state)
        case random.Random() as rng:
            rng.setstate(_FIRST_STATES.setdefault(module.__name__, rng.getstate()))
