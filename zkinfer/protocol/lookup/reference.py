"""The prover of a lookup argument in plain Python: the oracle of `prover`, message for message."""

from collections.abc import Sequence

from zkinfer.errors import InvalidInputError, ProvingError
from zkinfer.protocol.channel import ProverChannel
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_from_base, ext_inv, ext_mul, ext_sub, mle
from zkinfer.protocol.lookup.params import EntryStack, LookupClaims, LookupInstance, Stack, fingerprint
from zkinfer.protocol.lookup.verifier import layer_batch
from zkinfer.protocol.sumcheck import reference as sumcheck
from zkinfer.protocol.sumcheck.params import Claim, Point

Column = Sequence[int]
Fractions = tuple[list[Ext], list[Ext]]
"""Numerators and denominators of a tree's layer."""


class ZeroDenominatorError(ProvingError):
    """A denominator vanished, which happens with probability below 2^-100. New commitments give new challenges."""


def multiplicities(instance: LookupInstance, blocks: Sequence[Sequence[Column]]) -> list[list[int]]:
    """For each table, how often each row is looked up; a row that occurs twice is counted at its first place.

    Args:
        instance: the tables and the shape of the blocks.
        blocks: for each block its columns of canonical elements.

    Raises:
        InvalidInputError: a block has another shape than the instance says, or an entry is in no row of its table.
    """
    check_shapes(instance, blocks)
    counts = [[0] * (1 << table.variables) for table in instance.tables]
    places: list[dict[tuple[int, ...], int]] = []
    for table in instance.tables:
        rows = list(zip(*(column.tolist() for column in table.column_values()), strict=True))
        places.append({row: i for i, row in reversed(list(enumerate(rows)))})
    for number, (block, columns) in enumerate(zip(instance.blocks, blocks, strict=True)):
        for position, entry in enumerate(zip(*columns, strict=True)):
            place = places[block.table].get(tuple(entry))
            if place is None:
                raise InvalidInputError(f"entry {position} of block {number}, {entry}, is not in table {block.table}")
            counts[block.table][place] += 1
    return counts


def check_shapes(instance: LookupInstance, blocks: Sequence[Sequence[Column]]) -> None:
    """Raises InvalidInputError unless the blocks are of the shapes that the instance says."""
    if len(blocks) != len(instance.blocks):
        raise InvalidInputError(f"the lookup has {len(instance.blocks)} blocks, not {len(blocks)}")
    for number, (block, columns) in enumerate(zip(instance.blocks, blocks, strict=True)):
        if len(columns) != instance.tables[block.table].columns:
            raise InvalidInputError(f"block {number} needs the columns of table {block.table}, not {len(columns)}")
        if any(len(column) != 1 << block.variables for column in columns):
            raise InvalidInputError(f"the columns of block {number} must have 2^{block.variables} entries")


def check_counts(instance: LookupInstance, counts: Sequence[Column]) -> None:
    """Raises InvalidInputError unless the multiplicities fit the tables and are canonical: at least 0 and below P."""
    if [len(c) for c in counts] != [1 << table.variables for table in instance.tables]:
        raise InvalidInputError("multiplicities must have one number for each row of each table")
    if any(not 0 <= int(m) < P for c in counts for m in c):
        raise InvalidInputError("a multiplicity is not in [0, P)")


def prove(
    instance: LookupInstance,
    blocks: Sequence[Sequence[Column]],
    counts: Sequence[Column],
    channel: ProverChannel,
) -> LookupClaims[Ext]:
    """Proves that every entry is a row of its table; the messages are those of `verifier`.

    Args:
        instance: the tables and the shape of the blocks.
        blocks: for each block its columns of canonical elements.
        counts: what `multiplicities` gives.
        channel: commitments to blocks and counts must have been absorbed.

    Returns:
        What is left to prove: evaluations of columns and multiplicities.

    Raises:
        InvalidInputError: the shapes are not those of the instance, or a multiplicity is not canonical.
        ZeroDenominatorError: alpha is a fingerprint.
    """
    check_shapes(instance, blocks)
    check_counts(instance, counts)
    channel.absorb("lookup", instance.description())
    alpha, gamma = channel.challenge("lookup alpha"), channel.challenge("lookup gamma")
    trees = [tree(entry_leaves(instance, entries, blocks, alpha, gamma)) for entries in instance.entries]
    trees.append(tree(row_leaves(instance, counts, alpha, gamma)))
    send_roots([(t[0][0][0], t[0][1][0]) for t in trees], channel)
    point = prove_trees(instance.stacks, trees, channel)
    return send_values(instance, blocks, counts, point, channel)


