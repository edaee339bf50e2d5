"""The pictures of the page of benchmarks are those of its tables, and say what these say."""

import importlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def pictures() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("pictures")


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


def test_estimates_are_dashed_and_called_estimated(pictures: ModuleType) -> None:
    page = pictures.published()
    drawn = ElementTree.fromstring(pictures.overhead(page))
    dashed = [element for element in drawn.iter() if "stroke-dasharray" in element.attrib]
    labels = [element.text for element in drawn.iter() if "estimated" in (element.text or "")]
    estimates = pictures.table_with(page, ["overhead", "memory GB"])
    assert len(labels) == len(estimates) > 0
    assert len(dashed) == 2 * len(estimates), "a line and a circle for each, and for nothing that was measured"


def test_a_table_is_read_by_its_columns(pictures: ModuleType) -> None:
    page = "text\n\n| a | b |\n|---|---:|\n| x | 1,024 |\n\n| a | c |\n|---|---|\n| y | 2 |\n"
    assert pictures.table_with(page, ["a", "b"]) == [{"a": "x", "b": "1,024"}]
    assert pictures.table_with(page, ["c"]) == [{"a": "y", "c": "2"}]
    assert pictures.number("1,024") == 1024
