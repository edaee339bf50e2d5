"""The pictures of docs/benchmarks.md and its sub-pages, drawn from their tables: `python benchmarks/pictures.py`.

So a picture cannot show anything but the published numbers, and a test holds that it shows these.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from zkinfer.pictures.bars import MARGIN, NAMES, ROW, WIDTH, share_bars, size_bars
from zkinfer.pictures.svg import line, picture, text

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"

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
    """Proving over inference, on a logarithmic axis: over float32 as discs, over int8 as rings; estimates dashed."""
    rows = table_with(page, ["overhead", "int8 ms"])
    estimates = table_with(page, ["overhead", "memory GB"])
    left, room, top = MARGIN + NAMES + 20, WIDTH - 2 * MARGIN - NAMES - 64, MARGIN + 44
    decades = 4
    foot = top + (len(rows) + len(estimates)) * ROW

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
    for count, row in enumerate(estimates, start=len(rows)):
        y, x = top + count * ROW + ROW / 2, place(number(row["overhead"]))
        pieces += [
            text(left - 14, y + 4, size_of(row), "end"),
            f'<line class="ring" stroke-dasharray="5 4" x1="{left}" y1="{y}" x2="{x - 5:.1f}" y2="{y}"/>\n',
            f'<circle class="ring" stroke-dasharray="3 2" cx="{x:.1f}" cy="{y}" r="5"/>\n',
            text(round(x) + 14, y + 4, "estimated, in float32"),
        ]
    y = foot + 40
    pieces += [
        f'<circle class="bar" cx="{left}" cy="{y}" r="5"/>\n',
        text(left + 12, y + 4, "over inference in float32"),
        f'<circle class="ring" cx="{left + 220}" cy="{y}" r="5"/>\n',
        text(left + 232, y + 4, "over inference in int8"),
    ]
    return "".join(picture("Proving time over inference time", WIDTH, y + 10 + MARGIN, pieces))


def _decades(values: Sequence[float]) -> range:
    """The powers of ten that enclose all values."""
    return range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)


def shapes(page: str) -> str:
    """Seconds against what is looked up, on logarithmic axes: proving as discs, verifying as rings, a line each."""
    rows = sorted(table_with(page, ["network", "ns an element"]), key=lambda row: number(row["elements"]))
    elements = [number(row["elements"]) for row in rows]
    seconds = {kind: [number(row[f"{kind} s"]) for row in rows] for kind in ("prove", "verify")}
    across, up = _decades(elements), _decades([value for values in seconds.values() for value in values])
    left, top, width, height = MARGIN + 60, MARGIN + 44, WIDTH - 2 * MARGIN - 80, 300
    foot = top + height

    def x(value: float) -> float:
        return left + width * (math.log10(value) - across[0]) / (len(across) - 1)

    def y(value: float) -> float:
        return foot - height * (math.log10(value) - up[0]) / (len(up) - 1)

    pieces = [text(MARGIN, MARGIN + 12, "Processor seconds of a proof, by what is looked up for it", "head")]
    for d in across:
        pieces += [line(x(10**d), top, foot), text(round(x(10**d)) + 18, foot + 18, f"{10**d:,}", "soft", "end")]
    for d in up:
        pieces.append(text(left - 10, y(10.0**d) + 4, f"{10.0**d:g} s", "soft", "end"))
        pieces.append(f'<path d="M{left} {y(10.0**d):.1f}H{left + width}"/>\n')
    for kind, mark in (("prove", "bar"), ("verify", "ring")):
        places = [(x(a), y(b)) for a, b in zip(elements, seconds[kind], strict=True)]
        pieces.append(f'<path d="M{" L".join(f"{a:.1f} {b:.1f}" for a, b in places)}"/>\n')
        pieces += [f'<circle class="{mark}" cx="{a:.1f}" cy="{b:.1f}" r="5"/>\n' for a, b in places]
    numbers: list[tuple[int, int]] = []
    for count, (a, b) in enumerate(zip(elements, seconds["prove"], strict=True), start=1):
        at, foot_of = round(x(a)) - 4, round(y(b)) - 9
        while any(abs(at - u) < 12 and abs(foot_of - v) < 12 for u, v in numbers):
            foot_of -= 12
        numbers.append((at, foot_of))
        pieces.append(text(at, foot_of, str(count), "soft"))
    below = foot + 40
    pieces += [
        f'<circle class="bar" cx="{left}" cy="{below}" r="5"/>\n',
        text(left + 12, below + 4, "proving"),
        f'<circle class="ring" cx="{left + 120}" cy="{below}" r="5"/>\n',
        text(left + 132, below + 4, "verifying"),
    ]
    lines = -(-len(rows) // 3)
    for count, row in enumerate(rows):
        column, place = divmod(count, lines)
        words, start = f"{count + 1} {row['network']}", MARGIN + column * (WIDTH - MARGIN) / 3
        pieces.append(text(start, below + 30 + place * 18, words))
    return "".join(picture("Seconds against what is looked up", WIDTH, below + 30 + lines * 18 + MARGIN, pieces))


PICTURES = {"phases.svg": phases, "proof-bytes.svg": proof_bytes, "overhead.svg": overhead, "shapes.svg": shapes}
"""By the names of their files."""


def main() -> None:
    pages = published()
    for name, draw in PICTURES.items():
        (IMAGES / name).write_text(draw(pages))


if __name__ == "__main__":
    main()
