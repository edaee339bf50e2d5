"""The claims of one opening, at several column points, reduced to one at a common point.

Claim: for each group g, with row vector q_g, column point z_g and value v_g, and f_g(x) = sum_i q_(g,i) row_i(x),

    sum over x of  eq(z_g, x) f_g(x) = v_g.

One batch of sumchecks over the variables of a column's number leaves f_g(r) = e_g, all at one point r. So an opening
has two combinations, whatever is claimed of its rows.
"""

from collections.abc import Callable, Sequence

import numpy as np

from zkinfer.protocol import security
from zkinfer.protocol.channel import ZERO_FORM, Channel
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ext_powers
from zkinfer.protocol.pcs.claims import ClaimGroup, RowClaim
from zkinfer.protocol.reduction.reduce import noted_sumcheck
from zkinfer.protocol.sumcheck.params import Batch, Instance, Monomial
from zkinfer.protocol.sumcheck.witness import SumcheckWitness
from zkinfer.typing import IntArray

COLUMNS_SUMCHECK = "sumcheck of column points"
COMBINATION = (Monomial(ONE, (0,)),)

MakeColumns = Callable[[Batch, Sequence[IntArray]], SumcheckWitness]
"""The combinations of rows by these vectors, as a prover's sumcheck of a batch needs them."""


def join_columns(groups: Sequence[ClaimGroup], channel: Channel, make: MakeColumns | None = None) -> list[ClaimGroup]:
    """One group, of one claim, from which those of all groups, of one claim each, follow; none of none.

    Raises:
        VerificationError: the messages are malformed, or a check fails.
    """
    if len(groups) < 2:
        return list(groups)
    claims = [claim for group in groups for claim in group.claims]
    points = [group.column_point for group in groups]
    batch = Batch(tuple(Instance(len(point), 1, COMBINATION, point) for point in points))
    witness = None if make is None else make(batch, [claim.rows for claim in claims])
    reduced = noted_sumcheck(COLUMNS_SUMCHECK, batch, [claim.value for claim in claims], channel, witness)
    channel.note(security.batching("columns", len(claims)))
    rows, total = np.zeros_like(claims[0].rows), ZERO_FORM
    coefficients = ext_powers(channel.challenge("columns"), len(claims))
    for claim, left, coefficient in zip(claims, reduced, coefficients, strict=True):
        rows = (rows + modular.ext_mul(claim.rows, modular.from_exts([coefficient]))) % P
        total = total + left.values[0].scale(coefficient)
    return [ClaimGroup(reduced[0].point, (RowClaim(rows, total),))]
