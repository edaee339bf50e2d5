"""Stored batches of sumchecks: the fast verifier and the reference agree on each proof and on each change of it.

A vector's statement is plain data: for each instance its variables, number of factors, terms and point; the batch's
point; the claimed sums.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.channels import prove_on_channel, verify_on_channel
from support.plain_sumcheck import plain_witness
from support.reference_statements import summands

from zkinfer.errors import VerificationError
from zkinfer.protocol.channel import AffineForm
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, ext_add
from zkinfer.protocol.sumcheck.params import Batch, Instance, Monomial
from zkinfer.protocol.sumcheck.protocol import run_sumcheck
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "sumcheck.json").read_text())
NAMES = [vector["name"] for vector in VECTORS]

Claims = list[tuple[tuple[Ext, ...], list[Ext]]]
"""Points, and what the factors are claimed to be there."""


def element(numbers: list[int]) -> Ext:
    c0, c1, c2 = numbers
    return c0, c1, c2


def point_of(numbers: list[list[int]] | None) -> tuple[Ext, ...] | None:
    return None if numbers is None else tuple(map(element, numbers))


def batch_of(statement: dict[str, Any]) -> Batch:
    instances = tuple(
        Instance(
            i["variables"],
            i["factors"],
            tuple(Monomial(element(c), tuple(k)) for c, k in i["terms"]),
            point_of(i["point"]),
        )
        for i in statement["instances"]
    )
    return Batch(instances, point_of(statement["point"]))


def fast_prove(vector: dict[str, Any]) -> bytes:
    batch, sums = batch_of(vector["statement"]), sums_of(vector["statement"])
    factors: list[list[list[Ext]]] = [[[(v, 0, 0) for v in f] for f in instance] for instance in vector["factors"]]
    witness = plain_witness(batch, factors)
    return prove_on_channel(lambda channel: run_sumcheck(batch, sums, channel, witness), domain=b"vectors")[0]


def fast_verify(statement: dict[str, Any], message: bytes) -> Claims:
    batch, sums = batch_of(statement), sums_of(statement)
    claims = verify_on_channel(lambda channel: run_sumcheck(batch, sums, channel), message, b"vectors")
    return [(claim.point, [value.constant for value in claim.values]) for claim in claims]


def sums_of(statement: dict[str, Any]) -> list[AffineForm]:
    return [AffineForm(element(c)) for c in statement["claims"]]


def reference_verify(statement: dict[str, Any], message: bytes) -> Claims:
    channel = reference.Channel(Transcript(b"vectors"), message, padded=False)
    batch = batch_of(statement)
    sums = [reference.AffineForm(element(c)) for c in statement["claims"]]
    claims = reference.verify_sumcheck(channel, summands(batch), sums, batch.point)
    channel.finish()
    return [(point, [value.constant for value in values]) for point, values in claims]


def accepted(statement: dict[str, Any], message: bytes) -> bool:
    """Whether the verifiers, which must agree and leave the same claims, accept."""
    results: list[Claims | None] = []
    for verifier in (fast_verify, reference_verify):
        try:
            results.append(verifier(statement, message))
        except VerificationError:
            results.append(None)
    assert results[0] == results[1]
    return results[0] is not None


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_the_prover_still_makes_the_stored_proof(vector: dict[str, Any]) -> None:
    assert fast_prove(vector).hex() == vector["proof"]


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_both_accept_the_stored_proof_with_the_same_claims(vector: dict[str, Any]) -> None:
    assert accepted(vector["statement"], bytes.fromhex(vector["proof"]))


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_both_refuse_every_changed_element_and_claim(vector: dict[str, Any]) -> None:
    message = bytes.fromhex(vector["proof"])
    for at in range(0, len(message), 7):
        value = (int.from_bytes(message[at : at + 7], "little") + 1) % P
        changed = message[:at] + value.to_bytes(7, "little") + message[at + 7 :]
        assert not accepted(vector["statement"], changed)
    for i, claim in enumerate(vector["statement"]["claims"]):
        claims = list(vector["statement"]["claims"])
        claims[i] = list(ext_add(element(claim), ONE))
        assert not accepted(vector["statement"] | {"claims": claims}, message)


@settings(max_examples=60, deadline=None)
@given(vector=st.sampled_from(VECTORS), cut=st.integers(0, 60), bit=st.integers(0, 10**6), tail=st.binary(max_size=50))
def test_both_agree_on_damaged_proofs(vector: dict[str, Any], cut: int, bit: int, tail: bytes) -> None:
    whole = bytes.fromhex(vector["proof"])
    damaged = bytearray(whole[: len(whole) - cut])
    if damaged:
        damaged[bit // 8 % len(damaged)] ^= 1 << bit % 8
    for message in (bytes(damaged), bytes(damaged) + tail, whole + tail):
        assert accepted(vector["statement"], message) == (message == whole)
