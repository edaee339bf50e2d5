"""The pictures of docs/benchmarks.md and its sub-pages, drawn from their tables: `python benchmarks/pictures.py`.

So a picture cannot show anything but the published numbers, and a test holds that it shows these.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zkinfer.pictures.bars import MARGIN, NAMES, ROW, WIDTH, share_bars, size_bars
from zkinfer.pictures.svg import line, picture, text

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"

AIM = 1.5
"""Proving over inference in float32 that the project is measured against."""

GROUPS = {
    "executing the model": ("execution", "witness"),
    "committing": ("commitment", "pads", "copy of the weights", "masks of the weights"),
    "lookups": ("lookups",),
    "linear steps": ("gathered boxes", "contractions", "sums of parts", "committed cells", "column points"),
    "openings, and what no phase names": (
        "opening of the weights",
        "opening of the rest",
        "proof about the pads",
        "rest",
    ),
}
"""What the phases of a proof are for."""


def published() -> str:
    """The pages of benchmarks, one after another."""
    docs = ROOT / "docs"
    return "\n".join(path.read_text() for path in [docs / "benchmarks.md", *sorted(docs.glob("benchmarks/*.md"))])


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
    return share_bars("Where the proving time goes: each bar is 100% of its proof", rows)


def proof_bytes(page: str) -> str:
    """Bytes of small proofs by part."""
    columns = {
        "weights' opening": "opening of the weights",
        "other opening": "opening of the rest",
        "pads": "proof about the pads",
        "message": "sumchecks and lookups",
    }
    rows = []
    for row in table_with(page, [*columns]):
        parts = {name: number(row[column]) for column, name in columns.items()}
        whole = f"{number(row['proof, bytes']) / 1000:,.0f} kB"
        rows.append((f"{row['model']}, keys for {row['keys for']}", parts, whole))
    return size_bars("Bytes of a proof by part: 16 bits, one inference", rows)


@dataclass(frozen=True)
class Dots:
    """A row of a picture: its name, values by the shape that marks them, and a word beside the last of them."""

    name: str
    values: dict[str, float]
    word: str = ""


def overhead(page: str) -> str:
    """Proving over inference: over float32 as discs, over int8 as rings, estimates as diamonds."""
    rows = [
        Dots(
            size_of(row),
            {"disc": number(row["overhead"]), "ring": number(row["prove ms"]) / number(row["int8 ms"])},
        )
        for row in table_with(page, ["overhead", "int8 ms"])
    ]
    rows += [
        Dots(size_of(row), {"diamond": number(row["overhead"])}, "estimated")
        for row in table_with(page, ["overhead", "memory GB"])
    ]
    legend = {
        "disc": "over inference in float32, measured",
        "ring": "over inference in int8, measured",
        "diamond": "over inference in float32, estimated",
        "aim": f"{AIM}: the aim, half as long again as inference",
    }
    title = "How many times as long proving takes as inference (logarithmic)"
    return dot_rows(title, "block", rows, legend, lambda ratio: f"{ratio:,g}x", aim=AIM)


def shapes(page: str) -> str:
    """Seconds of proofs, in the order of what is looked up: proving as discs, verifying as rings."""
    table = sorted(table_with(page, ["network", "ns an element"]), key=lambda row: number(row["elements"]))
    rows = [
        Dots(
            f"{row['network']}: {row['elements']}",
            {"disc": number(row["prove s"]), "ring": number(row["verify s"])},
        )
        for row in table
    ]
    legend = {"disc": "proving", "ring": "verifying"}
    title = "Processor seconds of a proof (logarithmic), in the order of how much is looked up for it"
    return dot_rows(title, "network: elements looked up", rows, legend, lambda seconds: f"{seconds:g} s")


def dot_rows(
    title: str,
    names: str,
    rows: Sequence[Dots],
    legend: dict[str, str],
    shown: Callable[[float], str],
    aim: float | None = None,
) -> str:
    """A line for each row, with marks on one logarithmic axis.

    Args:
        title: what the marks stand for.
        names: what the names of the rows are.
        rows: of values above zero.
        legend: what each kind of mark means.
        shown: a value of the axis in words.
        aim: where a line marks it.
    """
    left, top, width = MARGIN + NAMES + 40, MARGIN + 56, WIDTH - 2 * MARGIN - NAMES - 76
    foot = top + len(rows) * ROW
    values = [value for row in rows for value in row.values.values()]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(value: float) -> float:
        return left + width * (math.log10(value) - first) / (last - first)

    pieces = [text(MARGIN, MARGIN + 12, title, "head"), text(left - 26, top - 8, names, "soft", "end")]
    for power in range(first, last + 1):
        pieces += [
            text(x(10.0**power), top - 8, shown(10.0**power), "soft", "middle"),
            line(x(10.0**power), top, foot, "grid"),
        ]
    if aim is not None:
        pieces.append(line(x(aim), top, foot, "aim"))
    for count, row in enumerate(rows):
        y = top + count * ROW + ROW / 2
        pieces.append(text(left - 14, y + 4, row.name, "end"))
        pieces += [mark(kind, x(value), y) for kind, value in row.values.items()]
        if row.word:
            pieces.append(text(x(max(aim or 0.0, *row.values.values())) + 12, y + 4, row.word, "soft"))
    for count, (kind, words) in enumerate(legend.items()):
        at, y = MARGIN + 20 + (count % 2) * 330, foot + 24 + count // 2 * 22
        pieces += [mark(kind, at, y), text(at + 14, y + 4, words)]
    return "".join(picture(title, WIDTH, foot + 24 + (len(legend) + 1) // 2 * 22 + MARGIN, pieces))


def mark(kind: str, x: float, y: float) -> str:
    """A mark of its kind around a point; an aim is a piece of its line."""
    match kind:
        case "disc":
            return f'<circle class="bar" cx="{x:.1f}" cy="{y:g}" r="5"/>\n'
        case "ring":
            return f'<circle class="ring" cx="{x:.1f}" cy="{y:g}" r="5"/>\n'
        case "diamond":
            return f'<path class="ring" d="M{x - 6:.1f} {y:g}l6 -6l6 6l-6 6Z"/>\n'
        case _:
            return line(x, y - 7, y + 7, "aim")


PICTURES = {"phases.svg": phases, "proof-bytes.svg": proof_bytes, "overhead.svg": overhead, "shapes.svg": shapes}
"""By the names of their files."""


def main() -> None:
    pages = published()
    for name, draw in PICTURES.items():
        (IMAGES / name).write_text(draw(pages))


if __name__ == "__main__":
    main()
