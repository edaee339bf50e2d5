"""Names in tables for a terminal: where there is no room for all of a name, its middle is left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.text import Text

LEAST = 9
"""Characters that a column of names asks for: "ab...cdef"."""

GAP = "..."

NARROW: dict[str, Any] = {"box": SIMPLE_HEAD, "padding": (0, 1, 0, 0), "pad_edge": False}
"""Options of a table of many columns: nothing but two spaces between them."""


@dataclass(frozen=True)
class LongName:
    """A cell of a table, which gives way to the figures beside it."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(len(self.text), LEAST), len(self.text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(without_middle(self.text, options.max_width), no_wrap=True, overflow="crop")


def without_middle(text: str, width: int) -> str:
    """A text of at most so many characters, at least 4: its beginning, and more of its end.

    Tensors of one layer differ by their ends.
    """
    width = max(width, len(GAP) + 1)
    if len(text) <= width:
        return text
    head = (width - len(GAP)) // 3
    return text[:head] + GAP + text[len(text) - (width - len(GAP) - head) :]
