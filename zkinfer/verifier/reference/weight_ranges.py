"""The proof that all weights lie within their bounds: docs/protocol/reduction.md, section 12."""

import math
from dataclasses import dataclass
from itertools import product

from zkinfer.circuit.program import Program
from zkinfer.errors import MalformedCommitmentError
from zkinfer.protocol.field.scalar import ONE, ZERO, eq_table, ext_mul
from zkinfer.verifier.reference.channel import AffineForm, Channel
from zkinfer.verifier.reference.claims import Claims
from zkinfer.verifier.reference.elements import FIELD_SIZE, Point, integer, total
from zkinfer.verifier.reference.lookups import Lookups, draw_challenges, range_table, verify_trees
from zkinfer.verifier.reference.plan import WEIGHTS, WITNESS, Matrix, Plan, boxes_of, limb_bits
from zkinfer.verifier.reference.weights import Weights

PIECE_ENTRIES = 2**21
PIECES = 8
SMALL_RANGE = 2**8
LARGE_RANGE = 2**20


@dataclass(frozen=True)
class Part:
    """A part of a box of a weight in the lookups of a piece.

    Attributes:
        weight: its number.
        box: the number of the box.
        fixed: the first coordinates of the box, each 0 or 1, that are the same in all of the part.
        blocks: of the lookup argument: one, or one for each limb, of the distances from `lo` and then from `hi`.
    """

    weight: int
    box: int
    fixed: Point
    blocks: list[int]


@dataclass(frozen=True)
class Piece:
    """One lookup argument.

    Attributes:
        lookups: its tables and blocks.
        parts: what they are about.
        multiplicities: for each table its vector in the witness.
    """

    lookups: Lookups
    parts: list[Part]
    multiplicities: list[int]


class RangePlan:
    """What both sides compute from the program.

    Args:
        program: whose weights they are.

    Attributes:
        matrices: of weights, private inputs, private outputs and witness, of which the middle two hold nothing.
        committed: nothing that a claim on values could be about.
        limbs: for each weight that is cut, the bits of a distance's limbs, and the vectors of all limbs of both.
        pieces: the lookup arguments.
        zeros_behind_weights: that there are is still to be shown.

    Raises:
        MalformedCommitmentError: no proof can be about this program.
    """

    zeros_behind_weights = False

    def __init__(self, program: Program) -> None:
        Plan(program, 1, [False] * len(program.inputs), [False] * len(program.outputs))
        if not program.weights:
            raise MalformedCommitmentError("there are no weights for a proof to be about")
        self.program = program
        self.matrices = [Matrix() for _ in range(4)]
        self.committed: dict[int, tuple[int, int]] = {}
        self.limbs: dict[int, tuple[list[int], list[int]]] = {}
        for number, tensor in enumerate(program.weights):
            boxes, rows = boxes_of((1, *tensor.shape)), tensor.hi - tensor.lo + 1
            self.matrices[WEIGHTS].add(boxes)
            if rows > SMALL_RANGE and (rows > LARGE_RANGE or rows > 4 * tensor.size):
                shift = (rows - 1).bit_length()
                bits = limb_bits({shift: 2 * tensor.size})[shift]
                self.limbs[number] = bits, [self.matrices[WITNESS].add(boxes) for _ in (*bits, *bits)]
        self.pieces = [self._piece(chosen) for chosen in self._divided()]

    @property
    def arguments(self) -> list[Lookups]:
        """The lookup arguments."""
        return [piece.lookups for piece in self.pieces]

    def _ranges(self, weight: int) -> list[tuple[int, int]]:
        """Smallest integer and number of integers of each table that an element of a weight is looked up in."""
        tensor = self.program.weights[weight]
        if weight not in self.limbs:
            return [(tensor.lo, tensor.hi - tensor.lo + 1)]
        bits, _ = self.limbs[weight]
        return [(0, 2**b) for b in (*bits, *bits)]

    def _divided(self) -> list[list[tuple[int, int, Point, int]]]:
        """Weight, number of the box, fixed coordinates and number of the others of all parts, piece by piece."""
        vectors = self.matrices[WEIGHTS].vectors
        cells = sum(2**box.variables for boxes in vectors for box in boxes)
        most = int(math.log2(max(PIECE_ENTRIES, math.ceil(cells / PIECES))))
        pieces: list[list[tuple[int, int, Point, int]]] = [[]]
        entries = 0
        for weight, boxes in enumerate(vectors):
            for number, box in enumerate(boxes):
                free = min(box.variables, most)
                for fixed in product([ZERO, ONE], repeat=box.variables - free):
                    if entries >= 2**most:
                        pieces.append([])
                        entries = 0
                    pieces[-1].append((weight, number, fixed, free))
                    entries += len(self._ranges(weight)) << free
        return pieces

    def _piece(self, chosen: list[tuple[int, int, Point, int]]) -> Piece:
        ranges = list(dict.fromkeys(r for weight, *_ in chosen for r in self._ranges(weight)))
        tables = [range_table(rows, lo) for lo, rows in ranges]
        blocks: list[tuple[int, int]] = []
        parts = []
        for weight, number, fixed, free in chosen:
            first = len(blocks)
            blocks += [(ranges.index(r), free) for r in self._ranges(weight)]
            parts.append(Part(weight, number, fixed, list(range(first, len(blocks)))))
        vectors = [self.matrices[WITNESS].add(boxes_of((1 << table.variables,))) for table in tables]
        return Piece(Lookups(tuple(tables), tuple(blocks)), parts, vectors)


