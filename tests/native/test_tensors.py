"""What the prover computes of operands, against sums written out in Python integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.linear_claims import both_sides, side_values
from support.random_contractions import OPERANDS, SUBSCRIPTS, einsum_case, random_ext, random_functional

from zkinfer.circuit.program import Einsum, Program, Tensor
from zkinfer.native.tensors import combined_columns, contract_rows, outer_table, side_table
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.modular import from_exts, to_exts
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.reduction.contraction import contract, ones
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.reduction.plan import make_plan
from zkinfer.protocol.reduction.shared import Shared
from zkinfer.typing import Floats

seeds = st.integers(0, 2**32 - 1)
DTYPES: list[type[np.signedinteger]] = [np.int8, np.int16, np.int32, np.int64]


def elements(table: Floats) -> list[Ext]:
    """A table of base or extension elements as integers."""
    integers = kernels.to_ints(table)
    return to_exts(integers) if integers.ndim == 2 else [(int(x), 0, 0) for x in integers]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operands", OPERANDS)
@pytest.mark.parametrize("subscripts", SUBSCRIPTS)
def test_both_sides_are_the_sums_that_define_them(
    subscripts: str, operands: str, dtype: type[np.signedinteger]
) -> None:
    rng = np.random.default_rng([len(subscripts), len(operands), np.dtype(dtype).itemsize])
    magnitude = min(int(np.iinfo(dtype).max), 1 << 40)
    case = einsum_case(subscripts, operands, 3, rng, magnitude)
    values = {number: array.astype(dtype) for number, array in case.values.items()}
    contraction = contract(case.plan, case.node, random_functional(rng, case.result.shape), Shared())
    for value, side, scale in both_sides(contraction):
        table = side_table(contraction.sides, side, values[value], scale)
        assert elements(table) == side_values(contraction.sides, side, case.values[value], scale)


@given(seeds)
def test_any_einsum_any_functional_any_order_in_memory(seed: int) -> None:
    """Operands need not be contiguous: the executor hands out views."""
    rng = np.random.default_rng(seed)
    case = einsum_case(str(rng.choice(SUBSCRIPTS)), str(rng.choice(OPERANDS)), int(rng.integers(1, 4)), rng)
    contraction = contract(case.plan, case.node, random_functional(rng, case.result.shape), Shared())
    for value, side, scale in both_sides(contraction):
        array = np.asfortranarray(case.values[value].astype(DTYPES[rng.integers(1, len(DTYPES))]))
        table = side_table(contraction.sides, side, array, scale)
        assert elements(table) == side_values(contraction.sides, side, case.values[value], scale)


def test_what_is_not_multiplied_stays_in_the_base_field() -> None:
    """Half the memory, and cheaper rounds: an operand all of whose letters are shared and without factors."""
    rng = np.random.default_rng(0)
    case = einsum_case("a,ba->b", "input and weight", 2, rng)
    contraction = contract(case.plan, case.node, random_functional(rng, case.result.shape), Shared())
    unscaled = side_table(contraction.sides, contraction.sides.right, case.values[1])
    assert unscaled.ndim == 2, "the weights of the result are over the runs and over b"
    plain = einsum_case("a,a->", "input and weight", 1, rng)
    contraction = contract(plain.plan, plain.node, random_functional(rng, plain.result.shape), Shared())
    assert side_table(contraction.sides, contraction.sides.right, plain.values[1]).ndim == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 1), (1, 5), (7, 300), (300, 7)])
def test_rows_and_columns_are_combined_exactly(dtype: type[np.signedinteger], rows: int, columns: int) -> None:
    """The extremes of the type, among others."""
    rng = np.random.default_rng([rows, columns])
    bounds = max(-(1 << 48), int(np.iinfo(dtype).min)), min(1 << 48, int(np.iinfo(dtype).max))
    matrix = rng.integers(*bounds, (rows, columns), endpoint=True).astype(dtype)
    matrix.reshape(-1)[: min(2, matrix.size)] = bounds[: min(2, matrix.size)]
    down, across = rng.integers(0, P, (3, rows)), rng.integers(0, P, (3, columns))
    down[:, 0], across[:, 0] = P - 1, P - 1
    by_rows = [scalar.ext_base_dot(to_exts(down), [int(x) % P for x in column]) for column in matrix.T]
    by_columns = [scalar.ext_base_dot(to_exts(across), [int(x) % P for x in row]) for row in matrix]
    assert to_exts(contract_rows(matrix, down)) == by_rows
    assert elements(combined_columns(matrix, across)) == by_columns


@pytest.mark.parametrize("rows", [1 << 14, 1 << 16, 1 << 17])
def test_letters_that_the_other_operand_lacks_are_summed_however_long(rows: int) -> None:
    """Weights over rows and columns that are not a product: minus one everywhere, and one zero."""
    x, w = Tensor("x", (rows, 1), 0, 0, 1), Tensor("w", (2, 1), 0, -1, 1)
    node = Einsum(Tensor("y", (rows, 2), 0, -1, 1), "ab,cb->ac", (0, 1))
    plan = make_plan(Program(1, (x,), (w,), (), (node,), (2,)), 1)
    weights = np.zeros((3, rows, 2), dtype=np.int64)
    weights[0] = P - 1
    weights[0, 0, 0] = 0
    contraction = contract(plan, node, Functional((1, rows, 2), (ones(1), weights)), Shared())
    (_, left, scale), _ = both_sides(contraction)
    table = side_table(contraction.sides, left, np.ones((1, rows, 1), dtype=np.int64), scale)
    assert elements(table) == [(P - rows + 1, 0, 0), (P - rows, 0, 0)]


@given(seeds, st.lists(st.integers(0, 3), min_size=1, max_size=3))
def test_an_outer_table_is_the_product_of_its_vectors(seed: int, bits: list[int]) -> None:
    rng = np.random.default_rng(seed)
    vectors = [[random_ext(rng) for _ in range(1 << b)] for b in bits]
    expected = [ONE]
    for vector in vectors:
        expected = [scalar.ext_mul(a, b) for a in expected for b in vector]
    assert elements(outer_table([from_exts(vector) for vector in vectors])) == expected
