"""Where the time of a proof goes."""

from itertools import count

import pytest

pytest.importorskip("numba")

from support.native_prover import make_case, prove
from support.two_layer_program import INPUT, PROGRAM, WEIGHTS

from zkinfer.native.timings import collected, phase


def test_times_of_one_name_add_up_on_the_clock_that_is_asked_for() -> None:
    ticks = count()
    with collected(lambda: float(next(ticks) ** 2)) as found:
        for name in ("first", "second", "first"):
            with phase(name):
                pass
    assert found == {"first": 1 - 0 + 25 - 16, "second": 9 - 4}
    assert list(found) == ["first", "second"]


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
