"""Contractions of functionals of an Einsum's result, against sums written out in Python integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.linear_claims import sides, value_of
from support.random_contractions import OPERANDS, SUBSCRIPTS, einsum_case, random_ext, random_functional

from zkinfer.circuit.evaluate import evaluate_einsum
from zkinfer.circuit.program import Einsum, Program, Tensor
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.modular import to_exts
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, ext_add, ext_mul, ext_scale
from zkinfer.protocol.reduction.contraction import contract, expand_single, multiply, ones
from zkinfer.protocol.reduction.functional import Functional, of_vectors
from zkinfer.protocol.reduction.plan import make_plan
from zkinfer.protocol.reduction.shared import Shared

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("operands", OPERANDS)
@pytest.mark.parametrize("subscripts", SUBSCRIPTS)
@pytest.mark.parametrize("runs", [1, 3])
def test_the_sum_over_shared_letters_is_the_functionals_value(subscripts: str, operands: str, runs: int) -> None:
    rng = np.random.default_rng([len(subscripts), len(operands), runs])
    case = einsum_case(subscripts, operands, runs, rng)
    for _ in range(2):
        functional = random_functional(rng, case.result.shape)
        contraction = contract(case.plan, case.node, functional, Shared())
        left, right = sides(contraction, case.values)
        assert scalar.ext_dot(left, right) == value_of(functional, case.result)
        assert len(left) == len(right) == 1 << contraction.instance.variables


@pytest.mark.parametrize("operands", OPERANDS)
@pytest.mark.parametrize("subscripts", SUBSCRIPTS)
def test_what_a_sumcheck_leaves_are_functionals_of_the_operands(subscripts: str, operands: str) -> None:
    """A' and B' at a random point, each padded with zeros, are what the functionals give on the operands."""
    rng = np.random.default_rng([len(subscripts), len(operands)])
    case = einsum_case(subscripts, operands, 3, rng)
    contraction = contract(case.plan, case.node, random_functional(rng, case.result.shape), Shared())
    point = tuple(random_ext(rng) for _ in range(contraction.instance.variables))
    on_left, on_right = contraction.functionals(point, Shared())
    left, right = sides(contraction, case.values)
    assert value_of(on_left, case.values[case.node.operands[0]]) == scalar.mle(left, point)
    assert value_of(on_right, case.values[case.node.operands[1]]) == scalar.mle(right, point)


@given(seeds)
def test_any_einsum_any_functional(seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = einsum_case(str(rng.choice(SUBSCRIPTS)), str(rng.choice(OPERANDS)), int(rng.integers(1, 5)), rng)
    functional = random_functional(rng, case.result.shape)
    contraction = contract(case.plan, case.node, functional, Shared())
    left, right = sides(contraction, case.values)
    assert scalar.ext_dot(left, right) == value_of(functional, case.result)


def test_letters_of_one_operand_alone_are_not_in_the_sumcheck() -> None:
    """A layer over a batch: the sumcheck runs over what is contracted, whatever the batch and the width."""
    rng = np.random.default_rng(0)
    x, w = Tensor("x", (100, 5), 0, -1, 1), Tensor("w", (300, 5), 0, -1, 1)
    node = Einsum(Tensor("y", (100, 300), 0, -5, 5), "ab,cb->ac", (0, 1))
    plan = make_plan(Program(1, (x,), (w,), (), (node,), (2,)), 7)
    functional = of_vectors([rng.integers(0, P, (3, n)) for n in (7, 100, 300)], random_ext(rng))
    contraction = contract(plan, node, functional, Shared())
    assert (contraction.sides.shared, contraction.sides.bits, contraction.sides.padded) == ("b", (3,), (8,))


@given(seeds, st.sampled_from(["ab->a", "ab->b", "ab->", "ab->ba", "abc->ca", "a->a"]), st.integers(1, 3))
def test_an_einsum_of_one_operand_sums_with_weight_one(seed: int, subscripts: str, runs: int) -> None:
    rng = np.random.default_rng(seed)
    names, _, out = subscripts.partition("->")
    sizes = {c: int(rng.integers(1, 5)) for c in names}
    x = Tensor("x", tuple(sizes[c] for c in names), 0, -9, 9)
    node = Einsum(Tensor("y", tuple(sizes[c] for c in out), 0, -1000, 1000), subscripts, (0,))
    array = rng.integers(-9, 10, (runs, *x.shape))
    functional = random_functional(rng, (runs, *node.out.shape))
    expanded = expand_single(functional, subscripts, (runs, *x.shape))
    assert value_of(expanded, array) == value_of(functional, evaluate_einsum(subscripts, [array], 1 << 20))


@pytest.mark.parametrize("columns", [1 << 14, 1 << 16, 1 << 17])
def test_letters_that_an_operand_lacks_are_summed_however_long(columns: int) -> None:
    """Weights that are not a product over two axes, as flattening leaves them: minus one everywhere, and one zero.

    What they leave on the left operand, at a point z of the columns, has a closed form: each row has minus the sum of
    an eq table, which is one, and the first row lacks its first entry.
    """
    x, w = Tensor("x", (2, 1), 0, -1, 1), Tensor("w", (columns, 1), 0, -1, 1)
    node = Einsum(Tensor("y", (2, columns), 0, -1, 1), "ab,cb->ac", (0, 1))
    plan = make_plan(Program(1, (x,), (w,), (), (node,), (2,)), 1)
    weights = np.zeros((3, 2, columns), dtype=np.int64)
    weights[0] = P - 1
    weights[0, 0, 0] = 0
    contraction = contract(plan, node, Functional((1, 2, columns), (ones(1), weights)), Shared())
    point = tuple(random_ext(np.random.default_rng(columns)) for _ in range(contraction.instance.variables))
    on_left, _ = contraction.functionals(point, Shared())
    first = ONE
    for coordinate in point:
        first = ext_mul(first, ext_add(ONE, ext_scale(coordinate, -1)))
    rows = [ext_add((P - 1, 0, 0), first), (P - 1, 0, 0)]
    for row, expected in enumerate(rows):
        one = np.zeros((1, 2, 1), dtype=np.int64)
        one[0, row] = 1
        assert value_of(on_left, one) == expected != ZERO


def test_products_are_broadcast() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, P, (3, 4, 1)), rng.integers(0, P, (3, 1, 5))
    product = multiply(a, b)
    assert product.shape == (3, 4, 5)
    left, right = to_exts(a[:, :, 0]), to_exts(b[:, 0])
    for i in range(4):
        for j in range(5):
            assert tuple(map(int, product[:, i, j])) == scalar.ext_mul(left[i], right[j])
    assert ones(2).tolist() == [[1, 1], [0, 0], [0, 0]]
