"""A second verifier of batched sumchecks, written from docs/protocol/sumcheck-and-lookup.md alone.

Both verifiers read the stored vectors and must agree on every proof below. A vector's statement is plain data: for each
instance its variables, number of factors, terms and point; the batch's point; the claims.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zkinfer.protocol.sumcheck.verifier import verify

from zkinfer.errors import VerificationError
from zkinfer.protocol.channel import AffineForm, ProverChannel, VerifierChannel
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, eq, ext_add, ext_mul, ext_pow, ext_sub
from zkinfer.protocol.sumcheck import reference
from zkinfer.protocol.sumcheck.params import Batch, Instance, Monomial
from zkinfer.protocol.transcript import Transcript

VECTORS = json.loads((Path(__file__).parent / "vectors" / "sumcheck.json").read_text())
names = [v["name"] for v in VECTORS]
HALF = ((P + 1) // 2, 0, 0)


class RefusedError(Exception):
    """The proof is not accepted."""


def independent_verify(statement, message):
    """Section 2 of the protocol's text, plain."""
    transcript, position = Transcript(b"vectors"), 0

    def receive(label, count):
        nonlocal position
        piece = message[position : position + 21 * count]
        position += 21 * count
        numbers = [int.from_bytes(piece[i : i + 7], "little") for i in range(0, len(piece), 7)]
        if len(piece) != 21 * count or max(numbers, default=0) >= P:
            raise RefusedError
        transcript.absorb(label, piece)
        return [tuple(numbers[i : i + 3]) for i in range(0, len(numbers), 3)]

    instances = statement["instances"]
    shared = statement["point"]
    n = max(i["variables"] for i in instances)
    if shared is None:
        degree = max(max(len(k) for _, k in i["terms"]) + (i["point"] is not None) for i in instances)
    else:
        degree = max(len(k) for i in instances for _, k in i["terms"])

    base = transcript.challenge_ext("sumcheck batch") if len(instances) > 1 else ONE
    target = ZERO
    for i, claim in enumerate(statement["claims"]):
        target = ext_add(target, ext_mul(ext_pow(base, i), tuple(claim)))
    r = []
    for j in range(n):
        g = receive("sumcheck round", degree)
        r.append(transcript.challenge_ext("sumcheck point"))
        w = HALF if shared is None else tuple(shared[j])
        for k in range(1, degree + 1):
            target = ext_add(target, ext_mul(ext_sub(ext_pow(r[-1], k), w), g[k - 1]))
    left = []
    for i, instance in enumerate(instances):
        values = receive("sumcheck evaluations", instance["factors"])
        own = r[n - instance["variables"] :]
        scale = ext_pow(base, i)
        if shared is None:
            scale = ext_mul(scale, (pow(2, instance["variables"], P), 0, 0))
            if instance["point"] is not None:
                scale = ext_mul(scale, eq([tuple(x) for x in instance["point"]], own))
        for coefficient, factors in instance["terms"]:
            product = ext_mul(scale, tuple(coefficient))
            for k in factors:
                product = ext_mul(product, values[k])
            target = ext_sub(target, product)
        left.append((tuple(own), tuple(values)))
    if target != ZERO or position != len(message):
        raise RefusedError
    return left


def batch_of(statement):
    def point(given):
        return None if given is None else tuple(tuple(x) for x in given)

    instances = tuple(
        Instance(
            i["variables"], i["factors"], tuple(Monomial(tuple(c), tuple(k)) for c, k in i["terms"]), point(i["point"])
        )
        for i in statement["instances"]
    )
    return Batch(instances, point(statement["point"]))


def library_verify(statement, message):
    channel = VerifierChannel(Transcript(b"vectors"), message)
    claims = verify(batch_of(statement), [AffineForm(tuple(c)) for c in statement["claims"]], channel)
    channel.finish()
    return [(c.point, tuple(v.constant for v in c.values)) for c in claims]


def outcomes(statement, message):
    """What both verifiers say, None for a refusal."""
    results = []
    for function, refusal in ((library_verify, VerificationError), (independent_verify, RefusedError)):
        try:
            results.append(function(statement, message))
        except refusal:
            results.append(None)
    return results


@pytest.mark.parametrize("vector", VECTORS, ids=names)
def test_the_library_still_makes_the_stored_proof(vector):
    channel = ProverChannel(Transcript(b"vectors"))
    factors = [[[(v, 0, 0) for v in f] for f in instance] for instance in vector["factors"]]
    reference.prove(batch_of(vector["statement"]), factors, channel)
    assert channel.message.hex() == vector["proof"]


@pytest.mark.parametrize("vector", VECTORS, ids=names)
def test_both_accept_the_stored_proof_with_the_same_claims(vector):
    ours, independent = outcomes(vector["statement"], bytes.fromhex(vector["proof"]))
    assert ours is not None
    assert ours == independent


@pytest.mark.parametrize("vector", VECTORS, ids=names)
def test_both_refuse_every_changed_element_and_claim(vector):
    message = bytes.fromhex(vector["proof"])
    for at in range(0, len(message), 7):
        value = (int.from_bytes(message[at : at + 7], "little") + 1) % P
        changed = message[:at] + value.to_bytes(7, "little") + message[at + 7 :]
        assert outcomes(vector["statement"], changed) == [None, None]
    for i, claim in enumerate(vector["statement"]["claims"]):
        claims = list(vector["statement"]["claims"])
        claims[i] = ext_add(tuple(claim), ONE)
        assert outcomes(vector["statement"] | {"claims": claims}, message) == [None, None]


@settings(max_examples=60, deadline=None)
@given(vector=st.sampled_from(VECTORS), cut=st.integers(0, 60), bit=st.integers(0, 10**6), tail=st.binary(max_size=50))
def test_both_agree_on_damaged_proofs(vector, cut, bit, tail):
    whole = bytes.fromhex(vector["proof"])
    damaged = bytearray(whole[: len(whole) - cut])
    if damaged:
        damaged[bit // 8 % len(damaged)] ^= 1 << bit % 8
    for message in (bytes(damaged), bytes(damaged) + tail, whole + tail):
        ours, independent = outcomes(vector["statement"], message)
        assert ours == independent
