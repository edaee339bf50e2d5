"""The lowered graph computes what the evaluator computes, and nothing in it is left to the prover."""

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from py_ecc.optimized_bn128 import curve_order
from support.claims import public
from support.example_programs import everything
from support.random_programs import random_inputs, random_program
from support.recurrent_programs import Recurrent, recurrence, two_states
from support.steps import random_step

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Einsum, Lookup, Program, Tensor, Term, View
from zkinfer.circuit.steps import STEPS, Shape, Step, apply_steps
from zkinfer.circuit.table import Table
from zkinfer.compiler.lowering.builder import Builder, Built, Summand
from zkinfer.errors import BoundsError
from zkinfer.ezkl.instances import STATEMENT_WORDS
from zkinfer.ezkl.lowering import Hint, LoweredProgram, lower
from zkinfer.ezkl.prove import prove
from zkinfer.ezkl.settings import circuit_size, lay_out
from zkinfer.ezkl.setup import setup

Tensors = npt.NDArray[Any]

SALT, LOGROWS = 5, 9
WORDS = list(range(100, 100 + STATEMENT_WORDS))


@pytest.fixture
def graph() -> Program:
    return everything().program


def run_graph(model: onnx.ModelProto, feeds: dict[str, Tensors]) -> list[Tensors]:
    """What the graph gives by the ONNX standard, in Python integers as wide as they need to be."""
    values = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    values = {name: a.astype(object if a.dtype == np.float32 else np.int64) for name, a in values.items()} | feeds
    for node in model.graph.node:
        a, *rest = (values[name] for name in node.input)
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        match node.op_type:
            case "Add" | "Sub" | "Mul":
                out = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}[node.op_type](a, rest[0])
            case "Neg":
                out = -a
            case "Cast":
                out = a
            case "Concat":
                out = np.concatenate([a, *rest])
            case "Reshape":
                out = a.reshape(rest[0])
            case "Transpose":
                out = a.transpose(attributes["perm"])
            case "Unsqueeze":
                out = np.expand_dims(a, tuple(rest[0]))
            case "Pad":
                out = np.pad(a, tuple(rest[0]), constant_values=0)
            case "Gather" | "GatherElements":
                index = rest[0].astype(np.int64)
                assert index.min() >= 0, "an index is out of range"
                out = a[index]
            case "ReduceSum":
                out = a.sum(axis=tuple(rest[0]))
            case "Einsum":
                out = np.einsum(attributes["equation"].decode(), a, rest[0])
            case other:
                raise AssertionError(f"unexpected operator {other}")
        values[node.output[0]] = np.asarray(out)
    return [values[output.name] for output in model.graph.output]


def graph_outputs(lowered: LoweredProgram, built: Built, inputs: list[Tensors]) -> list[Tensors]:
    """The lowered graph on these inputs, with honest hints."""
    values = evaluate(built.program, built.weights, [a[None] for a in inputs])
    hints = [int(q) for hint in lowered.hints for q in hint.compute(values[hint.source])]
    weights = [int(w) for array in built.weights for w in array.ravel()]
    flat_inputs = [int(x) for array in inputs for x in array.ravel()]
    feeds = {
        "weights": lowered.weights.fill(weights, (1,) * lowered.weights.salt_count),
        "witness": lowered.witness.fill([*WORDS, *flat_inputs, *hints], (2,) * lowered.witness.salt_count),
    }
    signed = {name: np.array([_signed(v) for v in vector], dtype=object) for name, vector in feeds.items()}
    return run_graph(onnx.load_from_string(lowered.model), signed)


def _signed(element: int) -> int:
    return element - curve_order if element > curve_order // 2 else element


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_graph_agrees_with_the_evaluator_bit_for_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    built = random_program(rng)
    inputs = [a[0] for a in random_inputs(rng, built.program)]
    lowered = lower(built.program, salt=SALT, logrows=LOGROWS)
    words, *rest = graph_outputs(lowered, built, inputs)
    assert words.tolist() == WORDS
    values = evaluate(built.program, built.weights, [a[None] for a in inputs])
    expected = [*inputs, *(values[v][0] for v in built.program.outputs)]
    for found, want in zip(rest, expected, strict=True):
        np.testing.assert_array_equal(found, want.ravel())


@pytest.mark.parametrize("make", [recurrence, two_states])
def test_the_graph_of_a_recurrence_is_that_of_its_unrolled_program(make: Callable[..., Recurrent]) -> None:
    program, weights, inputs = make(4, 1)
    lowered = lower(program, salt=SALT, logrows=LOGROWS)
    arrays = [array[0] for array in inputs]
    _, *rest = graph_outputs(lowered, Built(lowered.program, tuple(weights), {}, ()), arrays)
    values = evaluate(program, weights, inputs)
    for found, want in zip(rest, [*arrays, *(values[v][0] for v in program.outputs)], strict=True):
        np.testing.assert_array_equal(found, want.ravel())


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
@settings(max_examples=15, deadline=None)
@given(st.sampled_from([(), (1,), (5,), (3, 1), (1, 4), (3, 1, 5)]), st.integers(0, 2**32 - 1))
def test_the_graph_of_every_step_agrees_with_the_evaluator(kind: type[Step], shape: Shape, seed: int) -> None:
    rng = np.random.default_rng(seed)
    step = random_step(rng, kind, shape)
    if step is None or 0 in step.shape(shape):
        return
    builder = Builder()
    x = builder.input("x", shape, 0, 1, 99)
    built = builder.finish([builder.combine("y", [Summand(x, Fraction(-3), (step,))])])
    array = rng.integers(1, 100, shape)
    *_, output = graph_outputs(lower(built.program, salt=SALT, logrows=LOGROWS), built, [array])
    np.testing.assert_array_equal(output, -3 * apply_steps([step], array).ravel())


