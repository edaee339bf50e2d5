"""The proof that all committed weights lie within their published bounds, made once for a commitment.

The elements of a weight are looked up in the range of its bounds: they are committed already, so that only
multiplicities are added. A weight whose range is large beside its number of elements, as a bias, is looked up limb by
limb instead: `x - lo` and `hi - x` are both sums of limbs, which are committed, so that neither is negative. Behind a
weight, on axes that are lengthened, there are zeros, which is shown too; what is looked up there is the integer of the
range that is nearest to zero.

The boxes of all weights are divided into pieces, each a lookup argument of its own under the same challenges, so that a
prover holds the trees of one piece at a time. A box that is larger is divided into parts of equal size, its first
coordinates being 0 or 1 in each. Boxes of a piece end at the same coordinates of one point, hence can be opened at one
column point. docs/protocol/reduction.md, section 12, states the argument.
"""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import ClassVar, TypeAlias

from zkinfer.circuit.limbs import limb_bits
from zkinfer.circuit.program import Program, Tensor
from zkinfer.protocol import security
from zkinfer.protocol.channel import AffineForm, Channel
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ext_scale
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.protocol import draw_challenges, run_trees
from zkinfer.protocol.lookup.tables import RangeTable
from zkinfer.protocol.reduction.boxes import Cut, cover
from zkinfer.protocol.reduction.claims import CommittedClaim, CommittedTerm
from zkinfer.protocol.reduction.functional import eq_functional
from zkinfer.protocol.reduction.layout import Layout, weight_layout
from zkinfer.protocol.reduction.plan import WEIGHTS, WITNESS, Plan
from zkinfer.protocol.reduction.witness import ReductionWitness
from zkinfer.protocol.sumcheck.params import Point

PIECE_ENTRIES, PIECES = 1 << 21, 8
"""A piece is closed when it has so many entries, for which a prover needs 65 MB, or of a large model one for each
`PIECES` cells, rounded down to a power of two: so there are 8 to 16 pieces, each of 25 kB, and a prover needs no more
memory than its float32 weights."""

ZEROS = "zeros behind weights"
"""The step that shows them."""

SMALL_RANGE = 1 << 8
LARGE_RANGE = 1 << 20
"""A range of at most `SMALL_RANGE` integers is one table, and so is one of up to `LARGE_RANGE` for a weight that has a
quarter as many elements; others are cut into limbs."""


@dataclass(frozen=True)
class WeightLimbs:
    """How a weight's distances from its bounds are cut.

    Attributes:
        bits: of each limb of a distance, the lowest first.
        vectors: numbers of the limbs' vectors in the witness: those of `x - lo`, then those of `hi - x`.
    """

    bits: tuple[int, ...]
    vectors: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def places(self) -> tuple[int, ...]:
        """What each limb counts in the distance."""
        return tuple(1 << s for s in accumulate((0, *self.bits[:-1])))


@dataclass(frozen=True)
class RangeSite:
    """A part of a box of a weight in the lookups of a piece.

    Attributes:
        weight: its number among the weights.
        box: the number of the box.
        part: the number of the part: all parts of a box have as many cells.
        blocks: the block of the weight itself; or those of the limbs of `x - lo`, then of `hi - x`.
    """

    weight: int
    box: int
    part: int
    blocks: tuple[int, ...]

    def cells(self, variables: int) -> slice:
        """The part's cells in its box, of which there are 2^variables."""
        return slice(self.part << variables, (self.part + 1) << variables)

    def point(self, total: int, point: Point) -> Point:
        """In a box of 2^total cells, the point that is this one in the part."""
        fixed = total - len(point)
        return (*((self.part >> bit & 1, 0, 0) for bit in reversed(range(fixed))), *point)


@dataclass(frozen=True)
class RangePiece:
    """One lookup argument.

    Attributes:
        instance: its tables and blocks.
        sites: the boxes that it is about.
        starts: for each table its smallest integer.
        multiplicities: for each table the vector's number in the witness.
    """

    instance: LookupInstance
    sites: tuple[RangeSite, ...]
    starts: tuple[int, ...]
    multiplicities: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RangePlan:
    """All that both sides know before the first message.

    Attributes:
        program: whose weights they are.
        pieces: the lookup arguments.
        layouts: of weights, private inputs, private outputs and witness, of which the middle two hold nothing.
        limbs: by number, of the weights that are looked up limb by limb.
    """

    program: Program
    pieces: tuple[RangePiece, ...]
    layouts: tuple[Layout, Layout, Layout, Layout]
    limbs: dict[int, WeightLimbs]

    zeros_behind_weights: ClassVar[bool] = False
    """That there are zeros behind weights is part of what is to be shown."""

    @property
    def instances(self) -> tuple[LookupInstance, ...]:
        """The lookup arguments."""
        return tuple(piece.instance for piece in self.pieces)

    def cuts(self, weight: int) -> Cut:
        """How a weight is cut into boxes, its axis of one run included."""
        return self.layouts[WEIGHTS].cuts[weight]


AnyPlan: TypeAlias = Plan | RangePlan
"""What a proof is made of: one about runs of a program, or the one about its weights."""


def looked_up_whole(tensor: Tensor) -> bool:
    """Whether the range of a weight's bounds is one table."""
    rows = tensor.hi - tensor.lo + 1
    return rows <= SMALL_RANGE or rows <= min(LARGE_RANGE, 4 * tensor.size)


def behind_weight(tensor: Tensor) -> int:
    """What is looked up in the places behind a weight: the integer within its bounds that is nearest to zero."""
    return min(max(0, tensor.lo), tensor.hi)


