"""Padded messages and the proof about their pads: the fast verifier and the reference agree.

They have the same variables and constraints, and accept or refuse the same messages and proofs.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_lookup import PlainWitness, multiplicities
from support.plain_sumcheck import instance_sum, plain_witness
from support.reference_statements import lookups, pad_sizes, summands

from zkinfer.errors import VerificationError
from zkinfer.protocol.channel import AffineForm, Channel, DryChannel, ProverChannel, Reader, VerifierChannel, Writer
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, ext_add, ext_mul
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.lookup.tables import RangeTable, step_table
from zkinfer.protocol.pads.params import PadParameters, soundness
from zkinfer.protocol.pads.protocol import absorb_root, run_pads_proof
from zkinfer.protocol.pads.prover import commit_pads
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.sumcheck.params import Batch, Instance, Monomial
from zkinfer.protocol.sumcheck.protocol import run_sumcheck
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import reference

SMALL = PadParameters(error_bits=12, query_grinding=2)
SIZES = pad_sizes(SMALL)


@dataclass(frozen=True)
class PaddedProtocol:
    """A protocol over a channel, and an honest prover of it.

    Attributes:
        fast: both sides of the fast protocol; a prover's channel makes it prove.
        reference: the reference verifier.
    """

    fast: Callable[[Channel], object]
    reference: Callable[[reference.Channel], object]


@dataclass(frozen=True)
class PaddedProof:
    """What a prover publishes."""

    root: bytes
    message: bytes
    about_pads: bytes


def three_values() -> PaddedProtocol:
    """x, y and z are sent; x y z and x + y are what they are."""
    x, y, z = values = [(3, 1, 4), (1, 5, 9), (2, 6, 5)]
    product, total = ext_mul(ext_mul(x, y), z), ext_add(x, y)

    def fast(channel: Channel) -> None:
        a, b, c = channel.exchange("values", 3, lambda: values)
        channel.require_zero("product", channel.multiply(channel.multiply(a, b), c) - AffineForm(product))
        channel.require_zero("sum", a + b - AffineForm(total))

    def by_reference(channel: reference.Channel) -> None:
        a, b, c = channel.receive("values", 3)
        channel.require_zero(channel.multiply(channel.multiply(a, b), c) - reference.AffineForm(product))
        channel.require_zero(a + b - reference.AffineForm(total))

    return PaddedProtocol(fast, by_reference)


def sums() -> PaddedProtocol:
    """Sums of products of up to three factors, over three and over one variable."""
    rng = random.Random(0)

    def element() -> Ext:
        return rng.randrange(P), rng.randrange(P), rng.randrange(P)

    terms = (Monomial(element(), (0, 1, 1)), Monomial(ONE, (0,)))
    batch = Batch((Instance(3, 2, terms), Instance(1, 2, terms, (element(),))))
    factors = [[[element() for _ in range(1 << one.variables)] for _ in range(2)] for one in batch.instances]
    true = [instance_sum(batch, one, own) for one, own in zip(batch.instances, factors, strict=True)]

    def fast(channel: Channel) -> object:
        witness = plain_witness(batch, factors) if isinstance(channel, ProverChannel) else None
        return run_sumcheck(batch, [AffineForm(value) for value in true], channel, witness)

    return PaddedProtocol(
        fast,
        lambda channel: reference.verify_sumcheck(channel, summands(batch), [reference.AffineForm(v) for v in true]),
    )


def looked_up() -> PaddedProtocol:
    """Two tables, and six entries in two blocks."""
    instance = LookupInstance((RangeTable(4), step_table(4, 0, 2)), (Block(0, 2), Block(1, 1)))
    entries = [[[0, 3, 3, 1]], [[1, 2], [0, 1]]]
    counts = multiplicities(instance, entries)

    def fast(channel: Channel) -> object:
        is_prover = isinstance(channel, ProverChannel)
        return run_lookup(instance, channel, PlainWitness(instance, entries, counts) if is_prover else None)

    return PaddedProtocol(fast, lambda channel: reference.verify_lookups(lookups(instance), channel))


def nothing_required() -> PaddedProtocol:
    """Elements that nothing is checked of: no products, no constraints."""
    return PaddedProtocol(
        lambda channel: channel.exchange("values", 3, lambda: [ONE, ONE, ONE]),
        lambda channel: channel.receive("values", 3),
    )


PROTOCOLS = {"product": three_values, "sumcheck": sums, "lookups": looked_up, "nothing": nothing_required}

Constraints = tuple[list[tuple[int, int] | None], list[tuple[Ext, dict[int, Ext]]]]
"""Variables, and the constant and the coefficients of each constraint."""


def begin(root: bytes) -> Transcript:
    transcript = Transcript(b"pads")
    absorb_root(transcript, root)
    return transcript


@cache
def proven(name: str) -> tuple[PaddedProtocol, PaddedProof]:
    protocol = PROTOCOLS[name]()
    dry = DryChannel()
    protocol.fast(dry)
    committed = commit_pads(dry.constraints().variables, SMALL, Randomness(bytes(32)))
    transcript, message, about_pads = begin(committed.root), Writer(), Writer()
    channel = ProverChannel(transcript, message, committed.pads)
    protocol.fast(channel)
    run_pads_proof(committed.sizes, committed.root, channel.constraints(), transcript, about_pads, committed)
    return protocol, PaddedProof(committed.root, message.written, about_pads.written)


def fast_verify(protocol: PaddedProtocol, proof: PaddedProof) -> Constraints:
    transcript = begin(proof.root)
    channel = VerifierChannel(transcript, Reader(proof.message), padded=True)
    protocol.fast(channel)
    constraints = channel.constraints()
    run_pads_proof(
        SMALL.sizes(len(constraints.variables)), proof.root, constraints, transcript, Reader(proof.about_pads)
    )
    return constraints.variables, [(one.form.constant, dict(one.form.variables)) for one in constraints.linear]


def reference_verify(protocol: PaddedProtocol, proof: PaddedProof) -> Constraints:
    transcript = begin(proof.root)
    channel = reference.Channel(transcript, proof.message)
    protocol.reference(channel)
    channel.finish()
    reference.verify_pads(channel, SIZES, proof.root, proof.about_pads)
    return channel.variables, [(one.constant, one.coefficients) for one in channel.constraints]


def accepted(protocol: PaddedProtocol, proof: PaddedProof) -> bool:
    """Whether the verifiers, which must agree and have the same constraints, accept."""
    results: list[Any] = []
    for verifier in (fast_verify, reference_verify):
        try:
            results.append(verifier(protocol, proof))
        except VerificationError:
            results.append(None)
    assert results[0] == results[1]
    return results[0] is not None


@pytest.mark.parametrize("name", PROTOCOLS)
def test_both_accept_an_honest_proof(name: str) -> None:
    protocol, proof = proven(name)
    assert accepted(protocol, proof)


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_both_refuse_a_proof_with_a_flipped_bit(name: str, place: int, bit: int) -> None:
    protocol, proof = proven(name)
    changed = bytearray(proof.about_pads)
    changed[place % len(changed)] ^= 1 << bit
    assert not accepted(protocol, PaddedProof(proof.root, proof.message, bytes(changed)))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_both_refuse_every_changed_element_of_the_message(name: str) -> None:
    protocol, proof = proven(name)
    for at in range(0, len(proof.message), 7):
        value = (int.from_bytes(proof.message[at : at + 7], "little") + 1) % P
        changed = proof.message[:at] + value.to_bytes(7, "little") + proof.message[at + 7 :]
        assert not accepted(protocol, PaddedProof(proof.root, changed, proof.about_pads))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_both_refuse_other_lengths_roots_and_encodings(name: str) -> None:
    protocol, proof = proven(name)
    for about in (b"", proof.about_pads[:-1], proof.about_pads + b"\0", proof.about_pads[21:]):
        assert not accepted(protocol, PaddedProof(proof.root, proof.message, about))
    for message in (b"", proof.message[:-1], proof.message + bytes(21), P.to_bytes(7, "little") + proof.message[7:]):
        assert not accepted(protocol, PaddedProof(proof.root, message, proof.about_pads))
    assert not accepted(protocol, PaddedProof(bytes(32), proof.message, proof.about_pads))


def test_both_refuse_the_proof_of_another_protocol() -> None:
    (product, proof), (nothing, other) = proven("product"), proven("nothing")
    assert not accepted(product, other)
    assert not accepted(nothing, proof)


@pytest.mark.parametrize("parameters", [SMALL, PadParameters()])
@pytest.mark.parametrize("variables", [0, 1, 248, 249, 760, 70_000])
def test_both_compute_the_same_sizes_and_errors(parameters: PadParameters, variables: int) -> None:
    fast, sizes = parameters.sizes(variables), pad_sizes(parameters)
    found = sizes.log_length(variables), sizes.queries(variables), sizes.point_grinding(variables)
    assert found == (fast.log_length, fast.queries, fast.point_grinding)
    assert sizes.errors(variables) == pytest.approx([term.error for term in soundness(fast)], rel=1e-9)
