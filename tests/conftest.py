"""Settings that all tests share."""

import os

from hypothesis import settings
from support.ezkl_vectors import columns, data, dense, other_output, product, vector

__all__ = ["columns", "data", "dense", "other_output", "product", "vector"]

# Kernels compile at their first call, which no single example should be timed by. Where nobody watches, every run tries
# the same examples, so that a change is judged by the change; elsewhere each run tries new ones.
settings.register_profile("zkinfer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "zkinfer")
