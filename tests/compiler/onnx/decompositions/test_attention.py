"""Attention and rotary embeddings in steps: the same numbers as the standard's reference implementation."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from support.model_comparison import build, compare

from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import UnsupportedOperatorError

RNG = np.random.default_rng(0)
BATCH, KEYS, SIZE = 2, 5, 4
FINE = Precision(activation_bits=12, weight_bits=12, max_table_entries=1 << 15)


def assert_same(
    body: str, inputs: dict[str, list[int]], tensors: dict[str, np.ndarray], *, opset: int = 24, **options: Any
) -> None:
    model = build(body, inputs, tensors, opset=opset, **options)
    data = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in inputs.items()}
    expected = ReferenceEvaluator(model).run(None, data)
    normalized = load_model(model, batch=BATCH)
    assert not {node.op_type for node in normalized.graph} & {"Attention", "RotaryEmbedding"}
    results = FloatModel(normalized).run([data[value.name or ""][None] for value in normalized.graph.inputs])
    for value, array in zip(normalized.graph.outputs, expected, strict=True):
        np.testing.assert_allclose(results[value.name or ""][0], array, atol=1e-5)


def qkv(heads: int, kv_heads: int, queries: int, *, joined: bool) -> dict[str, list[int]]:
    sizes = {"q": (heads, queries), "k": (kv_heads, KEYS), "v": (kv_heads, KEYS)}
    return {name: [BATCH, n, h * SIZE] if joined else [BATCH, h, n, SIZE] for name, (h, n) in sizes.items()}


@given(
    joined=st.booleans(),
    heads=st.sampled_from([(2, 2), (4, 2), (3, 1)]),
    queries=st.sampled_from([1, 5]),
    causal=st.integers(0, 1),
    scale=st.sampled_from([None, 0.3]),
    softcap=st.sampled_from([0.0, 1.5]),
    mask=st.sampled_from([None, "float", "bool", "low"]),
)
@settings(max_examples=20)
def test_attention(
    joined: bool,
    heads: tuple[int, int],
    queries: int,
    causal: int,
    scale: float | None,
    softcap: float,
    mask: str | None,
) -> None:
    attributes = f"is_causal={causal}, softcap={softcap}" + (f", scale={scale}" if scale else "")
    attributes += f", q_num_heads={heads[0]}, kv_num_heads={heads[1]}" if joined else ""
    masks = {
        "float": RNG.normal(size=(queries, KEYS)).astype(np.float32),
        "bool": np.tri(queries, KEYS, 1, dtype=bool),
        "low": np.where(np.tri(queries, KEYS, 1), 0, -np.inf).astype(np.float32),
    }
    tensors = {} if mask is None else {"m": masks[mask]}
    body = f"y = Attention<{attributes}>(q, k, v{', m' if mask else ''})"
    assert_same(body, qkv(*heads, queries, joined=joined), tensors)


@pytest.mark.parametrize("causal", [0, 1])
def test_keys_and_values_of_the_past(causal: int) -> None:
    inputs = qkv(4, 2, 5, joined=False) | {"pk": [BATCH, 2, 3, SIZE], "pv": [BATCH, 2, 3, SIZE]}
    body = f"y, ak, av = Attention<is_causal={causal}>(q, k, v, , pk, pv)"
    assert_same(body, inputs, {}, outputs=["y", "ak", "av"])


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("part", [0, 4])
@pytest.mark.parametrize("positions", [False, True])
def test_rotary_embedding(interleaved: int, joined: bool, part: int, positions: bool) -> None:
    size, steps, half = 8, 5, (part or 8) // 2
    shape = [BATCH, steps, 3 * size] if joined else [BATCH, 3, steps, size]
    angles = RNG.normal(size=(11, half) if positions else (BATCH, steps, half))
    tensors = {"c": np.cos(angles), "s": np.sin(angles)}
    if positions:
        tensors["i"] = RNG.integers(0, 11, (BATCH, steps))
    attributes = f"interleaved={interleaved}, rotary_embedding_dim={part}" + (", num_heads=3" if joined else "")
    assert_same(f"y = RotaryEmbedding<{attributes}>(x, c, s{', i' if positions else ''})", {"x": shape}, tensors)


def test_rotary_embedding_at_positions_that_are_an_input() -> None:
    """The angles are looked up in the circuit."""
    angles = RNG.normal(size=(11, 2))
    model = build(
        "y = RotaryEmbedding(x, c, s, i)",
        {"x": [1, 2, 5, 4], "i": [1, 5]},
        {"c": np.cos(angles), "s": np.sin(angles)},
        types={"i": TensorProto.INT64},
        opset=23,
    )
    result = compare(model, RNG.normal(size=(30, 2, 5, 4)), RNG.integers(0, 11, (30, 5)), precision=FINE)
    assert result.error <= 0.01


@pytest.mark.parametrize("causal", [0, 1])
def test_in_integers(causal: int) -> None:
    body = f"y = Attention<is_causal={causal}, q_num_heads=4, kv_num_heads=2>(q, k, v)"
    shapes = qkv(4, 2, 5, joined=True).values()
    result = compare(
        build(body, qkv(4, 2, 5, joined=True), opset=24),
        *(RNG.normal(size=(20 * BATCH, *shape[1:])) for shape in shapes),
        batch=BATCH,
        precision=FINE,
    )
    assert result.error <= 0.05


def test_a_mask_that_is_an_input() -> None:
    body = "y = Attention<is_causal=1>(q, k, v, m)"
    inputs = qkv(2, 2, 5, joined=False) | {"m": [BATCH, 1, 1, KEYS]}
    model = build(body, inputs, types={"m": TensorProto.BOOL}, opset=24)
    mask = RNG.integers(0, 2, (20 * BATCH, 1, 1, KEYS)).astype(bool)
    mask[..., 0] = True
    data = [RNG.normal(size=(20 * BATCH, *inputs[name][1:])) for name in "qkv"]
    assert compare(model, *data, mask, batch=BATCH, precision=FINE).error <= 0.05


@pytest.mark.parametrize("mask", [np.ones((5, 3), dtype=bool), RNG.normal(size=(5, 3)).astype(np.float32)])
@pytest.mark.parametrize("computed", [False, True])
def test_a_mask_shorter_than_the_keys_hides_the_rest(mask: np.ndarray, computed: bool) -> None:
    inputs = qkv(2, 2, 5, joined=False)
    tensors = {"m": mask}
    if computed:
        inputs, tensors = (
            inputs | {"b": [BATCH, 1, 5, 3]},
            {"zero": np.array(0, dtype=np.float32), "w": np.array([1, 0, 1], dtype=np.float32)},
        )
    # Zero is allowed in every row, so that none is masked altogether.
    comparison = "m = LessOrEqual(c, zero)" if mask.dtype == bool else "m = Add(c, zero)"
    comparison = f"c = Mul(b, w)\n{comparison}"
    body = "y = Attention(q, k, v, m)"
    assert_same(f"{comparison}\n{body}" if computed else body, inputs, tensors)


@pytest.mark.parametrize("lengths", [[5, 3], [1, 4]])
@pytest.mark.parametrize(
    "attributes",
    ["is_causal=0", "is_causal=1", "is_causal=1, left_window_size=1", "left_window_size=1, right_window_size=1"],
)
@pytest.mark.parametrize("computed", [False, True])
def test_sequences_of_several_lengths(lengths: list[int], attributes: str, computed: bool) -> None:
    """Keys beyond a sequence's length do not count, and its last query belongs to its last key."""
    inputs = qkv(4, 2, 1, joined=False)
    body, tensors = f"y = Attention<{attributes}>(q, k, v, m, , , n)", {"n": np.array(lengths)}
    tensors["m"] = RNG.normal(size=(1, KEYS)).astype(np.float32)
    if computed:
        # A sum of two whole numbers, of which one is an input of zeros.
        inputs, tensors = inputs | {"o": [BATCH]}, {"l": np.array(lengths), "m": tensors["m"]}
        body = f"w = Floor(o)\nz = Cast<to=7>(w)\nnought = Mul(z, z2)\nn = Add(nought, l)\n{body}"
        tensors["z2"] = np.array(0)
    assert_same(body, inputs, tensors, opset=25)


