"""A program as a picture: every node in its place, with what it does, and how much of the lookups it takes."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from zkinfer.circuit.program import Delay, Einsum, Lookup, Node, Program, Tensor, node_sources, shape_text
from zkinfer.pictures.svg import escaped, picture, rect, text

MAX_DRAWN = 400
"""So many nodes are drawn; a larger picture helps nobody, and a stranger's file may hold any number."""

MAX_COLUMNS = 8
"""Boxes side by side, as many as a screen shows when the picture is as wide as it is; more stand below these."""

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 236, 58, 24, 34, 20
MAX_TEXT, MAX_LABEL = 34, 16
"""Characters of a line in a box, and of a label before its number."""


def program_picture(program: Program) -> Iterator[str]:
    """The picture, piece by piece: inputs at the top, each node below what it reads, weights within the nodes.

    A bar at the foot of a box says which part of all elements that are looked up in a run is looked up there. Of what
    grows with the number of inferences in a proof, lookups cost most; a product's multiplications are named.

    Of a large program the first nodes are drawn, and a line at the top says so.
    """
    places = _places(program)
    left_out = left_out_text(program)
    margin = MARGIN + (GAP_Y if left_out else 0)
    columns = 1 + max(column for _, column in places.values())
    rows = 1 + max(row for row, _ in places.values())
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP_X
    height = margin + MARGIN + rows * HEIGHT + (rows - 1) * GAP_Y
    yield from picture(f"A program of {len(program.nodes)} nodes", width, height, _content(program, places, left_out))


def _content(program: Program, places: dict[int, tuple[int, int]], left_out: str) -> Iterator[str]:
    if left_out:
        yield text(MARGIN, MARGIN + 14, left_out)
    yield f'<g transform="translate(0 {GAP_Y if left_out else 0})">\n'
    first = len(program.inputs) + len(program.weights)
    drawn = program.nodes[:MAX_DRAWN]
    for i, node in enumerate(drawn, first):
        for source in dict.fromkeys(node_sources(node)):
            if source in places:
                yield _arrow(places[source], places[i])
    for i, tensor in enumerate(program.inputs):
        yield _box(places[i], f"input {tensor.label}", shape_text(tensor.shape), 0.0)
    looked_up = sum(node.out.size for node in program.nodes if isinstance(node, Lookup)) or 1
    names = _names(drawn)
    for i, node in enumerate(drawn, first):
        mark = "output " if i in program.outputs else ""
        share = node.out.size / looked_up if isinstance(node, Lookup) else 0.0
        yield _box(
            places[i], f"{mark}{names[i - first]}", f"{_what(program, node)}, {shape_text(node.out.shape)}", share
        )
    yield "</g>\n"


def _names(nodes: Sequence[Node]) -> list[str]:
    """The labels of nodes, numbered where several nodes make one layer: "softmax, part 2 of 5"."""
    labels = [node.out.label for node in nodes]
    counts, seen, names = Counter(labels), Counter[str](), []
    for label in labels:
        seen[label] += 1
        # A number behind a label that does not fit into its box would not be seen.
        short = label if len(label) <= MAX_LABEL else f"...{label[3 - MAX_LABEL :]}"
        names.append(f"{short}, part {seen[label]} of {counts[label]}" if counts[label] > 1 else label)
    return names


def left_out_text(program: Program) -> str:
    """What a picture of the program leaves out, in a sentence; empty if it is all there."""
    count = len(program.nodes)
    if count <= MAX_DRAWN:
        return ""
    return f"The first {MAX_DRAWN} of {count:,} nodes. A file named .dot in place of .svg has all of them."


def _places(program: Program) -> dict[int, tuple[int, int]]:
    """Row and column of each value that is drawn but the weights: a node stands below all that it reads."""
    inputs, first = len(program.inputs), len(program.inputs) + len(program.weights)
    depth = dict.fromkeys(range(inputs), 0)
    for i, node in enumerate(program.nodes[:MAX_DRAWN], first):
        depth[i] = 1 + max((depth[source] for source in node_sources(node) if source in depth), default=0)
    together: dict[int, list[int]] = {}
    for i, level in depth.items():
        together.setdefault(level, []).append(i)
    places, row = {}, 0
    for level in sorted(together):
        for number, i in enumerate(together[level]):
            places[i] = (row + number // MAX_COLUMNS, number % MAX_COLUMNS)
        row += -(-len(together[level]) // MAX_COLUMNS)
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
            return "moved or added"


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


def _box(place: tuple[int, int], title: str, does: str, share: float) -> str:
    x, y = _corner(place)
    bar = rect(x, y + HEIGHT - 6, max(1.0, share * WIDTH), 6, "cost") if share else ""
    does = f"{does}, {100 * share:.3g}%" if share else does
    return (
        f"<g><title>{escaped(f'{title}: {does}')}</title>{rect(x, y, WIDTH, HEIGHT, 'box')}{bar}"
        f"{text(x + 10, y + 20, title, most=MAX_TEXT)}{text(x + 10, y + 39, does, 'soft', most=MAX_TEXT)}</g>\n"
    )
