"""Execution agrees with the reference evaluator bit for bit, keeps what its caller names, and bounds its memory."""

import tracemalloc
from collections.abc import Sequence
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_programs import random_inputs, random_program

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Program, Term, View
from zkinfer.circuit.steps import Expand, Pad, Reshape, Slice, Step, Take, Transpose, Windows
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import validate
from zkinfer.compiler.lowering.builder import Builder, Built, Summand
from zkinfer.errors import BoundsError, InputRangeError, ShapeError
from zkinfer.execution import products
from zkinfer.execution.executor import Executor, execute
from zkinfer.typing import IntArray


def assert_agrees(built: Built, inputs: Sequence[IntArray]) -> None:
    """Every value, and those that are kept when memory is saved, equal the reference's."""
    program, weights = built.program, built.weights
    expected = evaluate(program, weights, inputs)
    for value, (got, wanted) in enumerate(zip(execute(program, weights, inputs), expected, strict=True)):
        assert got.dtype in (np.int8, np.int16, np.int32, np.int64)
        np.testing.assert_array_equal(got, wanted, err_msg=program.tensor(value).label)
    executor = Executor(program, weights, keep=program.outputs)
    for kept, wanted in zip(executor.run(inputs), expected, strict=True):
        if kept is not None:
            np.testing.assert_array_equal(kept, wanted)
    for output, value in zip(executor.integers(inputs, program.outputs), program.outputs, strict=True):
        assert (output.dtype, len(output)) == (np.dtype(np.int64), len(inputs[0]))
        np.testing.assert_array_equal(output, np.broadcast_to(expected[value], output.shape))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), runs=st.integers(0, 3))
def test_random_programs(seed: int, runs: int) -> None:
    rng = np.random.default_rng(seed)
    built = random_program(rng, nodes=8)
    assert_agrees(built, random_inputs(rng, built.program, runs))


STEPS: list[tuple[Step, ...]] = [
    (Windows(1, 3, 2, 1), Windows(0, 2, 1, 2)),
    (Windows(1, 3, 1, 2), Transpose((2, 0, 1)), Reshape((3, 8))),
    (Slice(0, 3, 2, -2), Slice(1, 5, 6, -1)),
    (Slice(1, 0, 0, 1), Pad((0, 1), (0, 2))),
    (Pad((1, 0), (0, 2)), Take(1, (7, 0, 0, 3)), Reshape((5, 1, 4)), Expand((5, 3, 4))),
    (Transpose((1, 0)), Reshape((24,)), Windows(0, 5, 3, 2)),
]


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: "-".join(type(step).__name__ for step in steps))
@pytest.mark.parametrize("coefficient", [1, -3])
def test_views_move_as_their_steps_say(steps: tuple[Step, ...], coefficient: int) -> None:
    builder = Builder()
    x = builder.input("x", (4, 6), 0, -100, 100)
    moved = builder.combine("moved", [Summand(x, Fraction(coefficient), steps)])
    total = builder.combine("sum", [Summand(moved), Summand(moved, Fraction(2))], offset=Fraction(5))
    rng = np.random.default_rng(0)
    assert_agrees(builder.finish([moved, total]), [rng.integers(-100, 101, (3, 4, 6))])


def test_a_view_of_weights_and_an_offset_is_added_to_every_run() -> None:
    builder = Builder()
    x = builder.input("x", (2, 3), 0, -9, 9)
    bias = builder.weight("bias", np.array([100, -200, 300]), 0)
    spread = (Reshape((1, 3)), Expand((2, 3)))
    total = builder.combine("sum", [Summand(bias, Fraction(2), spread), Summand(x)], offset=Fraction(-7))
    known = builder.combine("known", [Summand(bias, Fraction(1), spread)], offset=Fraction(1))
    built = builder.finish([total, known])
    assert_agrees(built, [np.random.default_rng(0).integers(-9, 10, (4, 2, 3))])
    *_, values = execute(built.program, built.weights, [np.zeros((4, 2, 3), dtype=np.int64)])
    assert values.shape == (1, 2, 3)


def test_sums_may_leave_the_type_of_the_result_on_the_way() -> None:
    """1000 x - 999 x fits int8 although neither term does; the bounds are those of the program, not of its terms."""
    builder = Builder()
    x = builder.input("x", (5,), 0, 0, 100)
    large = builder.combine("large", [Summand(x, Fraction(1000))])
    table = Table("clip", 0, tuple(min(i, 127) for i in range(100_001)))
    clipped = builder.lookup("clipped", large, table, 0, 0)
    total = builder.combine("sum", [Summand(large, Fraction(100)), Summand(large, Fraction(-99)), Summand(clipped)])
    assert_agrees(builder.finish([total]), [np.arange(0, 100, 20)[None]])


