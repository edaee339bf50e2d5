"""Inner products and row combinations against the oracle, and at the largest sums that the accumulators must hold."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext
from zkinfer.typing import Array

HALF = P // 2
SHAPES = [(1, 1), (3, 5), (4, 8), (7, 9), (8, 16), (9, 20), (17, 530), (33, 1030)]


@pytest.mark.parametrize("n", [0, 1, 8, 29, 1000])
def test_inner_products(n: int, elements: Any) -> None:
    a, b, x, y = elements.ext(n), elements.ext(n), elements.base(n), elements.base(n)
    fa, fb, fx, fy = kernels.ext_from_ints(a), kernels.ext_from_ints(b), kernels.from_ints(x), kernels.from_ints(y)
    assert kernels.dot(fx, fy) == scalar.dot(x, y)
    assert kernels.ext_dot(fa, fb) == scalar.ext_dot(a, b)
    assert kernels.ext_base_dot(fa, fx) == scalar.ext_base_dot(a, x)


@pytest.mark.parametrize("sign", [1, -1])
def test_inner_products_of_the_largest_elements(sign: int) -> None:
    n = 10_000
    line, ext = np.full(n, float(HALF)), np.full((3, n), float(HALF))
    square = sign * n * HALF**2
    assert kernels.dot(line, sign * line) == square % P
    assert kernels.ext_dot(ext, sign * ext) == (5 * square % P, 4 * square % P, 3 * square % P)
    assert kernels.ext_base_dot(ext, sign * line) == (square % P,) * 3


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("shape", SHAPES)
def test_combinations_of_small_integers(dtype: type, shape: tuple[int, int], elements: Any) -> None:
    info = np.iinfo(dtype)
    matrix = elements.rng.integers(info.min, info.max + 1, shape).astype(dtype)
    coefficients = elements.ext(shape[0])
    result = kernels.row_combination(matrix, coefficients)
    assert kernels.is_balanced(result)
    assert kernels.ext_to_ints(result) == scalar.row_combination(matrix.tolist(), coefficients)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("shape", SHAPES)
def test_combinations_of_columns(dtype: type, shape: tuple[int, int], elements: Any) -> None:
    info = np.iinfo(dtype)
    matrix = elements.rng.integers(info.min, info.max + 1, shape).astype(dtype)
    coefficients = elements.ext(shape[1])
    result = kernels.column_combination(matrix, kernels.ext_from_ints(coefficients))
    assert kernels.is_balanced(result)
    assert kernels.ext_to_ints(result) == scalar.row_combination(matrix.T.tolist(), coefficients)


@pytest.mark.parametrize("shape", SHAPES)
def test_combinations_of_field_elements(shape: tuple[int, int], elements: Any) -> None:
    rows, columns = shape
    matrix = [elements.base(columns) for _ in range(rows)]
    coefficients = elements.ext(rows)
    result = kernels.row_combination(kernels.from_ints(matrix), kernels.ext_from_ints(coefficients))
    assert kernels.is_balanced(result)
    assert kernels.ext_to_ints(result) == scalar.row_combination(matrix, coefficients)


ODD_LIMBS = (2**24 - 1) * 2**25 + 2**24 - 1
"""Balanced, with both limbs the largest odd ones: a sum of products that does not fit loses its last bit."""


@pytest.mark.parametrize(
    ("dtype", "entry", "rows"),
    # Past the number of rows whose sums are kept exactly before they are reduced: 2^21 and 2^13.
    [(np.int8, -128, (1 << 21) + 5), (np.int8, -127, (1 << 21) + 5), (np.int16, -(2**15), (1 << 13) + 1),
     (np.int16, -(2**15) + 1, 3 * (1 << 13) + 1), (np.float64, HALF, 4099), (np.float64, ODD_LIMBS, 4099)],
)  # fmt: skip
@pytest.mark.parametrize("coefficient", [HALF, ODD_LIMBS])
def test_combinations_of_the_largest_entries(dtype: type[np.number], entry: int, rows: int, coefficient: int) -> None:
    """The same entry everywhere, the same coefficient everywhere: nothing cancels."""
    matrix = np.full((rows, 2), entry, dtype=dtype)
    coefficients = np.full((3, rows), float(coefficient))
    expected = rows * entry * coefficient % P
    assert kernels.ext_to_ints(kernels.row_combination(matrix, coefficients)) == [(expected,) * 3] * 2
    if dtype is not np.float64:
        across = np.ascontiguousarray(matrix.T)
        assert kernels.ext_to_ints(kernels.column_combination(across, coefficients)) == [(expected,) * 3] * 2


def test_combinations_of_field_elements_near_the_largest(elements: Any) -> None:
    """All bits in use, all of one sign, or of two: where a partial sum left its binade, low bits would be lost."""
    rng = elements.rng
    for signs in ([1], [-1], [1, -1]):
        matrix = (HALF - rng.integers(0, 1 << 20, (40, 50))) * rng.choice(signs, (40, 50))
        factors = (HALF - rng.integers(0, 1 << 20, (3, 40))) * rng.choice(signs, (3, 40))
        result = kernels.row_combination(matrix.astype(np.float64), factors.astype(np.float64))
        expected = factors.astype(object) @ matrix.astype(object) % P
        assert kernels.is_balanced(result)
        assert np.array_equal(kernels.to_ints(result), expected.astype(np.int64))


def test_read_only_and_mapped_matrices(tmp_path: Any, elements: Any) -> None:
    matrix = elements.rng.integers(-128, 128, (5, 24)).astype(np.int8)
    path = tmp_path / "weights"
    matrix.tofile(path)
    mapped = np.memmap(path, dtype=np.int8, mode="r", shape=(5, 24))
    coefficients: list[Ext] = elements.ext(5)
    assert kernels.ext_to_ints(kernels.row_combination(mapped, coefficients)) == scalar.row_combination(
        matrix.tolist(), coefficients
    )


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float64])
@pytest.mark.parametrize("used", [[], [0], [16], [0, 1, 5, 9, 16], list(range(1, 16))])
def test_rows_that_are_not_used_are_not_read(dtype: type[np.number], used: list[int], elements: Any) -> None:
    """What is no number stands in them, or, among integers, what would change every sum."""
    matrix = np.full((17, 20), np.nan if dtype is np.float64 else -99, dtype=dtype)
    matrix[used] = elements.rng.integers(-128, 128, (len(used), 20))
    coefficients = np.zeros((3, 17))
    coefficients[:, used] = kernels.ext_from_ints(elements.ext(len(used)))
    expected = kernels.row_combination(np.ascontiguousarray(matrix[used]), np.ascontiguousarray(coefficients[:, used]))
    assert np.array_equal(kernels.row_combination(matrix, coefficients), expected)


@pytest.mark.parametrize("dtype", [np.int8, np.float64])
def test_combinations_that_are_added_to_others(dtype: type, elements: Any) -> None:
    """Also where the others are a part of longer lines."""
    matrix: Array = np.arange(-15, 15).reshape(3, 10).astype(dtype)
    before, coefficients = elements.ext(14), elements.ext(3)
    lines = kernels.ext_from_ints(before)
    kernels.row_combination(matrix, coefficients, lines[:, 2:12])
    assert kernels.is_balanced(lines)
    own = [ZERO, ZERO, *scalar.row_combination(matrix.astype(int).tolist(), coefficients), ZERO, ZERO]
    assert kernels.ext_to_ints(lines) == [scalar.ext_add(a, b) for a, b in zip(before, own, strict=True)]
    with pytest.raises(ShapeError, match="rows of 10 numbers"):
        kernels.row_combination(matrix, coefficients, lines)


def test_a_matrix_without_rows_combines_to_zero() -> None:
    for dtype in (np.int8, np.float64):
        assert not kernels.row_combination(np.zeros((0, 3), dtype=dtype), np.zeros((3, 0))).any()


def test_what_has_no_combination_is_refused() -> None:
    with pytest.raises(ShapeError):
        kernels.row_combination(np.zeros((2, 3)), [ONE])
    with pytest.raises(ShapeError):
        kernels.row_combination(np.zeros((3, 2)).T, [ONE, ONE])
    with pytest.raises(InvalidInputError):
        kernels.row_combination(np.zeros((1, 3), dtype=np.int32), [ONE])
    with pytest.raises(ShapeError):
        kernels.dot(np.zeros(2), np.zeros(3))
    with pytest.raises(ShapeError):
        kernels.ext_dot(np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(ShapeError):
        kernels.ext_base_dot(np.zeros((3, 2)), np.zeros(3))


def test_columns_that_no_kernel_takes_are_refused() -> None:
    three = np.zeros((3, 3))
    with pytest.raises(ShapeError):
        kernels.column_combination(np.zeros((3, 2), dtype=np.int8), three)
    with pytest.raises(ShapeError):
        kernels.column_combination(np.zeros((3, 2), dtype=np.int8).T, three)
    with pytest.raises(InvalidInputError):
        kernels.column_combination(np.zeros((2, 3)), three)
