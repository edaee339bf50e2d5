"""Settings that all tests share."""

from hypothesis import settings

# Kernels compile at their first call, which no single example should be timed by.
settings.register_profile("zkinfer", deadline=None)
settings.load_profile("zkinfer")
