"""Names in tables give way to figures, and keep the ends by which they differ."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from zkinfer.terminal import LongName, without_middle


def printed(table: Table, width: int) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=width).print(table)
    return buffer.getvalue()


@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60), width=st.integers(0, 70))
def test_a_name_keeps_its_ends(text: str, width: int) -> None:
    shown = without_middle(text, width)
    room = max(width, 4)
    assert len(shown) == min(len(text), room)
    if len(text) > room:
        head, gap, tail = shown.partition("...")
        assert gap
        assert text.startswith(head)
        assert text.endswith(tail)
        assert len(tail) >= len(head)
    else:
        assert shown == text


def test_figures_are_whole_where_names_are_not() -> None:
    table = Table()
    table.add_column("name")
    table.add_column("figure", no_wrap=True)
    for part in range(3):
        table.add_row(LongName(f"/encoder/layer.0/attention/self/query/MatMul_{part}"), "0.123456789")
    text = printed(table, 40)
    assert max(map(len, text.splitlines())) <= 40
    assert text.count("0.123456789") == 3
    assert all(f"MatMul_{part} " in text for part in range(3))
    assert "attention/self/query/MatMul_0" in printed(table, 100)


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "\x1b[31mred", "[/]"])
def test_a_name_is_text_and_not_markup(text: str) -> None:
    table = Table("name")
    table.add_row(LongName(text))
    assert text.replace("\x1b", "") in printed(table, 80)
