"""A program as a picture: every node in its place, with what it does, and how much of the lookups it takes.

An SVG file that loads nothing and runs nothing, for light screens, dark ones and paper. Labels are free text of the
file's author, and are escaped.
"""

import html
import math
from collections.abc import Iterator

from zkinfer.circuit.program import Delay, Einsum, Lookup, Node, Program, Tensor, node_sources
from zkinfer.cli.failures import printable
from zkinfer.cli.inspect_program import shape_text
from zkinfer.errors import InvalidInputError

MAX_DRAWN = 400
"""Nodes of a program that is drawn; a larger picture helps nobody, and a stranger's file may hold any number."""

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 236, 58, 24, 34, 20
MAX_TEXT = 34
"""Characters of a line in a box."""

_STYLE = """
svg { background: #fff; font: 12px system-ui, "DejaVu Sans", sans-serif; }
rect { fill: #f3f5f8; stroke: #8a8f98; } .cost { fill: #d9731a; stroke: none; } text { fill: #24282e; }
.soft { fill: #5b616a; } path { stroke: #8a8f98; fill: none; }
@media screen and (prefers-color-scheme: dark) {
  svg { background: #16191d; } rect { fill: #20252b; } text { fill: #e4e7eb; } .soft { fill: #a3a9b3; }
}
"""


def svg_text(program: Program) -> Iterator[str]:
    """The picture, line by line: inputs at the top, each node below what it reads, weights within the nodes.

    A bar at the foot of a box says which part of all elements that are looked up in a run is looked up there. Lookups
    are most of what proving costs; a product's multiplications are named.

    Raises:
        InvalidInputError: the program has more than `MAX_DRAWN` nodes.
    """
    if len(program.nodes) > MAX_DRAWN:
        raise InvalidInputError(
            f"the program has {len(program.nodes)} nodes, and at most {MAX_DRAWN} are drawn as SVG; a graph for other "
            "programs is written into a file named .dot"
        )
    places = _places(program)
    columns = 1 + max(column for _, column in places.values())
    rows = 1 + max(row for row, _ in places.values())
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP_X
    height = 2 * MARGIN + rows * HEIGHT + (rows - 1) * GAP_Y
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
    yield f"<title>A program of {len(program.nodes)} nodes</title>\n<style>{_STYLE}</style>\n"
    first = len(program.inputs) + len(program.weights)
    for i, node in enumerate(program.nodes, first):
        for source in dict.fromkeys(node_sources(node)):
            if source in places:
                yield _arrow(places[source], places[i])
    for i, tensor in enumerate(program.inputs):
        yield _box(places[i], f"input {tensor.label}", shape_text(tensor.shape), 0.0)
    looked_up = sum(node.out.size for node in program.nodes if isinstance(node, Lookup)) or 1
    for i, node in enumerate(program.nodes, first):
        mark = "output " if i in program.outputs else ""
        share = node.out.size / looked_up if isinstance(node, Lookup) else 0.0
        yield _box(places[i], f"{mark}{node.out.label}", f"{_what(program, node)}, {shape_text(node.out.shape)}", share)
    yield "</svg>\n"


def _places(program: Program) -> dict[int, tuple[int, int]]:
    """Row and column of each value but the weights: a node stands below all that it reads."""
    inputs, first = len(program.inputs), len(program.inputs) + len(program.weights)
    row = dict.fromkeys(range(inputs), 0)
    for i, node in enumerate(program.nodes, first):
        row[i] = 1 + max((row[source] for source in node_sources(node) if source in row), default=0)
    filled: dict[int, int] = {}
    places = {}
    for i, depth in row.items():
        places[i] = (depth, filled.get(depth, 0))
        filled[depth] = filled.get(depth, 0) + 1
    return places


def _what(program: Program, node: Node) -> str:
    """What a node does, in a few words."""
    match node:
        case Lookup():
            return f"{node.out.size:,} lookups"
        case Einsum(subscripts=subscripts, operands=operands):
            return f"{_multiplications(subscripts, [program.tensor(value) for value in operands]):,} products"
        case Delay():
            return "the step before"
        case _:
            return "view"


def _multiplications(subscripts: str, operands: list[Tensor]) -> int:
    """How many products of elements a contraction sums."""
    sizes: dict[str, int] = {}
    for letters, tensor in zip(subscripts.partition("->")[0].split(","), operands, strict=True):
        sizes.update(zip(letters, tensor.shape, strict=True))
    return math.prod(sizes.values())


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    row, column = place
    return MARGIN + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y)


def _arrow(source: tuple[int, int], target: tuple[int, int]) -> str:
    (x0, y0), (x1, y1) = _corner(source), _corner(target)
    x0, x1, y0 = x0 + WIDTH // 2, x1 + WIDTH // 2, y0 + HEIGHT
    return f'<path d="M{x0} {y0} C{x0} {y0 + GAP_Y} {x1} {y1 - GAP_Y} {x1} {y1}"/>\n'


def _box(place: tuple[int, int], title: str, text: str, share: float) -> str:
    x, y = _corner(place)
    bar = ""
    if share:
        bar = f'<rect class="cost" x="{x}" y="{y + HEIGHT - 6}" width="{max(1.0, share * WIDTH):.1f}" height="6"/>'
        text = f"{text}, {100 * share:.3g}%"
    return (
        f'<g><title>{_escaped(f"{title}: {text}", 500)}</title><rect x="{x}" y="{y}" width="{WIDTH}" '
        f'height="{HEIGHT}"/>{bar}<text x="{x + 10}" y="{y + 20}">{_escaped(title, MAX_TEXT)}</text>'
        f'<text class="soft" x="{x + 10}" y="{y + 39}">{_escaped(text, MAX_TEXT)}</text></g>\n'
    )


def _escaped(text: str, most: int) -> str:
    shown = printable(text)
    return html.escape(shown if len(shown) <= most else f"{shown[: most - 3]}...")
