"""What a thing is, as a table in a notebook. All of it is escaped, because it may come from a stranger's file."""

import html
from collections.abc import Iterable, Sequence

MAX_TEXT = 300
"""Characters of a value that are shown."""


def card(title: str, rows: Sequence[tuple[str, str]], remarks: Iterable[str] = ()) -> str:
    """An HTML fragment with a title, names and values, and remarks below. It loads nothing and runs nothing.

    Args:
        title: what the thing is.
        rows: names and values; those with empty values are left out.
        remarks: sentences.
    """
    cells = "".join(
        f'<tr><th style="text-align:left">{_escaped(name)}</th><td style="text-align:left">{_escaped(value)}</td></tr>'
        for name, value in rows
        if value
    )
    below = "".join(f"<p>{_escaped(remark)}</p>" for remark in remarks if remark)
    return f"<div><strong>{_escaped(title)}</strong><table>{cells}</table>{below}</div>"


def _escaped(text: str) -> str:
    """Text as HTML, shortened, and without characters that do not show or that turn the direction of writing."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return html.escape(shown if len(shown) <= MAX_TEXT else f"{shown[:MAX_TEXT]}...")
