"""Proving, once for a commitment, that the committed weights lie within their published bounds."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from blake3 import blake3

from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import ranges_statement
from zkinfer.native.allocator import returning_freed_memory
from zkinfer.native.kernels.columns import count
from zkinfer.native.prove import CommittedRun, commit_stacks, header_for, prove_run
from zkinfer.native.reduction_witness import NativeReductionWitness
from zkinfer.native.storage import StoredMatrix
from zkinfer.protocol.lookup.prover import KernelWitness
from zkinfer.protocol.native_proof import protocol
from zkinfer.protocol.native_proof.encoding import Header, encode_header
from zkinfer.protocol.native_proof.shape import shape_of
from zkinfer.protocol.pcs.prover import OpenableMatrix
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.reduction.plan import WEIGHTS, WITNESS
from zkinfer.protocol.reduction.weight_ranges import RangePlan, behind_weight, make_range_plan
from zkinfer.timings import phase
from zkinfer.typing import Array, Floats

STREAM_LABEL = b"zkinfer 2026 randomness of a proof about weights v3"


def prove_ranges(commitment: Commitment, matrix: StoredMatrix, seed: bytes) -> bytes:
    """The bytes of the proof.

    Its randomness comes from the seed too: keys that are made again with a seed have the same proof, and show no more.
    With another header, or under another version of the protocol, challenges are others, and so is the randomness.

    Args:
        commitment: to the weights, without such a proof.
        matrix: of the weights, in a folder that nobody else has seen; the reserved opening of its first copy is used.
        seed: the commitment's.

    Raises:
        InvalidInputError: a weight is out of its bounds.
        ProvingError: the proof would be less than 128 bits secure.
    """
    key, statement = commitment.key_as(NativeVerifyingKey), ranges_statement(commitment)
    plan = make_range_plan(commitment.program)
    header = header_for(plan)
    # The statement's 32 bytes come last, and an encoded header tells its own end: no two inputs are the same bytes.
    stream = STREAM_LABEL + protocol.DOMAIN + encode_header(header) + statement
    randomness = Randomness(blake3(stream, key=seed).digest())
    with returning_freed_memory():
        run = commit_ranges(plan, header, matrix.data, key, randomness)
        first = matrix.take_reserved()
        with matrix.proving_from(first.place.number):
            return prove_run(run, statement, first.matrix, key.opening, randomness, first.place, key.copies.link())


@dataclass(frozen=True)
class RangeRun(CommittedRun):
    """All that is committed to for the proof, beside the weights.

    Attributes:
        columns: makes the columns of a piece.
        counted: the multiplicities of each piece.
    """

    columns: "RangeColumns"
    counted: tuple[list[Floats], ...]

    kept_bytes: ClassVar[int | None] = 0
    """No codewords are kept beside the trees of lookups: to encode so few again takes some milliseconds."""

    @property
    def publics(self) -> dict[int, Array]:
        """A statement about weights has no integers."""
        return {}

    def answers(self, weights: OpenableMatrix) -> "RangeAnswers":
        stacks = [weights.data.reshape(-1), *self.stacks]
        return RangeAnswers(self.columns, stacks, self.counted, weights.veil)


class RangeColumns:
    """The columns of the lookups of a proof about weights.

    Args:
        plan: of the proof.
        weights: the cells of the weights' matrix, integers of any type.
        witness: the cells of the witness: balanced float64, in which the limbs are written.
    """

    def __init__(self, plan: RangePlan, weights: Array, witness: Floats) -> None:
        self.plan = plan
        self._stacks = {WEIGHTS: weights, WITNESS: witness}

    def cells(self, matrix: int, vector: int, box: int) -> Array:
        """The cells of a box."""
        layout = self.plan.layouts[matrix]
        offset = layout.offsets[vector][box]
        return self._stacks[matrix][offset : offset + (1 << layout.cuts[vector].boxes[box].total)]

    def looked_up(self, weight: int, box: int) -> Array:
        """The elements of a box of a weight, and what is looked up behind it."""
        cut, cells = self.plan.cuts(weight), self.cells(WEIGHTS, weight, box)
        behind, inside = behind_weight(self.plan.program.weights[weight]), cut.inside(cut.boxes[box])
        if not behind or math.prod(inside) == len(cells):
            return cells
        within = tuple(map(slice, inside))
        cube = np.full([1 << k for k in cut.boxes[box].variables], behind, dtype=cells.dtype)
        cube[within] = cells.reshape(cube.shape)[within]
        return cube.reshape(-1)

    def write_limbs(self) -> None:
        """Write the limbs of all distances from the bounds."""
        for weight, limbs in self.plan.limbs.items():
            tensor = self.plan.program.weights[weight]
            for box in range(len(self.plan.cuts(weight).boxes)):
                x = self.looked_up(weight, box).astype(np.int64)
                for distance, vectors in zip((x - tensor.lo, tensor.hi - x), limbs.vectors, strict=True):
                    for place, bits, vector in zip(limbs.places, limbs.bits, vectors, strict=True):
                        self.cells(WITNESS, vector, box)[:] = distance // place & (1 << bits) - 1

    def of_piece(self, number: int) -> list[list[Floats]]:
        """For each block of a piece its only column: balanced float64."""
        return [[column] for column in self._columns(number)]

    def _columns(self, number: int) -> Iterator[Floats]:
        """The columns of a piece, one after another."""
        piece = self.plan.pieces[number]
        for site in piece.sites:
            cells = site.cells(piece.instance.blocks[site.blocks[0]].variables)
            if site.weight in self.plan.limbs:
                low, high = self.plan.limbs[site.weight].vectors
                yield from (self.cells(WITNESS, vector, site.box)[cells] for vector in (*low, *high))
            else:
                yield self.looked_up(site.weight, site.box)[cells].astype(np.float64)

    def counts(self, number: int) -> list[Floats]:
        """How often each row of each table of a piece is looked up, counted in the witness, whose cells are zero.

        Raises:
            InvalidInputError: an element is in no row.
        """
        piece = self.plan.pieces[number]
        counts = [self.cells(WITNESS, vector, 0) for vector in piece.multiplicities]
        for block, column in zip(piece.instance.blocks, self._columns(number), strict=True):
            count(column, piece.starts[block.table], counts[block.table][: piece.instance.tables[block.table].rows])
        return counts


class RangeAnswers(NativeReductionWitness):
    """What makes the protocol a prover.

    Args:
        columns: of the lookups.
        stacks: for each matrix its cells.
        counts: the multiplicities of each piece.
        veil: as of `NativeReductionWitness`.
    """

    def __init__(
        self, columns: RangeColumns, stacks: Sequence[Array], counts: Sequence[list[Floats]], veil: Floats
    ) -> None:
        super().__init__(columns.plan, {}, stacks, [], [], veil)
        self._columns, self._piece_counts = columns, counts

    def lookups(self, number: int = 0) -> KernelWitness:
        """Entries and multiplicities of a piece."""
        instance = self._columns.plan.pieces[number].instance
        return KernelWitness(instance, self._columns.of_piece(number), self._piece_counts[number])


def commit_ranges(
    plan: RangePlan, header: Header, weights: Array, key: NativeVerifyingKey, randomness: Randomness
) -> RangeRun:
    """Commit to limbs and multiplicities.

    Args:
        header: sizes.
        weights: the matrix of weights.

    Raises:
        InvalidInputError: a weight is out of its bounds.
    """
    code = header.opening.code
    stack = np.zeros(plan.layouts[WITNESS].rows(code.log_columns) << code.log_columns)
    columns = RangeColumns(plan, weights.reshape(-1), stack)
    with phase("witness"):
        columns.write_limbs()
        counted = tuple(columns.counts(number) for number in range(len(plan.pieces)))
    stacks = (np.zeros(0), np.zeros(0), stack)
    shape = shape_of(plan, key.opening.code, header, key.log_copies)
    matrices, roots = commit_stacks(stacks, shape, code, randomness, RangeRun.kept_bytes)
    return RangeRun(plan, {}, stacks, [], [], header, shape, matrices, roots, columns, counted)
