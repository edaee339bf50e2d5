"""The pictures of docs/benchmarks.md, drawn from the tables of that page: `python benchmarks/pictures.py`.

So a picture cannot show anything but the published numbers, and a test holds that it shows these.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from zkinfer.pictures.bars import MARGIN, NAMES, ROW, WIDTH, share_bars, size_bars
from zkinfer.pictures.svg import line, picture, text

ROOT = Path(__file__).parent.parent
PAGE, IMAGES = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "images"

AIM = 1.5
"""Proving over inference in float32 that the project is measured against."""

GROUPS = {
    "executing the model": ("execution", "witness"),
    "committing": ("commitment", "pads", "masks of the weights"),
    "lookups": ("lookups",),
    "linear steps": ("gathered boxes", "contractions", "sums of parts", "committed cells", "column points"),
    "openings, and what no phase names": ("rest",),
}
"""What the phases of a proof are for."""

Table = list[dict[str, str]]
"""Rows of a table by the names of its columns."""


def tables(page: str) -> Iterator[Table]:
    """The tables of a page in Markdown."""
    rows: list[list[str]] = []
    for written in [*page.splitlines(), ""]:
        if written.startswith("|"):
            rows.append([cell.strip() for cell in written.strip("|").split("|")])
        elif rows:
            yield [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]
            rows = []


def table_with(page: str, columns: Sequence[str]) -> Table:
    """The first table that has all of these columns."""
    return next(found for found in tables(page) if set(columns) <= set(found[0]))


def number(cell: str) -> float:
    """A figure of a table."""
    return float(cell.replace(",", ""))


def size_of(row: dict[str, str]) -> str:
    """Which block a row is about, and how many inferences a proof of it covers."""
    batch = int(number(row["batch"]))
    return f"width {int(number(row['width'])):,}, {batch:,} {'inference' if batch == 1 else 'inferences'}"


def phases(page: str) -> str:
    """Shares of proving time."""
    rows = []
    for row in table_with(page, ["execution", "rest"]):
        parts = {group: sum(number(row[phase]) for phase in names) for group, names in GROUPS.items()}
        rows.append((size_of(row), parts, f"{number(row['prove ms']):,.0f} ms"))
    return share_bars("Where the proving time goes", rows)


def proof_bytes(page: str) -> str:
    """Bytes of small proofs by part."""
    columns = {
        "weights' opening": "opening of the weights",
        "other opening": "opening of all else",
        "pads": "proof about the pads",
        "message": "sumchecks and lookups",
    }
    rows = []
    for row in table_with(page, [*columns]):
        parts = {name: number(row[column]) for column, name in columns.items()}
        whole = f"{number(row['proof, bytes']) / 1000:,.0f} kB"
        rows.append((f"{row['model']}, keys for {row['keys for']}", parts, whole))
    return size_bars("Bytes of a proof", rows)


def overhead(page: str) -> str:
    """Proving over inference, on a logarithmic axis: over float32 as discs, over int8 as rings."""
    rows = table_with(page, ["overhead", "int8 ms"])
    left, room, top = MARGIN + NAMES + 20, WIDTH - 2 * MARGIN - NAMES - 64, MARGIN + 44
    decades = 4
    foot = top + len(rows) * ROW

    def place(ratio: float) -> float:
        return left + room * math.log10(ratio) / decades

    pieces = [
        text(MARGIN, MARGIN + 12, "How many times as long proving takes as inference", "head"),
        *(text(place(10**d) - 8, top - 8, f"{10**d:,}x", "soft") for d in range(decades + 1)),
        *(line(place(10**d), top, foot) for d in range(decades + 1)),
        f'<line class="aim" x1="{place(AIM):.1f}" y1="{top}" x2="{place(AIM):.1f}" y2="{foot + 8}"/>\n',
        text(place(AIM) - 4, foot + 22, f"{AIM}x: the aim, half as long again as inference", "soft"),
    ]
    for count, row in enumerate(rows):
        y = top + count * ROW + ROW / 2
        ratio, in_int8 = number(row["overhead"]), number(row["prove ms"]) / number(row["int8 ms"])
        pieces += [
            text(left - 14, y + 4, size_of(row), "end"),
            f'<circle class="bar" cx="{place(ratio):.1f}" cy="{y}" r="5"/>\n',
            f'<circle class="ring" cx="{place(in_int8):.1f}" cy="{y}" r="5"/>\n',
        ]
    y = foot + 40
    pieces += [
        f'<circle class="bar" cx="{left}" cy="{y}" r="5"/>\n',
        text(left + 12, y + 4, "over inference in float32"),
        f'<circle class="ring" cx="{left + 220}" cy="{y}" r="5"/>\n',
        text(left + 232, y + 4, "over inference in int8"),
    ]
    return "".join(picture("Proving time over inference time", WIDTH, y + 10 + MARGIN, pieces))


PICTURES = {"phases.svg": phases, "proof-bytes.svg": proof_bytes, "overhead.svg": overhead}
"""By the names of their files."""


def main() -> None:
    page = PAGE.read_text()
    for name, draw in PICTURES.items():
        (IMAGES / name).write_text(draw(page))


if __name__ == "__main__":
    main()
