"""The two ends of the reduction: what is done with a message, apart from what it is for.

`reduce` is one function for prover and verifier. What differs is here: a verifier receives, checks and keeps what is
left as `AffineForm`s; the prover (`zkinfer.native.party`) first computes and sends, then does the same on a
mirror of the verifier's channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zkinfer.protocol import security
from zkinfer.protocol.channel import AffineForm, VerifierChannel
from zkinfer.protocol.field.encoding import EXT_BYTES
from zkinfer.protocol.field.scalar import ZERO, Ext, ext_neg
from zkinfer.protocol.lookup import verifier as lookup
from zkinfer.protocol.lookup.params import LookupClaims, LookupInstance
from zkinfer.protocol.pcs.claims import ClaimGroup, Residual, RowClaim
from zkinfer.protocol.reduction.box_functional import BoxFunctional
from zkinfer.protocol.reduction.contraction import Contraction
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.reduction.layout import RowBlock
from zkinfer.protocol.sumcheck import verifier as sumcheck
from zkinfer.protocol.sumcheck.params import Batch, Claim, Point
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray


@dataclass(frozen=True)
class BlockSum:
    """The cells of a unit of a matrix, weighed by a sum: coefficient * the weights of a part, on its box."""

    matrix: int
    unit: RowBlock
    parts: tuple[tuple[Ext, BoxFunctional], ...]


@dataclass(frozen=True)
class Group:
    """A claim for a matrix opening: sum_i rows[i] * row_i(column_point) = value."""

    column_point: Point
    rows: IntArray
    value: AffineForm


class VerifierParty:
    """The verifier's end.

    Args:
        channel: padded, at the state before the first message.
        lookup_grinding: bits of work done before the lookup argument.

    Attributes:
        terms: of the soundness of what was done so far.
    """

    def __init__(self, channel: VerifierChannel, lookup_grinding: int = 0) -> None:
        self.channel = channel
        self.terms: list[security.SoundnessTerm] = []
        self._lookup_grinding = lookup_grinding

    def challenge(self, label: str, combined: int = 2) -> Ext:
        """A challenge that depends on everything before; its powers combine so many claims."""
        self.terms.append(security.batching(label, combined))
        return self.channel.challenge(label)

    def outputs(self, variables: int) -> None:
        """All outputs are compared at ends of one point, of so many coordinates at most."""
        self.terms.append(security.point("outputs at a point", variables))

    def lookup(self, instance: LookupInstance) -> LookupClaims[AffineForm]:
        """The lookup argument."""
        trees = instance.stacks
        self.terms += [
            security.ground(
                security.logup("lookups", instance.lookups, instance.rows.filled, instance.columns),
                self._lookup_grinding,
            ),
            security.fractional_sums("fraction trees", max(tree.variables for tree in trees), len(trees)),
        ]
        return lookup.verify(instance, self.channel)

    def evaluations(self, label: str, functionals: Sequence[tuple[int, Functional]]) -> list[AffineForm]:
        """The values of functionals of values of the program."""
        return self.channel.receive(label, len(functionals))

    def summands(self, contractions: Sequence[Contraction]) -> list[AffineForm]:
        """The sums of contractions, where a claim has several parts."""
        return self.channel.receive("summands", len(contractions))

    def sums(self, label: str, sums: Sequence[Sequence[BlockSum]]) -> list[AffineForm]:
        """The values of sums of sums over units."""
        return self.channel.receive(label, len(sums))

    def contractions(
        self, batch: Batch, contractions: Sequence[Contraction], claims: Sequence[AffineForm]
    ) -> list[Claim[AffineForm]]:
        """One sumcheck for many contractions."""
        return self._sumcheck("sumcheck of contractions", batch, claims)

    def unit_sums(
        self, batch: Batch, sums: Sequence[BlockSum], claims: Sequence[AffineForm]
    ) -> list[Claim[AffineForm]]:
        """One sumcheck for many units."""
        return self._sumcheck("sumcheck of committed cells", batch, claims)

    def _sumcheck(self, name: str, batch: Batch, claims: Sequence[AffineForm]) -> list[Claim[AffineForm]]:
        self.terms += [
            security.sumcheck(name, batch.variables, batch.degree),
            security.batching(f"{name}, batched", len(claims)),
        ]
        return sumcheck.verify(batch, claims, self.channel)

    def require_zero(self, check: str, value: AffineForm) -> None:
        """A check of the protocol."""
        self.channel.require_zero(check, value)


class DryParty(VerifierParty):
    """The verifier's end without a prover: what has to be known before there is a proof.

    Attributes:
        contracted, summed: places that the sumchecks of contractions and of committed cells run over.
    """

    def __init__(self, lookup_grinding: int) -> None:
        super().__init__(_DryChannel(), lookup_grinding)
        self.contracted = self.summed = 0

    def contractions(
        self, batch: Batch, contractions: Sequence[Contraction], claims: Sequence[AffineForm]
    ) -> list[Claim[AffineForm]]:
        self.contracted += sum(1 << instance.variables for instance in batch.instances)
        return super().contractions(batch, contractions, claims)

    def unit_sums(
        self, batch: Batch, sums: Sequence[BlockSum], claims: Sequence[AffineForm]
    ) -> list[Claim[AffineForm]]:
        self.summed += sum(1 << instance.variables for instance in batch.instances)
        return super().unit_sums(batch, sums, claims)

    @property
    def cells(self) -> list[tuple[int, int] | None]:
        """The cells of the constraints so far."""
        return self.channel.constraints().cells


class _DryChannel(VerifierChannel):
    """Receives zeros, as many as are asked for."""

    def __init__(self) -> None:
        super().__init__(Transcript(b"dry run"), b"", padded=True)

    def receive(self, label: str, count: int) -> list[AffineForm]:
        self.extend(bytes(EXT_BYTES * count))
        return super().receive(label, count)


def row_claims(groups: Sequence[Group]) -> list[ClaimGroup]:
    """The groups as a matrix opening takes them: with the public part of every value."""
    return [ClaimGroup(group.column_point, (RowClaim(group.rows, group.value.constant),)) for group in groups]


def settle(
    channel: VerifierChannel,
    check: str,
    groups: Sequence[Group],
    residuals: Sequence[Residual],
    masks: Sequence[AffineForm],
) -> None:
    """Record what an opening leaves: residual = pad of the mask's value + weight * hidden part of the claim."""
    for group, residual, mask in zip(groups, residuals, masks, strict=True):
        (weight,) = residual.weights
        hidden = AffineForm(ZERO, group.value.cells).scale(weight) + mask
        channel.require_zero(check, hidden + AffineForm(ext_neg(residual.value)))
