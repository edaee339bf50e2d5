"""Fold, eq table and evaluation against the oracle."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from zkinfer.errors import ShapeError
from zkinfer.field import fast, slow
from zkinfer.field.params import P
from zkinfer.field.slow import ONE, ZERO


@pytest.mark.parametrize("n", [2, 6, 16, 18, 256])
def test_fold(n: int, elements: Any) -> None:
    values, line = elements.ext(n), elements.base(n)
    for r in (*elements.ext(3), ZERO, ONE, (P - 1, P - 1, P - 1), (P // 2, P // 2 + 1, P // 2)):
        folded = fast.fold(fast.ext_from_ints(values), r)
        assert fast.is_balanced(folded)
        assert fast.ext_to_ints(folded) == slow.fold(values, r)
        from_base = fast.fold(fast.from_ints(line), r)
        assert fast.is_balanced(from_base)
        assert fast.ext_to_ints(from_base) == slow.fold([slow.ext_from_base(v) for v in line], r)


def test_fold_into_its_own_lower_half(elements: Any) -> None:
    values, (r,) = elements.ext(48), elements.ext(1)
    array = fast.ext_from_ints(values)
    result = fast.fold(array, r, out=array[:, :24])
    assert result.base is array
    assert fast.ext_to_ints(result) == slow.fold(values, r)


def test_fold_refuses_what_it_cannot_fold() -> None:
    with pytest.raises(ShapeError):
        fast.fold(np.zeros((3, 5)), ONE)
    with pytest.raises(ShapeError):
        fast.fold(np.zeros(0), ONE)
    with pytest.raises(ShapeError):
        fast.fold(np.zeros((3, 4)), ONE, out=np.zeros((3, 4)))
    with pytest.raises(ShapeError):
        fast.fold(np.zeros((2, 4)), ONE)


@pytest.mark.parametrize("n", range(8))
def test_eq_table(n: int, elements: Any) -> None:
    point, (scale,) = elements.ext(n), elements.ext(1)
    assert fast.ext_to_ints(fast.eq_table(point)) == slow.eq_table(point)
    assert fast.ext_to_ints(fast.eq_table(point, scale)) == [slow.ext_mul(scale, e) for e in slow.eq_table(point)]


@pytest.mark.parametrize("n", range(9))
def test_mle(n: int, elements: Any) -> None:
    values, line, point = elements.ext(2**n), elements.base(2**n), elements.ext(n)
    assert fast.mle(fast.ext_from_ints(values), point) == slow.mle(values, point)
    assert fast.mle(fast.from_ints(line), point) == slow.mle([slow.ext_from_base(v) for v in line], point)


def test_mle_refuses_a_point_of_another_dimension() -> None:
    with pytest.raises(ShapeError):
        fast.mle(np.zeros(8), [ONE])