def distance_bits(tensor: Tensor) -> tuple[int, ...]:
    """The limbs of each of the two distances of a weight's elements from its bounds."""
    return limb_bits((tensor.hi - tensor.lo).bit_length(), 2 * tensor.size)


class _Piece:
    """A piece under construction."""

    def __init__(self) -> None:
        self.tables: dict[tuple[int, int], int] = {}
        self.blocks: list[Block] = []
        self.sites: list[RangeSite] = []
        self.entries = 0

    def block(self, lo: int, rows: int, variables: int) -> int:
        table = self.tables.setdefault((lo, rows), len(self.tables))
        self.blocks.append(Block(table, variables))
        self.entries += 1 << variables
        return len(self.blocks) - 1


def _pieces(program: Program, limbs: dict[int, WeightLimbs], layout: Layout) -> Iterator[_Piece]:
    piece, log_entries = _Piece(), max(PIECE_ENTRIES, -(-layout.cells // PIECES)).bit_length() - 1
    for weight, (tensor, cut) in enumerate(zip(program.weights, layout.cuts, strict=True)):
        for number, box in enumerate(cut.boxes):
            variables = min(box.total, log_entries)
            for part in range(1 << (box.total - variables)):
                if piece.entries >= 1 << log_entries:
                    yield piece
                    piece = _Piece()
                if weight in limbs:
                    blocks = tuple(piece.block(0, 1 << bits, variables) for bits in 2 * limbs[weight].bits)
                else:
                    blocks = (piece.block(tensor.lo, tensor.hi - tensor.lo + 1, variables),)
                piece.sites.append(RangeSite(weight, number, part, blocks))
    yield piece


@lru_cache(maxsize=16)
def make_range_plan(program: Program) -> RangePlan:
    """The plan of the proof about a program's weights; the program has some, and `check_program` accepts it."""
    layout = weight_layout(program)
    vectors: list[Cut] = []
    limbs: dict[int, WeightLimbs] = {}
    for weight, tensor in enumerate(program.weights):
        if not looked_up_whole(tensor):
            bits, first = distance_bits(tensor), len(vectors)
            vectors += [layout.cuts[weight]] * (2 * len(bits))
            middle = first + len(bits)
            limbs[weight] = WeightLimbs(bits, (tuple(range(first, middle)), tuple(range(middle, len(vectors)))))
    pieces = []
    for piece in _pieces(program, limbs, layout):
        tables = tuple(RangeTable(rows, lo) for lo, rows in piece.tables)
        first = len(vectors)
        vectors += [cover((1 << table.variables,)) for table in tables]
        pieces.append(
            RangePiece(
                LookupInstance(tables, tuple(piece.blocks)),
                tuple(piece.sites),
                tuple(lo for lo, _ in piece.tables),
                tuple(range(first, len(vectors))),
            )
        )
    return RangePlan(program, tuple(pieces), (layout, Layout(()), Layout(()), Layout(tuple(vectors))), limbs)


def reduce_ranges(
    plan: RangePlan, channel: Channel, witness: ReductionWitness | None = None, *, lookup_grinding: int = 0
) -> list[CommittedClaim]:
    """Reduce the statement to claims about committed vectors; arguments and errors as for `reduce_statement`."""
    challenges = draw_challenges(plan.instances, channel, grinding=lookup_grinding)
    done: list[CommittedClaim] = []

    def claim(matrix: int, vector: int, box: int, point: Point, value: AffineForm) -> None:
        done.append(CommittedClaim((CommittedTerm(matrix, vector, box=box, point=point),), value))

    def claim_weight(site: RangeSite, point: Point, value: AffineForm) -> None:
        """What is looked up on a box, from which what is committed differs behind the weight."""
        cut = plan.cuts(site.weight)
        box = cut.boxes[site.box]
        if math.prod(cut.inside(box)) == 1 << box.total:
            claim(WEIGHTS, site.weight, site.box, point, value)
            return
        looked_up = behind_weight(plan.program.weights[site.weight]) % P
        value = value - AffineForm(ext_scale(cut.padding_at(box, point), looked_up))
        claim(WEIGHTS, site.weight, site.box, point, value)
        inside = CommittedTerm(WEIGHTS, site.weight, eq_functional(cut.shape, box, point))
        done.append(CommittedClaim((inside,), value))

    behind = [box.total for part in plan.layouts[WEIGHTS].cuts if part.lengthened for box in part.boxes]
    if behind:
        channel.note(security.point(ZEROS, max(behind)))
    for number, piece in enumerate(plan.pieces):
        with nullcontext() if witness is None else witness.phase("lookups"):
            entries = None if witness is None else witness.lookups(number)
            found = run_trees(piece.instance, challenges, channel, entries)
            del entries  # two pieces are never in memory together
        for site in piece.sites:
            values = [found.blocks[block].values[0] for block in site.blocks]
            total = plan.cuts(site.weight).boxes[site.box].total
            point = site.point(total, found.blocks[site.blocks[0]].point)
            if site.weight not in plan.limbs:
                claim_weight(site, point, values[0])
                continue
            limbs, tensor = plan.limbs[site.weight], plan.program.weights[site.weight]
            for side, (end, sign) in enumerate(((tensor.lo, 1), (tensor.hi, -1))):
                element = AffineForm((end % P, 0, 0))
                own = values[side * len(limbs.bits) : (side + 1) * len(limbs.bits)]
                for place, vector, value in zip(limbs.places, limbs.vectors[side], own, strict=True):
                    claim(WITNESS, vector, site.box, point, value)
                    element = element + value.scale((sign * place % P, 0, 0))
                claim_weight(site, point, element)
        for vector, left in zip(piece.multiplicities, found.multiplicities, strict=True):
            claim(WITNESS, vector, 0, left.point, left.values[0])
    return done
