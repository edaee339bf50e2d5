"""What is known of a proof before it is made: a dry run of its protocol, whose messages are all zeros."""

from dataclasses import dataclass
from functools import lru_cache

from zkinfer.protocol.channel import DryChannel, Variables
from zkinfer.protocol.native_proof.encoding import Header
from zkinfer.protocol.native_proof.protocol import reduce_to_openings
from zkinfer.protocol.pcs.copies import VEIL_ROWS, no_link
from zkinfer.protocol.pcs.params import Code
from zkinfer.protocol.reduction.opening import CELLS_SUMCHECK
from zkinfer.protocol.reduction.plan import WEIGHTS
from zkinfer.protocol.reduction.reduce import CONTRACTIONS_SUMCHECK, GATHER_SUMCHECK
from zkinfer.protocol.reduction.weight_ranges import AnyPlan
from zkinfer.protocol.security import SoundnessTerm


@dataclass(frozen=True)
class Shape:
    """What a dry run tells of proofs of a plan: the same for all of them.

    Attributes:
        variables: of the constraints on pads.
        weight_groups, witness_groups: groups of both openings.
        terms: of the soundness of the reduction.
        contracted: places that the sumchecks of contractions run over.
        summed: those of committed cells and gathered boxes.
    """

    variables: Variables
    weight_groups: int
    witness_groups: int
    terms: tuple[SoundnessTerm, ...]
    contracted: int
    summed: int


def make_shape(plan: AnyPlan, weights: Code, header: Header, log_copies: int = 0) -> Shape:
    """A dry run of the reduction, with these sizes."""
    channel = DryChannel()
    rows = plan.layouts[WEIGHTS].rows(weights.log_columns) + VEIL_ROWS
    claims = reduce_to_openings(
        plan,
        None,
        channel,
        (weights, header.opening.code),
        lookup_grinding=header.lookup_grinding,
        link=no_link(weights, rows, log_copies) if log_copies else None,
    )
    channel.reserve(len(claims.weights) + len(claims.witness))
    places = channel.places
    return Shape(
        channel.constraints().variables,
        len(claims.weights),
        len(claims.witness),
        tuple(channel.terms),
        places[CONTRACTIONS_SUMCHECK],
        places[CELLS_SUMCHECK] + places[GATHER_SUMCHECK],
    )


@lru_cache(maxsize=16)
def shape_of(plan: AnyPlan, weights: Code, header: Header, log_copies: int = 0) -> Shape:
    """The shape of a plan's proofs, with these sizes."""
    return make_shape(plan, weights, header, log_copies)
