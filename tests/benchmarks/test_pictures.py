"""The pictures of the page of benchmarks are those of its tables, and say what these say."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from types import ModuleType

import pytest
from support.benchmarks import loaded


@pytest.fixture(scope="module")
def pictures() -> Iterator[ModuleType]:
    yield from loaded("pictures")


def test_they_are_drawn_from_the_page_as_it_stands(pictures: ModuleType) -> None:
    page = pictures.published()
    for name, draw in pictures.PICTURES.items():
        assert (pictures.IMAGES / name).read_text() == draw(page), "python benchmarks/pictures.py draws it again"
        assert f"images/{name})" in page
        ElementTree.fromstring(draw(page))


def test_phases_add_up_to_the_time_of_a_proof(pictures: ModuleType) -> None:
    page = pictures.published()
    phases = [name for group in pictures.GROUPS.values() for name in group]
    rows = pictures.table_with(page, ["execution", "rest"])
    measured = pictures.table_with(page, ["overhead", "int8 ms"])
    assert [row["prove ms"] for row in rows] == [row["prove ms"] for row in measured]
    for row in rows:
        assert set(row) == {"width", "batch", "prove ms", *phases}
        apart = sum(pictures.number(row[name]) for name in phases) - pictures.number(row["prove ms"])
        assert abs(apart) <= len(phases) / 2, "each phase is rounded"


def marks(svg: str, kind: str) -> int:
    """How many marks of a kind a picture has, its legend included."""
    drawn = ElementTree.fromstring(svg)
    named = {"disc": ("circle", "bar"), "ring": ("circle", "ring"), "diamond": ("path", "ring"), "aim": ("line", "aim")}
    tag, of = named[kind]
    return sum(element.tag.endswith(tag) and element.get("class") == of for element in drawn.iter())


def test_each_kind_of_mark_means_one_thing(pictures: ModuleType) -> None:
    page = pictures.published()
    drawn = pictures.overhead(page)
    measured = pictures.table_with(page, ["overhead", "int8 ms"])
    estimates = pictures.table_with(page, ["overhead", "memory GB"])
    assert marks(drawn, "disc") == marks(drawn, "ring") == len(measured) + 1
    assert marks(drawn, "diamond") == len(estimates) + 1 > 1
    assert marks(drawn, "aim") == 2
    assert drawn.count(">estimated<") == len(estimates)
    assert "dash" not in drawn


def test_marks_lie_where_their_values_are(pictures: ModuleType) -> None:
    rows = [pictures.Dots("a", {"disc": 1.0, "ring": 100.0}), pictures.Dots("b", {"disc": 10.0})]
    drawn = ElementTree.fromstring(pictures.dot_rows("title", "names", rows, {}, str))
    first, last, middle = (
        (float(found.get("cx", "")), float(found.get("cy", ""))) for found in drawn.iter() if "cx" in found.attrib
    )
    assert first[1] == last[1] < middle[1]
    assert middle[0] == pytest.approx((first[0] + last[0]) / 2, abs=0.1), "the axis is logarithmic"


def test_every_network_of_the_table_has_a_row(pictures: ModuleType) -> None:
    page = pictures.published()
    table = pictures.table_with(page, ["network", "ns an element"])
    drawn = pictures.shapes(page)
    assert all(f"{row['network']}: {row['elements']}<" in drawn for row in table)
    assert marks(drawn, "disc") == marks(drawn, "ring") == len(table) + 1


def test_a_table_is_read_by_its_columns(pictures: ModuleType) -> None:
    page = "text\n\n| a | b |\n|---|---:|\n| x | 1,024 |\n\n| a | c |\n|---|---|\n| y | 2 |\n"
    assert pictures.table_with(page, ["a", "b"]) == [{"a": "x", "b": "1,024"}]
    assert pictures.table_with(page, ["c"]) == [{"a": "y", "c": "2"}]
    assert pictures.number("1,024") == 1024
