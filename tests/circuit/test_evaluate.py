"""The reference evaluator computes what the definitions say, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plain_evaluator import evaluate_by_definition
from support.random_programs import random_inputs, random_program

from zkinfer.circuit.evaluate import evaluate, evaluate_einsum
from zkinfer.errors import InputRangeError, ShapeError

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_agrees_with_the_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, weights, *_ = random_program(rng)
    inputs = random_inputs(rng, program, runs=3)
    values = evaluate(program, weights, inputs)
    for run in range(3):
        slow = evaluate_by_definition(program, weights, [a[run] for a in inputs])
        for number, (fast, expected) in enumerate(zip(values, slow, strict=True)):
            np.testing.assert_array_equal(fast[run if len(fast) > 1 else 0], expected, str(program.tensor(number)))


@given(st.integers(0, 62), st.integers(1, 40))
def test_einsum_is_exact_beyond_what_float64_holds(bits: int, length: int) -> None:
    top = (1 << bits) // length
    rng = np.random.default_rng(bits)
    x, w = rng.integers(-top, top + 1, (1, 2, length)), rng.integers(-1, 2, (1, 3, length))
    expected = (x[0].astype(object) @ w[0].T.astype(object)).astype(np.int64)
    np.testing.assert_array_equal(evaluate_einsum("bi,oi->bo", [x, w], top * length)[0], expected)


def test_inputs_are_checked_before_anything_is_computed() -> None:
    program, weights, *_ = random_program(np.random.default_rng(1))
    good = random_inputs(np.random.default_rng(1), program)
    with pytest.raises(ShapeError, match="inputs"):
        evaluate(program, weights, [])
    with pytest.raises(ShapeError, match="takes shape"):
        evaluate(program, weights, [good[0][..., :-1], *good[1:]] if good[0].shape[-1] > 1 else [good[0][0], *good[1:]])
    too_large = good[0].copy()
    too_large.flat[0] = program.inputs[0].hi + 1
    with pytest.raises(InputRangeError, match="takes integers from"):
        evaluate(program, weights, [too_large, *good[1:]])
