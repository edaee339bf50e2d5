"""Wholes and their parts as bars: every part is there, in proportion, and named as text."""

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.pictures.bars import WIDTH, part_bars, share_bars, size_bars
from zkinfer.pictures.svg import COLORS

SVG = "{http://www.w3.org/2000/svg}"
SIZES = st.dictionaries(st.text(max_size=40), st.floats(0, 1e12), min_size=1, max_size=COLORS)


def drawn(svg: str) -> tuple[list[ElementTree.Element], str]:
    """The rectangles of a picture, and all of its text."""
    root = ElementTree.fromstring(svg)
    return list(root.iter(f"{SVG}rect")), "\n".join(found.text or "" for found in root.iter(f"{SVG}text"))


def width(rect: ElementTree.Element) -> float:
    return float(rect.get("width", ""))


def test_bars_are_as_long_as_the_parts() -> None:
    rects, words = drawn(part_bars("A proof", {"a": 30.0, "b": 60.0, "c": 0.0}, lambda size: f"{size:g} s"))
    assert width(rects[1]) == pytest.approx(2 * width(rects[0]), abs=0.2)
    assert width(rects[2]) == 1.0, "a part of nothing is still seen"
    assert words.splitlines() == ["A proof", "a", "30 s, 33.3%", "b", "60 s, 66.7%", "c", "0 s, 0%"]


def test_shares_fill_each_bar_and_have_the_colour_of_their_name() -> None:
    rows = [("small", {"a": 1.0, "b": 3.0}, "4 s"), ("large", {"b": 30.0, "a": 10.0}, "40 s")]
    rects, words = drawn(share_bars("Proofs", rows))
    first, second = rects[:2], rects[2:4]
    assert sum(map(width, first)) == pytest.approx(sum(map(width, second)), abs=0.2)
    assert [rect.get("class") for rect in first] == [rect.get("class") for rect in reversed(second)]
    assert width(first[0]) == pytest.approx(width(second[1]), abs=0.2)
    assert [rect.get("class") for rect in rects[4:]] == ["fill0", "fill1"]
    assert words.splitlines() == ["Proofs", "small", "4 s", "large", "40 s", "a", "b"]


def test_sizes_are_compared_with_the_largest_whole() -> None:
    rects, _ = drawn(size_bars("Proofs", [("small", {"a": 1.0, "b": 3.0}, "4 s"), ("large", {"a": 40.0}, "40 s")]))
    assert width(rects[2]) == pytest.approx(10 * (width(rects[0]) + width(rects[1])), abs=1)


@given(parts=SIZES, title=st.text())
def test_any_names_and_sizes_are_drawn_within_the_picture(parts: dict[str, float], title: str) -> None:
    for svg in (
        part_bars(title, parts, str),
        share_bars(title, [(title, parts, title)]),
        size_bars(title, [(title, parts, title)]),
    ):
        rects, _ = drawn(svg)
        assert all(float(rect.get("x", "")) + width(rect) <= WIDTH for rect in rects)
