"""Rows of int8 are combined as the oracle says, whichever columns and rows share registers, blocks and 32-bit sums."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from zkinfer.jit.threads import threads
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.kernels.byte_rows import BLOCK, LIMB_BITS, LIMBS, PAIRS, UNIT, _limbs
from zkinfer.protocol.field.params import DEGREE, P

HALF = P // 2
LOWEST_LIMBS = -sum(1 << (LIMB_BITS * k + LIMB_BITS - 1) for k in range(LIMBS - 1))
"""All limbs but the last are as far from zero as limbs are."""


def test_limbs_of_the_largest_coefficients() -> None:
    """They fit their bits, and make the coefficient again."""
    values = [0, 1, -1, HALF, -HALF, HALF - 1, LOWEST_LIMBS, -LOWEST_LIMBS, 1 << 12, (1 << 12) - 1, -(1 << 12), 1 << 48]
    pairs = _limbs(np.array([values] * DEGREE, dtype=np.float64)).astype(np.int64).reshape(-1, DEGREE, LIMBS, 2)
    limbs = pairs.transpose(1, 0, 3, 2).reshape(DEGREE, -1, LIMBS)
    assert (limbs @ (1 << LIMB_BITS * np.arange(LIMBS)) == values).all()
    assert limbs.min() == -(1 << (LIMB_BITS - 1))
    assert limbs.max() < 1 << (LIMB_BITS - 1)
    assert abs(limbs[..., -1]).max() <= 1 << 10


def test_sums_of_the_largest_products_fit_32_bits() -> None:
    assert 2 * PAIRS * (1 << (LIMB_BITS - 1)) * (1 << 7) < 1 << 31


@pytest.mark.parametrize("columns", [1, UNIT - 1, UNIT, UNIT + 1, BLOCK, BLOCK + UNIT, 2 * BLOCK + UNIT + 3])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_any_number_of_columns(rows: int, columns: int, elements: Any) -> None:
    matrix = elements.rng.integers(-128, 128, (rows, columns)).astype(np.int8)
    coefficients = elements.ext(rows)
    result = kernels.row_combination(matrix, coefficients)
    assert kernels.is_balanced(result)
    assert kernels.ext_to_ints(result) == scalar.row_combination(matrix.tolist(), coefficients)


@pytest.mark.parametrize("rows", [2 * PAIRS - 1, 2 * PAIRS, 2 * PAIRS + 1, 4 * PAIRS + 3])
@pytest.mark.parametrize("coefficient", [HALF, -HALF, LOWEST_LIMBS])
@pytest.mark.parametrize("entry", [-128, 127])
def test_rows_of_several_sums(rows: int, coefficient: int, entry: int) -> None:
    """The same entry everywhere, the same coefficient everywhere: nothing cancels."""
    matrix = np.full((rows, UNIT + 1), entry, dtype=np.int8)
    result = kernels.row_combination(matrix, np.full((DEGREE, rows), float(coefficient)))
    assert kernels.ext_to_ints(result) == [(rows * coefficient * entry % P,) * DEGREE] * (UNIT + 1)


def test_threads_share_the_columns(elements: Any) -> None:
    matrix = elements.rng.integers(-128, 128, (40, 3 * BLOCK + UNIT + 5)).astype(np.int8)
    coefficients = kernels.ext_from_ints(elements.ext(40))
    alone = kernels.row_combination(matrix, coefficients)
    with threads(3):
        assert np.array_equal(kernels.row_combination(matrix, coefficients), alone)
