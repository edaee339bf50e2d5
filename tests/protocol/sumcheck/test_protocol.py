"""Sumcheck: honest proofs verify, slow and fast provers agree, and every changed message is refused."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.channels import constants, padded_verifier, prove_on_channel, verify_on_channel
from support.plain_sumcheck import plain_witness
from support.sumchecks import Example, Table, examples, make_example, sums_of

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError, ShapeError, VerificationError
from zkinfer.jit.threads import threads
from zkinfer.protocol.channel import AffineForm
from zkinfer.protocol.field.encoding import EXT_BYTES
from zkinfer.protocol.field.kernels.arrays import ext_from_ints, from_ints
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, mle
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance, Monomial, Point
from zkinfer.protocol.sumcheck.protocol import run_sumcheck
from zkinfer.protocol.sumcheck.prover import kernel_witness
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.witness import SumcheckWitness
from zkinfer.typing import FloatArray

several = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def forms(example: Example) -> list[AffineForm]:
    return [AffineForm(claim) for claim in example.claims]


def prove(example: Example, pads: list[Ext] | None = None) -> tuple[bytes, list[Claim]]:
    witness = plain_witness(example.batch, example.factors)
    return prove_on_channel(lambda channel: run_sumcheck(example.batch, forms(example), channel, witness), pads)


def prove_fast(example: Example) -> tuple[bytes, list[Claim]]:
    tables = [FactorTables.of([ext_from_ints(f) for f in factors]) for factors in example.factors]
    return prove_tables(example.batch, tables, example.claims)


def prove_tables(batch: Batch, tables: list[FactorTables], claims: list[Ext]) -> tuple[bytes, list[Claim]]:
    witness = kernel_witness(batch, tables)
    return prove_on_channel(lambda c: run_sumcheck(batch, [AffineForm(v) for v in claims], c, witness))


def accept(example: Example, message: bytes, claims: list[Ext] | None = None) -> list[Claim]:
    sums = example.claims if claims is None else claims
    return verify_on_channel(lambda c: run_sumcheck(example.batch, [AffineForm(v) for v in sums], c), message)


@several
@given(data=st.data())
def test_honest_proofs_verify_and_their_claims_are_true(data: st.DataObject) -> None:
    example = data.draw(examples(4))
    message, claims = prove(example)
    assert len(message) == EXT_BYTES * example.batch.message_elements
    assert accept(example, message) == claims
    for claim, factors in zip(claims, example.factors, strict=True):
        assert constants([claim]) == [(claim.point, tuple(mle(f, claim.point) for f in factors))]


@several
@given(data=st.data())
def test_slow_and_fast_agree_message_for_message(data: st.DataObject) -> None:
    example = data.draw(examples(9))
    assert prove_fast(example) == prove(example)


@pytest.mark.parametrize("weight", ["none", "own", "shared"])
@pytest.mark.parametrize("degree", [2, 3])
def test_slow_and_fast_agree_across_threads_and_blocks(degree: int, weight: str) -> None:
    """2^13 places make several blocks; two threads share them."""
    large = make_example(7, [13, 10], degree, weight)
    expected = prove(large)
    for count in (1, 2, 3):
        with threads(count):
            assert prove_fast(large) == expected


def test_points_share_their_last_coordinates() -> None:
    _, claims = prove(make_example(1, [4, 2, 0], 2, "own"))
    assert [len(c.point) for c in claims] == [4, 2, 0]
    assert claims[1].point == claims[0].point[2:]


@several
@given(data=st.data())
def test_padded_proofs_leave_constraints_that_the_pads_satisfy(data: st.DataObject) -> None:
    example = data.draw(examples(3))
    rng = random.Random(0)
    pads = [(rng.randrange(P), rng.randrange(P), rng.randrange(P)) for _ in range(example.batch.message_elements)]
    message, _ = prove(example, pads)
    channel = padded_verifier(message)
    run_sumcheck(example.batch, forms(example), channel)
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
def test_every_changed_element_is_refused(weight: str) -> None:
    honest = make_example(3, SMALL, 3, weight)
    message, claims = prove(honest)
    assert accept(honest, message) == claims
    for at in range(0, len(message), 7):
        changed = bytearray(message)
        changed[at : at + 7] = ((int.from_bytes(message[at : at + 7], "little") + 1) % P).to_bytes(7, "little")
        with pytest.raises(InvalidProofError):
            accept(honest, bytes(changed))


@pytest.mark.parametrize("weight", ["none", "own", "shared"])
def test_wrong_claims_are_refused(weight: str) -> None:
    honest = make_example(3, SMALL, 3, weight)
    message, _ = prove(honest)
    for k in range(len(SMALL)):
        claims = list(honest.claims)
        claims[k] = ext_add(claims[k], ONE)
        with pytest.raises(InvalidProofError):
            accept(honest, message, claims)
    with pytest.raises(InvalidProofError):
        accept(honest, message, honest.claims[::-1])


def test_missing_extra_and_swapped_rounds_are_refused() -> None:
    honest = make_example(3, [4], 2, "none")
    message, _ = prove(honest)
    size = 2 * EXT_BYTES
    rounds = [message[size * k : size * (k + 1)] for k in range(4)]
    rest = message[4 * size :]
    for order in ([0, 1, 2], [0, 1, 2, 3, 3], [1, 0, 2, 3], [], [0, 0, 1, 2, 3]):
        with pytest.raises(VerificationError):
            accept(honest, b"".join(rounds[k] for k in order) + rest)


def test_a_degree_too_high_or_too_low_is_refused() -> None:
    """Every round with one coefficient more (even zero) or less."""
    honest = make_example(3, [3], 2, "none")
    message, _ = prove(honest)
    size = 2 * EXT_BYTES
    rounds = [message[size * k : size * (k + 1)] for k in range(3)]
    longer = b"".join(r + bytes(EXT_BYTES) for r in rounds) + message[3 * size :]
    shorter = b"".join(r[:EXT_BYTES] for r in rounds) + message[3 * size :]
    for changed in (longer, shorter):
        with pytest.raises(VerificationError):
            accept(honest, changed)


@given(cut=st.integers(0, 10**6), extra=st.binary(max_size=30))
def test_truncated_and_extended_messages_are_malformed(cut: int, extra: bytes) -> None:
    honest = make_example(5, [2, 2], 2, "shared")
    message, _ = prove(honest)
    changed = message[: cut % (len(message) + 1)] + extra
    if changed != message:
        with pytest.raises(VerificationError):
            accept(honest, changed)


@settings(max_examples=200)
@given(noise=st.binary(max_size=600))
def test_any_bytes_raise_verification_errors_alone(noise: bytes) -> None:
    with pytest.raises(VerificationError):
        accept(make_example(5, [3, 1], 3, "own"), noise)


def test_elements_that_are_not_canonical_are_malformed() -> None:
    honest = make_example(3, SMALL, 2, "none")
    message, _ = prove(honest)
    for at in range(0, len(message), 7):
        value = int.from_bytes(message[at : at + 7], "little") + P
        with pytest.raises(MalformedProofError):
            accept(honest, message[:at] + value.to_bytes(7, "little") + message[at + 7 :])


def with_base_factors(
    example: Example, rng: random.Random, extreme: bool = False
) -> tuple[Example, list[FactorTables]]:
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


@several
@given(data=st.data(), seed=st.integers(0, 2**32), extreme=st.booleans())
def test_slow_and_fast_agree_where_factors_are_base_elements(data: st.DataObject, seed: int, extreme: bool) -> None:
    """Base alone, extension alone and mixed, in terms with coefficients of either field."""
    rng = random.Random(seed)
    mixed, tables = with_base_factors(data.draw(examples(9)), rng, extreme)
    instances = list(mixed.batch.instances)
    for k in rng.sample(range(len(instances)), len(instances) // 2):
        chosen = [replace(t, coefficient=rng.choice([ONE, (7, 0, 0), (1, 2, 3)])) for t in instances[k].terms]
        instances[k] = replace(instances[k], terms=tuple(chosen))
    mixed = replace(mixed, batch=replace(mixed.batch, instances=tuple(instances)))
    mixed = replace(mixed, claims=sums_of(mixed.batch, mixed.factors))
    assert prove_tables(mixed.batch, tables, mixed.claims) == prove(mixed)


@pytest.mark.parametrize("weight", ["none", "own", "shared"])
@pytest.mark.parametrize("degree", [2, 3])
def test_slow_and_fast_agree_on_base_elements_across_threads_and_blocks(degree: int, weight: str) -> None:
    large = make_example(7, [13, 10], degree, weight)
    expected = None
    for count in (1, 2, 3):
        mixed, tables = with_base_factors(large, random.Random(degree))
        assert any(t.base for t in tables)
        mixed = replace(mixed, claims=sums_of(mixed.batch, mixed.factors))
        expected = expected or prove(mixed)
        with threads(count):
            assert prove_tables(mixed.batch, tables, mixed.claims) == expected


def test_a_high_degree_of_base_elements_stays_in_bounds() -> None:
    """From one end of the balanced range towards the other X = 9 is reached in nine steps, each reduced.

    Unreduced, the last step leads to an odd number above 2^53, which float64 does not have.
    """
    values = [P // 2] * 8 + [P // 2 + 2] * 8
    batch = Batch((Instance(4, 2, (Monomial(ONE, (0,) * 8 + (1,)),), point=((P // 2,) * 3,) * 4),))
    factors = [[(v, 0, 0) for v in values], [(v, v, v) for v in values]]
    example = Example(batch, [factors], sums_of(batch, [factors]))
    tables = FactorTables.of([from_ints(values), ext_from_ints(factors[1])])
    assert prove_tables(batch, [tables], example.claims) == prove(example)


@pytest.mark.parametrize("weight", [None, ((1, 2, 3), (0, P - 1, 5))])
def test_zero_to_two_variables_of_base_elements(weight: Point | None) -> None:
    """With no variable there is no first round: the values themselves are what is left."""
    for n in range(3):
        values = [[5, P - 1, 7, P // 2][: 1 << n], [P // 2 + 1, 2, 0, 9][: 1 << n]]
        point = None if weight is None else weight[2 - n :]
        batch = Batch((Instance(n, 2, (Monomial(ONE, (0, 1)),)),), point)
        factors: list[list[Table]] = [[[(v, 0, 0) for v in column] for column in values]]
        example = Example(batch, factors, sums_of(batch, factors))
        tables = FactorTables.of([from_ints(column) for column in values])
        assert prove_tables(batch, [tables], example.claims) == prove(example)


def test_base_elements_take_a_third_of_the_memory() -> None:
    tables = FactorTables.of([np.ones(1 << 12), np.ones((3, 1 << 12)), np.ones(1 << 12)])
    assert tables.base == {0, 2}
    assert tables.rows == (0, 1, 4, 5)
    assert tables.flat.size == 5 * tables.stride
    assert [tables.factor(k).shape for k in range(3)] == [(1 << 12,), (3, 1 << 12), (1 << 12,)]


def test_a_zero_coordinate_of_the_point_is_proved_too() -> None:
    """Where eq vanishes at 1, the target does not give the polynomial there."""
    rng = random.Random(4)
    factors = [[(rng.randrange(P), 1, 2) for _ in range(16)] for _ in range(2)]
    batch = Batch((Instance(4, 2, (Monomial(ONE, (0, 1)),)),), point=(ZERO, ONE, ZERO, (5, 6, 7)))
    example = Example(batch, [factors], sums_of(batch, [factors]))
    assert prove_fast(example) == prove(example)


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
        lambda: verify_on_channel(lambda c: run_sumcheck(Batch((Instance(1, 1, (TERM,)),)), [], c), b""),
        lambda: SumcheckWitness(Batch((Instance(1, 1, (TERM,)),)), []),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(build: Callable[[], object]) -> None:
    with pytest.raises(InvalidInputError):
        build()


@pytest.mark.parametrize("arrays", [[], [np.zeros(3)], [np.zeros(2), np.zeros(4)], [np.zeros((2, 4))]])
def test_tables_need_sizes_that_fit(arrays: list[FloatArray]) -> None:
    with pytest.raises(ShapeError):
        FactorTables.of(arrays)


def test_tables_must_be_those_of_the_instance() -> None:
    batch = Batch((Instance(2, 1, (TERM,)),))
    with pytest.raises(ShapeError):
        kernel_witness(batch, [FactorTables.of([np.zeros(8)])])
