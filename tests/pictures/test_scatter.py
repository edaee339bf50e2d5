"""Points in a frame: none outside of it, round numbers at its edges, whatever the values are."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.pictures.scatter import FOOT, HEIGHT, LEFT, MAX_POINTS, RIGHT, TOP, WIDTH, scatter

SVG = "{http://www.w3.org/2000/svg}"
NUMBER = st.floats(-1e30, 1e30).filter(lambda value: value == 0 or abs(value) > 1e-30)


def drawn(svg: str, kind: str) -> list[tuple[float, float]]:
    """Pixels of the points of a path, or of the ends of a line."""
    path = next(found for found in ElementTree.fromstring(svg).iter(f"{SVG}path") if found.get("class") == kind)
    found = re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path.get("d", ""))
    return [(float(x), float(y)) for x, y in found]


def words(svg: str) -> list[str]:
    return [found.text or "" for found in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_points_lie_where_they_should() -> None:
    svg = scatter("Throughput", ([0, 50, 100], [10.0, 20.0, 40.0]), ("first item", "items a second"), median=True)
    (x0, y0), (x1, y1), (x2, y2) = drawn(svg, "dots")
    assert (x0, x2) == (LEFT, WIDTH - RIGHT)
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert (y0 - y2) == pytest.approx(3 * (y0 - y1), abs=0.3)
    assert [y for _, y in drawn(svg, "mark")] == [y1, y1], "the median is 20"
    assert {"line: median 20", "first item", "items a second", "0", "100"} <= {*words(svg)}


def test_equal_values_lie_on_the_line() -> None:
    svg = scatter("proven against float", ([-1.0, 2.0, 3.0], [-1.0, 2.0, 2.5]), ("float", "proven"))
    first, second, third = drawn(svg, "dots")
    (left, foot), (right, top) = drawn(svg, "mark")
    assert (left, foot) == first
    for x, y in (first, second):
        assert (y - foot) * (right - left) == pytest.approx((top - foot) * (x - left), abs=100)
    assert third[1] > top


@given(data=st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=20))
def test_all_points_are_within_the_frame(data: list[tuple[float, float]]) -> None:
    along, up = [list(values) for values in zip(*data, strict=True)]
    for svg in (scatter("", (along, up), ("", "")), scatter("", (along, [abs(y) for y in up]), ("", ""), median=True)):
        for x, y in drawn(svg, "dots"):
            assert LEFT - 0.1 <= x <= WIDTH - RIGHT + 0.1
            assert TOP - 0.1 <= y <= HEIGHT - FOOT + 0.1
        assert 0 < len(words(svg)) < 40
        assert not math.isnan(drawn(svg, "mark")[0][1])


def test_of_many_points_some_are_drawn() -> None:
    many = [float(value) for value in range(10 * MAX_POINTS)]
    assert len(drawn(scatter("", (many, many), ("", "")), "dots")) == MAX_POINTS
