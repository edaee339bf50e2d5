"""Sumcheck: honest proofs verify, slow and fast provers agree, and every changed message is refused."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError, ShapeError, VerificationError
from zkinfer.jit.threads import threads
from zkinfer.protocol.channel import AffineForm, ProverChannel, VerifierChannel
from zkinfer.protocol.field.encoding import EXT_BYTES
from zkinfer.protocol.field.kernels.arrays import ext_from_ints, from_ints
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, ext_add, mle
from zkinfer.protocol.sumcheck import prover, reference
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance, Monomial
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.verifier import verify
from zkinfer.protocol.transcript import Transcript

several = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def prove(example, pads=None):
    channel = ProverChannel(Transcript(b"test"), pads)
    claims = reference.prove(example.batch, example.factors, channel)
    return channel.message, claims


def prove_fast(example):
    channel = ProverChannel(Transcript(b"test"))
    tables = [FactorTables.of([ext_from_ints(f) for f in factors]) for factors in example.factors]
    claims = prover.prove(example.batch, tables, channel)
    return channel.message, claims


def accept(example, message, claims=None):
    channel = VerifierChannel(Transcript(b"test"), message)
    sums = example.claims if claims is None else claims
    reduced = verify(example.batch, [AffineForm(c) for c in sums], channel)
    channel.finish()
    return [Claim(c.point, tuple(v.constant for v in c.values)) for c in reduced]


@several
@given(data=st.data())
def test_honest_proofs_verify_and_their_claims_are_true(examples, data):
    example = data.draw(examples(4))
    message, claims = prove(example)
    assert len(message) == EXT_BYTES * example.batch.message_elements
    assert accept(example, message) == claims
    for claim, factors in zip(claims, example.factors, strict=True):
        assert claim.values == tuple(mle(f, claim.point) for f in factors)


@several
@given(data=st.data())
def test_slow_and_fast_agree_message_for_message(examples, data):
    example = data.draw(examples(9))
    assert prove_fast(example) == prove(example)


@pytest.mark.parametrize("weight", ["none", "own", "shared"])
@pytest.mark.parametrize("degree", [2, 3])
def test_slow_and_fast_agree_across_threads_and_blocks(example, degree, weight):
    """2^13 places make several blocks; two threads share them."""
    large = example(7, [13, 10], degree, weight)
    expected = prove(large)
    for count in (1, 2, 3):
        with threads(count):
            assert prove_fast(large) == expected


def test_points_share_their_last_coordinates(example):
    _, claims = prove(example(1, [4, 2, 0], 2, "own"))
    assert [len(c.point) for c in claims] == [4, 2, 0]
    assert claims[1].point == claims[0].point[2:]


@several
@given(data=st.data())
def test_padded_proofs_leave_constraints_that_the_pads_satisfy(examples, data):
    example = data.draw(examples(3))
    rng = random.Random(0)
    pads = [(rng.randrange(P), rng.randrange(P), rng.randrange(P)) for _ in range(example.batch.message_elements)]
    message, _ = prove(example, pads)
    channel = VerifierChannel(Transcript(b"test"), message, padded=True)
    verify(example.batch, [AffineForm(c) for c in example.claims], channel)
    constraints = channel.constraints()
    assert constraints.pads == len(pads)
    constraints.check(constraints.expand(pads))
    for index in range(len(pads)):
        wrong = list(pads)
        wrong[index] = ext_add(wrong[index], ONE)
        with pytest.raises(InvalidProofError):
            constraints.check(constraints.expand(wrong))


SMALL = [3, 1]


@pytest.mark.parametrize("weight", ["none", "own", "shared"])
def test_every_changed_element_is_refused(example, weight):
    honest = example(3, SMALL, 3, weight)
    message, claims = prove(honest)
    assert accept(honest, message) == claims
    for at in range(0, len(message), 7):
        changed = bytearray(message)
        changed[at : at + 7] = ((int.from_bytes(message[at : at + 7], "little") + 1) % P).to_bytes(7, "little")
        with pytest.raises(InvalidProofError):
            accept(honest, bytes(changed))


@pytest.mark.parametrize("weight", ["none", "own", "shared"])
def test_wrong_claims_are_refused(example, weight):
    honest = example(3, SMALL, 3, weight)
    message, _ = prove(honest)
    for k in range(len(SMALL)):
        claims = list(honest.claims)
        claims[k] = ext_add(claims[k], ONE)
        with pytest.raises(InvalidProofError):
            accept(honest, message, claims)
    with pytest.raises(InvalidProofError):
        accept(honest, message, honest.claims[::-1])


def test_missing_extra_and_swapped_rounds_are_refused(example):
    honest = example(3, [4], 2, "none")
    message, _ = prove(honest)
    size = 2 * EXT_BYTES
    rounds = [message[size * k : size * (k + 1)] for k in range(4)]
    rest = message[4 * size :]
    for order in ([0, 1, 2], [0, 1, 2, 3, 3], [1, 0, 2, 3], [], [0, 0, 1, 2, 3]):
        with pytest.raises(VerificationError):
            accept(honest, b"".join(rounds[k] for k in order) + rest)


def test_a_degree_too_high_or_too_low_is_refused(example):
    """Every round with one coefficient more (even zero) or less."""
    honest = example(3, [3], 2, "none")
    message, _ = prove(honest)
    size = 2 * EXT_BYTES
    rounds = [message[size * k : size * (k + 1)] for k in range(3)]
    longer = b"".join(r + bytes(EXT_BYTES) for r in rounds) + message[3 * size :]
    shorter = b"".join(r[:EXT_BYTES] for r in rounds) + message[3 * size :]
    for changed in (longer, shorter):
        with pytest.raises(VerificationError):
            accept(honest, changed)


@given(cut=st.integers(0, 10**6), extra=st.binary(max_size=30))
def test_truncated_and_extended_messages_are_malformed(example, cut, extra):
    honest = example(5, [2, 2], 2, "shared")
    message, _ = prove(honest)
    changed = message[: cut % (len(message) + 1)] + extra
    if changed != message:
        with pytest.raises(VerificationError):
            accept(honest, changed)


@settings(max_examples=200)
@given(noise=st.binary(max_size=600))
def test_any_bytes_raise_verification_errors_alone(example, noise):
    with pytest.raises(VerificationError):
        accept(example(5, [3, 1], 3, "own"), noise)


def test_elements_that_are_not_canonical_are_malformed(example):
    honest = example(3, SMALL, 2, "none")
    message, _ = prove(honest)
    for at in range(0, len(message), 7):
        value = int.from_bytes(message[at : at + 7], "little") + P
        with pytest.raises(MalformedProofError):
            accept(honest, message[:at] + value.to_bytes(7, "little") + message[at + 7 :])


def with_base_factors(example, rng, extreme=False):
    """The example with some factors in the base field, and the tables of the fast prover, which are told so.

    Extreme: all values at the ends of the balanced range, where sums are largest.
    """
    ends = (P // 2, P // 2 + 1)
    factors, tables = [], []
    for old in example.factors:
        new, arrays = [], []
        for values in old:
            numbers = [rng.choice(ends) for _ in values] if extreme else [v[0] for v in values]
            if rng.random() < 0.6:
                new.append([(v, 0, 0) for v in numbers])
                arrays.append(from_ints(numbers))
            else:
                new.append([(v, rng.choice(ends), rng.choice(ends)) for v in numbers] if extreme else values)
                arrays.append(ext_from_ints(new[-1]))
        factors.append(new)
        tables.append(FactorTables.of(arrays))
    return replace(example, factors=factors), tables


def prove_tables(batch, tables):
    channel = ProverChannel(Transcript(b"test"))
    return prover.prove(batch, tables, channel), channel.message


@several
@given(data=st.data(), seed=st.integers(0, 2**32), extreme=st.booleans())
def test_slow_and_fast_agree_where_factors_are_base_elements(examples, data, seed, extreme):
    """Base alone, extension alone and mixed, in terms with coefficients of either field."""
    rng = random.Random(seed)
    mixed, tables = with_base_factors(data.draw(examples(9)), rng, extreme)
    instances = list(mixed.batch.instances)
    for k in rng.sample(range(len(instances)), len(instances) // 2):
        chosen = [replace(t, coefficient=rng.choice([ONE, (7, 0, 0), (1, 2, 3)])) for t in instances[k].terms]
        instances[k] = replace(instances[k], terms=tuple(chosen))
    mixed = replace(mixed, batch=replace(mixed.batch, instances=tuple(instances)))
    message, claims = prove(mixed)
    assert prove_tables(mixed.batch, tables) == (claims, message)


@pytest.mark.parametrize("weight", ["none", "own", "shared"])
@pytest.mark.parametrize("degree", [2, 3])
def test_slow_and_fast_agree_on_base_elements_across_threads_and_blocks(example, degree, weight):
    large = example(7, [13, 10], degree, weight)
    expected = None
    for count in (1, 2, 3):
        mixed, tables = with_base_factors(large, random.Random(degree))
        assert any(t.base for t in tables)
        expected = expected or prove(mixed)[::-1]
        with threads(count):
            assert prove_tables(mixed.batch, tables) == expected


def test_a_high_degree_of_base_elements_stays_in_bounds():
    """From one end of the balanced range towards the other X = 9 is reached in nine steps, each reduced.

    Unreduced, the last step leads to an odd number above 2^53, which float64 does not have.
    """
    values = [P // 2] * 8 + [P // 2 + 2] * 8
    batch = Batch((Instance(4, 2, (Monomial(ONE, (0,) * 8 + (1,)),), point=((P // 2,) * 3,) * 4),))
    factors = [[(v, 0, 0) for v in values], [(v, v, v) for v in values]]
    channel = ProverChannel(Transcript(b"test"))
    claims = reference.prove(batch, [factors], channel)
    tables = FactorTables.of([from_ints(values), ext_from_ints(factors[1])])
    assert prove_tables(batch, [tables]) == (claims, channel.message)


@pytest.mark.parametrize("weight", [None, ((1, 2, 3), (0, P - 1, 5))])
def test_zero_to_two_variables_of_base_elements(weight):
    """With no variable there is no first round: the values themselves are what is left."""
    for n in range(3):
        values = [[5, P - 1, 7, P // 2][: 1 << n], [P // 2 + 1, 2, 0, 9][: 1 << n]]
        point = None if weight is None else weight[2 - n :]
        batch = Batch((Instance(n, 2, (Monomial(ONE, (0, 1)),)),), point)
        channel = ProverChannel(Transcript(b"test"))
        claims = reference.prove(batch, [[[(v, 0, 0) for v in column] for column in values]], channel)
        tables = FactorTables.of([from_ints(column) for column in values])
        assert prove_tables(batch, [tables]) == (claims, channel.message)


def test_base_elements_take_a_third_of_the_memory():
    tables = FactorTables.of([np.ones(1 << 12), np.ones((3, 1 << 12)), np.ones(1 << 12)])
    assert tables.base == {0, 2}
    assert tables.rows == (0, 1, 4, 5)
    assert tables.flat.size == 5 * tables.stride
    assert [tables.factor(k).shape for k in range(3)] == [(1 << 12,), (3, 1 << 12), (1 << 12,)]


def test_a_zero_coordinate_of_the_point_is_proved_too():
    """Where eq vanishes at 1, the target does not give the polynomial there."""
    rng = random.Random(4)
    factors = [[(rng.randrange(P), 1, 2) for _ in range(16)] for _ in range(2)]
    batch = Batch((Instance(4, 2, (Monomial(ONE, (0, 1)),)),), point=(ZERO, ONE, ZERO, (5, 6, 7)))
    messages = []
    for run in (
        lambda c: reference.prove(batch, [factors], c),
        lambda c: prover.prove(batch, [FactorTables.of([ext_from_ints(f) for f in factors])], c),
    ):
        channel = ProverChannel(Transcript(b"test"))
        run(channel)
        messages.append(channel.message)
    assert messages[0] == messages[1]


TERM = Monomial(ONE, (0,))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Instance(-1, 1, (TERM,)),
        lambda: Instance(41, 1, (TERM,)),
        lambda: Instance(1, 1, ()),
        lambda: Instance(1, 1, (Monomial(ONE, ()),)),
        lambda: Instance(1, 1, (Monomial(ONE, (1,)),)),
        lambda: Instance(1, 2, (TERM,)),
        lambda: Instance(2, 1, (TERM,), point=(ONE,)),
        lambda: Batch(()),
        lambda: Batch((Instance(1, 1, (TERM,)),), point=()),
        lambda: Batch((Instance(1, 1, (TERM,), point=(ONE,)),), point=(ONE,)),
        lambda: verify(Batch((Instance(1, 1, (TERM,)),)), [], VerifierChannel(Transcript(b"test"), b"")),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(build):
    with pytest.raises(InvalidInputError):
        build()


@pytest.mark.parametrize("arrays", [[], [np.zeros(3)], [np.zeros(2), np.zeros(4)], [np.zeros((2, 4))]])
def test_tables_need_sizes_that_fit(arrays):
    with pytest.raises(ShapeError):
        FactorTables.of(arrays)


def test_tables_must_be_those_of_the_instance():
    batch = Batch((Instance(2, 1, (TERM,)),))
    with pytest.raises(ShapeError):
        prover.prove(batch, [FactorTables.of([np.zeros(8)])], ProverChannel(Transcript(b"test")))
