"""Recurrences: what a region computes, and which programs are refused because they would not determine their values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.plain_evaluator import evaluate_by_definition
from support.recurrent_programs import (
    PAST,
    PRODUCT,
    RECURRENT,
    START,
    STATE,
    SUM,
    Recurrent,
    X,
    nested,
    recurrence,
    two_states,
)

from zkinfer.circuit import regions
from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.circuit.encoding import decode_program, encode_program, pack_program, unpack_program
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Delay, Einsum, Lookup, Program, Tensor, Term, View
from zkinfer.circuit.regions import body_of, find_regions, unroll, varying
from zkinfer.circuit.steps import Pad, Reshape, Slice, Transpose
from zkinfer.circuit.validate import validate
from zkinfer.errors import ArtifactError, ResourceError
from zkinfer.execution.executor import Executor, execute
from zkinfer.protocol.field.params import P

MAKERS: list[Callable[..., Recurrent]] = [recurrence, two_states, nested]
makers = st.sampled_from(MAKERS)
PROGRAM = recurrence().program
LEAVES = 4


@settings(max_examples=20)
@given(makers, st.integers(1, 12), st.integers(1, 3))
def test_a_region_computes_what_a_copy_of_its_nodes_for_each_step_does(
    make: Callable[..., Recurrent], steps: int, runs: int
) -> None:
    program, weights, inputs = make(steps, runs)
    unrolled = unroll(program)
    assert not find_regions(unrolled)
    validate(unrolled)
    check_bounds(unrolled, weights)
    values = evaluate(program, weights, inputs)
    for run in range(runs):
        by_definition = evaluate_by_definition(unrolled, weights, [array[run] for array in inputs])
        for value, copied in zip(program.outputs, unrolled.outputs, strict=True):
            np.testing.assert_array_equal(values[value][run], by_definition[copied])


@settings(max_examples=20)
@given(makers, st.integers(1, 12), st.integers(1, 3))
def test_the_executor_agrees_with_the_evaluator(make: Callable[..., Recurrent], steps: int, runs: int) -> None:
    program, weights, inputs = make(steps, runs)
    expected = evaluate(program, weights, inputs)
    for value, array in enumerate(execute(program, weights, inputs)):
        np.testing.assert_array_equal(array, expected[value])
        assert array.shape == expected[value].shape
    executor = Executor(program, weights, keep=program.outputs)
    found = executor.run(inputs)
    assert executor.peak_bytes(runs) > 0
    for value in program.outputs:
        np.testing.assert_array_equal(found[value], expected[value])


def test_a_recurrence_of_weights_alone_is_computed_once() -> None:
    program, weights, _ = two_states(4)
    # The state that reads the input does so no more.
    view = program.nodes[7 - 3]
    assert isinstance(view, View)
    nodes = (*program.nodes[:4], replace(view, terms=view.terms[1:]), *program.nodes[5:])
    program = replace(program, nodes=nodes)
    validate(program)
    assert not any(varying(program)[1:])
    inputs = [np.zeros((2, 4, 2, 3), dtype=np.int64)]
    expected = evaluate(program, weights, inputs)
    for value, array in enumerate(execute(program, weights, inputs)):
        np.testing.assert_array_equal(array, expected[value])


@pytest.mark.parametrize("steps", [1, 3])
def test_a_state_that_no_input_reaches_has_one_run_beside_a_beginning_that_has_many(steps: int) -> None:
    weights = (Tensor("w", (steps, 2), 0, -7, 7),)
    inputs = (Tensor("x", (steps, 2), 0, -7, 7), Tensor("start", (1, 2), 0, -7, 7))
    nodes = (Delay(_out("past", steps, 2), 1, 4), Lookup(_out("state", steps, 2), 2, 0, 0))
    program = Program(1, inputs, weights, PROGRAM.tables, nodes, (3, 4))
    validate(program)
    content = [np.arange(2 * steps).reshape(steps, 2)]
    start = np.array([[[5, 6]], [[-5, -6]]])
    given = [np.zeros((2, steps, 2), dtype=np.int64), start]
    expected = evaluate(program, content, given)
    assert [len(expected[value]) for value in program.outputs] == [2, 1]
    for value, array in enumerate(execute(program, content, given)):
        np.testing.assert_array_equal(array, expected[value])
        assert array.shape == expected[value].shape


def test_an_input_that_only_the_step_before_has_read_makes_a_state_vary() -> None:
    program = PROGRAM
    assert varying(program) == tuple(value not in (2, 3) for value in range(program.num_values))
    other = two_states().program
    # `b` begins with a weight, and learns of the input only from `a` of the same step.
    assert varying(other) == (True, False, False, False, *(True,) * 8)


def test_the_encoding_of_a_recurrence_is_canonical() -> None:
    for make in MAKERS:
        program = make().program
        assert decode_program(encode_program(program)) == program
        assert unpack_program(pack_program(program)) == program


def test_a_step_is_a_program_of_its_own() -> None:
    (region,) = find_regions(PROGRAM)
    assert (region.values, region.steps) == (range(PAST, STATE + 1), 5)
    body = body_of(PROGRAM, region, varying(PROGRAM))
    validate(body.program)
    assert (body.delays, body.sliced, body.whole, body.fixed) == ((PAST,), (PRODUCT,), (), (3,))
    assert all(node.out.shape == (1, 2, 3) for node in body.program.nodes)


def test_a_delay_is_the_view_that_it_would_be_of_an_earlier_value() -> None:
    program, weights, inputs = recurrence(4)
    values = evaluate(program, weights, inputs)
    expected = np.concatenate([values[START], values[STATE][:, :-1]], axis=1)
    np.testing.assert_array_equal(values[PAST], expected)
    delay = program.nodes[PAST - LEAVES]
    assert isinstance(delay, Delay)
    none = (0, 0)
    assert delay.terms() == (
        Term(START, 1, (Pad((0, *none), (3, *none)),)),
        Term(STATE, 1, (Slice(0, 0, 3, 1), Pad((1, *none), (0, *none)))),
    )


def test_a_delay_is_bounded_by_its_beginning_and_the_table() -> None:
    found = derived_bounds(PROGRAM, P // 2)
    assert found[PAST] == (-7, 7)
    wide = replace(PROGRAM.inputs[1], lo=-9)
    assert derived_bounds(replace(PROGRAM, inputs=(PROGRAM.inputs[0], wide)), P // 2)[PAST] == (-9, 7)
    program, weights, _ = recurrence()
    assert check_bounds(program, weights)[PAST] == (-7, 7)


def test_unrolling_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "MAX_UNROLLED_NODES", 50)
    with pytest.raises(ResourceError, match="over the limit of 50"):
        unroll(PROGRAM)
    assert unroll(replace(PROGRAM, nodes=PROGRAM.nodes[:1], outputs=(PRODUCT,))).num_values == 5


def _with(value: int, **changes: Any) -> Program:
    nodes = list(PROGRAM.nodes)
    nodes[value - LEAVES] = replace(nodes[value - LEAVES], **changes)
    return replace(PROGRAM, nodes=tuple(nodes))


def _square(*nodes: Any, steps: int = 3) -> Program:
    """A program of one input, of as many places as steps, whose state has two axes of the same size."""
    inputs = (Tensor("x", (steps, steps), 0, -7, 7), Tensor("start", (1, steps), 0, -7, 7))
    weights = (Tensor("w", (steps, steps), 0, -1, 1),)
    return Program(1, inputs, weights, PROGRAM.tables, nodes, (2 + len(nodes),))


def _out(label: str, *shape: int) -> Tensor:
    return Tensor(label, shape, 0, -21, 21)


STEPPED = (Delay(_out("past", 3, 3), 1, 5), View(_out("v", 3, 3), (Term(3, 1, ()),)), Lookup(_out("l", 3, 3), 4, 0, 0))


def _between(node: Any, *before: Any) -> Program:
    """A delay, a node, and the Lookup of it."""
    made = len(before)
    delay = Delay(_out("past", 3, 3), 1, 5 + made)
    return _square(*before, delay, node, Lookup(_out("l", 3, 3), 4 + made, 0, 0))


def test_what_the_refused_programs_below_are_made_of_is_well_formed() -> None:
    validate(_square(*STEPPED))
    validate(_between(STEPPED[1]))
    validate(_between(Einsum(_out("e", 3, 3), "ta,ab->tb", (3, 2))))
    validate(_between(Einsum(_out("e", 3, 3), "ta,ta->ta", (3, 0))))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (_with(PAST, source=START), "result of a later Lookup, not of value 1"),
        (_with(PAST, source=PAST), "result of a later Lookup, not of value 5"),
        (_with(PAST, source=SUM), "result of a later Lookup, not of value 7"),
        (_with(PAST, source=RECURRENT), "result of a later Lookup, not of value 6"),
        (_with(PAST, source=1 << 40), "result of a later Lookup"),
        (_with(PAST, source=-1), "result of a later Lookup"),
        (_with(PAST, initial=STATE), "does not exist yet"),
        (_with(PAST, initial=PAST), "does not exist yet"),
        (_with(PAST, initial=-1), "does not exist yet"),
        (_with(PAST, initial=X), "does not begin with one step"),
        (_with(PAST, out=Tensor("past", (4, 2, 3), 0, -7, 7)), "declared shape"),
        (_with(STATE, out=Tensor("state", (), 0, -7, 7)), "does not begin with one step"),
        (_with(STATE, out=Tensor("state", (2**40, 2, 3), 0, -7, 7)), "elements"),
        (_with(SUM, terms=(Term(PRODUCT, 1, ()), Term(STATE, 1, ()))), "does not exist yet"),
        # Steps that meet: each of these programs could have many solutions, or none.
        (_between(Einsum(_out("e", 3, 3), "at,ab->tb", (3, 2))), "e: a node of a recurrence mixes its steps"),
        (_between(Einsum(_out("e", 3, 3), "ta,bt->ta", (0, 3))), "e: a node of a recurrence mixes its steps"),
        (_between(Einsum(_out("e", 3, 3), "ab,tb->tb", (3, 2))), "e: a node of a recurrence mixes its steps"),
        (_between(Einsum(_out("e", 3, 3), "ta,bt->ta", (3, 0))), "e: a node of a recurrence mixes its steps"),
        (_between(View(_out("v", 3, 3), (Term(3, 1, (Transpose((1, 0)),)),))), "v: a node of a recurrence mixes"),
        (_between(View(_out("v", 3, 3), (Term(3, 1, (Slice(0, 2, 3, -1),)),))), "v: a node of a recurrence mixes"),
        (
            _between(View(_out("v", 3, 3), (Term(3, 1, (Slice(0, 1, 2, 1), Pad((0, 0), (1, 0)))),))),
            "v: a node of a recurrence mixes",
        ),
        (
            _between(View(_out("v", 3, 3), (Term(3, 1, (Pad((0, 0), (1, 0)), Slice(0, 1, 3, 1))),))),
            "v: a node of a recurrence mixes",
        ),
        # What is before a recurrence, read whole and step by step.
        (
            _between(Einsum(_out("e", 3, 3), "ta,ba->tb", (0, 0))),
            "x: a recurrence reads it both step by step and whole",
        ),
        # A second delay of the region, of another number of steps, or one that begins within it.
        (
            _square(
                STEPPED[0],
                View(_out("one", 1, 3), (Term(1, 1, ()),)),
                Lookup(_out("l", 3, 3), 0, 0, 0),
            ),
            "one: a value of a recurrence has 3 steps",
        ),
        # A value of one step of nine places, taken apart into three steps of three.
        (
            _between(
                View(_out("e", 3, 3), (Term(3, 1, (Reshape((3, 3)),)),)),
                View(_out("b", 1, 9), (Term(0, 1, (Reshape((1, 9)),)),)),
            ),
            "e: a node of a recurrence mixes its steps",
        ),
        (
            _square(
                Delay(_out("p", 1, 3), 1, 6),
                View(_out("v", 1, 3), (Term(3, 1, ()),)),
                Delay(_out("q", 1, 3), 4, 6),
                Lookup(_out("l", 1, 3), 5, 0, 0),
            ),
            "q: a node of a recurrence mixes its steps",
        ),
    ],
)
def test_a_program_that_would_not_determine_its_values_is_refused(program: Program, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        validate(program)
    with pytest.raises(ArtifactError, match=message):
        decode_program(encode_program(program))
