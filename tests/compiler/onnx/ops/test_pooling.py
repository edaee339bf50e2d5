"""Pooling: maxima are exact; averages are exact sums, rounded once."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.model_comparison import build, compare, grid

from zkinfer.compiler.onnx.ops.windows import sliding_windows
from zkinfer.errors import UnsupportedOperatorError

KERNELS = st.tuples(st.integers(1, 3), st.integers(1, 3))
STRIDES = st.tuples(st.integers(1, 3), st.integers(1, 2))


@given(
    kernel=KERNELS,
    strides=STRIDES,
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 1)] * 4),
    ceil_mode=st.integers(0, 1),
    lo=st.sampled_from([-128, 0]),
)
@settings(max_examples=25)
def test_max_pool(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, ...],
    ceil_mode: int,
    lo: int,
) -> None:
    assume(all(pad < size for pad, size in zip(pads, kernel * 2, strict=True)))
    attributes = f"kernel_shape={[*kernel]}, strides={[*strides]}, dilations={[*dilations]}, pads={[*pads]}"
    result = compare(
        build(f"y = MaxPool<{attributes}, ceil_mode={ceil_mode}>(x)", {"x": [1, 2, 7, 6]}, opset=22),
        grid(4, 2, 7, 6, lo=lo),
    )
    assert result.error == 0


@given(
    kernel=KERNELS,
    strides=STRIDES,
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 1)] * 4),
    order=st.integers(0, 1),
    few=st.booleans(),
)
@settings(max_examples=20)
def test_positions_of_the_maxima(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, ...],
    order: int,
    few: bool,
) -> None:
    """Numbers within the whole tensor; of equals, of which there are many among few values, the first."""
    assume(all(pad < size for pad, size in zip(pads, kernel * 2, strict=True)))
    attributes = f"kernel_shape={[*kernel]}, strides={[*strides]}, dilations={[*dilations]}, pads={[*pads]}"
    model = build(
        f"y, i = MaxPool<{attributes}, storage_order={order}>(x)",
        {"x": [1, 2, 7, 6]},
        outputs=["y", "i"],
        integer_outputs=["i"],
        opset=22,
    )
    x = grid(4, 2, 7, 6, lo=-1, hi=1, frac_bits=0) if few else grid(4, 2, 7, 6)
    assert compare(model, x).error == 0


def test_positions_alone() -> None:
    model = build(
        "y, i = MaxPool<kernel_shape=[3]>(x)",
        {"x": [1, 1, 9]},
        outputs=["i"],
        integer_outputs=["i"],
        opset=22,
    )
    assert compare(model, grid(20, 1, 9)).error == 0


def test_max_pool_costs_one_lookup_a_comparison() -> None:
    result = compare(
        build("y = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(x)", {"x": [1, 1, 4, 4]}), grid(8, 1, 4, 4)
    )
    # Eight pairs along the rows, four along the columns; the clamp of the result makes four more.
    assert sum(lookup.out.size for lookup in result.lookups) <= 8 + 4 + 4


def test_the_maximum_stays_within_the_range_of_what_goes_in() -> None:
    body = """m = MaxPool<kernel_shape=[4, 4], strides=[4, 4]>(x)
    y = MatMul(m, w)"""
    result = compare(build(body, {"x": [1, 1, 4, 8]}, {"w": [[1.0], [-1.0]]}), grid(8, 1, 4, 8))
    bounds = result.program.output_tensors[0]
    assert -2 * 16.0 <= bounds.lo * result.units[0] <= bounds.hi * result.units[0] <= 2 * 16.0
    assert result.error == 0


@given(
    kernel=KERNELS,
    strides=STRIDES,
    pads=st.tuples(*[st.integers(0, 1)] * 4),
    ceil_mode=st.integers(0, 1),
    count_include_pad=st.integers(0, 1),
)
@settings(max_examples=25)
def test_average_pool(
    kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, ...], ceil_mode: int, count_include_pad: int
) -> None:
    assume(all(pad < size for pad, size in zip(pads, kernel * 2, strict=True)))
    attributes = (
        f"kernel_shape={[*kernel]}, strides={[*strides]}, pads={[*pads]}, ceil_mode={ceil_mode}, "
        f"count_include_pad={count_include_pad}"
    )
    result = compare(build(f"y = AveragePool<{attributes}>(x)", {"x": [1, 2, 7, 6]}, opset=22), grid(4, 2, 7, 6))
    assert len(result.lookups) <= 1
    assert result.error_in_units <= (1.01 if result.lookups else 1e-3)


@pytest.mark.parametrize("opset", [17, 22])
@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("spatial", [(8,), (4, 4), (3, 5)])
def test_global_pooling(op: str, spatial: tuple[int, ...], opset: int) -> None:
    result = compare(build(f"y = {op}(x)", {"x": [1, 3, *spatial]}, opset=opset), grid(6, 3, *spatial))
    assert result.error_in_units <= (0 if op == "GlobalMaxPool" or spatial != (3, 5) else 1.01)


def test_an_average_fuses_into_the_next_table() -> None:
    body = """a = GlobalAveragePool(x)
    f = Flatten(a)
    y = Sigmoid(f)"""
    result = compare(build(body, {"x": [1, 3, 3, 5]}), grid(6, 3, 3, 5))
    assert len(result.lookups) == 1
    assert result.lookups[0].out.shape == (1, 3)


class TestRefused:
    @pytest.mark.parametrize(
        ("kernel", "attributes", "message"),
        [
            ([2], {"auto_pad": "SOMETIMES"}, "auto_pad='SOMETIMES' is not supported"),
            ([2], {"pads": [-1, 0]}, "negative pads"),
            ([2, 2], {}, "every spatial axis needs one entry"),
            ([2], {"strides": [1, 1]}, "every spatial axis needs one entry"),
        ],
    )
    def test_windows_that_do_not_fit(self, kernel: list[int], attributes: dict[str, Any], message: str) -> None:
        given = {"strides": None, "pads": None, "dilations": None, "auto_pad": "NOTSET"} | attributes
        with pytest.raises(UnsupportedOperatorError, match=message):
            sliding_windows((1, 1, 4), kernel, **given)
