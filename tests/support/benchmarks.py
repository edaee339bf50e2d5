"""The modules of benchmarks/, which lie in no package and import each other by their names."""

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest
from support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"


def loaded(name: str) -> Iterator[ModuleType]:
    """What a fixture yields: a benchmark, with the others within its reach until the tests of it end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module(name)
