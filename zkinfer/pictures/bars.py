"""Where a whole goes: its parts as bars."""

from collections.abc import Callable, Mapping, Sequence

from zkinfer.pictures.svg import COLORS, picture, rect, text

WIDTH, MARGIN, ROW, BAR = 720, 16, 24, 15
NAMES = 210
"""Pixels for the names of rows."""

MAX_NAME = 32
"""Characters of a name."""


def part_bars(title: str, parts: Mapping[str, float], shown: Callable[[float], str]) -> str:
    """A bar for each part of one whole, with what it is and its share.

    Args:
        title: what the whole is.
        parts: sizes by name, in order; none is negative.
        shown: a size in words.
    """
    total, largest = sum(parts.values()) or 1.0, max(parts.values(), default=0.0) or 1.0
    left, room = MARGIN + NAMES + 8, WIDTH - 2 * MARGIN - NAMES - 8 - 130
    pieces = [text(MARGIN, MARGIN + 12, title, "head")]
    for number, (name, size) in enumerate(parts.items()):
        top = MARGIN + 26 + number * ROW
        length = room * size / largest
        pieces += [
            text(left - 8, top + 12, name, "end", most=MAX_NAME),
            rect(left, top, max(length, 1.0), BAR, "bar"),
            text(left + length + 6, top + 12, f"{shown(size)}, {100 * size / total:.3g}%", "soft"),
        ]
    return "".join(picture(title, WIDTH, 2 * MARGIN + 26 + len(parts) * ROW, pieces))


Whole = tuple[str, Mapping[str, float], str]
"""A whole: its name, the sizes of its parts by name, and its size in words."""


def share_bars(title: str, wholes: Sequence[Whole]) -> str:
    """A bar of one length for each of several wholes, divided into the shares of its parts.

    Args:
        title: what the wholes are.
        wholes: parts that have one name have one colour; there are at most `COLORS` names.
    """
    return _stacked(title, [(sum(whole[1].values()), whole) for whole in wholes])


def size_bars(title: str, wholes: Sequence[Whole]) -> str:
    """The same, with bars as long as the wholes are large."""
    largest = max(sum(parts.values()) for _, parts, _ in wholes)
    return _stacked(title, [(largest, whole) for whole in wholes])


def _stacked(title: str, rows: Sequence[tuple[float, Whole]]) -> str:
    """Bars of which each has a length that stands for the size in front of it."""
    names = list(dict.fromkeys(name for _, (_, parts, _) in rows for name in parts))
    assert len(names) <= COLORS
    left, room = MARGIN + NAMES + 8, WIDTH - 2 * MARGIN - NAMES - 8 - 80
    pieces = [text(MARGIN, MARGIN + 12, title, "head")]
    for number, (full, (label, parts, whole)) in enumerate(rows):
        top, x = MARGIN + 26 + number * ROW, float(left)
        pieces.append(text(left - 8, top + 12, label, "end", most=MAX_NAME))
        for name, size in parts.items():
            length = room * size / (full or 1.0)
            pieces.append(rect(x, top, length, BAR, f"fill{names.index(name)}"))
            x += length
        pieces.append(text(x + 6, top + 12, whole, "soft"))
    foot = MARGIN + 26 + len(rows) * ROW + 10
    for number, name in enumerate(names):
        x, y = left + (number % 2) * 240, foot + (number // 2) * 20
        pieces += [rect(x, y, 12, 12, f"fill{number}"), text(x + 18, y + 10, name, most=MAX_NAME + 6)]
    return "".join(picture(title, WIDTH, foot + (len(names) + 1) // 2 * 20 + MARGIN, pieces))
