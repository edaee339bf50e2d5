"""Operators that move elements: exact, and without a lookup."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.model_comparison import build, compare, grid

from zkinfer.errors import UnsupportedOperatorError

INT = np.int64


@pytest.mark.parametrize("opset", [17, 25])
@pytest.mark.parametrize(
    ("call", "constants"),
    [
        ("Flatten(x)", {}),
        ("Flatten<axis=2>(x)", {}),
        ("Flatten<axis=-1>(x)", {}),
        ("Reshape(x, s)", {"s": [1, 12, -1]}),
        ("Reshape(x, s)", {"s": [0, 0, 2, 2]}),
        ("Transpose<perm=[0, 2, 1]>(x)", {}),
        ("Squeeze(u, s)", {"s": [1]}),
        ("Squeeze(u, s)", {"s": [-3]}),
        ("Unsqueeze(x, s)", {"s": [1, -1]}),
        ("Concat<axis=1>(x, u2)", {}),
        ("Concat<axis=-1>(x, w)", {"w": np.float32(grid(1, 6, 3, seed=3))}),
        ("Slice(x, a, b)", {"a": [0, 1], "b": [1, 5]}),
        ("Slice(x, a, b, s, t)", {"a": [-1], "b": [-100], "s": [1], "t": [-2]}),
        ("Slice(x, a, b, s)", {"a": [1], "b": [9999], "s": [-1]}),
        ("Pad(x, s)", {"s": [0, 1, 2, 0, 0, 1]}),
        ('Pad<mode="reflect">(x, s)', {"s": [0, 1, 2, 0, 0, 1]}),
        ('Pad<mode="edge">(x, s)', {"s": [0, 1, 2, 0, 3, 1]}),
        ("Expand(u, s)", {"s": [1, 5, 6, 4]}),
        ("Expand(x, s)", {"s": [6, 4]}),
        ("Tile(x, s)", {"s": [1, 2, 3]}),
        ("Gather<axis=1>(x, s)", {"s": [[0, 5], [-1, 5]]}),
        ("Gather<axis=2>(x, s)", {"s": np.array(2)}),
        ("Identity(x)", {}),
        ("Dropout(x)", {}),
        ("Cast<to=11>(x)", {}),
        ("Trilu(x)", {}),
        ("Trilu<upper=0>(x, k)", {"k": np.array(1)}),
    ],
)
def test_elements_are_moved_exactly(call: str, constants: dict[str, object], opset: int) -> None:
    tensors = {name: value if name == "w" else np.array(value, dtype=INT) for name, value in constants.items()}
    tensors |= {"one": np.array([1], dtype=INT)}
    # Float64 outputs and outputs that are the input are both read through a negation, which is exact too.
    body = f"""u = Unsqueeze(x, one)
    u2 = Neg(x)
    h = {call}
    n = Neg(h)
    y = Cast<to=1>(n)"""
    result = compare(build(body, {"x": [1, 6, 4]}, tensors, opset=opset), grid(8, 6, 4))
    assert not result.lookups
    assert result.error == 0


@pytest.mark.parametrize("opset", [13, 18])
def test_split_by_sizes(opset: int) -> None:
    body = """a, b, c = Split<axis=1>(x, s)
    t = Concat<axis=1>(c, a, b)
    y = Neg(t)"""
    result = compare(build(body, {"x": [1, 6, 2]}, {"s": np.array([1, 3, 2])}, opset=opset), grid(8, 6, 2))
    assert not result.lookups
    assert result.error == 0


@given(n=st.integers(2, 9), parts=st.integers(1, 4))
@settings(max_examples=10)
def test_split_by_number(n: int, parts: int) -> None:
    each = math.ceil(n / parts)
    if n - each * (parts - 1) < 1:
        return
    names = [f"p{i}" for i in range(parts)]
    body = f"""{", ".join(names)} = Split<axis=1, num_outputs={parts}>(x)
    t = Concat<axis=1>({", ".join(reversed(names))})
    y = Neg(t)"""
    result = compare(build(body, {"x": [1, n, 2]}, opset=18), grid(8, n, 2))
    assert result.error == 0


def test_formats_that_differ_are_aligned_where_tensors_are_joined() -> None:
    model = build("y = Concat<axis=1>(x, z)", {"x": [1, 3], "z": [1, 2]})
    result = compare(model, grid(8, 3, frac_bits=1), grid(8, 2, frac_bits=9))
    assert not result.lookups
    assert result.error == 0


def test_a_function_waits_until_the_elements_are_where_they_belong() -> None:
    body = """r = Relu(x)
    t = Transpose<perm=[0, 2, 1]>(r)
    s = Reshape(t, sizes)
    y = Sigmoid(s)"""
    result = compare(build(body, {"x": [1, 3, 4]}, {"sizes": np.array([1, 12])}), grid(8, 3, 4))
    assert [lookup.out.label for lookup in result.lookups] == ["y"]


def test_padding_with_zeros_comes_after_a_function_that_is_not_zero_there() -> None:
    body = """s = Sigmoid(x)
    p = Pad(s, pads)
    y = Neg(p)"""
    result = compare(build(body, {"x": [1, 4]}, {"pads": np.array([0, 2, 0, 1])}), grid(8, 4))
    assert result.error_in_units <= 1.01
    assert (result.fixed[0][..., :2] == 0).all()


@pytest.mark.parametrize("filler", [0.0, 1.5, -2.0])
def test_padding_with_a_number_and_cutting_off(filler: float) -> None:
    tensors = {"pads": np.array([0, -1, 0, 2]), "v": np.float32(filler)}
    result = compare(build("y = Pad(x, pads, v)", {"x": [1, 4]}, tensors), grid(8, 4))
    assert not result.lookups
    assert result.error == 0


@pytest.mark.parametrize("to", [6, 7])
def test_a_cast_of_real_numbers_to_integers_drops_digits(to: int) -> None:
    body = f"""i = Cast<to={to}>(x)
    y = Cast<to=1>(i)"""
    result = compare(build(body, {"x": [1, 32]}), grid(8, 32))
    assert result.program.output_tensors[0].frac_bits == 0
    assert result.error == 0


def test_padding_with_zeros_comes_after_an_offset() -> None:
    body = """s = Add(x, third)
    p = Pad(s, pads)
    y = Neg(p)"""
    tensors = {"third": np.float32(1 / 3), "pads": np.array([0, 2, 0, 1])}
    result = compare(build(body, {"x": [1, 4]}, tensors), grid(8, 4))
    assert result.error_in_units <= 1.01
    assert (result.fixed[0][..., :2] == 0).all()


@pytest.mark.parametrize(
    "call", ["DepthToSpace<blocksize=2>(x)", 'DepthToSpace<blocksize=2, mode="CRD">(x)', "SpaceToDepth<blocksize=2>(x)"]
)
def test_blocks_between_depth_and_space(call: str) -> None:
    result = compare(build(f"y = {call}", {"x": [1, 8, 4, 6]}), grid(4, 8, 4, 6))
    assert not result.lookups
    assert result.error == 0


def test_a_cast_to_the_type_of_another_tensor() -> None:
    body = """i = CastLike(x, n)
    y = CastLike(i, x)"""
    result = compare(build(body, {"x": [1, 256]}, {"n": np.array(0)}), np.arange(-128, 128).reshape(1, 256) / 8)
    assert len(result.lookups) == 1
    # Toward zero, as a cast does.
    assert result.error == 0


@pytest.mark.parametrize("axes", [None, [1, 2], [-1, 1]])
@pytest.mark.parametrize("sizes", [[3, 9], [8, 2], [5, 5], [6, 7]])
def test_the_centre_is_cut_out_or_padded(axes: list[int] | None, sizes: list[int]) -> None:
    target = [1, *sizes] if axes is None else sizes
    body = f"y = CenterCropPad{f'<axes={axes}>' if axes else ''}(x, s)"
    model = build(body, {"x": [1, 5, 6]}, {"s": np.array(target)}, opset=18)
    result = compare(model, grid(8, 5, 6))
    assert not result.lookups
    assert result.error == 0


@pytest.mark.parametrize("batch", [0, 1])
def test_the_beginning_of_each_sequence_is_reversed(batch: int) -> None:
    """Batch and time are the first two axes, in either order."""
    body = f"""t = Transpose<perm=[1, 2, 0]>(x)
    r = ReverseSequence<batch_axis={batch}, time_axis={1 - batch}>(t, n)
    y = Transpose<perm=[2, 0, 1]>(r)"""
    lengths = [1, 3, 4] if batch == 0 else [3, 1, 2, 2]
    result = compare(build(body, {"x": [1, 3, 4]}, {"n": np.array(lengths)}), grid(8, 3, 4))
    assert not result.lookups
    assert result.error == 0


class TestRefused:
    @pytest.mark.parametrize(
        ("call", "tensors", "message"),
        [
            ("Pad(x, s, v)", {"s": np.array([0, 1, 0, 1]), "v": np.float32(-1e9)}, "pads with 'v', which is not one"),
            ("Dropout(x, r, t)", {"r": np.float32(0.5), "t": np.array(True)}, "training_mode=1 is not supported"),
        ],
    )
    def test_forms_that_are_not_lowered(self, call: str, tensors: dict[str, np.ndarray], message: str) -> None:
        body = f"""i = ArgMax<axis=1, keepdims=0>(x)
        h{", h2" if call.startswith("Split") else ""} = {call}
        y = Neg(h)"""
        with pytest.raises(UnsupportedOperatorError, match=message):
            compare(build(body, {"x": [1, 4]}, tensors), grid(8, 4))

    @pytest.mark.parametrize(("to", "message"), [(9, "real numbers become truth values"), (17, "FLOAT8E4M3FN is not")])
    def test_a_cast_that_loses_too_much(self, to: int, message: str) -> None:
        body = f"""i = Cast<to={to}>(x)
        y = Cast<to=1>(i)"""
        with pytest.raises(UnsupportedOperatorError, match=message):
            compare(build(body, {"x": [1, 4]}, opset=19), grid(8, 4))
