"""From the caller's and the proof's numbers to integers: exact, or refused by name."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.program import PROGRAM_VERSION, Program, Tensor
from zkinfer.errors import MalformedProofError, StatementError
from zkinfer.files.proof import OutputTensor, PrivateTensor, Proof
from zkinfer.files.statement import MAX_RUNS
from zkinfer.verifier.claims import claimed_outputs, claimed_runs, compare_outputs, stated_inputs

X = Tensor("x", (1, 3), 2, -8, 8)
Z = Tensor("z", (2,), 0, 0, 5)
ONE = Program(PROGRAM_VERSION, (X,), (), (), (), (0,))
TWO = Program(PROGRAM_VERSION, (X, Z), (), (), (), (1, 0))


def wide(bound: int, frac_bits: int = 0) -> Program:
    """A program whose output is as large as `bound`."""
    return Program(PROGRAM_VERSION, (Tensor("x", (1, 3), frac_bits, -bound, bound),), (), (), (), (0,))


ROOT, OTHER_ROOT = bytes(range(32)), bytes(32)


def proof_of(outputs: Any = (), private_inputs: Any = ()) -> Proof:
    return Proof("sumcheck", bytes(32), tuple(outputs), b"", tuple(private_inputs))


def inputs(values: Any, program: Program = ONE, runs: int = 1, *, saturate: bool = False) -> list[list[Any]]:
    """What is stated of public inputs, without the axis of runs where there is one run."""
    stated, _ = stated_inputs(values, proof_of(), program, runs, saturate=saturate)
    return [(array[0] if runs == 1 else array).tolist() for array in map(np.asarray, stated)]


def test_inputs_go_to_the_grid() -> None:
    assert inputs([[0.25, -2.0, 2.0]]) == [[[1, -8, 8]]]
    assert inputs(np.array([0.3, 0.3, 0.3])) == [[[1, 1, 1]]], "a batch of one may be left out"
    assert inputs(np.array([[1, -2, 0]])) == [[[4, -8, 0]]], "integers are real numbers too"
    assert inputs({"z": [1, 2], "x": [[0, 0, 1.0]]}, TWO) == [[[0, 0, 4]], [1, 2]]
    assert inputs([np.zeros((1, 3)), np.array([5.0, 0.0])], TWO) == [[[0, 0, 0]], [5, 0]]


def test_saturation_is_asked_for() -> None:
    assert inputs([[9.0, -9.0, 0.0]], saturate=True) == [[[8, -8, 0]]]
    assert stated_inputs([[9.0, -9.0, 0.0]], proof_of(), ONE, 1, saturate=True)[1] == 2
    assert stated_inputs([[2.0, -2.0, 0.0]], proof_of(), ONE, 1, saturate=True)[1] == 0, "bounds are within"
    with pytest.raises(StatementError, match=r"2 of 3 values .* saturate=True \(--saturate\)"):
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
        (None, "public in this proof"),
        (ROOT, "public in this proof"),
        (np.zeros((0, 3)), "holds no samples"),
        ({"y": [[0, 0, 0]]}, "named"),
        ({}, "public in this proof"),
    ],
)
def test_inputs_that_are_no_statement(values: Any, message: str) -> None:
    with pytest.raises(StatementError, match=message):
        inputs(values if isinstance(values, dict) else [values])


def test_number_of_inputs() -> None:
    with pytest.raises(StatementError, match="2 inputs"):
        inputs([np.zeros((1, 3))], TWO)


TWO_RUNS = [[0.25, 0, 0], [0, 0, -2.0]]


def test_inputs_of_several_runs() -> None:
    assert inputs([TWO_RUNS], runs=2) == [[[[1, 0, 0]], [[0, 0, -8]]]]
    values: list[Any] = [TWO_RUNS, [[1, 2], [3, 4]]]
    two, _ = stated_inputs(values, proof_of(), TWO, 2, saturate=False)
    assert [np.shape(array) for array in two] == [(2, 1, 3), (2, 2)], "an input without the batch axis gets one of runs"


@pytest.mark.parametrize("runs", [1, 3])
def test_inputs_of_another_number_of_runs(runs: int) -> None:
    with pytest.raises(StatementError, match=f"for 2 runs of the circuit; the proof is of {runs}"):
        inputs([TWO_RUNS], runs=runs)


HIDDEN = proof_of(private_inputs=(None, PrivateTensor((1, 2), ROOT)))


@pytest.mark.parametrize(
    "values", [[[[0, 0, 1.0]], None], [[[0, 0, 1.0]], ROOT], {"x": [[0, 0, 1.0]]}, [[[0, 0, 1.0]], bytearray(ROOT)]]
)
def test_a_hidden_input_is_stated_by_its_commitment(values: Any) -> None:
    (shown, hidden), clipped = stated_inputs(values, HIDDEN, TWO, 1, saturate=False)
    assert np.asarray(shown).tolist() == [[[0, 0, 4]]]
    assert clipped == 0
    assert hidden == ROOT


@pytest.mark.parametrize(
    ("second", "message"),
    [(OTHER_ROOT, "another commitment"), (ROOT[:31], "another commitment"), ([1, 2], "'z' is hidden in this proof")],
)
def test_a_hidden_input_is_not_what_the_caller_expects(second: Any, message: str) -> None:
    with pytest.raises(StatementError, match=message):
        stated_inputs([[[0, 0, 1.0]], second], HIDDEN, TWO, 1, saturate=False)


def claim(values: Any = ((4, 0, -8),), frac_bits: int = 2) -> list[OutputTensor]:
    return [OutputTensor.of(np.array(values), frac_bits)]


def test_claims_that_fit() -> None:
    (array,) = claimed_outputs(claim(), ONE, 1)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.int64
    assert array.tolist() == [[[4, 0, -8]]]
    (runs,) = claimed_outputs(claim([[4, 0, -8], [1, 1, 1]]), ONE, 2)
    assert np.asarray(runs).tolist() == [[[4, 0, -8]], [[1, 1, 1]]]
    assert claimed_outputs([PrivateTensor((1, 3), ROOT)], ONE, 1) == [ROOT]


@pytest.mark.parametrize("runs", [1, 5, MAX_RUNS])
def test_runs_are_what_all_shapes_agree_on(runs: int) -> None:
    z, x = PrivateTensor((runs, 2), ROOT), PrivateTensor((runs, 3), ROOT)
    assert claimed_runs(proof_of([z, x]), TWO) == runs
    assert claimed_runs(proof_of([z, x], [x, z]), TWO) == runs


def test_runs_of_a_program_with_a_batch() -> None:
    """Seven runs of a batch of four; what lacks the batch axis has one of runs."""
    x, y = Tensor("x", (4, 3), 0, 0, 1), Tensor("y", (3,), 0, 0, 1)
    program = Program(PROGRAM_VERSION, (x, y), (), (), (), (0, 1))
    assert claimed_runs(proof_of([PrivateTensor((28, 3), ROOT), PrivateTensor((7, 3), ROOT)]), program) == 7
    with pytest.raises(MalformedProofError, match="'y', in 7 runs"):
        claimed_runs(proof_of([PrivateTensor((28, 3), ROOT), PrivateTensor((28, 3), ROOT)]), program)
    with pytest.raises(MalformedProofError, match="'x', in 7 runs"):
        claimed_runs(proof_of([PrivateTensor((29, 3), ROOT), PrivateTensor((7, 3), ROOT)]), program)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ([], "claims 0 outputs"),
        (claim() * 2, "claims 2 outputs"),
        (claim(((4,), (0,), (-8,))), "of shape"),
        (claim((4, 0, -8)), "of shape"),
        (claim(4), "outputs of 0 runs"),
        ([PrivateTensor((MAX_RUNS + 1, 3), ROOT)], "runs; from 1 to"),
    ],
)
def test_claims_of_shapes_that_this_program_cannot_give(claims: list[Any], message: str) -> None:
    with pytest.raises(MalformedProofError, match=message):
        claimed_runs(proof_of(claims), ONE)


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        ([None] * 2, "speaks of 2 inputs"),
        ([PrivateTensor((2, 3), ROOT)], "'x', in 1 run"),
        ([PrivateTensor((3,), ROOT)], "'x', in 1 run"),
    ],
)
def test_hidden_inputs_that_this_program_has_not(hidden: list[Any], message: str) -> None:
    with pytest.raises(MalformedProofError, match=message):
        claimed_runs(proof_of(claim(), hidden), ONE)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        (claim(frac_bits=3), "fraction bits"),
        (claim([[4, 0, 9]]), "outside the bounds"),
        (claim([[4, 0, -9]]), "outside the bounds"),
        (claim([[4, 0, 2**62]]), "larger than any value"),
        ([OutputTensor((1, 3), 2, 0, 8, b"\x04\x00")], "2 bytes hold no claimed output"),
    ],
)
def test_claims_that_this_program_cannot_give(claims: list[OutputTensor], message: str) -> None:
    with pytest.raises(MalformedProofError, match=message):
        claimed_outputs(claims, ONE, 1)


def compare(
    stated: Any, claims: Any = None, program: Program = ONE, runs: int = 1, decimals: int | None = None
) -> None:
    compare_outputs(stated, claimed_outputs(claims or claim(), program, runs), program, runs, decimals)


def test_stated_outputs_are_compared_exactly() -> None:
    compare([[1.0, 0.0, -2.0]])
    compare(np.array([1.0, -0.0, -2.0], dtype=np.float32))
    with pytest.raises(StatementError, match=r"'x' at index \(0, 1\): stated 0.25, but the proof is for 0.0 \(2 of 3"):
        compare(np.array([[1.0, 0.25, 0.0]]))


def test_stated_outputs_of_several_runs() -> None:
    claims = claim([[4, 0, -8], [1, 1, 1]])
    compare(np.array([[1.0, 0.0, -2.0], [0.25, 0.25, 0.25]]), claims, runs=2)
    with pytest.raises(StatementError, match=r"at index \(1, 2\): stated 0.5"):
        compare(np.array([[1.0, 0.0, -2.0], [0.25, 0.25, 0.5]]), claims, runs=2)
    with pytest.raises(StatementError, match="for 1 run of the circuit"):
        compare(np.array([[1.0, 0.0, -2.0]]), claims, runs=2)


def test_hidden_outputs_are_compared_by_their_commitment() -> None:
    hidden = [PrivateTensor((1, 3), ROOT)]
    compare(ROOT, hidden)
    with pytest.raises(StatementError, match="another commitment"):
        compare(OTHER_ROOT, hidden)
    with pytest.raises(StatementError, match="'x' is hidden"):
        compare([[1.0, 0.0, -2.0]], hidden)


@given(st.integers(0, 2), st.floats())
def test_any_other_number_is_a_difference(position: int, number: float) -> None:
    stated = np.array([[1.0, 0.0, -2.0]])
    if stated[0, position] == number:
        return
    stated[0, position] = number
    with pytest.raises(StatementError, match="stated"):
        compare(stated)


@pytest.mark.parametrize("stated", [[[1.0, 0.0]], [[1.0], [0.0], [-2.0]], 1.0, [["1.0", "0.0", "-2.0"]], None, {}])
def test_stated_outputs_of_another_form(stated: Any) -> None:
    with pytest.raises(StatementError, match="output"):
        compare(stated)


def test_several_outputs_in_order() -> None:
    claims = [*claim([[1, 5]], 0), *claim()]
    compare([[1.0, 5.0], [[1.0, 0.0, -2.0]]], claims, TWO)
    compare({"x": [[1.0, 0.0, -2.0]], "z": [1.0, 5.0]}, claims, TWO)
    with pytest.raises(StatementError, match="'z' at index"):
        compare([[5.0, 1.0], [[1.0, 0.0, -2.0]]], claims, TWO)


# Outputs as people have them.


@dataclass
class ModelOutput:
    """As libraries of models return it."""

    x: Any = None
    z: Any = None


def test_nested_lists_are_an_array() -> None:
    claims = claim([[4, 0, -8], [1, 1, 1]])
    compare([[1.0, 0.0, -2.0], [0.25, 0.25, 0.25]], claims, runs=2)
    compare([[[1.0, 0.0, -2.0], [0.25, 0.25, 0.25]]], claims, runs=2)
    compare(json.loads("[[1, 0, -2], [0.25, 0.25, 0.25]]"), claims, runs=2)
    with pytest.raises(StatementError, match=r"at index \(1, 2\): stated 0.5"):
        compare([[1.0, 0.0, -2.0], [0.25, 0.25, 0.5]], claims, runs=2)
    with pytest.raises(StatementError, match="2 arrays"):
        compare([np.array([[1.0, 0.0, -2.0]])] * 2, claims, runs=2)
    with pytest.raises(StatementError, match="not an array of numbers"):
        compare([[1.0, 0.0, -2.0], [0.25]], claims, runs=2)


def test_outputs_by_name_as_a_dataclass_has_them() -> None:
    claims = [*claim([[1, 5]], 0), *claim()]
    compare(ModelOutput(z=[[1.0, 5.0]], x=[[1.0, 0.0, -2.0]]), claims, TWO)
    compare(ModelOutput(x=[[1.0, 0.0, -2.0]]))
    with pytest.raises(StatementError, match="'z' at index"):
        compare(ModelOutput(z=[[5.0, 1.0]], x=[[1.0, 0.0, -2.0]]), claims, TWO)
    with pytest.raises(StatementError, match="named"):
        compare(ModelOutput(x=[[1.0, 0.0, -2.0]], z=[1.0]))


def test_float32_is_compared_in_float32() -> None:
    """2^25 + 1 is not a float32."""
    program = wide(1 << 26)
    claims = [OutputTensor.of(np.array([[(1 << 25) + 1, 3, 0]]), 0)]
    exact = np.array([[(1 << 25) + 1.0, 3.0, 0.0]])
    compare(exact, claims, program)
    compare(exact.astype(np.float32), claims, program)
    for other in (exact.astype(np.float32).astype(np.float64), (exact + np.array([4.0, 0, 0])).astype(np.float32)):
        with pytest.raises(StatementError, match=r"at index \(0, 0\)"):
            compare(other, claims, program)
    with pytest.raises(StatementError, match="inf"), np.errstate(over="ignore"):
        compare(exact.astype(np.float16), claims, program)


@given(st.lists(st.integers(-8, 8), min_size=3, max_size=3), st.integers(0, 4))
def test_rounded_outputs_are_accepted_by_their_digits(values: list[int], decimals: int) -> None:
    exact = np.array([values]) / 4
    compare(np.round(exact, decimals), claim([values]), decimals=decimals)
    compare([[float(f"{number:.{decimals}f}") for number in exact[0]]], claim([values]), decimals=decimals)
    with pytest.raises(StatementError, match=r"at index \(0, 1\)"):
        compare(np.round(exact, decimals) + np.array([0, 2 * 10.0**-decimals, 0]), claim([values]), decimals=decimals)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_a_rounded_one(number: float) -> None:
    with pytest.raises(StatementError, match="stated"):
        compare(np.array([[1.0, number, -2.0]]), decimals=0)


def test_a_refusal_of_rounded_outputs_says_how_to_ask() -> None:
    claims = [OutputTensor.of(np.array([[1, 2, 5]]), 10)]
    program = wide(1 << 10, frac_bits=10)
    with pytest.raises(StatementError, match="decimals=4"):
        compare([[0.001, 0.002, 0.0049]], claims, program)
    with pytest.raises(StatementError, match=r"differ\)$"):
        compare([[0.001, 0.002, 0.0059]], claims, program)


@pytest.mark.parametrize("decimals", [-1, 16, 2.0, True, "2"])
def test_decimals_are_a_number_of_digits(decimals: Any) -> None:
    with pytest.raises(StatementError, match="number of digits from 0 to 15"):
        compare([[1.0, 0.0, -2.0]], decimals=decimals)
