"""Random batches of sumchecks: the fast verifier and the reference agree, on honest messages and on changed ones."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.channels import prove_on_channel, verify_on_channel
from support.plain_sumcheck import plain_witness
from support.reference_statements import summands
from support.sumchecks import Example, examples

from zkinfer.errors import VerificationError
from zkinfer.protocol.channel import AffineForm
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.sumcheck.protocol import run_sumcheck
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import reference

Claims = list[tuple[tuple[Ext, ...], list[Ext]]]

several = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def fast_prove(example: Example) -> bytes:
    sums = [AffineForm(c) for c in example.claims]
    witness = plain_witness(example.batch, example.factors)
    return prove_on_channel(lambda channel: run_sumcheck(example.batch, sums, channel, witness))[0]


def fast_verify(example: Example, sums: list[Ext], message: bytes) -> Claims:
    claimed = [AffineForm(c) for c in sums]
    claims = verify_on_channel(lambda channel: run_sumcheck(example.batch, claimed, channel), message)
    return [(claim.point, [value.constant for value in claim.values]) for claim in claims]


def reference_verify(example: Example, sums: list[Ext], message: bytes) -> Claims:
    channel = reference.Channel(Transcript(b"test"), message, padded=False)
    claimed = [reference.AffineForm(c) for c in sums]
    claims = reference.verify_sumcheck(channel, summands(example.batch), claimed, example.batch.point)
    channel.finish()
    return [(point, [value.constant for value in values]) for point, values in claims]


def accepted(example: Example, sums: list[Ext], message: bytes) -> bool:
    """Whether the verifiers, which must agree and leave the same claims, accept."""
    results: list[Claims | None] = []
    for verifier in (fast_verify, reference_verify):
        try:
            results.append(verifier(example, sums, message))
        except VerificationError:
            results.append(None)
    assert results[0] == results[1]
    return results[0] is not None


@several
@given(data=st.data())
def test_both_accept_honest_messages(data: st.DataObject) -> None:
    example = data.draw(examples(4))
    assert accepted(example, example.claims, fast_prove(example))


@several
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_both_refuse_changed_messages_and_sums(data: st.DataObject, seed: int) -> None:
    example, rng = data.draw(examples(3)), random.Random(seed)
    message = fast_prove(example)
    at = 7 * rng.randrange(len(message) // 7)
    value = (int.from_bytes(message[at : at + 7], "little") + rng.randrange(1, P)) % P
    for changed in (
        message[:at] + value.to_bytes(7, "little") + message[at + 7 :],
        message[:at] + P.to_bytes(7, "little") + message[at + 7 :],
        message[:at],
        message + bytes(21),
    ):
        assert not accepted(example, example.claims, changed)
    sums = list(example.claims)
    number = rng.randrange(len(sums))
    sums[number] = ((sums[number][0] + rng.randrange(1, P)) % P, *sums[number][1:])
    assert not accepted(example, sums, message)
