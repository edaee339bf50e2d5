"""Elements chosen by position, constant or computed: always the very element."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from support.lowering import build, compare, grid

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Einsum
from zkinfer.errors import InputRangeError, UnsupportedOperatorError
from zkinfer.quantize.precision import EZKL

INT32, INT64 = TensorProto.INT32, TensorProto.INT64


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
    tensors = {"d": np.array(6), "v": np.float32(values)}
    result = compare(
        build(f"y = OneHot<axis={axis}>(i, d, v)", {"i": [1, 4]}, tensors, types={"i": INT64}), positions(6, 9, 4)
    )
    assert result.error == 0


@pytest.mark.parametrize("axis", [1, -1])
def test_hardmax(axis: int) -> None:
    assert compare(build(f"y = Hardmax<axis={axis}>(x)", {"x": [1, 4, 3]}), grid(20, 4, 3)).error == 0


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
        with pytest.raises(UnsupportedOperatorError, match="sorting so many needs tables of 3584 entries"):
            compare(model, grid(8, 80))
        assert compare(model, grid(8, 80), precision=msgspec.structs.replace(EZKL, max_table_entries=4096)).error == 0
        long = build("v, i = TopK(x, k)", {"x": [1, 2000]}, {"k": np.array([2])}, outputs=["v"])
        with pytest.raises(UnsupportedOperatorError, match="2000 elements; up to 1024 are supported: use ArgMax"):
            compare(long, grid(8, 2000))


class TestRefused:
    def test_computed_positions_that_count_from_the_end(self) -> None:
        body = """j = Sub(i, one)
        y = Gather<axis=1>(x, j)"""
        model = build(body, {"x": [1, 4], "i": [1, 2]}, {"one": np.array(1)}, types={"i": INT64})
        with pytest.raises(UnsupportedOperatorError, match=r"go down to -1; count them from the front"):
            compare(model, grid(8, 4), positions(4, 8, 2))

    def test_computed_positions_for_a_part_of_the_other_axes(self) -> None:
        model = build("y = GatherElements<axis=1>(x, i)", {"x": [1, 4, 3], "i": [1, 4, 2]}, types={"i": INT64})
        with pytest.raises(UnsupportedOperatorError, match="only axis 1 may differ"):
            compare(model, grid(8, 4, 3), positions(4, 8, 4, 2))
