"""The parts of a report's page: HTML that loads nothing and runs nothing, for screens, light or dark, and for paper."""

import html
from collections.abc import Iterable, Sequence

Cells = Sequence[object]

MAX_ROWS = 50
"""Of a table of what failed; the rest is counted."""

MAX_WORD = 24
"""Characters of a word of a command line that fits the narrowest screen."""

_STYLE = """
:root { color-scheme: light dark; --text: #24282e; --soft: #5b616a; --line: #c9cdd3; --page: #fff; --box: #f3f5f8; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e7eb; --soft: #a3a9b3; --line: #454b54; --page: #16191d; --box: #20252b; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
h1 + p { font-size: 1.25rem; margin: .5rem 0 1rem; }
header { background: var(--box); border-radius: .5rem; padding: .25rem 1.25rem 1rem; }
table { border-collapse: collapse; }
td, th { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
td:first-child { min-width: 9rem; }
th { font-weight: 600; border-bottom: 1px solid var(--line); }
code { overflow-wrap: anywhere; } code span { white-space: nowrap; }
.note { color: var(--soft); }
@media print {
  :root { --text: #000; --soft: #444; --line: #999; --page: #fff; --box: #fff; }
  body { margin: 0; max-width: none; font-size: 11pt; } header { padding: 0; }
  section, svg, tr { break-inside: avoid; } svg.zk { max-height: 21cm; } h2 { break-after: avoid; }
}
"""


def page(title: str, overview: str, sections: Sequence[str]) -> str:
    """A page: what matters first, and sections below. `overview` and `sections` are HTML."""
    name = html.escape(title)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{_STYLE}</style></head>\n'
        f"<body><header><h1>{name}</h1>\n{overview}</header>\n{''.join(sections)}</body></html>\n"
    )


def section(title: str, content: str) -> str:
    """A part under a heading; `content` is HTML."""
    return f"<section><h2>{html.escape(title)}</h2>\n{content}</section>\n"


def paragraph(text: str, *, note: bool = False) -> str:
    """A sentence or more."""
    return f'<p class="note">{html.escape(text)}</p>\n' if note else f"<p>{html.escape(text)}</p>\n"


def command(text: str) -> str:
    """A command line, to be copied; lines break between its words, and only within those that are long."""
    words = (html.escape(word) for word in text.split(" "))
    return (
        f"<p><code>{' '.join(word if len(word) > MAX_WORD else f'<span>{word}</span>' for word in words)}</code></p>\n"
    )


def drawing(svg: str) -> str:
    """A picture, within the page, whose text can be read and searched."""
    return f"<p>{svg}</p>\n"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values."""
    return f"<table>{''.join(_row('td', row) for row in rows)}</table>"


def table(heads: Cells, rows: Sequence[Cells]) -> str:
    """A table, of which at most `MAX_ROWS` rows are shown."""
    if not rows:
        return paragraph("none", note=True)
    more = paragraph(f"and {len(rows) - MAX_ROWS} more", note=True) if len(rows) > MAX_ROWS else ""
    return f"<table>{_row('th', heads)}{''.join(_row('td', row) for row in rows[:MAX_ROWS])}</table>{more}"


def _row(tag: str, cells: Cells) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(str(cell))}</{tag}>' for cell in cells)}</tr>\n"
