"""A short run of the hostile files: nothing is accepted, every error is the library's own, and faults are counted."""

from collections.abc import Iterator
from types import ModuleType

import pytest
from support.benchmarks import loaded

from zkinfer.errors import MalformedProofError


@pytest.fixture(scope="module")
def hostile() -> Iterator[ModuleType]:
    yield from loaded("hostile")


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


def test_a_case_is_slow_if_it_is_slow_twice(hostile: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment does not count."""
    clock = iter([0.0, 9.0, 9.0, 9.1, 20.0, 29.0, 29.0, 37.0])
    monkeypatch.setattr(hostile.time, "process_time", lambda: next(clock))
    tally = hostile.Tally()
    tally.run(1, lambda: False)
    assert tally.good
    tally.run(2, lambda: False)
    assert (tally.slowest, tally.slowest_case) == (8.0, 2)
    assert not tally.good


def test_too_much_memory_is_a_failure(
    hostile: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for megabytes, ended in ((hostile.MOST_MEGABYTES, 0), (hostile.MOST_MEGABYTES + 1, 1)):
        monkeypatch.setattr(hostile, "peak_megabytes", lambda taken=megabytes: taken)
        assert hostile.main(["--mutations", "0", "--programs", "1"]) == ended
        assert f"largest: {megabytes} MB" in capsys.readouterr().out
