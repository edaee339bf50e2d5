"""Conversion, and arithmetic element by element, against the oracle. Lengths with and without whole Vectors."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.params import P

LENGTHS = [0, 1, 7, 8, 9, 64, 1000]
HALF = P // 2


def test_conversion_of_any_integers() -> None:
    values = [
        0,
        1,
        -1,
        HALF,
        HALF + 1,
        -HALF,
        P - 1,
        P,
        -P,
        7 * P,
        7 * P + 1,
        -7 * P - 1,
        2**53 + 1,
        2**54 + 1,
        2**63 - 1,
        -(2**63),
    ]
    array = kernels.from_ints(np.array(values, dtype=np.int64))
    assert kernels.is_balanced(array)
    assert kernels.to_ints(array).tolist() == [v % P for v in values]
    assert np.array_equal(kernels.from_ints(values), array)
    assert kernels.to_ints(kernels.from_ints([2**80, -(2**80)])).tolist() == [2**80 % P, -(2**80) % P]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint8, np.uint64])
def test_conversion_of_integer_arrays(dtype: type[np.integer]) -> None:
    info = np.iinfo(dtype)
    values = np.array([[info.min, 0, info.max]], dtype=dtype)
    assert kernels.to_ints(kernels.from_ints(values)).tolist() == [[int(v) % P for v in values[0]]]


def test_floats_are_not_taken_for_integers() -> None:
    with pytest.raises(InvalidInputError):
        kernels.from_ints(np.array([0.5]))


def test_extension_elements_come_back(elements: Any) -> None:
    values = elements.ext(10)
    array = kernels.ext_from_ints(values)
    assert array.shape == (3, 10)
    assert kernels.ext_to_ints(array) == values
    assert kernels.ext_from_ints([]).shape == (3, 0)


@pytest.mark.parametrize("bad", [HALF + 1, -HALF - 1, 0.5, np.nan, np.inf])
def test_what_is_not_balanced_is_seen(bad: float) -> None:
    assert not kernels.is_balanced(np.array([0.0, bad]))
    assert kernels.is_balanced(np.array([float(HALF), -float(HALF)]))


@pytest.mark.parametrize("n", LENGTHS)
def test_base_operations(n: int, elements: Any) -> None:
    a, b = elements.base(n), elements.base(n)
    fa, fb = kernels.from_ints(a), kernels.from_ints(b)
    for operation in ("add", "sub", "mul"):
        result = getattr(kernels, operation)(fa, fb)
        expected = [getattr(scalar, operation)(x, y) for x, y in zip(a, b, strict=True)]
        assert kernels.is_balanced(result)
        assert kernels.to_ints(result).tolist() == expected
    assert kernels.to_ints(kernels.neg(fa)).tolist() == [scalar.neg(x) for x in a]


@pytest.mark.parametrize("n", LENGTHS)
def test_extension_operations(n: int, elements: Any) -> None:
    a, b, s = elements.ext(n), elements.ext(n), elements.base(n)
    fa, fb, fs = kernels.ext_from_ints(a), kernels.ext_from_ints(b), kernels.from_ints(s)
    assert kernels.ext_to_ints(kernels.add(fa, fb)) == [scalar.ext_add(x, y) for x, y in zip(a, b, strict=True)]
    assert kernels.ext_to_ints(kernels.sub(fa, fb)) == [scalar.ext_sub(x, y) for x, y in zip(a, b, strict=True)]
    assert kernels.ext_to_ints(kernels.neg(fa)) == [scalar.ext_neg(x) for x in a]
    assert kernels.ext_to_ints(kernels.ext_mul(fa, fb)) == [scalar.ext_mul(x, y) for x, y in zip(a, b, strict=True)]
    assert kernels.ext_to_ints(kernels.ext_scale(fa, fs)) == [scalar.ext_scale(x, y) for x, y in zip(a, s, strict=True)]


def test_shapes_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ShapeError):
        kernels.add(np.zeros(3), np.zeros(4))
    with pytest.raises(ShapeError):
        kernels.ext_mul(np.zeros((3, 4)), np.zeros((3, 5)))
    with pytest.raises(ShapeError):
        kernels.ext_scale(np.zeros((3, 4)), np.zeros(5))


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 4)), np.zeros(3), np.zeros((3, 4), dtype=np.float32), np.zeros((3, 8))[:, ::2]]
)
def test_extension_vectors_have_three_contiguous_float64_rows(bad: Any) -> None:
    with pytest.raises(ShapeError):
        kernels.ext_mul(bad, bad)


@pytest.mark.parametrize("bad", [np.zeros((3, 4)), np.zeros(4, dtype=np.float32), np.zeros(8)[::2]])
def test_base_vectors_are_contiguous_float64_lines(bad: Any) -> None:
    with pytest.raises(ShapeError):
        kernels.dot(bad, bad)
