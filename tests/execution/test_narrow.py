"""Arrays are copied into the smallest type that holds their bounds, if they keep to these."""

import numpy as np
import pytest

from zkinfer.errors import ShapeError
from zkinfer.execution import narrow as under_test
from zkinfer.execution.narrow import check_flat, narrow, smallest_type
from zkinfer.jit.threads import threads


@pytest.mark.parametrize(
    ("lo", "hi", "dtype"),
    [
        (0, 127, "i1"),
        (-128, 0, "i1"),
        (0, 128, "i2"),
        (-129, 0, "i2"),
        (0, 2**15 - 1, "i2"),
        (0, 2**15, "i4"),
        (-(2**31), 2**31 - 1, "i4"),
        (0, 2**31, "i8"),
        (-(2**62), 2**62, "i8"),
    ],
)
def test_the_smallest_type_that_holds_both_ends(lo: int, hi: int, dtype: str) -> None:
    assert smallest_type(lo, hi) == np.dtype(dtype)


@pytest.mark.parametrize("source", ["i1", "i2", "i4", "i8"])
def test_every_element_between_the_bounds_is_copied(source: str) -> None:
    x = np.arange(-100, 100).astype(source)
    out = np.empty(x.size, dtype=np.int8)
    assert narrow(x, -100, 99, out)
    assert out.tolist() == x.tolist()


@pytest.mark.parametrize("wrong", [-129, 128, 2**40, -(2**62)])
@pytest.mark.parametrize("place", [0, 7, 99])
@pytest.mark.parametrize("count", [1, 3])
def test_one_element_beyond_the_bounds_is_noticed(
    wrong: int, place: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "GRAIN", 8)
    x = np.zeros(100, dtype=np.int64)
    x[place] = wrong
    with threads(count):
        assert not narrow(x, -128, 127, np.empty(100, dtype=np.int8))


def test_arrays_that_are_not_flat_are_refused() -> None:
    x = np.zeros(4, dtype=np.int64)
    for other in (np.empty(3), np.empty((4, 1)), np.empty(8)[::2]):
        with pytest.raises(ShapeError, match="flat contiguous arrays of one length"):
            check_flat(x, (other,))
    check_flat(x, (np.empty(3),), same_length=False)