def dense(width: int, *, lo: int, hi: int) -> Built:
    """Linear, ReLU, linear, rescaled to eight bits."""
    rng = np.random.default_rng(0)
    builder = Builder()
    value = builder.input("x", (1, width), 0, lo, hi)
    for k in range(2):
        weight = builder.weight(f"w{k}", rng.integers(-128, 128, (width, width)), 0)
        product = builder.einsum(f"product{k}", "bi,oi->bo", value, weight)
        bias = builder.weight(f"bias{k}", rng.integers(-1000, 1000, width), 0)
        spread = (Reshape((1, width)), Expand((1, width)))
        sums = builder.combine(f"sum{k}", [Summand(product), Summand(bias, Fraction(1), spread)])
        shift = max(0, sums.bits - 12)
        relu = Table("relu", -4097, tuple(max(i, 0) >> 5 for i in range(-4097, 4098)))
        value = builder.lookup(f"relu{k}", sums, relu, shift, 0)
    return builder.finish([value])


@pytest.mark.parametrize(("lo", "hi"), [(-128, 127), (-(2**15), 2**15 - 1), (-(2**20), 2**20)])
@pytest.mark.parametrize("runs", [1, 7])
def test_dense_layers(lo: int, hi: int, runs: int) -> None:
    built = dense(70, lo=lo, hi=hi)
    rng = np.random.default_rng(1)
    assert_agrees(built, [rng.choice([lo, hi, 0, 1], (runs, 1, 70))])


