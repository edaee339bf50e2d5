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


GIVEN_BACK = """
import re
from pathlib import Path
import numpy as np
from zkinfer.native.allocator import give_back_freed_memory, keep_freed_memory

def own() -> int:
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

{first}
arrays = [np.ones(8_000) for _ in range(500)]
last = arrays.pop()
arrays.clear()
before = own()
give_back_freed_memory()
print(before - own())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is changed")
@pytest.mark.parametrize(("first", "given_back"), [("", True), ("keep_freed_memory()", False)])
def test_what_lies_below_memory_in_use_is_given_back_unless_it_is_kept(first: str, given_back: bool) -> None:
    command = [sys.executable, "-c", GIVEN_BACK.format(first=first)]
    kilobytes = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (kilobytes > 20_000) == given_back