def claim_ranges(plan: RangePlan, channel: Channel, claims: Claims) -> None:
    """Run the lookup arguments, and claim what they leave."""
    challenges = draw_challenges(plan.arguments, channel)
    boxes = [box for vector in plan.matrices[WEIGHTS].vectors for box in vector if any(b.lengthened for b in vector)]
    channel.error += max((box.variables for box in boxes), default=0) / FIELD_SIZE
    for piece in plan.pieces:
        blocks, counts = verify_trees(piece.lookups, challenges, channel)
        for part in piece.parts:
            point = (*part.fixed, *blocks[part.blocks[0]][0])
            values = [blocks[block][1][0] for block in part.blocks]
            if part.weight not in plan.limbs:
                _claim_weight(plan, claims, part, point, values[0])
                continue
            (bits, vectors), tensor = plan.limbs[part.weight], plan.program.weights[part.weight]
            count = len(bits)
            for end, sign, first in ((tensor.lo, 1, 0), (tensor.hi, -1, count)):
                element, at = AffineForm(integer(end)), 0
                for b, vector, limb in zip(bits, vectors[first:], values[first:], strict=False):
                    claims.add_box(WITNESS, vector, part.box, point, limb)
                    element += limb.scaled(integer(sign * 2**at))
                    at += b
                _claim_weight(plan, claims, part, point, element)
        for vector, (point, (count_at,)) in zip(piece.multiplicities, counts, strict=True):
            claims.add_box(WITNESS, vector, 0, point, count_at)


def _claim_weight(plan: RangePlan, claims: Claims, part: Part, point: Point, value: AffineForm) -> None:
    """What is looked up on a box of a weight, without what stands for the zeros behind the weight."""
    tensor, box = plan.program.weights[part.weight], plan.matrices[WEIGHTS].vectors[part.weight][part.box]
    if not box.lengthened:
        claims.add_box(WEIGHTS, part.weight, part.box, point, value)
        return
    nearest, table = max(tensor.lo, min(0, tensor.hi)), eq_table(point)
    behind = total(entry for entry, at in zip(table, box.places, strict=True) if at is None)
    value = value - AffineForm(ext_mul(integer(nearest), behind))
    claims.add_box(WEIGHTS, part.weight, part.box, point, value)
    entries = [ZERO] * tensor.size
    for entry, at in zip(table, box.places, strict=True):
        if at is not None:
            entries[at] = entry
    claims.add_vector(WEIGHTS, part.weight, Weights((1, *tensor.shape), tuple(entries)), value)