@pytest.mark.parametrize(("lo", "hi"), [(-128, 127), (-(2**15), 2**15 - 1), (-(2**20), 2**20)])
@pytest.mark.parametrize("subscripts", ["gbi,goi->gbo", "gbi,gio->bgo", "gbi,oi->gbo"])
def test_a_lean_executor_computes_the_same(lo: int, hi: int, subscripts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its weights are converted in several pieces; and none of them is kept as floats."""
    monkeypatch.setattr(products, "BLOCK", 100)
    rng = np.random.default_rng(0)
    builder = Builder()
    x = builder.input("x", (3, 4, 70), 0, lo, hi)
    shape = [{"g": 3, "i": 70, "o": 40}[letter] for letter in subscripts.partition(",")[2].partition("->")[0]]
    weight = builder.weight("w", rng.integers(-30000, 30000, shape), 0)
    built = builder.finish([builder.einsum("y", subscripts, x, weight)])
    inputs = [rng.choice([lo, hi, 0, 1], (5, 3, 4, 70)).astype(np.int64)]
    executor = Executor(built.program, built.weights, lean=True)
    (found,) = executor.integers(inputs, built.program.outputs)
    assert np.array_equal(found, evaluate(built.program, built.weights, inputs)[-1])
    assert not any(type(operation) is products.FloatProduct for operation in executor._operations.values())


def test_read_only_weights_in_the_narrowest_type_are_not_copied() -> None:
    """As those that a circuit has."""
    built = dense(4, lo=-8, hi=7)
    held = Executor(built.program, built.weights).run([np.zeros((1, 1, 4), dtype=np.int64)])[1:5]
    for weight, value in zip(built.weights, held, strict=True):
        assert not weight.flags.writeable
        assert value is not None
        assert np.shares_memory(weight, value)


def test_what_is_named_is_kept_and_nothing_else() -> None:
    """Beside it inputs and weights, which cost nothing."""
    built = dense(4, lo=-8, hi=7)
    program, inputs = built.program, [np.zeros((2, 1, 4), dtype=np.int64)]
    labels = [program.tensor(v).label for v in range(program.num_values)]
    executor = Executor(program, built.weights, keep=[labels.index("sum0"), labels.index("relu1")])
    kept = {label for label, value in zip(labels, executor.run(inputs), strict=True) if value is not None}
    assert kept - {tensor.label for tensor in program.weights} == {"x", "sum0", "relu1"}
    with pytest.raises(AssertionError, match="not kept"):
        executor.integers(inputs, [labels.index("relu0")])


def test_the_fewer_values_are_kept_the_less_memory_is_announced() -> None:
    built = dense(70, lo=-128, hi=127)
    everything = Executor(built.program, built.weights).peak_bytes(64)
    assert Executor(built.program, built.weights, keep=built.program.outputs).peak_bytes(64) < everything


def test_integers_are_the_callers_own() -> None:
    """Outputs that are an input, and outputs that depend on no input: writing to them changes no later run."""
    builder = Builder()
    x = builder.input("x", (2,), 0, -(2**40), 2**40)
    bias = builder.weight("bias", np.array([2**40, -(2**40)]), 0)
    built = builder.finish([builder.combine("known", [Summand(bias)], offset=Fraction(1)), x])
    executor = Executor(built.program, built.weights)
    inputs = [np.array([[1, 2], [3, 4], [5, 6]])]
    for _ in range(2):
        known, same = executor.integers(inputs, built.program.outputs)
        assert known.tolist() == [[2**40 + 1, 1 - 2**40]] * 3
        assert same.tolist() == [[1, 2], [3, 4], [5, 6]]
        known[:], same[:] = 0, 0


def test_weights_are_copied() -> None:
    """An executor goes on to compute with the weights whose bounds it has proven."""
    built = dense(4, lo=-8, hi=7)
    weights = [weight.copy() for weight in built.weights]
    inputs = [np.ones((1, 1, 4), dtype=np.int64)]
    executor = Executor(built.program, weights)
    for weight in weights:
        weight[:] = np.iinfo(weight.dtype).max
    np.testing.assert_array_equal(executor.run(inputs)[-1], evaluate(built.program, built.weights, inputs)[-1])


def test_a_product_that_is_read_twice_is_not_overwritten() -> None:
    builder = Builder()
    x = builder.input("x", (2, 3), 0, -9, 9)
    square = builder.einsum("square", "ab,ab->ab", x, x)
    first = builder.combine("first", [Summand(square)], offset=Fraction(1))
    turned = builder.combine("turned", [Summand(square, Fraction(1), (Transpose((1, 0)),))])
    back = builder.combine("back", [Summand(turned, Fraction(1), (Transpose((1, 0)),)), Summand(first)])
    inputs = np.random.default_rng(0).integers(-9, 10, (2, 2, 3))
    assert_agrees(builder.finish([back]), [inputs])
    assert_agrees(builder.finish([back, square]), [inputs])
    assert_agrees(builder.finish([back, turned]), [inputs])


def test_a_product_is_not_overwritten_while_another_term_reads_it_under_another_name() -> None:
    """All terms of the sum are the same memory: as the product, and twice as its transpose."""
    builder = Builder()
    x = builder.input("x", (3, 3), 0, -30, 30)
    square = builder.einsum("square", "ab,ab->ab", x, x)
    program = builder.finish([square]).program
    tensor = program.tensor(1)
    turned = View(tensor, (Term(1, 1, (Transpose((1, 0)),)),))
    out = msgspec.structs.replace(tensor, lo=3 * tensor.lo, hi=3 * tensor.hi)
    total = View(out, (Term(1, 1, ()), Term(2, 1, ()), Term(2, 1, ())))
    program = msgspec.structs.replace(program, nodes=(*program.nodes, turned, total), outputs=(3,))
    validate(program)
    assert_agrees(Built(program, (), {}), [np.arange(-27, 27, 3).reshape(2, 3, 3)])


def test_inputs_are_not_written_to() -> None:
    builder = Builder()
    x = builder.input("x", (3,), 0, -(2**60), 2**60)
    total = builder.combine("sum", [Summand(x)], offset=Fraction(1))
    built = builder.finish([total])
    inputs = np.array([[1, 2, 3]], dtype=np.int64)
    Executor(built.program, built.weights).run([inputs])
    assert inputs.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", ">i4", "i8", ">u8"])
def test_inputs_of_any_integer_type_are_taken(dtype: str) -> None:
    built = dense(4, lo=-8, hi=7)
    inputs = np.arange(8).reshape(2, 1, 4)
    expected = evaluate(built.program, built.weights, [inputs])[-1]
    *_, got = Executor(built.program, built.weights).run([inputs.astype(dtype)])
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ([], ShapeError, "takes 2 inputs, got 0"),
        ([np.zeros((1, 2), dtype=np.int64)], ShapeError, "takes 2 inputs, got 1"),
        ([np.zeros((1, 2), dtype=np.int64)] * 3, ShapeError, "takes 2 inputs, got 3"),
        ([np.zeros((1, 2), dtype=np.int64), np.zeros((1, 3), dtype=np.int8)], ShapeError, "input 'y' takes shape"),
        ([np.zeros((1, 2), dtype=np.int64), np.zeros(2, dtype=np.int64)], ShapeError, "input 'y' takes shape"),
        ([np.zeros((), dtype=np.int64), np.zeros((1, 2), dtype=np.int64)], ShapeError, "input 'x' takes shape"),
        ([np.array([[8, -9]]), np.zeros((1, 2), dtype=np.int64)], InputRangeError, "from -8 to 7, got -9 to 8"),
        ([np.array([[0, 2**62]]), np.zeros((1, 2), dtype=np.int64)], InputRangeError, "'x'.* got 0 to 4611"),
        ([np.zeros((1, 2), dtype=np.int8), np.array([[0, 200]], dtype=np.uint8)], InputRangeError, "got 0 to 200"),
        ([np.zeros((1, 2), dtype=np.int64), np.zeros((3, 2), dtype=np.int64)], ShapeError, "of 1, 3 runs"),
    ],
)
def test_inputs_are_refused_in_the_words_of_the_evaluator(
    inputs: list[IntArray], error: type[Exception], message: str
) -> None:
    builder = Builder()
    x, y = builder.input("x", (2,), 0, -8, 7), builder.input("y", (2,), 0, -8, 7)
    built = builder.finish([builder.combine("sum", [Summand(x), Summand(y)])])
    with pytest.raises(error, match=message) as expected:
        evaluate(built.program, built.weights, inputs)
    with pytest.raises(error, match=message) as found:
        Executor(built.program, built.weights).run(inputs)
    assert str(found.value) == str(expected.value)


def test_weights_for_which_the_published_bounds_are_not_true_are_refused() -> None:
    """The types of all values rest on the bounds: with other weights they would overflow silently."""
    built = dense(4, lo=-8, hi=7)
    weights = [10 * weight for weight in built.weights]
    with pytest.raises(BoundsError):
        Executor(built.program, weights)


def convolution() -> Built:
    """Two convolutions, the second in groups, over padded windows with a stride."""
    rng = np.random.default_rng(0)
    builder = Builder()
    x = builder.input("x", (1, 3, 9, 8), 0, -128, 127)
    windows = (Pad((0, 0, 1, 1), (0, 0, 1, 1)), Windows(2, 3, 1, 1), Windows(4, 3, 1, 1))
    columns = builder.combine("columns", [Summand(x, Fraction(1), windows)])
    weight = builder.weight("w0", rng.integers(-128, 128, (8, 3, 3, 3)), 0)
    product = builder.einsum("product0", "ncpwqx,fcwx->nfpq", columns, weight)
    shrink = Table("shrink", -(2**13), tuple(i >> 6 for i in range(-(2**13), 2**13)))
    value = builder.lookup("small", product, shrink, product.bits - 12, 0)
    grouped = (Reshape((1, 4, 2, 9, 8)), Windows(3, 3, 2, 1), Windows(5, 2, 2, 1))
    columns = builder.combine("columns1", [Summand(value, Fraction(1), grouped)])
    weight = builder.weight("w1", rng.integers(-128, 128, (4, 3, 2, 3, 2)), 0)
    product = builder.einsum("product1", "ngcpwqx,gfcwx->ngfpq", columns, weight)
    return builder.finish([product])


@pytest.mark.parametrize("runs", [1, 5])
def test_convolutions(runs: int) -> None:
    assert_agrees(convolution(), [np.random.default_rng(1).integers(-128, 128, (runs, 1, 3, 9, 8))])


def attention() -> Program:
    builder = Builder()
    q, k, v = (builder.input(name, (2, 5, 8), 0, -(2**15), 2**15 - 1) for name in "qkv")
    scores = builder.einsum("scores", "hsd,htd->hst", q, k)
    table = Table("weights", -(2**10), tuple(i // 9 for i in range(-(2**10), 2**10)))
    weights = builder.lookup("weights", scores, table, scores.bits - 9, 0)
    return builder.finish([builder.einsum("mixed", "hst,htd->shd", weights, v)]).program


def test_products_of_two_activations() -> None:
    rng = np.random.default_rng(0)
    program = attention()
    inputs = random_inputs(rng, program, 3)
    assert_agrees(Built(program, (), {}), inputs)


@pytest.mark.parametrize("runs", [1, 64])
@pytest.mark.parametrize("case", ["dense", "wide", "convolution", "attention"])
@pytest.mark.parametrize("kept", ["outputs", "everything"])
def test_memory_stays_within_what_is_announced(case: str, runs: int, kept: str) -> None:
    match case:
        case "dense":
            built = dense(70, lo=-128, hi=127)
        case "wide":
            built = dense(70, lo=-(2**20), hi=2**20)
        case "convolution":
            built = convolution()
        case _:
            built = Built(attention(), (), {})
    executor = Executor(built.program, built.weights, keep=built.program.outputs if kept == "outputs" else None)
    inputs = random_inputs(np.random.default_rng(0), built.program, runs)
    executor.run(inputs)
    tracemalloc.start()
    executor.run(inputs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    interpreter = 40_000
    announced = executor.peak_bytes(runs)
    assert peak <= announced + interpreter
    assert announced <= 4 * peak + interpreter
