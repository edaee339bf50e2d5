"""A short run of the hostile files: nothing is accepted, every error is the library's own, and faults are counted."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from zkinfer.errors import MalformedProofError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def hostile() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("hostile")


def test_a_short_run_finds_nothing(hostile: ModuleType) -> None:
    tallies = hostile.run(240, 150, seed=2)
    assert {name: (tally.accepted, tally.foreign) for name, tally in tallies.items()} == {
        name: ([], []) for name in tallies
    }
    assert len(tallies) == 8
    assert sum(tally.cases for tally in tallies.values()) > 350
    errors = tallies["hostile program"].errors
    assert errors["MalformedProofError"] > 20, "many programs have to be read, so that verifying has begun"
    assert "accepted" in hostile.report(tallies)


def test_what_is_wrong_is_counted(hostile: ModuleType) -> None:
    tally = hostile.Tally()

    def refuse() -> bool:
        raise MalformedProofError

    tally.run(1, refuse)
    assert tally.good
    tally.run(2, lambda: True)
    tally.run(3, lambda: bool(1 // 0))
    assert (tally.accepted, [number for number, _ in tally.foreign], tally.cases) == ([2], [3], 3)
    assert not tally.good
    assert "case 3 raised ZeroDivisionError" in hostile.report({"file": tally})
