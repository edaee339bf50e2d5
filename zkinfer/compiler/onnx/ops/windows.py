"""Sliding windows as ONNX describes them: kernel shape, strides, pads, dilations and auto_pad."""

from collections.abc import Sequence

from zkinfer.circuit.steps import Pad, Step, Windows
from zkinfer.compiler.lowering.activation import Activation
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.maxima import Window
from zkinfer.errors import UnsupportedOperatorError

AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def sliding_windows(
    shape: tuple[int, ...],
    kernel: Sequence[int],
    *,
    strides: Sequence[int] | None,
    pads: Sequence[int] | None,
    dilations: Sequence[int] | None,
    auto_pad: str,
    ceil_mode: int = 0,
) -> list[Window]:
    """One window for each spatial axis.

    Args:
        shape: of the tensor: batch, channels, then the spatial axes.
        kernel: size of the window along each spatial axis.
        strides, pads, dilations, auto_pad, ceil_mode: as in ONNX's Conv, MaxPool and AveragePool. With ceil_mode,
            `after` is the padding that the last window covers, which may be less or more than stated.

    Raises:
        UnsupportedOperatorError: no spatial axes, lists of another length, or a negative pad.
    """
    sizes = shape[2:]
    rank = len(sizes)
    steps = list(strides or [1] * rank)
    gaps = list(dilations or [1] * rank)
    margins = list(pads or [0] * (2 * rank))
    if rank == 0 or not len(kernel) == len(steps) == len(gaps) == rank or len(margins) != 2 * rank:
        raise UnsupportedOperatorError(
            f"a kernel of shape {tuple(kernel)} with strides {steps}, pads {margins} and dilations {gaps} does not fit "
            f"an input of shape {shape}; every spatial axis needs one entry"
        )
    if auto_pad not in AUTO_PADS:
        raise UnsupportedOperatorError(f"auto_pad={auto_pad!r} is not supported; supported: {', '.join(AUTO_PADS)}")
    if min(margins, default=0) < 0:
        raise UnsupportedOperatorError(f"negative pads {margins} are not supported; use Slice")
    result = []
    for i, (n, size, stride, dilation) in enumerate(zip(sizes, kernel, steps, gaps, strict=True)):
        reach = (size - 1) * dilation + 1
        before, after = margins[i], margins[rank + i]
        if auto_pad.startswith("SAME"):
            missing = max((-(-n // stride) - 1) * stride + reach - n, 0)
            smaller, larger = missing // 2, missing - missing // 2
            before, after = (smaller, larger) if auto_pad == "SAME_UPPER" else (larger, smaller)
        elif auto_pad == "VALID":
            before = after = 0
        if ceil_mode:
            count = -(-(n + before + after - reach) // stride) + 1
            # There is no window that starts in the padding at the end.
            count -= (count - 1) * stride >= n + before
            after = max((count - 1) * stride + reach - n - before, 0)
        result.append(Window(i + 2, size, stride, dilation, before, after))
    return result


def windowed(g: Emitter, x: Activation, along: Sequence[Window], width: int | None = None) -> Activation:
    """Every window of a tensor: after each spatial axis, one more for the place within the window.

    Args:
        g: emits the View.
        x: shape (batch, channels, *spatial).
        along: a window for each spatial axis.
        width: bits up to which x is taken as it is; see `Emitter.operand`.
    """
    # Windows repeat elements, so that the lookup comes first.
    x = g.as_operand(x, width)
    before, after = [0, 0], [0, 0]
    for window in along:
        before.append(window.before)
        after.append(window.after)
    steps: list[Step] = [Pad(tuple(before), tuple(after))] if any(before) or any(after) else []
    # From the last axis to the first, so that the axes still to come keep their numbers.
    steps += [Windows(w.axis, w.size, w.stride, w.dilation) for w in reversed(along)]
    return g.reindex(x, *steps)
