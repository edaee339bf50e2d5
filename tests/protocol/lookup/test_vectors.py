"""Stored lookup arguments: the fast verifier and the reference agree on each proof and on each change of it.

A vector's statement is plain data: tables by their kinds, and for each block its table and k.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.channels import prove_on_channel, verify_on_channel
from support.plain_lookup import PlainWitness, multiplicities
from support.reference_statements import lookups

from zkinfer.errors import VerificationError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.lookup.tables import AffinePiece, ExplicitTable, PiecewiseTable, RangeTable
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "lookup.json").read_text())
NAMES = [vector["name"] for vector in VECTORS]
DOMAIN = b"vectors"

Claims = list[tuple[tuple[Ext, ...], list[Ext]]]
"""Points, and what columns and then multiplicities are claimed to be there."""


def table_of(table: dict[str, Any]) -> RangeTable | PiecewiseTable | ExplicitTable:
    match table["kind"]:
        case "range":
            return RangeTable(table["rows"], table["start"])
        case "piecewise":
            return PiecewiseTable(table["rows"], table["start"], tuple(AffinePiece(*p) for p in table["pieces"]))
        case _:
            return ExplicitTable(tuple(map(tuple, table["columns"])))


def instance_of(statement: dict[str, Any]) -> LookupInstance:
    return LookupInstance(tuple(map(table_of, statement["tables"])), tuple(Block(*b) for b in statement["blocks"]))


def fast_prove(vector: dict[str, Any]) -> bytes:
    instance, entries = instance_of(vector["statement"]), vector["entries"]
    witness = PlainWitness(instance, entries, multiplicities(instance, entries))
    return prove_on_channel(lambda channel: run_lookup(instance, channel, witness), domain=DOMAIN)[0]


def fast_verify(statement: dict[str, Any], message: bytes, domain: bytes) -> Claims:
    instance = instance_of(statement)
    claims = verify_on_channel(lambda channel: run_lookup(instance, channel), message, domain)
    return [(claim.point, [v.constant for v in claim.values]) for claim in claims.blocks + claims.multiplicities]


def reference_verify(statement: dict[str, Any], message: bytes, domain: bytes) -> Claims:
    channel = reference.Channel(Transcript(domain), message, padded=False)
    blocks, multiplicities = reference.verify_lookups(lookups(instance_of(statement)), channel)
    channel.finish()
    return [(point, [value.constant for value in values]) for point, values in blocks + multiplicities]


def accepted(statement: dict[str, Any], message: bytes, domain: bytes = DOMAIN) -> bool:
    """Whether the verifiers, which must agree and leave the same claims, accept."""
    results: list[Claims | None] = []
    for verifier in (fast_verify, reference_verify):
        try:
            results.append(verifier(statement, message, domain))
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
def test_both_refuse_every_changed_element(vector: dict[str, Any]) -> None:
    message = bytes.fromhex(vector["proof"])
    for at in range(0, len(message), 7):
        value = (int.from_bytes(message[at : at + 7], "little") + 1) % P
        changed = message[:at] + value.to_bytes(7, "little") + message[at + 7 :]
        assert not accepted(vector["statement"], changed)


@settings(max_examples=60, deadline=None)
@given(vector=st.sampled_from(VECTORS), cut=st.integers(0, 10**6), bit=st.integers(0, 10**6), tail=st.binary())
def test_both_agree_on_damaged_proofs(vector: dict[str, Any], cut: int, bit: int, tail: bytes) -> None:
    whole = bytes.fromhex(vector["proof"])
    message = bytearray(whole[: -1 - cut % 40])
    message[bit // 8 % len(message)] ^= 1 << bit % 8
    for changed in (bytes(message), bytes(message) + tail, whole + tail):
        assert accepted(vector["statement"], changed) == (changed == whole)


def test_both_refuse_another_domain_and_another_statement() -> None:
    first, second = VECTORS[0], VECTORS[1]
    message = bytes.fromhex(first["proof"])
    assert not accepted(first["statement"], message, b"other")
    assert not accepted(second["statement"], message)