@given(st.integers(-(2**40), 2**40), st.integers(1, 20), st.integers(-1000, 1000))
def test_a_hint_is_the_one_quotient_that_leaves_a_remainder_in_range(x: int, shift: int, table_lo: int) -> None:
    hint = Hint(0, shift, table_lo, 1)
    quotient = int(hint.compute(np.array([x]))[0]) + table_lo
    remainders = [x + (1 << (shift - 1)) - (quotient + d) * (1 << shift) for d in (-1, 0, 1)]
    assert [0 <= r < 1 << shift for r in remainders] == [False, True, False]


def test_only_multiplications_lookups_sums_and_moves_are_emitted(graph: Program) -> None:
    """In particular no Div, no Floor and no rescale: ezkl's own division does not have one answer."""
    model = onnx.load_from_string(lower(graph, salt=SALT, logrows=LOGROWS).model)
    assert {node.op_type for node in model.graph.node} <= {
        "Add", "Cast", "Concat", "Einsum", "Gather", "GatherElements", "Mul", "Neg", "Pad", "ReduceSum", "Reshape",
        "Sub", "Transpose", "Unsqueeze",
    }  # fmt: skip


def test_weights_are_no_constants(graph: Program) -> None:
    """They come in through the committed input, whole: the verifying key is the same for all weights."""
    lowered = lower(graph, salt=1, logrows=9)
    assert lowered.weights.count == sum(t.size for t in graph.weights) > 0
    assert [i.name for i in onnx.load_from_string(lowered.model).graph.input] == ["weights", "witness"]


def test_no_two_constants_are_equal(tmp_path: Path) -> None:
    """Equal ones would be merged, and a constant with two readers is range-checked element by element."""
    builder = Builder()
    value = builder.input("x", (1, 4), 0, -100, 100)
    for layer in range(6):
        value = builder.lookup(f"a{layer}", value, Table("clip", -28, tuple(range(-28, 29))), 2, 0)
        value = builder.lookup(f"b{layer}", value, Table("triple", -28, tuple(range(-84, 85, 3))), 0, 0)
    program = builder.finish([value]).program
    model = onnx.load_from_string(lower(program, salt=SALT, logrows=LOGROWS).model)
    floats = [i for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT]
    assert max(Counter((tuple(i.dims), i.raw_data) for i in floats).values()) == 1
    _, laid_out = lay_out(program, SALT, LOGROWS, tmp_path)
    assert '"required_range_checks":[]' in laid_out.text
    assert circuit_size(laid_out.text).lookups == 18


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_terms_that_are_multiplied_by_zero(terms: int, tmp_path: Path) -> None:
    """An LSTM that begins with zeros has two: what each adds is nothing, by whatever constants are taken."""
    x = Tensor("x", (1, 4), 0, -100, 100)
    nothing = (Term(0, 0, ()),) * terms
    views = tuple(View(Tensor(f"n{i}", (1, 4), 0, i, i), nothing, i) for i in range(3))
    program = Program(1, (x,), (), (), views, (1, 2, 3))
    lowered = lower(program, salt=SALT, logrows=LOGROWS)
    _, _, *rest = graph_outputs(lowered, Built(program, (), {}, ()), [np.array([[-100, -3, 0, 77]])])
    assert [own.tolist() for own in rest] == [[0] * 4, [1] * 4, [2] * 4]
    lay_out(program, SALT, LOGROWS, tmp_path)


def test_same_program_same_bytes(graph: Program) -> None:
    assert lower(graph, salt=3, logrows=9) == lower(graph, salt=3, logrows=9)
    assert lower(graph, salt=3, logrows=9).model != lower(graph, salt=4, logrows=9).model


def test_constants_that_float32_does_not_hold_are_refused() -> None:
    x = Tensor("x", (1, 1), 0, 0, 1)
    table = Table("huge", 0, (0, 2**24 + 1))
    program = Program(1, (x,), (), (table,), (Lookup(Tensor("y", (1, 1), 0, 0, 2**24 + 1), 0, 0, 0),), (1,))
    with pytest.raises(BoundsError, match=r"y: the constant 16777217"):
        lower(program, salt=1, logrows=9)


def test_values_far_beyond_float32_are_exact_in_the_field(tmp_path: Path) -> None:
    """The graph is typed float32, but ezkl computes in a field of 254 bits: large products stay exact."""
    top = 2**20
    x = Tensor("x", (1, 2), 0, -top, top)
    square = Einsum(Tensor("square", (1, 2), 0, -top * top, top * top), "ab,ab->ab", (0, 0))
    program = Program(1, (x,), (), (), (square,), (1,))
    keys = setup(program, (), folder=tmp_path / "keys", proofs=2)
    proof = prove(keys, [np.array([[top - 1, -top + 3]])], b"")
    assert public(proof.output_tensors[0]).integers().ravel().tolist() == [(top - 1) ** 2, (top - 3) ** 2]
