"""Blocks of masked scores: which are kept, and that nothing but the number of lookups depends on them."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.model_comparison import build

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Lookup
from zkinfer.compiler.compile import compile as compile_model
from zkinfer.compiler.lowering import softmax
from zkinfer.compiler.lowering.activation import Activation, Constant
from zkinfer.compiler.lowering.blocks import Blocks, blocks_of
from zkinfer.compiler.lowering.builder import Builder, Summand
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import NATIVE
from zkinfer.typing import FloatArray

HEADS, PLACES, SIZE = 4, 32, 8
RNG = np.random.default_rng(0)
CAUSAL = np.tril(np.ones((PLACES, PLACES), dtype=np.int64))


def test_of_causal_scores_the_blocks_above_the_diagonal_are_left_out() -> None:
    blocks = blocks_of(Constant("kept", CAUSAL), (1, HEADS, PLACES, PLACES))
    assert blocks is not None
    assert blocks.strips == 8
    assert blocks.kept == tuple(8 * i + j for i in range(8) for j in range(i + 1))
    assert blocks.size * 64 == HEADS * PLACES**2 * 36


@pytest.mark.parametrize(
    ("mask", "shape"),
    [
        pytest.param(np.ones_like(CAUSAL), (HEADS, PLACES, PLACES), id="everything is kept"),
        pytest.param(CAUSAL, (1, PLACES, PLACES), id="too few scores for more boxes"),
        pytest.param(np.tril(np.ones((31, 31))), (64, 31, 31), id="no equal strips"),
        pytest.param(np.ones((HEADS, 1, PLACES)), (HEADS, PLACES, PLACES), id="a mask for each head"),
    ],
)
def test_otherwise_all_scores_are_looked_up(mask: npt.NDArray[np.generic], shape: tuple[int, ...]) -> None:
    assert blocks_of(Constant("kept", mask), shape) is None


def test_a_computed_mask_keeps_all() -> None:
    g = Emitter(NATIVE, "y")
    kept: Activation = g.activation(g.builder.input("kept", (PLACES, PLACES), 0, 0, 1))
    assert blocks_of(kept, (HEADS, PLACES, PLACES)) is None


@given(st.sampled_from((2, 4)), st.data())
def test_what_is_packed_and_unpacked_is_zero_outside_the_blocks(strips: int, data: st.DataObject) -> None:
    kept = tuple(sorted(data.draw(st.sets(st.integers(0, strips**2 - 1), min_size=1))))
    blocks, builder = Blocks((3, 8, 12), strips, kept), Builder()
    x = builder.input("x", (3, 8, 12), 0, -9, 9)
    packed = builder.combine("packed", [Summand(x, steps=blocks.packing())])
    assert packed.tensor.size == blocks.size
    back = blocks.unpacked(Emitter(NATIVE, "y", builder=builder), packed)
    built = builder.finish([back])
    integers = RNG.integers(-9, 10, (1, 3, 8, 12))
    rows, columns = np.arange(8)[:, None] * strips // 8, np.arange(12)[None, :] * strips // 12
    inside = np.isin(rows * strips + columns, kept)
    result = evaluate(built.program, built.weights, [integers])[built.program.outputs[0]]
    assert (result == integers * inside).all()


def test_the_circuit_gives_the_same_numbers_and_looks_up_less(monkeypatch: pytest.MonkeyPatch) -> None:
    low = np.where(CAUSAL, 0, np.finfo(np.float32).min / 2).astype(np.float32)
    body = (
        "t = Transpose<perm=[0,1,3,2]>(k)\ns = MatMul(q, t)\nm = Add(s, low)\na = Softmax<axis=-1>(m)\ny = MatMul(a, v)"
    )
    names = ("q", "k", "v")
    model = build(body, {name: [1, HEADS, PLACES, SIZE] for name in names}, {"low": low})
    inputs = dict(zip(names, RNG.normal(size=(3, 6, HEADS, PLACES, SIZE)).astype(np.float32), strict=True))
    circuit = compile_model(model, inputs)
    monkeypatch.setattr(softmax, "blocks_of", lambda kept, shape: None)
    whole = compile_model(model, inputs)

    def looked_up(program: object) -> int:
        return sum(n.out.size for n in getattr(program, "nodes", ()) if isinstance(n, Lookup) and "a" in n.out.label)

    assert np.array_equal(np.asarray(circuit.run(inputs)), np.asarray(whole.run(inputs)))
    # Rescaled scores, exponentials and shares; maxima see all scores.
    scores = HEADS * PLACES**2
    assert looked_up(whole.program) - looked_up(circuit.program) == 3 * scores * 28 // 64
    expected = _attention(*(inputs[name].astype(np.float64) for name in names))
    assert np.asarray(circuit.run(inputs)) == pytest.approx(expected, abs=5e-3)


def test_long_rows_of_masked_scores_can_be_proven() -> None:
    """Compiling checks it: the shares of a row of more than 32 scores are products of three factors."""
    places = 40
    low = np.triu(np.full((places, places), np.finfo(np.float32).min / 2), 1).astype(np.float32)
    model = build("m = Add(x, low)\ny = Softmax<axis=-1>(m)", {"x": [1, places, places]}, {"low": low})
    x = RNG.normal(0, 2, (4, places, places)).astype(np.float32)
    powers = np.tril(np.exp(x.astype(np.float64)))
    expected = powers / powers.sum(-1, keepdims=True)
    assert np.asarray(compile_model(model, x).run(x)) == pytest.approx(expected, abs=2e-3)


def _attention(q: FloatArray, k: FloatArray, v: FloatArray) -> FloatArray:
    scores = np.where(CAUSAL, q @ k.swapaxes(-1, -2), -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    shares: FloatArray = powers / powers.sum(-1, keepdims=True)
    return np.asarray(shares @ v)
