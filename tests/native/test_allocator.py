"""Freed memory is kept: counted in page faults, in processes of their own."""

import os
import subprocess
import sys

import pytest

from zkinfer.native.allocator import ENVIRONMENT_VARIABLE

FAULTS = """
import resource
import numpy as np
from zkinfer.native.allocator import keep_freed_memory

def faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(25_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(keep_freed_memory(), keep_freed_memory(), *(faults() for _ in range(3)))
"""


def run(**environment: str) -> tuple[list[str], list[int]]:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    words = done.stdout.split()
    return words[:2], [int(word) for word in words[2:]]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is changed")
def test_pages_are_asked_for_once() -> None:
    kept, (first, *others) = run()
    assert kept == ["True", "True"]
    assert first > 50
    assert max(others) < first / 4


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is changed")
def test_it_may_be_declined() -> None:
    kept, (first, *others) = run(**{ENVIRONMENT_VARIABLE: "0"})
    assert kept == ["False", "False"]
    assert min(others) > first / 2


RETURNED = """
import re
from pathlib import Path
import numpy as np
from zkinfer.native.allocator import keep_freed_memory, returning_freed_memory

def own() -> int:
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def freed() -> int:
    arrays = [np.ones(250_000) for _ in range(21)]
    last = arrays.pop()
    before = own()
    arrays.clear()
    return before - own()

{first}
del large
with returning_freed_memory():
    inside = freed()
print(inside, freed())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is changed")
@pytest.mark.parametrize(("first", "returned"), [("", True), ("keep_freed_memory()", False)])
def test_what_is_freed_is_returned_inside_alone_and_not_where_it_is_kept(first: str, returned: bool) -> None:
    """40 MB lie below an array that is still in use; a larger one was freed before."""
    command = [sys.executable, "-c", RETURNED.format(first=f"{first}\nlarge = np.ones(4_000_000)")]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    inside, after = map(int, found.split())
    assert (inside > 30_000) == returned
    assert after < 10_000
