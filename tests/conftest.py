"""Settings that all tests share."""

from hypothesis import settings

# Kernels compile at their first call, which no single example should be timed by. `make test` tries the same examples
# every time, so that a change is judged by the change. `make fuzz` tries new ones, which a printed seed determines.
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=200, database=None, print_blob=True)
settings.load_profile("fixed")
