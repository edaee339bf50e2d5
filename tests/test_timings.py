"""Where the time of a proof goes."""

from itertools import count

import pytest

pytest.importorskip("numba")

from support.example_programs import mlp
from support.native_prover import make_case, prove
from support.two_layer_program import INPUT, PROGRAM, WEIGHTS

from zkinfer.native.setup import setup
from zkinfer.timings import collected, phase


def test_times_of_one_name_add_up_on_the_clock_that_is_asked_for() -> None:
    ticks = count()
    with collected(lambda: float(next(ticks) ** 2)) as found:
        for name in ("first", "second", "first"):
            with phase(name):
                pass
    assert found == {"first": 1 - 0 + 25 - 16, "second": 9 - 4}
    assert list(found) == ["first", "second"]


def test_phases_within_another_count_for_it() -> None:
    ticks = count()
    with collected(lambda: float(next(ticks) ** 2)) as found, phase("outer"), phase("inner"):
        pass
    assert found == {"outer": 1 - 0}


def test_in_detail_each_second_counts_once() -> None:
    ticks = count()
    with collected(lambda: float(next(ticks)), detailed=True) as found:
        with phase("outer"):
            for _ in range(2):
                with phase("inner"), phase("innermost"):
                    pass
        with phase("inner"):
            pass
    assert found == {"outer": 9 - 2 * 3, "outer: inner": 2 * 2, "outer: innermost": 2 * 1, "inner": 1}
    assert list(found) == ["outer", "outer: inner", "outer: innermost", "inner"]


def test_a_phase_that_fails_is_over() -> None:
    with collected(lambda: 0.0, detailed=True) as found:
        with pytest.raises(ZeroDivisionError), phase("failing"):
            raise ZeroDivisionError
        with phase("next"):
            pass
    assert list(found) == ["failing", "next"]


def test_nothing_is_collected_outside() -> None:
    with collected() as found:
        pass
    with phase("later"):
        pass
    assert found == {}


def test_the_large_parts_of_a_proof_have_names() -> None:
    case = make_case(PROGRAM, WEIGHTS, [INPUT])
    with collected() as found:
        assert not prove(case).failing
    named = {"public values", "lookups", "contractions", "opening of the weights", "opening of the rest"}
    assert named | {"proof about the pads"} <= set(found)


def test_a_proof_from_keys_leaves_no_part_without_its_phase() -> None:
    """The copy of the weights that a proof opens is made in a phase, as all that is committed to."""
    example = mlp()
    keys = setup(example.program, example.weights, proofs=4)
    with collected() as found:
        keys.prove([example.x[None]], b"")
    assert "copy of the weights" in found
    assert found.keys().isdisjoint({"encoding", "tree"})


def test_in_detail_openings_have_parts() -> None:
    case = make_case(PROGRAM, WEIGHTS, [INPUT])
    with collected(detailed=True) as found:
        assert not prove(case).failing
    parts = {"combinations", "columns and paths"}
    assert {
        f"{opening}: {part}" for opening in ("opening of the weights", "opening of the rest") for part in parts
    } <= set(found)
