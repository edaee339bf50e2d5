"""Matrix products and convolutions: exact, where the weights fit their format exactly."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.model_comparison import build, compare, grid

from zkinfer.circuit.program import Einsum
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import FloatArray

WIDE = Precision(activation_bits=16, weight_bits=8, max_table_entries=1 << 16)


def weights(*shape: int, seed: int = 7) -> FloatArray:
    return grid(*shape, seed=seed, lo=-127, frac_bits=6)


@given(
    trans_a=st.booleans(),
    trans_b=st.booleans(),
    alpha=st.sampled_from([1.0, 0.5, -3.0]),
    beta=st.sampled_from([1.0, 2.0]),
    bias=st.sampled_from([None, (5,), (1, 5), (4, 5), (4, 1), ()]),
)
@settings(max_examples=25)
def test_gemm(trans_a: bool, trans_b: bool, alpha: float, beta: float, bias: tuple[int, ...] | None) -> None:
    tensors = {"w": weights(5, 4) if trans_b else weights(4, 5)}
    if bias is not None:
        tensors["c"] = weights(*bias, seed=3)
    attributes = f"alpha={alpha}, beta={beta}, transA={int(trans_a)}, transB={int(trans_b)}"
    model = build(
        f"y = Gemm<{attributes}>(x, w{', c' if bias is not None else ''})",
        {"x": [4, 4]},
        tensors,
    )
    result = compare(model, grid(32, 4), batch=4)
    assert not result.lookups
    assert result.error == 0


OPERANDS = [
    ((4, 3), (3, 5)),
    ((4, 3), (3,)),
    ((2, 4, 3), (3, 5)),
    ((2, 4, 3), (2, 3, 5)),
    ((2, 4, 3), (1, 3, 5)),
    ((2, 2, 4, 3), (2, 1, 3, 5)),
    ((2, 1, 4, 3), (1, 6, 3, 5)),
]


class TestMatMul:
    @pytest.mark.parametrize(("a", "b"), OPERANDS)
    def test_by_a_weight(self, a: tuple[int, ...], b: tuple[int, ...]) -> None:
        result = compare(build("y = MatMul(x, w)", {"x": a}, {"w": weights(*b)}), grid(4 * a[0], *a[1:]), batch=a[0])
        assert not result.lookups
        assert len(result.lowered.weights) == 1
        assert result.error == 0

    @pytest.mark.parametrize(("a", "b"), [(a, b) for a, b in OPERANDS if a[0] == b[0]])
    def test_of_two_activations_of_one_batch(self, a: tuple[int, ...], b: tuple[int, ...]) -> None:
        result = compare(
            build("y = MatMul(x, z)", {"x": a, "z": b}),
            grid(4 * a[0], *a[1:], seed=1),
            grid(4 * b[0], *b[1:], seed=2),
            batch=a[0],
        )
        assert not result.lookups
        assert result.error == 0


def test_a_weight_may_stand_on_the_left() -> None:
    result = compare(build("y = MatMul(w, x)", {"x": [1, 3, 4]}, {"w": weights(1, 5, 3)}), grid(8, 3, 4))
    assert result.error == 0


def test_a_wide_operand_is_made_narrow_once() -> None:
    body = """h = MatMul(x, w)
    t = Transpose<perm=[0, 2, 1]>(h)
    y = MatMul(h, t)"""
    result = compare(build(body, {"x": [1, 4, 8]}, {"w": weights(8, 6)}), grid(20, 4, 8))
    assert all(lookup.out.hi < 256 for lookup in result.lookups)
    assert result.error <= 0.02 * np.abs(result.floats[0]).max()


def test_the_bias_is_secret_even_if_it_is_one_number() -> None:
    result = compare(
        build("y = Gemm(x, w, c)", {"x": [1, 4]}, {"w": weights(4, 1), "c": np.array([0.75], dtype=np.float32)}),
        grid(8, 4),
    )
    assert len(result.lowered.weights) == 2
    assert result.error == 0


def test_a_bias_added_after_a_product_is_secret_even_if_it_is_one_number() -> None:
    body = """h = MatMul(x, w)
    y = Add(h, c)"""
    result = compare(
        build(body, {"x": [1, 3, 4]}, {"w": weights(4, 1), "c": np.array([0.75], dtype=np.float32)}), grid(8, 3, 4)
    )
    assert len(result.lowered.weights) == 2
    assert result.error == 0


def test_equal_weights_are_kept_once() -> None:
    body = """a = MatMul(x, w)
    b = MatMul(z, v)
    y = Add(a, b)"""
    tensors = {"w": weights(4, 3), "v": weights(4, 3)}
    result = compare(build(body, {"x": [1, 4], "z": [1, 4]}, tensors), grid(8, 4, seed=1), grid(8, 4, seed=2))
    assert len(result.lowered.weights) == 1


def _attributes(**given: object) -> str:
    return ", ".join(f"{name}={value}" for name, value in given.items() if value is not None)


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    group=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
)
@settings(max_examples=25)
def test_convolution_in_two_dimensions(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    group: int,
    bias: bool,
) -> None:
    attributes = _attributes(
        kernel_shape=[*kernel], strides=[*strides], dilations=[*dilations], pads=[*pads], group=group
    )
    tensors = {"w": weights(8, 4 // group, *kernel)} | ({"b": weights(8, seed=3)} if bias else {})
    model = build(f"y = Conv<{attributes}>(x, w{', b' if bias else ''})", {"x": [1, 4, 6, 5]}, tensors)
    result = compare(model, grid(4, 4, 6, 5))
    assert not result.lookups
    assert result.error == 0


@given(
    n=st.integers(4, 9),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    auto_pad=st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]),
)
@settings(max_examples=20)
def test_convolution_in_one_dimension_with_automatic_padding(n: int, kernel: int, stride: int, auto_pad: str) -> None:
    assume(kernel <= n)
    attributes = f'kernel_shape=[{kernel}], strides=[{stride}], auto_pad="{auto_pad}"'
    result = compare(
        build(f"y = Conv<{attributes}>(x, w)", {"x": [1, 2, n]}, {"w": weights(3, 2, kernel)}), grid(4, 2, n)
    )
    assert result.error == 0


def test_what_is_convolved_is_made_narrow_before_it_is_copied_into_windows() -> None:
    body = """h = Conv<kernel_shape=[3, 3]>(x, w)
    r = Relu(h)
    y = Conv<kernel_shape=[3, 3]>(r, v)"""
    result = compare(
        build(body, {"x": [1, 1, 8, 8]}, {"w": weights(2, 1, 3, 3), "v": weights(2, 2, 3, 3)}), grid(4, 1, 8, 8)
    )
    assert [lookup.out.shape for lookup in result.lookups] == [(1, 2, 6, 6)]


def test_a_scalar_factor_before_a_layer_costs_nothing() -> None:
    # As in preprocessing: pixels divided by 255.
    body = """s = Div(x, d)
    y = Conv<kernel_shape=[2, 2]>(s, w)"""
    pixels = np.random.default_rng(0).integers(0, 255, (10, 1, 4, 4), endpoint=True)
    result = compare(build(body, {"x": [1, 1, 4, 4]}, {"d": np.float32(255), "w": weights(2, 1, 2, 2)}), pixels)
    assert [lookup.out.label for lookup in result.lookups] == ["y"]
    assert result.error_in_units <= 1.01


class TestRefused:
    def test_a_kernel_that_is_computed(self) -> None:
        model = build("[c] y = Conv(x, z)", {"x": [1, 1, 4, 4], "z": [1, 1, 2, 2]})
        with pytest.raises(
            UnsupportedOperatorError, match=r"node 'c' \(ai.onnx.Conv, opset 17\).*input W, 'z', is comp"
        ):
            compare(model, grid(8, 1, 4, 4), grid(8, 1, 2, 2))


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    extra=st.integers(0, 1),
    group=st.sampled_from([1, 2]),
    bias=st.booleans(),
)
@settings(max_examples=25)
def test_transposed_convolution(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    extra: int,
    group: int,
    bias: bool,
) -> None:
    padding = [extra if stride > 1 else 0 for stride in strides]
    for i in range(2):
        assume((3 + i) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 + padding[i] - pads[i] - pads[2 + i] > 0)
    attributes = _attributes(
        kernel_shape=[*kernel],
        strides=[*strides],
        dilations=[*dilations],
        pads=[*pads],
        group=group,
        output_padding=padding,
    )
    tensors = {"w": weights(4, 3, *kernel)} | ({"b": weights(3 * group, seed=3)} if bias else {})
    model = build(f"y = ConvTranspose<{attributes}>(x, w{', b' if bias else ''})", {"x": [1, 4, 4, 5]}, tensors)
    result = compare(model, grid(4, 4, 4, 5))
    assert not result.lookups
    assert result.error == 0


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_transposed_convolution_with_automatic_padding(auto_pad: str) -> None:
    attributes = f'kernel_shape=[4], strides=[3], auto_pad="{auto_pad}"'
    result = compare(
        build(f"y = ConvTranspose<{attributes}>(x, w)", {"x": [1, 2, 5]}, {"w": weights(2, 3, 4)}), grid(4, 2, 5)
    )
    assert result.error == 0


class TestEinsum:
    @pytest.mark.parametrize(
        ("equation", "x", "w"),
        [
            ("bij,jk->bik", (1, 3, 4), (4, 5)),
            ("bij,kj", (1, 3, 4), (5, 4)),
            ("b i j, b k j -> b i k", (1, 3, 4), (1, 5, 4)),
            ("...ij,...jk->...ik", (1, 2, 3, 4), (1, 2, 4, 5)),
            ("B...i,i->B...", (1, 2, 3, 4), (4,)),
            ("bi,cj->bicj", (1, 3), (2, 4)),
            ("bij->bji", (1, 3, 4), None),
            ("bij->b", (1, 3, 4), None),
            ("b...->b...", (1, 3, 4), None),
            ("bii->bi", (1, 4, 4), None),
            ("bii->b", (1, 4, 4), None),
            ("bijij->bji", (1, 2, 3, 2, 3), None),
            ("biii->bi", (1, 3, 3, 3), None),
            ("bij,jj->bij", (1, 3, 4), (4, 4)),
            ("bii,bij->bj", (1, 4, 4), (1, 4, 3)),
            ("b...j,b...j->b...", (1, 3, 4), (1, 1, 4)),
            ("b...j,b...j->b...", (1, 1, 4), (1, 3, 4)),
        ],
    )
    @pytest.mark.parametrize("computed", [False, True])
    def test_contractions(self, equation: str, x: tuple[int, ...], w: tuple[int, ...] | None, computed: bool) -> None:
        call = f'y = Einsum<equation="{equation}">(x{", w" if w else ""})'
        if w is None or not computed:
            result = compare(build(call, {"x": x}, {"w": weights(*w)} if w else {}), grid(8, *x[1:]))
        elif w[0] == 1:
            result = compare(build(call, {"x": x, "w": w}), grid(8, *x[1:]), grid(8, *w[1:], seed=1))
        else:
            return
        assert not result.lookups
        assert result.error == 0

    @pytest.mark.parametrize("equation", ["bij,jk,kl->bil", "bij,jk,kl", "bij,kk,jl->b", "b...j,jk,...k->b..."])
    def test_more_than_two_tensors_from_left_to_right(self, equation: str) -> None:
        tensors = {"v": weights(3, 3), "w": weights(3, 3, seed=1)}
        result = compare(
            build(f'y = Einsum<equation="{equation}">(x, v, w)', {"x": [1, 3, 3]}, tensors),
            grid(8, 3, 3),
            precision=WIDE,
        )
        contractions = [node for node in result.program.nodes if isinstance(node, Einsum)]
        assert len(contractions) == 2
        # The first result, of 16 bits up to 64, three times two of which are summed.
        assert result.error <= 3 * 2 * 2.0**-9
