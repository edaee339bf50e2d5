"""Fold, eq table and evaluation against the oracle."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from zkinfer.errors import ShapeError
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.kernels.fold import ONE_CALL_VALUES
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO


@pytest.mark.parametrize("n", [2, 6, 16, 18, 256])
def test_fold(n: int, elements: Any) -> None:
    values, line = elements.ext(n), elements.base(n)
    for r in (*elements.ext(3), ZERO, ONE, (P - 1, P - 1, P - 1), (P // 2, P // 2 + 1, P // 2)):
        folded = kernels.fold(kernels.ext_from_ints(values), r)
        assert kernels.is_balanced(folded)
        assert kernels.ext_to_ints(folded) == scalar.fold(values, r)
        from_base = kernels.fold(kernels.from_ints(line), r)
        assert kernels.is_balanced(from_base)
        assert kernels.ext_to_ints(from_base) == scalar.fold([scalar.ext_from_base(v) for v in line], r)


def test_fold_into_its_own_lower_half(elements: Any) -> None:
    values, (r,) = elements.ext(48), elements.ext(1)
    array = kernels.ext_from_ints(values)
    result = kernels.fold(array, r, out=array[:, :24])
    assert result.base is array
    assert kernels.ext_to_ints(result) == scalar.fold(values, r)


def test_fold_refuses_what_it_cannot_fold() -> None:
    with pytest.raises(ShapeError):
        kernels.fold(np.zeros((3, 5)), ONE)
    with pytest.raises(ShapeError):
        kernels.fold(np.zeros(0), ONE)
    with pytest.raises(ShapeError):
        kernels.fold(np.zeros((3, 4)), ONE, out=np.zeros((3, 4)))
    with pytest.raises(ShapeError):
        kernels.fold(np.zeros((2, 4)), ONE)


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 5), (2, 16), (7, 64), (2000, 9)])
def test_adding_products_of_rows_and_a_line(rows: int, width: int, elements: Any) -> None:
    """Also of more rows than one thread takes."""
    before, heads, line = elements.ext(rows * width), elements.ext(rows), elements.ext(width)
    out = kernels.ext_from_ints(before)
    kernels.add_outer(out, kernels.ext_from_ints(heads), kernels.ext_from_ints(line))
    assert kernels.is_balanced(out)
    products = [scalar.ext_mul(head, entry) for head in heads for entry in line]
    assert kernels.ext_to_ints(out) == [scalar.ext_add(x, y) for x, y in zip(before, products, strict=True)]


def test_rows_of_products_begin_anywhere(elements: Any) -> None:
    heads, line, starts = elements.ext(3), elements.ext(20), [50, 0, 25]
    out = np.zeros((3, 70))
    rows = kernels.ext_from_ints(heads)
    kernels.add_outer(out, rows, kernels.ext_from_ints(line), np.array(starts))
    expected = [ZERO] * 70
    for head, start in zip(heads, starts, strict=True):
        expected[start : start + 20] = [scalar.ext_mul(head, entry) for entry in line]
    assert kernels.ext_to_ints(out) == expected


def test_products_are_added_within_the_elements() -> None:
    rows, line = np.zeros((3, 2)), np.zeros((3, 3))
    with pytest.raises(ShapeError):
        kernels.add_outer(np.zeros((3, 5)), rows, line)
    for starts in ([0, 4], [-1, 3], [0], [0, 1, 2]):
        with pytest.raises(ShapeError):
            kernels.add_outer(np.zeros((3, 6)), rows, line, np.array(starts))


@pytest.mark.parametrize("n", [*range(8), 15])
def test_eq_table(n: int, elements: Any) -> None:
    point, (scale,) = elements.ext(n), elements.ext(1)
    assert kernels.ext_to_ints(kernels.eq_table(point)) == scalar.eq_table(point)
    assert kernels.ext_to_ints(kernels.eq_table(point, scale)) == [
        scalar.ext_mul(scale, e) for e in scalar.eq_table(point)
    ]


@pytest.mark.parametrize("n", range(9))
def test_mle(n: int, elements: Any) -> None:
    values, line, point = elements.ext(2**n), elements.base(2**n), elements.ext(n)
    assert kernels.mle(kernels.ext_from_ints(values), point) == scalar.mle(values, point)
    assert kernels.mle(kernels.from_ints(line), point) == scalar.mle([scalar.ext_from_base(v) for v in line], point)


@pytest.mark.parametrize("n", [ONE_CALL_VALUES.bit_length() - 1, ONE_CALL_VALUES.bit_length()])
def test_one_call_and_several_agree(n: int) -> None:
    """At the extremes of balanced elements."""
    edge, low = P // 2, P // 2 + 1
    values = kernels.from_ints(np.where(np.arange(1 << n) % 3 == 0, low, edge))
    for coordinates in ((edge, edge, edge), (low, edge, low), (1, 0, 0)):
        point = [coordinates] * n
        assert kernels.mle(values, point) == kernels.ext_base_dot(kernels.eq_table(point), values)


def test_mle_refuses_a_point_of_another_dimension() -> None:
    with pytest.raises(ShapeError):
        kernels.mle(np.zeros(8), [ONE])
