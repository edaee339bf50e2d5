"""What a program computes, in words and as a graph: every node, its steps, and what is in the tables.

All of it comes from whoever wrote the file. Labels and names of tables are free text, and shown as such; what is
computed is what the numbers say.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from zkinfer.circuit.program import Delay, Einsum, Lookup, Node, Program, Tensor, View, node_sources, shape_text
from zkinfer.circuit.qformat import frac_bits_of
from zkinfer.circuit.steps import Step
from zkinfer.circuit.table import Table
from zkinfer.cli.failures import printable
from zkinfer.counts import counted

Rows = list[tuple[str, str]]

MAX_NODES, MAX_TABLES, MAX_ENTRIES, MAX_TEXT = 100, 20, 16, 120
"""How much is shown where not all is asked for: nodes, tables, entries of each, and characters of a step or a name."""


def tensor_text(tensor: Tensor) -> str:
    """A tensor's shape, format and bounds in one line."""
    bits = frac_bits_of(tensor)
    units = sorted({2.0 ** -int(bits.max()), 2.0 ** -int(bits.min())})
    formats = [f"steps of {unit:g}, from {tensor.lo * unit:g} to {tensor.hi * unit:g}" for unit in units]
    each = "for each feature, between " if len(units) > 1 else ""
    return f"{shape_text(tensor.shape)}, {each}{' and '.join(formats)}"


def weight_rows(program: Program, everything: bool) -> Rows:
    """The committed tensors."""
    first = len(program.inputs)
    rows = [(f"weight {t.label}", f"value {first + i}: {tensor_text(t)}") for i, t in enumerate(program.weights)]
    return _bounded(rows, MAX_NODES, everything, "weights")


def node_rows(program: Program, everything: bool) -> Rows:
    """Every node: what it reads, what it does, and what it makes."""
    first = len(program.inputs) + len(program.weights)
    rows = (
        (f"value {first + i}", f"{_node_text(node, everything)}: {node.out.label}, {tensor_text(node.out)}")
        for i, node in enumerate(program.nodes)
    )
    return _bounded(rows, MAX_NODES, everything, "nodes", len(program.nodes))


def table_rows(program: Program, everything: bool) -> Rows:
    """The lookup tables with their contents; a table's name is whatever its author calls it."""
    rows = ((f"table {i}", _table_text(table, everything)) for i, table in enumerate(program.tables))
    return _bounded(rows, MAX_TABLES, everything, "tables", len(program.tables))


def constant_rows(constants: Sequence[tuple[str, float, str]], everything: bool) -> Rows:
    """The numbers of a model that its circuit publishes: their names, values, and the nodes that read them."""
    rows = ((f"public {name[:MAX_TEXT]}", f"{value:g}, read by {where[:MAX_TEXT]}") for name, value, where in constants)
    return _bounded(rows, MAX_NODES, everything, "public numbers", len(constants))


def graph_text(program: Program) -> Iterator[str]:
    """The program in the DOT language, line by line: a box for each value, an arrow from each value that it reads.

    `dot -Tsvg` of Graphviz draws it.
    """
    yield "digraph program {\n  rankdir=LR; node [shape=box];\n"
    for i, tensor in enumerate(program.inputs):
        yield f"  {i} [label={_quoted(f'input {tensor.label}', tensor)}];\n"
    first = len(program.inputs)
    for i, tensor in enumerate(program.weights, first):
        yield f"  {i} [label={_quoted(f'weight {tensor.label}', tensor)}, style=filled];\n"
    for i, node in enumerate(program.nodes, first + len(program.weights)):
        yield f"  {i} [label={_quoted(f'{_kind_text(node)} {node.out.label}', node.out)}];\n"
        yield from (f"  {source} -> {i};\n" for source in node_sources(node))
    for number, value in enumerate(program.outputs):
        yield f'  output{number} [label="output {number}", shape=plaintext];\n  {value} -> output{number};\n'
    yield "}\n"


def _bounded(rows: Iterable[tuple[str, str]], most: int, everything: bool, what: str, count: int | None = None) -> Rows:
    shown: Rows = []
    for row in rows:
        if len(shown) == most and not everything:
            left = "" if count is None else f"{count - most} "
            return [*shown, ("...", f"{left}more {what}: shown with --all")]
        shown.append(row)
    return shown


def _node_text(node: Node, everything: bool) -> str:
    match node:
        case Einsum(subscripts=subscripts, operands=operands):
            return f"Einsum {subscripts} of values {', '.join(map(str, operands))}"
        case View(terms=terms, offset=offset):
            parts = [f"{t.coefficient} * {_moved_text(t.source, t.steps, everything)}" for t in terms]
            if len(parts) > MAX_ENTRIES and not everything:
                parts = [*parts[:MAX_ENTRIES], f"{len(parts) - MAX_ENTRIES} more"]
            return f"View {' + '.join(parts)} + {offset}"
        case Lookup(source=source, table=table, shift=shift):
            return f"Lookup of value {source}, shifted by {shift} bits, in table {table}"
        case Delay(initial=initial, source=source):
            return f"Delay of value {source} by one step, value {initial} first"


def _kind_text(node: Node) -> str:
    match node:
        case Einsum(subscripts=subscripts):
            return f"Einsum {subscripts}"
        case View():
            return "View"
        case Lookup(table=table, shift=shift):
            return f"Lookup in table {table} >> {shift}"
        case Delay():
            return "Delay"


def _moved_text(source: int, steps: tuple[Step, ...], everything: bool) -> str:
    text = f"value {source}"
    for step in steps:
        fields = ", ".join(f"{name}={value}" for name, value in msgspec.structs.asdict(step).items())
        if len(fields) > MAX_TEXT and not everything:
            fields = f"{fields[:MAX_TEXT]}..."
        text = f"{type(step).__name__}({text}; {fields})"
    return text


def _table_text(table: Table, everything: bool) -> str:
    name = table.name if everything else table.name[:MAX_TEXT]
    count = len(table.values)
    head = f"{counted(count, 'entry', 'entries')} from {table.lo} to {table.hi}, which its author calls {name!r}: "
    if everything or count <= MAX_ENTRIES:
        return head + " ".join(map(str, table.values))
    half = MAX_ENTRIES // 2
    ends = [" ".join(map(str, part)) for part in (table.values[:half], table.values[-half:])]
    return head + " ... ".join(ends)


def _quoted(title: str, tensor: Tensor) -> str:
    """A label in the DOT language."""
    lines = (printable(part).replace("\\", "\\\\").replace('"', '\\"') for part in (title, shape_text(tensor.shape)))
    text = "\\n".join(lines)
    return f'"{text}"'
