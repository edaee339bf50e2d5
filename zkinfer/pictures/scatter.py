"""Numbers against numbers, as points."""

import math
from collections.abc import Iterator, Sequence
from statistics import median as median_of

from zkinfer.pictures.svg import picture, text

WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT = 720, 310, 84, 24, 54, 46
MAX_POINTS = 4000
"""Points that are drawn of more, evenly spaced."""

TICKS = 6
"""Of an axis, at most about."""


def scatter(
    title: str, points: tuple[Sequence[float], Sequence[float]], labels: tuple[str, str], *, median: bool = False
) -> str:
    """Points in a frame; all coordinates are finite, and there is at least one point.

    Args:
        title: what they are.
        points: where they lie, along and up.
        labels: what these directions mean.
        median: the second axis begins at zero, and a line marks the median of it; else a line marks where both
            directions have one value.
    """
    every = max(1, math.ceil(len(points[0]) / MAX_POINTS))
    along, up = ([float(value) for value in values[::every]] for values in points)
    if median:
        level = median_of(points[1])
        frame = _Frame((min(along), max(along)), (0.0, 1.08 * max(up)))
        mark = (frame.x[0], level), (frame.x[1], level)
        said = f"median {level:.4g}"
    else:
        ends = min(*along, *up), max(*along, *up)
        frame = _Frame(ends, ends)
        mark = (ends[0], ends[0]), (ends[1], ends[1])
        said = "equal"
    dots = "".join(f"M{frame.place(a, b)}h0" for a, b in zip(along, up, strict=True))
    pieces = [
        text(16, 24, title, "head"),
        *frame.axes(labels),
        f'<path class="mark" d="M{frame.place(*mark[0])}L{frame.place(*mark[1])}"/>\n',
        f'<path class="dots" d="{dots}"/>\n',
        text(WIDTH - RIGHT, 24, f"line: {said}", "soft end"),
    ]
    return "".join(picture(title, WIDTH, HEIGHT, pieces))


class _Frame:
    """Where coordinates lie in the picture.

    Attributes:
        x, y: least and largest coordinate that are drawn.
    """

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = _widened(x), _widened(y)

    def place(self, x: float, y: float) -> str:
        """Pixels of a point."""
        across, up = (x - self.x[0]) / (self.x[1] - self.x[0]), (y - self.y[0]) / (self.y[1] - self.y[0])
        return f"{LEFT + across * (WIDTH - LEFT - RIGHT):.1f} {HEIGHT - FOOT - up * (HEIGHT - TOP - FOOT):.1f}"

    def axes(self, labels: tuple[str, str]) -> Iterator[str]:
        """Lines at round numbers, with the numbers and what they mean."""
        for value in _ticks(*self.x):
            x = float(self.place(value, self.y[0]).split()[0])
            yield f'<path class="grid" d="M{x} {TOP}V{HEIGHT - FOOT}"/>\n'
            yield text(x, HEIGHT - FOOT + 16, f"{value:,.6g}", "soft", "middle")
        for value in _ticks(*self.y):
            y = float(self.place(self.x[0], value).split()[1])
            yield f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>\n'
            yield text(LEFT - 6, y + 4, f"{value:,.6g}", "soft", "end")
        yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, labels[0], "middle")
        yield text(LEFT - 6, TOP - 10, labels[1], "soft")


def _widened(ends: tuple[float, float]) -> tuple[float, float]:
    """Ends of which the second is the larger, also where all values are one."""
    low, high = ends
    room = (high - low) or abs(low) or 1.0
    return (low, high) if high - low > 1e-9 * max(abs(low), abs(high)) else (low - room / 2, high + room / 2)


def _ticks(low: float, high: float) -> list[float]:
    """Multiples of a round number between two, about `TICKS` of them."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * count for count in range(math.ceil(low / step), math.floor(high / step) + 1)]
