"""Is a program well formed? Asked of every program that comes from a file, before anything is allocated for it."""

import string
from collections.abc import Sequence

from zkinfer.circuit.bounds import lookup_indices
from zkinfer.circuit.program import (
    MAX_MAGNITUDE,
    PROGRAM_VERSION,
    Delay,
    Einsum,
    Lookup,
    Node,
    Program,
    Tensor,
    View,
    node_sources,
)
from zkinfer.circuit.regions import check_regions
from zkinfer.circuit.steps import MAX_TENSOR_ELEMENTS, Shape, shape_after
from zkinfer.circuit.table import MAX_SHIFT
from zkinfer.errors import ArtifactError, ShapeError

MAX_DIMENSIONS = 16
MAX_FRAC_BITS = 512


def einsum_shape(subscripts: str, shapes: Sequence[Shape]) -> Shape:
    """The shape that an Einsum gives.

    Raises:
        ShapeError: the subscripts are not of the form that `Einsum` documents, or do not fit the shapes.
    """
    left, arrow, out = subscripts.partition("->")
    operands = left.split(",")
    if not arrow or len(operands) != len(shapes) or len(shapes) > 2:
        raise ShapeError(f"Einsum {subscripts!r} does not name {len(shapes)} operands")
    sizes: dict[str, int] = {}
    for letters, shape in zip(operands, shapes, strict=True):
        if len(letters) != len(shape) or len(set(letters)) != len(letters):
            raise ShapeError(f"Einsum {subscripts!r} does not fit an operand of shape {shape}")
        for letter, n in zip(letters, shape, strict=True):
            if letter not in string.ascii_lowercase or sizes.setdefault(letter, n) != n:
                raise ShapeError(f"Einsum {subscripts!r}: letter {letter!r} does not fit shapes {tuple(shapes)}")
    if len(set(out)) != len(out) or not set(out) <= set(sizes):
        raise ShapeError(f"Einsum {subscripts!r} has an output letter that is repeated or in no operand")
    return tuple(sizes[letter] for letter in out)


def node_shape(program: Program, node: Node) -> Shape:
    """The shape that a node gives, from the shapes of the values it names.

    Raises:
        ShapeError: the node does not fit them.
    """
    match node:
        case Einsum(subscripts=subscripts, operands=operands):
            return einsum_shape(subscripts, [program.tensor(v).shape for v in operands])
        case View(terms=terms):
            shapes = {shape_after(term.steps, program.tensor(term.source).shape) for term in terms}
            if len(shapes) != 1:
                raise ShapeError(f"{node.out.label}: the terms of a View have shapes {sorted(shapes)}, not one")
            return shapes.pop()
        case Lookup(source=source):
            return program.tensor(source).shape
        case Delay(initial=initial, source=source):
            shape = program.tensor(source).shape
            if not shape or program.tensor(initial).shape != (1, *shape[1:]):
                raise ShapeError(f"{node.out.label}: a delay of shape {shape} does not begin with one step of it")
            return shape


def _check_tensor(tensor: Tensor) -> None:
    if len(tensor.shape) > MAX_DIMENSIONS or any(n < 1 for n in tensor.shape):
        raise ArtifactError(f"{tensor.label}: shape {tensor.shape} is not one of a tensor")
    if tensor.size > MAX_TENSOR_ELEMENTS:
        raise ArtifactError(f"{tensor.label}: {tensor.size:,} elements are more than {MAX_TENSOR_ELEMENTS:,}")
    if not -MAX_MAGNITUDE < tensor.lo <= tensor.hi < MAX_MAGNITUDE:
        raise ArtifactError(f"{tensor.label}: bounds {tensor.lo} to {tensor.hi} are not an interval")
    if abs(tensor.frac_bits) > MAX_FRAC_BITS:
        raise ArtifactError(f"{tensor.label}: {tensor.frac_bits} fraction bits are not a Q-format")


def _check_scales(tensor: Tensor) -> None:
    if tensor.scales is None:
        return
    axis, exponents = tensor.scales.axis, tensor.scales.exponents
    if not -len(tensor.shape) < axis < 0 or len(exponents) != tensor.shape[axis]:
        raise ArtifactError(f"{tensor.label}: scales along axis {axis} do not fit shape {tensor.shape}")
    if min(exponents) != 0 or not 0 < max(exponents) <= MAX_FRAC_BITS - tensor.frac_bits:
        raise ArtifactError(f"{tensor.label}: its scales are not powers of two of a Q-format in lowest terms")


def validate(program: Program) -> None:
    """Check that a program is well formed: references, shapes, table domains, sizes.

    Does not look at weights: that the published bounds are true is `bounds.check_bounds`.

    Raises:
        ArtifactError: it is not; the message names the tensor.
    """
    if program.version != PROGRAM_VERSION:
        raise ArtifactError(f"program version {program.version}; this zkinfer reads version {PROGRAM_VERSION}")
    if not program.inputs or not program.outputs:
        raise ArtifactError("a program has at least one input and one output")
    for tensor in (*program.inputs, *program.weights):
        _check_tensor(tensor)
    for tensor in program.inputs:
        _check_scales(tensor)
    for tensor in (*program.weights, *(node.out for node in program.nodes)):
        if tensor.scales is not None:
            raise ArtifactError(f"{tensor.label}: only an input has scales")
    known = len(program.inputs) + len(program.weights)
    for node in program.nodes:
        _check_tensor(node.out)
        earlier = (node.initial,) if isinstance(node, Delay) else node_sources(node)
        if not earlier or any(not 0 <= value < known for value in earlier):
            raise ArtifactError(f"{node.out.label}: reads a value that does not exist yet")
        if isinstance(node, Delay):
            _check_delay(program, node, known)
        if isinstance(node, Lookup):
            _check_lookup(program, node)
        try:
            shape = node_shape(program, node)
        except ShapeError as error:
            raise ArtifactError(f"{node.out.label}: {error}") from None
        if shape != node.out.shape:
            raise ArtifactError(f"{node.out.label}: declared shape {node.out.shape}, but its node gives {shape}")
        known += 1
    if any(not 0 <= value < known for value in program.outputs):
        raise ArtifactError("an output names a value that does not exist")
    check_regions(program)


def _check_delay(program: Program, node: Delay, value: int) -> None:
    later = value < node.source < program.num_values
    if not later or not isinstance(program.nodes[node.source - program.num_values + len(program.nodes)], Lookup):
        raise ArtifactError(f"{node.out.label}: a delay is of the result of a later Lookup, not of value {node.source}")
    _check_tensor(program.tensor(node.source))


def _check_lookup(program: Program, node: Lookup) -> None:
    if not 0 <= node.table < len(program.tables) or not 0 <= node.shift <= MAX_SHIFT:
        raise ArtifactError(f"{node.out.label}: table {node.table} with shift {node.shift} does not exist")
    table, source = program.tables[node.table], program.tensor(node.source)
    lo, hi = lookup_indices((source.lo, source.hi), node.shift)
    if lo < table.lo or hi > table.hi:
        raise ArtifactError(
            f"{node.out.label}: its source's bounds reach indices {lo} to {hi}, "
            f"outside table {table.name!r} ({table.lo} to {table.hi})"
        )
