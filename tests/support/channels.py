"""Running a protocol on one side at a time, and provers that go on although what they prove is false."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

from zkinfer.protocol.channel import AffineForm, Channel, ProverChannel, Reader, VerifierChannel, Wire, Writer
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.pcs.claims import ClaimGroup, RowClaim
from zkinfer.protocol.pcs.params import OpeningParameters
from zkinfer.protocol.pcs.protocol import CLAIMS_CHECK, run_opening
from zkinfer.protocol.pcs.prover import MatrixWitness, OpenableMatrix
from zkinfer.protocol.sumcheck.params import Claim, Point
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

T = TypeVar("T")

Change = Callable[[int, str, list[Ext]], Sequence[Ext]]
"""Gets the number of a message, its label and elements, and returns what is sent."""


def unchanged(number: int, label: str, values: list[Ext]) -> Sequence[Ext]:
    """Sends what an honest prover sends."""
    return values


class LyingChannel(ProverChannel):
    """A prover's channel that changes messages on its own wire, and does not mind a check that fails.

    Attributes:
        labels: of the messages so far, and how many elements each has.
    """

    def __init__(
        self,
        transcript: Transcript,
        wire: Writer,
        pads: Sequence[Ext] | None = None,
        change: Change = unchanged,
    ) -> None:
        super().__init__(transcript, wire, pads)
        self.change = change
        self.labels: list[tuple[str, int]] = []

    def exchange(
        self,
        label: str,
        count: int,
        make: Callable[[], Sequence[Ext]] | None = None,
        wire: Wire | None = None,
    ) -> list[AffineForm]:
        if wire is not None:
            return super().exchange(label, count, make, wire)
        number = len(self.labels)
        self.labels.append((label, count))
        assert make is not None
        honest = make
        return super().exchange(label, count, lambda: self.change(number, label, list(honest())))

    def require_zero(self, check: str, form: AffineForm) -> None:
        if self._padded:
            super().require_zero(check, form)


def prove_on_channel(
    run: Callable[[Channel], T],
    pads: Sequence[Ext] | None = None,
    change: Change = unchanged,
    domain: bytes = b"test",
) -> tuple[bytes, T]:
    """The message of a prover, and what its side is left with; false statements are proven as well as they can be."""
    wire = Writer()
    result = run(LyingChannel(Transcript(domain), wire, pads, change))
    return wire.written, result


def verify_on_channel(run: Callable[[Channel], T], message: bytes, domain: bytes = b"test") -> T:
    """What a verifier is left with of a plain message; raises what it raises."""
    channel = VerifierChannel(Transcript(domain), Reader(message))
    result = run(channel)
    channel.finish()
    return result


def padded_verifier(message: bytes) -> VerifierChannel:
    """A verifier's channel of a padded message."""
    return VerifierChannel(Transcript(b"test"), Reader(message), padded=True)


def constants(claims: Sequence[Claim]) -> list[tuple[Point, tuple[Ext, ...]]]:
    """Points and values of claims about plain messages."""
    return [(claim.point, tuple(form.constant for form in claim.values)) for claim in claims]


def open_falsely(
    parameters: OpeningParameters,
    matrices: Sequence[OpenableMatrix],
    groups: Sequence[ClaimGroup],
    transcript: Transcript,
) -> bytes:
    """An opening by a prover who does not care whether the claims are true; its messages are honest."""
    wire = Writer()
    witness = MatrixWitness(parameters, matrices)
    run_opening(parameters, witness.commitments, groups, LyingChannel(transcript, wire), wire, witness)
    return wire.written


def public_claim(rows: IntArray, value: Ext) -> RowClaim:
    """A claim whose value everyone may know."""
    return RowClaim(rows, AffineForm(value))


def without_claims_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifier no longer checks that openings have the claimed values."""
    honest = VerifierChannel.require_zero

    def require_zero(self: VerifierChannel, check: str, form: AffineForm) -> None:
        if check != CLAIMS_CHECK:
            honest(self, check, form)

    monkeypatch.setattr(VerifierChannel, "require_zero", require_zero)
