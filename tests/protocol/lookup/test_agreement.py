"""Random lookup arguments: the fast verifier and the reference agree, on honest messages and on changed ones."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.channels import prove_on_channel, verify_on_channel
from support.plain_lookup import PlainWitness, multiplicities
from support.reference_statements import lookups

from zkinfer.errors import VerificationError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.lookup.tables import AffinePiece, ExplicitTable, LookupTable, PiecewiseTable, RangeTable
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import reference

Claims = list[tuple[tuple[Ext, ...], list[Ext]]]

several = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def random_table(rng: random.Random) -> LookupTable:
    """Up to 20 rows, of any kind."""
    rows, start = rng.randint(1, 20), rng.randint(-30, 30)
    match rng.randrange(3):
        case 0:
            return RangeTable(rows, start)
        case 1:
            firsts = sorted({0, *(rng.randrange(rows) for _ in range(rng.randrange(4)))})
            pieces = tuple(AffinePiece(first, rng.randint(-99, 99), rng.randint(-9, 9)) for first in firsts)
            return PiecewiseTable(rows, start, pieces)
    return ExplicitTable([[rng.randint(-99, 99) for _ in range(rows)] for _ in range(rng.randint(1, 3))])


def random_instance(rng: random.Random) -> LookupInstance:
    """One to three tables, up to six blocks of up to 8 entries."""
    tables = tuple(random_table(rng) for _ in range(rng.randint(1, 3)))
    numbers = [*range(len(tables)), *(rng.randrange(len(tables)) for _ in range(rng.randrange(4)))]
    rng.shuffle(numbers)
    return LookupInstance(tables, tuple(Block(number, rng.randrange(4)) for number in numbers))


def random_entries(rng: random.Random, instance: LookupInstance) -> list[list[list[int]]]:
    """For each block its columns, all entries in the table."""
    entries = []
    for block in instance.blocks:
        rows = list(zip(*(c.tolist() for c in instance.tables[block.table].column_values()), strict=True))
        chosen = [rng.choice(rows) for _ in range(1 << block.variables)]
        entries.append([list(column) for column in zip(*chosen, strict=True)])
    return entries


def fast_prove(instance: LookupInstance, entries: list[list[list[int]]]) -> bytes:
    witness = PlainWitness(instance, entries, multiplicities(instance, entries))
    return prove_on_channel(lambda channel: run_lookup(instance, channel, witness))[0]


def fast_verify(instance: LookupInstance, message: bytes) -> Claims:
    claims = verify_on_channel(lambda channel: run_lookup(instance, channel), message)
    return [(claim.point, [v.constant for v in claim.values]) for claim in claims.blocks + claims.multiplicities]


def reference_verify(instance: LookupInstance, message: bytes) -> Claims:
    channel = reference.Channel(Transcript(b"test"), message, padded=False)
    blocks, multiplicities = reference.verify_lookups(lookups(instance), channel)
    channel.finish()
    return [(point, [value.constant for value in values]) for point, values in blocks + multiplicities]


def accepted(instance: LookupInstance, message: bytes) -> bool:
    """Whether the verifiers, which must agree and leave the same claims, accept."""
    results: list[Claims | None] = []
    for verifier in (fast_verify, reference_verify):
        try:
            results.append(verifier(instance, message))
        except VerificationError:
            results.append(None)
    assert results[0] == results[1]
    return results[0] is not None


@several
@given(seed=st.integers(0, 2**32))
def test_both_accept_honest_messages(seed: int) -> None:
    rng = random.Random(seed)
    instance = random_instance(rng)
    assert accepted(instance, fast_prove(instance, random_entries(rng, instance)))


@several
@given(seed=st.integers(0, 2**32))
def test_both_refuse_changed_messages(seed: int) -> None:
    rng = random.Random(seed)
    instance = random_instance(rng)
    message = fast_prove(instance, random_entries(rng, instance))
    at = 7 * rng.randrange(len(message) // 7)
    value = (int.from_bytes(message[at : at + 7], "little") + rng.randrange(1, P)) % P
    for changed in (
        message[:at] + value.to_bytes(7, "little") + message[at + 7 :],
        message[:at] + P.to_bytes(7, "little") + message[at + 7 :],
        message[:at],
        message + bytes(21),
    ):
        assert not accepted(instance, changed)


@several
@given(seed=st.integers(0, 2**32))
def test_both_refuse_a_message_for_another_instance(seed: int) -> None:
    rng = random.Random(seed)
    instance, other = random_instance(rng), random_instance(rng)
    if instance != other:
        assert not accepted(other, fast_prove(instance, random_entries(rng, instance)))