def test_lengths_that_are_an_input_in_integers() -> None:
    model = build(
        "y = Attention<is_causal=1>(q, k, v, , , , n)",
        qkv(2, 2, 1, joined=False) | {"n": [BATCH]},
        types={"n": TensorProto.INT64},
        opset=24,
    )
    data = [RNG.normal(size=(20 * BATCH, *shape[1:])) for shape in qkv(2, 2, 1, joined=False).values()]
    assert compare(model, *data, RNG.integers(1, KEYS + 1, 20 * BATCH), batch=BATCH, precision=FINE).error <= 0.05


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("past", [False, True])
def test_inner_products_as_an_output(mode: int, past: bool) -> None:
    inputs, tensors = qkv(4, 2, 5, joined=False), {"m": RNG.normal(size=(5, KEYS + 3 * past)).astype(np.float32)}
    inputs |= {"pk": [BATCH, 2, 3, SIZE], "pv": [BATCH, 2, 3, SIZE]} if past else {}
    # The reference implementation caps in mode 0 too, which the standard's text and its decomposition do not.
    attributes = f"qk_matmul_output_mode={mode}, softcap={2.0 if mode else 0.0}"
    body = f"y, ak, av, p = Attention<{attributes}>(q, k, v, m{', pk, pv' if past else ''})"
    assert_same(body, inputs, tensors, outputs=["y", "ak", "av", "p"])
    assert_same(body.replace("ak, av", ", "), inputs, tensors, outputs=["y", "p"])


def test_masked_inner_products_are_no_output() -> None:
    """They are minus infinity by the standard."""
    body = "y, , , p = Attention<is_causal=1, qk_matmul_output_mode=2>(q, k, v)"
    model = build(body, qkv(2, 2, 5, joined=False), outputs=["y", "p"], opset=24)
    with pytest.raises(UnsupportedOperatorError, match="scores that are masked are not an output"):
        compare(model, *(np.ones((4, *shape[1:])) for shape in qkv(2, 2, 5, joined=False).values()), batch=BATCH)