def send_roots(roots: Sequence[tuple[Ext, Ext]], channel: ProverChannel) -> None:
    """Sends all roots, then the inverses of their denominators."""
    if any(denominator == ZERO for _, denominator in roots):
        raise ZeroDenominatorError("alpha is the fingerprint of an entry or row: commit again with fresh randomness")
    channel.send("lookup roots", [element for fraction in roots for element in fraction])
    channel.send("lookup inverses", [ext_inv(denominator) for _, denominator in roots])


def entry_leaves(
    instance: LookupInstance, entries: EntryStack, blocks: Sequence[Sequence[Column]], alpha: Ext, gamma: Ext
) -> Fractions:
    """1 / (alpha - f(e)) for every entry e of a stack, and 0 / 1 after the last."""
    fractions = neutral(entries.stack)
    for number, offset in zip(entries.blocks, entries.stack.offsets, strict=True):
        weights, constant = instance.fingerprint_weights(gamma, instance.blocks[number].table)
        for i, entry in enumerate(zip(*blocks[number], strict=True)):
            fractions[0][offset + i] = ONE
            row = fingerprint([ext_from_base(int(v)) for v in entry], weights, constant)
            fractions[1][offset + i] = ext_sub(alpha, row)
    return fractions


def row_leaves(instance: LookupInstance, counts: Sequence[Column], alpha: Ext, gamma: Ext) -> Fractions:
    """m(t) / (alpha - f(t)) for every row t, and 0 / 1 after the last."""
    stack = instance.rows
    fractions = neutral(stack)
    for number, (table, offset) in enumerate(zip(instance.tables, stack.offsets, strict=True)):
        weights, constant = instance.fingerprint_weights(gamma, number)
        for i, entry in enumerate(zip(*(column.tolist() for column in table.column_values()), strict=True)):
            fractions[0][offset + i] = ext_from_base(int(counts[number][i]))
            row = fingerprint([ext_from_base(v) for v in entry], weights, constant)
            fractions[1][offset + i] = ext_sub(alpha, row)
    return fractions


def neutral(stack: Stack) -> Fractions:
    """The fraction 0 / 1 in every cell."""
    return [ZERO] * (1 << stack.variables), [ONE] * (1 << stack.variables)


def tree(leaves: Fractions) -> list[Fractions]:
    """All layers, the root first."""
    layers = [leaves]
    while len(layers[0][0]) > 1:
        p, q = layers[0]
        pairs = range(0, len(p), 2)
        numerators = [ext_add(ext_mul(p[i], q[i + 1]), ext_mul(p[i + 1], q[i])) for i in pairs]
        layers.insert(0, (numerators, [ext_mul(q[i], q[i + 1]) for i in pairs]))
    return layers


def prove_trees(stacks: tuple[Stack, ...], trees: Sequence[Sequence[Fractions]], channel: ProverChannel) -> Point:
    """From the roots to the leaves; the point at the end of which the leaves' fractions are left to prove."""
    n = max(stack.variables for stack in stacks)
    point: Point = ()
    for layer in range(n):
        active = [i for i, stack in enumerate(stacks) if layer >= n - stack.variables]
        depths = tuple(layer - (n - stacks[i].variables) for i in active)
        batch = layer_batch(channel.challenge("lookup layer"), point, depths)
        children = [trees[i][depth + 1] for i, depth in zip(active, depths, strict=True)]
        factors = [(p[::2], p[1::2], q[::2], q[1::2]) for p, q in children]
        reduced = sumcheck.prove(batch, factors, channel)
        point = (*max((claim.point for claim in reduced), key=len), channel.challenge("lookup child"))
    return point


def send_values(
    instance: LookupInstance,
    blocks: Sequence[Sequence[Column]],
    counts: Sequence[Column],
    point: Point,
    channel: ProverChannel,
) -> LookupClaims[Ext]:
    """Sends the values of all columns and multiplicities at the end of the point."""
    claims_of: dict[int, Claim[Ext]] = {}
    for number in (number for entries in instance.entries for number in entries.blocks):
        own = point[len(point) - instance.blocks[number].variables :]
        values = tuple(mle([ext_from_base(int(v)) for v in column], own) for column in blocks[number])
        channel.send("lookup block", values)
        claims_of[number] = Claim(own, values)
    owns = [point[len(point) - table.variables :] for table in instance.tables]
    values = tuple(mle([ext_from_base(int(m)) for m in column], own) for column, own in zip(counts, owns, strict=True))
    channel.send("lookup multiplicities", values)
    claims = tuple(Claim(own, (value,)) for own, value in zip(owns, values, strict=True))
    return LookupClaims(tuple(claims_of[i] for i in range(len(blocks))), claims)
