"""Elements chosen by position, constant or computed: always the very element."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from support.model_comparison import build, compare, grid

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Einsum
from zkinfer.compiler.lowering.activation import Constant
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import EZKL, Precision
from zkinfer.compiler.onnx.ops.selection import ScatterElements
from zkinfer.errors import InputRangeError, UnsupportedOperatorError

INT32, INT64 = TensorProto.INT32, TensorProto.INT64
FINE = Precision(activation_bits=16, weight_bits=16, max_table_entries=1 << 17)


def positions(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    index = rng.integers(0, n, shape)
    index.flat[0], index.flat[-1] = 0, n - 1
    return index


class TestEmbedding:
    @pytest.mark.parametrize("n", [1, 2, 7, 256, 257, 300, 1000])
    @pytest.mark.parametrize("dtype", [INT32, INT64])
    def test_is_exact(self, n: int, dtype: int) -> None:
        table = grid(n, 3, lo=-127, frac_bits=7)
        result = compare(
            build("y = Gather(w, ids)", {"ids": [1, 5]}, {"w": table}, types={"ids": dtype}), positions(n, 9, 5)
        )
        tokens = result.program.inputs[0]
        assert (tokens.frac_bits, tokens.lo, tokens.hi) == (0, 0, n - 1)
        assert result.error == 0

    def test_every_position_may_be_asked_for_whatever_was_calibrated_on(self) -> None:
        result = compare(
            build("y = Gather(w, ids)", {"ids": [1, 2]}, {"w": grid(300, 3)}, types={"ids": INT64}), [[3, 4]]
        )
        every = np.arange(300).reshape(150, 1, 2)
        values = evaluate(result.program, result.lowered.weights, [every])
        expected = np.rint(np.ldexp(grid(300, 3), result.program.output_tensors[0].frac_bits)).reshape(150, 1, 2, 3)
        np.testing.assert_array_equal(values[result.program.outputs[0]], expected)
        for outside in (-1, 300):
            with pytest.raises(InputRangeError):
                evaluate(result.program, result.lowered.weights, [np.full((1, 1, 2), outside)])

    @pytest.mark.parametrize("n", [7, 300])
    @pytest.mark.parametrize("lowest", [-1, -3, -7])
    def test_positions_may_count_from_the_end_as_far_as_in_the_calibration(self, n: int, lowest: int) -> None:
        table = grid(n, 3, lo=-127, frac_bits=7)
        model = build("y = Gather(w, ids)", {"ids": [1, 2]}, {"w": table}, types={"ids": INT64})
        result = compare(model, [[lowest, 0], [1, 2]])
        assert (result.program.inputs[0].lo, result.program.inputs[0].hi) == (lowest, n - 1)
        assert result.error == 0
        every = np.arange(lowest, n).repeat(2).reshape(-1, 1, 2)
        values = evaluate(result.program, result.lowered.weights, [every])
        expected = np.rint(np.ldexp(table, result.program.output_tensors[0].frac_bits))[every]
        np.testing.assert_array_equal(values[result.program.outputs[0]], expected)

    def test_computed_positions_may_count_from_the_end_also_where_no_calibration_sample_does(self) -> None:
        body = """j = Sub(i, one)
        y = Gather(w, j)"""
        table = grid(4, 3)
        model = build(body, {"i": [1, 2]}, {"one": np.array(1), "w": table}, types={"i": INT64})
        for data in (positions(4, 8, 2), positions(3, 8, 2) + 1):
            result = compare(model, data)
            assert result.error == 0
            values = evaluate(result.program, result.lowered.weights, [np.array([[[0, 3]]])])
            expected = np.rint(np.ldexp(table, result.program.output_tensors[0].frac_bits))[[[[-1, 2]]]]
            np.testing.assert_array_equal(values[result.program.outputs[0]], expected)

    def test_tables_of_different_sizes_count_from_their_own_ends(self) -> None:
        body = """a = Gather(w, i)
        b = Gather(v, i)
        y = Add(a, b)"""
        tables = {"w": grid(10, 3, frac_bits=7), "v": grid(300, 3, frac_bits=7, seed=1)}
        model = build(body, {"i": [1, 2]}, tables, types={"i": INT64})
        result = compare(model, positions(20, 9, 2) - 10)
        assert result.error == 0

    def test_reaches_no_further_than_its_rows(self) -> None:
        """One row is chosen, so that bounds are those of a row and not of a sum of rows."""
        result = compare(
            build("y = Gather(w, ids)", {"ids": [1, 5]}, {"w": grid(400, 3)}, types={"ids": INT64}),
            positions(400, 9, 5),
        )
        contraction = [node for node in result.program.nodes if isinstance(node, Einsum)][-1]
        weight = max(result.program.weights, key=lambda w: w.size)
        assert (contraction.out.lo, contraction.out.hi) == (weight.lo, weight.hi)

    def test_looks_up_about_twice_the_root_of_the_vocabulary(self) -> None:
        result = compare(
            build("y = Gather(w, ids)", {"ids": [1, 1]}, {"w": grid(4096, 2)}, types={"ids": INT64}),
            positions(4096, 9, 1),
        )
        digits, held = 1 + 64 + 64, 2
        assert sum(lookup.out.size for lookup in result.lookups) == digits + held
        assert max(len(table.values) for table in result.program.tables if table.name != "held") < 256

    def test_what_is_taken_from_a_large_table_is_looked_up_unchanged(self) -> None:
        """So that its readers make one claim on the table together; not where it is larger than the table."""
        body, weights = "y = Gather(w, ids)", {"w": grid(30, 4, lo=-127, frac_bits=7)}
        for count, held in ((5, True), (40, False)):
            model = build(body, {"ids": [1, count]}, weights, types={"ids": INT64})
            result = compare(model, positions(30, 20, count))
            assert result.error == 0
            assert ("held" in {table.name for table in result.program.tables}) == held

    def test_tied_embeddings_are_one_weight(self) -> None:
        """The table that tokens are taken from, and the scores of all tokens, by the same rows."""
        body = """e = Gather(w, ids)
        h = Relu(e)
        t = Transpose<perm=[1, 0]>(w)
        y = MatMul(h, t)"""
        for n in (30, 300):  # one digit, and two digits with rows that are filled up
            weights = {"w": grid(n, 4, lo=-127, frac_bits=7)}
            result = compare(build(body, {"ids": [1, 5]}, weights, types={"ids": INT64}), positions(n, 20, 5))
            assert [w.shape for w in result.program.weights].count((n, 4)) == 1
            assert sum(w.size for w in result.program.weights if len(w.shape) == 2) == 4 * n
            assert result.error <= 4 * 2.0**-6

    def test_tokens_and_their_places(self) -> None:
        body = """e = Gather(w, ids)
        h = Add(e, p)
        y = MatMul(h, v)"""
        tensors = {
            "w": grid(30, 4, lo=-127, frac_bits=7),
            "p": grid(5, 4, seed=1, lo=-127, frac_bits=7),
            "v": grid(4, 2, lo=-127, frac_bits=7),
        }
        result = compare(build(body, {"ids": [1, 5]}, tensors, types={"ids": INT64}), positions(30, 20, 5))
        assert result.error <= 4 * 2.0**-7

    def test_along_another_axis(self) -> None:
        result = compare(
            build("y = Gather<axis=1>(w, ids)", {"ids": [1, 5]}, {"w": grid(2, 9, 3)}, types={"ids": INT64}),
            positions(9, 9, 5),
        )
        assert result.error == 0


@given(axis=st.integers(-3, 2), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_gather_from_an_activation_at_computed_positions(axis: int, seed: int) -> None:
    model = build(f"y = Gather<axis={axis}>(x, i)", {"x": [1, 4, 3], "i": [1, 2]}, types={"i": INT64})
    n = (1, 4, 3)[axis]
    result = compare(model, grid(8, 4, 3, seed=seed), np.random.default_rng(seed).integers(0, n, (8, 2)))
    assert result.error == 0


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("axis", [1, -1])
def test_gather_elements(computed: bool, axis: int) -> None:
    shape = (2, 3) if axis == 1 else (4, 2)
    index = positions((1, 4, 3)[axis], 8, *shape)
    inputs = {"x": [1, 4, 3]} | ({"i": [1, *shape]} if computed else {})
    model = build(
        f"y = GatherElements<axis={axis}>(x, i)", inputs, {} if computed else {"i": index[:1] - 1}, types={"i": INT64}
    )
    data = [grid(8, 4, 3), index] if computed else [grid(8, 4, 3)]
    assert compare(model, *data).error == 0


@pytest.mark.parametrize(
    ("index", "batch"), [([[0, 3, 1], [0, -1, 2]], 0), ([[0, 1]], 0), ([[2]], 1), ([[[1, 2], [3, 0]]], 1)]
)
def test_gather_nd(index: list[object], batch: int) -> None:
    model = build(f"y = GatherND<batch_dims={batch}>(x, i)", {"x": [1, 4, 3]}, {"i": np.array(index)})
    assert compare(model, grid(8, 4, 3)).error == 0


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
@pytest.mark.parametrize("values", [[0.0, 1.0], [-0.5, 2.0]])
def test_one_hot(axis: int, values: list[float]) -> None:
    tensors = {"d": np.array(6), "v": np.array(values, dtype=np.float32)}
    result = compare(
        build(f"y = OneHot<axis={axis}>(i, d, v)", {"i": [1, 4]}, tensors, types={"i": INT64}), positions(6, 9, 4)
    )
    assert result.error == 0


@pytest.mark.parametrize("axis", [1, -1])
def test_hardmax(axis: int) -> None:
    assert compare(build(f"y = Hardmax<axis={axis}>(x)", {"x": [1, 4, 3]}), grid(20, 4, 3)).error == 0


@pytest.mark.parametrize("op", ["Gather<axis=1>", "GatherElements<axis=1>"])
def test_computed_positions_that_count_from_the_end(op: str) -> None:
    body = f"""j = Sub(i, two)
    y = {op}(x, j)"""
    model = build(body, {"x": [1, 4], "i": [1, 3]}, {"two": np.array(2)}, types={"i": INT64})
    result = compare(model, grid(8, 4), positions(6, 8, 3))
    unseen = compare(model, grid(8, 4), positions(4, 8, 3) + 2)
    assert unseen.error == 0
    x = np.ldexp(grid(1, 4), unseen.program.inputs[0].frac_bits).astype(np.int64)
    values = evaluate(unseen.program, unseen.lowered.weights, [x[:, None], np.array([[[0, 1, 2]]])])
    np.testing.assert_array_equal(values[unseen.program.outputs[0]].ravel(), x[0, [-2, -1, 0]])
    # One element is chosen: bounds are those of an element.
    assert result.program.output_tensors[0].hi <= result.program.inputs[0].hi
    assert result.error == 0


@pytest.mark.parametrize("axis", [0, -1])
def test_one_hot_of_positions_that_count_from_the_end_or_are_none(axis: int) -> None:
    model = build(
        f"y = OneHot<axis={axis}>(i, d, v)",
        {"i": [1, 4]},
        {"d": np.array(5), "v": np.array([-0.5, 2.0], dtype=np.float32)},
        types={"i": INT64},
    )
    result = compare(model, np.arange(-9, 11).reshape(5, 4))
    assert result.error == 0
    assert (result.fixed[0].sum(axis=1 if axis == 0 else -1) == -2.5).any()


class TestScatter:
    @given(
        axis=st.sampled_from([1, 2]),
        reduction=st.sampled_from(["none", "add", "mul", "max", "min"]),
        constant=st.sampled_from(["none", "data", "updates"]),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=25)
    def test_elements(self, axis: int, reduction: str, constant: str, seed: int) -> None:
        """Positions come twice, and count from the end too; each is put in order."""
        index = np.random.default_rng(seed).integers(-2, 2, (1, 3, 2))
        if reduction == "none":
            # Which of two comes last is not defined.
            index = np.array([[[0, 1], [1, -2], [-1, 0]]]) if axis == 2 else np.array([[[0, 1], [1, 2], [-1, 0]]])
        tensors = {"x": grid(1, 3, 4, seed=seed)} if constant == "data" else {}
        tensors |= {"u": grid(1, 3, 2, seed=seed + 1)} if constant == "updates" else {}
        shapes = {"x": [1, 3, 4], "u": [1, 3, 2]}
        inputs = {name: shape for name, shape in shapes.items() if name not in tensors}
        call = f'y = ScatterElements<axis={axis}, reduction="{reduction}">(x, i, u)'
        model = build(call, inputs, tensors | {"i": index}, opset=18)
        data = [grid(8, *shape[1:], seed=seed) for shape in inputs.values()]
        # Products of three have a format of 16 bits for all that they could reach.
        assert compare(model, *data, precision=FINE).error <= (0.25 if reduction == "mul" else 2.0**-8)

    @pytest.mark.parametrize("reduction", ["none", "add", "max"])
    @pytest.mark.parametrize(
        ("index", "updates"), [([[0, 2], [0, 1]], [2, 4]), ([[0, 2, 3], [0, -1, 0]], [2]), ([[0]], [1, 3, 4])]
    )
    def test_slices(self, reduction: str, index: list[list[int]], updates: list[int]) -> None:
        model = build(
            f'y = ScatterND<reduction="{reduction}">(x, i, u)',
            {"x": [1, 3, 4]} | ({"u": updates} if updates[0] == 1 else {}),
            {"i": np.array(index)} | ({} if updates[0] == 1 else {"u": grid(*updates)}),
            opset=18,
        )
        data = [grid(8, 3, 4)] + ([grid(8, *updates[1:], seed=2)] if updates[0] == 1 else [])
        assert compare(model, *data, precision=FINE).error <= 2.0**-8

    def test_of_equal_positions_the_last_counts(self) -> None:
        emitter = Emitter(EZKL)
        x = emitter.input("x", (4,), (-1.0, 1.0))
        index, updates = Constant("i", np.array([1, 3, 1])), Constant("u", np.array([0.25, 0.5, 0.75]))
        y = emitter.output(ScatterElements(emitter, x, index, updates))
        built = emitter.builder.finish([y])
        (result,) = [evaluate(built.program, built.weights, [np.full((1, 4), 64)])[v] for v in built.program.outputs]
        unit = 2.0 ** -built.program.output_tensors[0].frac_bits
        assert (result * unit).tolist() == [[64 * 2.0**-x.value.frac_bits, 0.75, 64 * 2.0**-x.value.frac_bits, 0.5]]


class TestTopK:
    @given(
        n=st.integers(1, 9),
        k=st.integers(1, 9),
        largest=st.integers(0, 1),
        axis=st.sampled_from([1, 2]),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=20)
    def test_values_and_positions_also_with_ties(self, n: int, k: int, largest: int, axis: int, seed: int) -> None:
        k = min(k, n)
        shape = (n, 3) if axis == 1 else (3, n)
        model = build(
            f"v, i = TopK<axis={axis}, largest={largest}>(x, k)",
            {"x": [1, *shape]},
            {"k": np.array([k])},
            outputs=["v", "i"],
            integer_outputs=["i"],
        )
        assert compare(model, np.random.default_rng(seed).integers(-3, 4, (30, *shape)) / 4).error == 0

    def test_of_more_than_tables_serve_is_refused(self) -> None:
        model = build("v, i = TopK(x, k)", {"x": [1, 80]}, {"k": np.array([2])}, outputs=["v"])
        with pytest.raises(UnsupportedOperatorError, match="sorting so many needs tables of 3,584 entries"):
            compare(model, grid(8, 80))
        assert compare(model, grid(8, 80), precision=msgspec.structs.replace(EZKL, max_table_entries=4096)).error == 0
        long = build("v, i = TopK(x, k)", {"x": [1, 2000]}, {"k": np.array([2])}, outputs=["v"])
        with pytest.raises(UnsupportedOperatorError, match="2,000 elements; up to 1,024 are supported: use ArgMax"):
            compare(long, grid(8, 2000))


class TestRefused:
    def test_an_unknown_way_to_scatter(self) -> None:
        emitter = Emitter(EZKL)
        x, index = emitter.input("x", (4,), (-1.0, 1.0)), Constant("i", np.array([1]))
        with pytest.raises(
            UnsupportedOperatorError, match="reduction='mean' is not supported; supported: none, add, mul"
        ):
            ScatterElements(emitter, x, index, Constant("u", np.array([2.0])), reduction="mean")

    def test_computed_positions_for_a_part_of_the_other_axes(self) -> None:
        model = build("y = GatherElements<axis=1>(x, i)", {"x": [1, 4, 3], "i": [1, 4, 2]}, types={"i": INT64})
        with pytest.raises(UnsupportedOperatorError, match="only axis 1 may differ"):
            compare(model, grid(8, 4, 3), positions(4, 8, 4, 2))


class TestComputedPositions:
    """Of GatherElements from constants, and of GatherND: as exporters write tables that are expanded, and
    `x[arange(n), x.argmax(1)]`."""

    def test_a_constant_that_repeats_one_row(self) -> None:
        table = np.broadcast_to(np.arange(70) % 7, (4, 70)).copy()
        model = build("y = GatherElements<axis=1>(w, i)", {"i": [1, 3]}, {"w": table}, types={"i": INT64, "y": INT64})
        assert compare(model, positions(70, 12, 3)).error == 0

    def test_a_constant_with_rows_of_their_own(self) -> None:
        model = build("y = GatherElements<axis=1>(w, i)", {"i": [2, 3]}, {"w": grid(2, 9)}, types={"i": INT64})
        assert compare(model, positions(9, 12, 3), batch=2).error <= 2.0**-7

    @pytest.mark.parametrize("batch", [1, 3])
    def test_the_row_of_the_largest_in_each_sample(self, batch: int) -> None:
        body = """at = ArgMax<axis=1, keepdims=0>(i)
        column = Unsqueeze(at, last)
        places = Concat<axis=1>(numbers, column)
        y = GatherND(x, places)"""
        weights = {"last": np.array([1]), "numbers": np.arange(batch)[:, None]}
        model = build(body, {"x": [batch, 5, 4], "i": [batch, 5]}, weights, types={"i": INT64})
        x = np.random.default_rng(0).integers(-64, 64, (6, 5, 4)) / 64
        order = np.argsort(np.random.default_rng(1).normal(size=(6, 5)))
        assert compare(model, x, order, batch=batch).error <= 2.0**-6

    def test_with_an_axis_in_common(self) -> None:
        model = build("y = GatherND<batch_dims=1>(x, i)", {"x": [1, 5, 4], "i": [1, 3, 1]}, types={"i": INT64})
        x = np.random.default_rng(0).integers(-64, 64, (6, 5, 4)) / 64
        assert compare(model, x, np.random.default_rng(1).integers(-5, 5, (6, 3, 1))).error <= 2.0**-6

    def test_of_elements_of_a_constant(self) -> None:
        model = build("y = GatherND(w, i)", {"i": [1, 3, 2]}, {"w": grid(5, 4)}, types={"i": INT64})
        i = np.stack([positions(5, 6, 3), positions(4, 6, 3)], axis=-1)
        assert compare(model, i).error <= 2.0**-7
