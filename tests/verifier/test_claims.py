"""From the caller's and the proof's numbers to integers: exact, or refused by name."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.program import PROGRAM_VERSION, Program, Tensor
from zkinfer.errors import MalformedProofError, StatementError
from zkinfer.proof import OutputTensor
from zkinfer.verifier.claims import claimed_outputs, compare_outputs, quantized_inputs

X = Tensor("x", (1, 3), 2, -8, 8)
Z = Tensor("z", (2,), 0, 0, 5)
ONE = Program(PROGRAM_VERSION, (X,), (), (), (), (0,))
TWO = Program(PROGRAM_VERSION, (X, Z), (), (), (), (1, 0))


def inputs(values: Any, program: Program = ONE, *, saturate: bool = False) -> list[list[Any]]:
    return [a.tolist() for a in quantized_inputs(values, program, saturate=saturate)]


def test_inputs_go_to_the_grid() -> None:
    assert inputs([[0.25, -2.0, 2.0]]) == [[[1, -8, 8]]]
    assert inputs(np.array([0.3, 0.3, 0.3])) == [[[1, 1, 1]]], "a batch of one may be left out"
    assert inputs(np.array([[1, -2, 0]])) == [[[4, -8, 0]]], "integers are real numbers too"
    assert inputs({"z": [1, 2], "x": [[0, 0, 1.0]]}, TWO) == [[[0, 0, 4]], [1, 2]]
    assert inputs([np.zeros((1, 3)), np.array([5.0, 0.0])], TWO) == [[[0, 0, 0]], [5, 0]]


def test_saturation_is_asked_for() -> None:
    assert inputs([[9.0, -9.0, 0.0]], saturate=True) == [[[8, -8, 0]]]
    with pytest.raises(StatementError, match="2 of 3 values"):
        inputs([[9.0, -9.0, 0.0]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0]], "shape"),
        (np.zeros((3, 1)), "shape"),
        (np.zeros((2, 3)), "shape"),
        (np.zeros((1, 1, 3)), "shape"),
        (0.0, "shape"),
        ([[float("nan"), 0, 0]], "NaN"),
        ([[float("inf"), 0, 0]], "infinite"),
        ([[2.2, 0, 0]], "outside"),
        ([["a", "b", "c"]], "dtype"),
        ([[1j, 0, 0]], "dtype"),
        ([[None, 0, 0]], "dtype"),
        ([[10**400, 0, 0]], "dtype"),
        ([[1.0], [1.0, 2.0]], "one array an input|numbers"),
        (None, "dtype"),
        ({"y": [[0, 0, 0]]}, "named"),
        ({}, "named"),
    ],
)
def test_inputs_that_are_no_statement(values: Any, message: str) -> None:
    with pytest.raises(StatementError, match=message):
        inputs(values if isinstance(values, dict) else [values])


def test_number_of_inputs() -> None:
    with pytest.raises(StatementError, match="2 inputs"):
        inputs([np.zeros((1, 3))], TWO)


def claim(values: tuple[int, ...] = (4, 0, -8), **changes: Any) -> list[OutputTensor]:
    return [OutputTensor(**{"shape": (1, 3), "frac_bits": 2, "values": values, **changes})]


def test_claims_that_fit() -> None:
    (array,) = claimed_outputs(claim(), ONE)
    assert array.dtype == np.int64
    assert array.tolist() == [[4, 0, -8]]


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ([], "claims 0 outputs"),
        (claim() * 2, "claims 2 outputs"),
        (claim(shape=(3, 1)), "of shape"),
        (claim(shape=(3,)), "of shape"),
        (claim(frac_bits=3), "fraction bits"),
        (claim((4, 0)), "outside the bounds"),
        (claim((4, 0, 9)), "outside the bounds"),
        (claim((4, 0, -9)), "outside the bounds"),
        (claim((4, 0, 2**70)), "outside the bounds"),
    ],
)
def test_claims_that_this_program_cannot_give(claims: list[OutputTensor], message: str) -> None:
    with pytest.raises(MalformedProofError, match=message):
        claimed_outputs(claims, ONE)


def test_stated_outputs_are_compared_exactly() -> None:
    claimed = claimed_outputs(claim(), ONE)
    compare_outputs([[1.0, 0.0, -2.0]], claimed, ONE)
    compare_outputs(np.array([1.0, -0.0, -2.0], dtype=np.float32), claimed, ONE)
    with pytest.raises(StatementError, match=r"'x' at index \(0, 1\): stated 0.25, but the proof is for 0.0 \(2 of 3"):
        compare_outputs([[1.0, 0.25, 0.0]], claimed, ONE)


@given(st.integers(0, 2), st.floats())
def test_any_other_number_is_a_difference(position: int, number: float) -> None:
    claimed = claimed_outputs(claim(), ONE)
    stated = np.array([[1.0, 0.0, -2.0]])
    if stated[0, position] == number:
        return
    stated[0, position] = number
    with pytest.raises(StatementError, match="stated"):
        compare_outputs(stated, claimed, ONE)


@pytest.mark.parametrize("stated", [[[1.0, 0.0]], [[1.0], [0.0], [-2.0]], 1.0, [["1.0", "0.0", "-2.0"]], None, {}])
def test_stated_outputs_of_another_form(stated: Any) -> None:
    with pytest.raises(StatementError, match="output"):
        compare_outputs(stated, claimed_outputs(claim(), ONE), ONE)


def test_several_outputs_in_order() -> None:
    claims = [OutputTensor((2,), 0, (1, 5)), *claim()]
    claimed = claimed_outputs(claims, TWO)
    compare_outputs([[1.0, 5.0], [[1.0, 0.0, -2.0]]], claimed, TWO)
    compare_outputs({"x": [[1.0, 0.0, -2.0]], "z": [1.0, 5.0]}, claimed, TWO)
    with pytest.raises(StatementError, match="'z' at index"):
        compare_outputs([[5.0, 1.0], [[1.0, 0.0, -2.0]]], claimed, TWO)
