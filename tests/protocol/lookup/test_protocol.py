"""Lookups: honest proofs verify, slow and fast provers agree, and every changed message is refused."""

import random
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import plain_lookup
from support.channels import constants, padded_verifier, prove_on_channel, verify_on_channel
from support.plain_lookup import PlainWitness, random_blocks

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError, VerificationError
from zkinfer.jit.threads import threads
from zkinfer.protocol.field.encoding import EXT_BYTES
from zkinfer.protocol.field.kernels.arrays import from_ints
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul, mle
from zkinfer.protocol.lookup import prover
from zkinfer.protocol.lookup.params import Block, LookupClaims, LookupInstance, Stack
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.lookup.prover import KernelWitness
from zkinfer.protocol.lookup.tables import ExplicitTable, LookupTable, RangeTable, affine_table, step_table
from zkinfer.protocol.transcript import Transcript

several = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Blocks = list[list[list[int]]]

tables: st.SearchStrategy[LookupTable] = st.one_of(
    st.builds(RangeTable, rows=st.integers(1, 70), start=st.integers(-100, 100)),
    st.builds(step_table, rows=st.integers(15, 18), start=st.just(-8), threshold=st.integers(-7, 6)),
    st.builds(affine_table, rows=st.integers(1, 17), start=st.just(-4), slope=st.integers(-9, 9), offset=st.just(5)),
    st.just(ExplicitTable(((1, 2, 3, 4, 5), (40, -50, 60, 7, 7), (0, 0, 1, 1, 2)))),
    st.just(ExplicitTable(((9, -2, 9, 4),))),
)


@st.composite
def instances(draw: st.DrawFn, max_variables: int) -> LookupInstance:
    chosen = draw(st.lists(tables, min_size=1, max_size=3))
    numbers = [*range(len(chosen)), *draw(st.lists(st.integers(0, len(chosen) - 1), max_size=3))]
    blocks = [Block(t, draw(st.integers(0, max_variables))) for t in draw(st.permutations(numbers))]
    return LookupInstance(tuple(chosen), tuple(blocks))


def prove(instance: LookupInstance, blocks: Blocks, pads: list[Ext] | None = None) -> tuple[bytes, LookupClaims]:
    witness = PlainWitness(instance, blocks, plain_lookup.multiplicities(instance, blocks))
    return prove_on_channel(lambda channel: run_lookup(instance, channel, witness), pads)


def prove_fast(instance: LookupInstance, blocks: Blocks) -> tuple[bytes, LookupClaims]:
    columns = [[from_ints(np.array(c, dtype=np.int64)) for c in block] for block in blocks]
    counts = prover.multiplicities(instance, columns)
    assert [c.tolist() for c in counts] == plain_lookup.multiplicities(instance, blocks)
    witness = KernelWitness(instance, columns, counts)
    return prove_on_channel(lambda channel: run_lookup(instance, channel, witness))


def accept(instance: LookupInstance, message: bytes) -> LookupClaims:
    return verify_on_channel(lambda channel: run_lookup(instance, channel), message)


@several
@given(instance=instances(4), seed=st.integers(0, 2**32))
def test_honest_proofs_verify_and_their_claims_are_true(instance: LookupInstance, seed: int) -> None:
    blocks = random_blocks(instance, seed)
    counts = plain_lookup.multiplicities(instance, blocks)
    message, claims = prove(instance, blocks)
    assert len(message) == EXT_BYTES * instance.message_elements
    assert accept(instance, message) == claims
    for left, committed in ((claims.blocks, blocks), (claims.multiplicities, [[c] for c in counts])):
        for claim, columns in zip(left, committed, strict=True):
            true = tuple(mle([(v, 0, 0) for v in column], claim.point) for column in columns)
            assert constants([claim]) == [(claim.point, true)]


@several
@given(instance=instances(6), seed=st.integers(0, 2**32))
def test_slow_and_fast_agree_message_for_message(instance: LookupInstance, seed: int) -> None:
    blocks = random_blocks(instance, seed)
    assert prove_fast(instance, blocks) == prove(instance, blocks)


@pytest.mark.parametrize("sizes", [[6], [7], [7, 6, 6], [6, 8, 6, 7]])
def test_full_stacks_of_one_column(sizes: list[int]) -> None:
    instance = LookupInstance((RangeTable(32, -9),), tuple(Block(0, k) for k in sizes))
    blocks = random_blocks(instance, 5)
    assert prove_fast(instance, blocks) == prove(instance, blocks)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads_change_nothing(count: int) -> None:
    """2^13 entries: more than one range of places."""
    instance = LookupInstance((RangeTable(256), step_table(16, -8, 3)), (Block(0, 12), Block(1, 11), Block(0, 11)))
    blocks = random_blocks(instance, 0)
    with threads(1):
        expected = prove_fast(instance, blocks)
    with threads(count):
        assert prove_fast(instance, blocks) == expected
    accept(instance, expected[0])


def test_all_claims_share_their_last_coordinates() -> None:
    instance = LookupInstance((RangeTable(8), RangeTable(4)), (Block(0, 4), Block(1, 2), Block(0, 3)))
    claims = prove(instance, random_blocks(instance, 1))[1]
    longest = claims.blocks[0].point
    for claim in claims.blocks + claims.multiplicities:
        assert claim.point == longest[len(longest) - len(claim.point) :]


@several
@given(instance=instances(3), seed=st.integers(0, 2**32))
def test_padded_proofs_leave_constraints_that_the_pads_satisfy(instance: LookupInstance, seed: int) -> None:
    rng = random.Random(seed)
    pads = [(rng.randrange(P), rng.randrange(P), rng.randrange(P)) for _ in range(instance.message_elements)]
    message, _ = prove(instance, random_blocks(instance, seed), pads)
    channel = padded_verifier(message)
    run_lookup(instance, channel)
    constraints = channel.constraints()
    assert constraints.pads == len(pads)
    constraints.check(constraints.expand(pads))
    for index in rng.sample(range(len(pads)), min(10, len(pads))):
        wrong = list(pads)
        wrong[index] = ext_add(wrong[index], ONE)
        with pytest.raises(InvalidProofError):
            constraints.check(constraints.expand(wrong))


def test_constraints_have_the_same_shape_whatever_is_proven() -> None:
    """Which variables there are and which of them a constraint may touch is public before anything is sent."""
    shapes = []
    for seed in (1, 2):
        rng = random.Random(seed)
        pads = [(rng.randrange(P), rng.randrange(P), rng.randrange(P)) for _ in range(SMALL.message_elements)]
        message, _ = prove(SMALL, random_blocks(SMALL, seed), pads)
        channel = padded_verifier(message)
        run_lookup(SMALL, channel)
        constraints = channel.constraints()
        touched = [(c.check, sorted(c.form.variables)) for c in constraints.linear]
        shapes.append((constraints.variables, touched))
    assert shapes[0] == shapes[1]


SMALL = LookupInstance((RangeTable(4), step_table(4, 0, 2)), (Block(0, 2), Block(1, 1), Block(0, 0)))


def test_every_changed_element_is_refused() -> None:
    """Any element plus 1. The entries fill 7 cells of 8, so that every check has something to say."""
    message, _ = prove(SMALL, random_blocks(SMALL, 3))
    accept(SMALL, message)
    for at in range(0, len(message), 7):
        value = (int.from_bytes(message[at : at + 7], "little") + 1) % P
        with pytest.raises(InvalidProofError):
            accept(SMALL, message[:at] + value.to_bytes(7, "little") + message[at + 7 :])


def test_exchanged_and_missing_elements_are_refused() -> None:
    message, _ = prove(SMALL, random_blocks(SMALL, 3))
    elements = [message[i : i + EXT_BYTES] for i in range(0, len(message), EXT_BYTES)]
    for k in range(len(elements) - 1):
        if elements[k] != elements[k + 1]:
            swapped = [*elements[:k], elements[k + 1], elements[k], *elements[k + 2 :]]
            with pytest.raises(InvalidProofError):
                accept(SMALL, b"".join(swapped))
        with pytest.raises(VerificationError):
            accept(SMALL, b"".join(elements[:k] + elements[k + 1 :]))
        with pytest.raises(VerificationError):
            accept(SMALL, b"".join(elements[: k + 1] + elements[k:]))


def test_elements_that_are_not_canonical_are_malformed() -> None:
    message, _ = prove(SMALL, random_blocks(SMALL, 3))
    for at in range(0, len(message), 7):
        value = int.from_bytes(message[at : at + 7], "little") + P
        with pytest.raises(MalformedProofError):
            accept(SMALL, message[:at] + value.to_bytes(7, "little") + message[at + 7 :])


@settings(max_examples=200)
@given(cut=st.integers(0, 10**6), noise=st.binary(max_size=900))
def test_any_bytes_raise_verification_errors_alone(cut: int, noise: bytes) -> None:
    message, _ = prove(SMALL, HONEST)
    changed = message[: cut % (len(message) + 1)] + noise
    if changed != message:
        with pytest.raises(VerificationError):
            accept(SMALL, changed)


HONEST = random_blocks(SMALL, 3)


@pytest.mark.parametrize(
    "other",
    [
        LookupInstance((RangeTable(4, 1), step_table(4, 0, 2)), SMALL.blocks),
        LookupInstance((RangeTable(4), step_table(4, 0, 1)), SMALL.blocks),
        LookupInstance(SMALL.tables, (Block(0, 2), Block(1, 0), Block(0, 1))),
        LookupInstance(SMALL.tables, (Block(0, 0), Block(1, 1), Block(0, 2))),
        LookupInstance(SMALL.tables, (Block(0, 2), Block(1, 1))),
    ],
)
def test_a_proof_is_for_its_instance_alone(other: LookupInstance) -> None:
    message, _ = prove(SMALL, HONEST)
    with pytest.raises(VerificationError):
        accept(other, message)


@pytest.mark.parametrize("label", ["lookup layer", "lookup child", "sumcheck point"])
@pytest.mark.parametrize("size", [5, 7])
def test_zero_challenges_are_proved_too(label: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where lambda, or a coordinate of a point, is zero, the fast prover takes its general way."""
    draw = Transcript.challenge_ext

    def zero(self: Transcript, name: str) -> Ext:
        return ZERO if name == label else draw(self, name)

    monkeypatch.setattr(Transcript, "challenge_ext", zero)
    instance = LookupInstance((RangeTable(8),), (Block(0, size),))
    blocks = random_blocks(instance, 0)
    assert prove_fast(instance, blocks) == prove(instance, blocks)


BAD_SHAPES = [
    [],
    HONEST[:2],
    [[HONEST[0][0], HONEST[0][0]], *HONEST[1:]],
    [[HONEST[0][0][:-1]], *HONEST[1:]],
]


@pytest.mark.parametrize("blocks", BAD_SHAPES)
def test_blocks_must_have_the_shapes_of_the_instance(blocks: Blocks) -> None:
    with pytest.raises(InvalidInputError):
        plain_lookup.multiplicities(SMALL, blocks)
    columns = [[np.array(c, dtype=np.float64) for c in block] for block in blocks]
    with pytest.raises(InvalidInputError):
        prover.multiplicities(SMALL, columns)


def test_multiplicities_must_have_the_shapes_of_the_tables() -> None:
    columns = [[np.array(c, dtype=np.float64) for c in block] for block in HONEST]
    with pytest.raises(InvalidInputError):
        KernelWitness(SMALL, columns, [np.zeros(4)])
    with pytest.raises(InvalidInputError):
        PlainWitness(SMALL, HONEST, [[0] * 4])


@pytest.mark.parametrize("wrong", [-1.0, 0.5, float(P), np.nan, np.inf])
def test_multiplicities_must_be_integers_in_range(wrong: float) -> None:
    columns = [[np.array(c, dtype=np.float64) for c in block] for block in HONEST]
    counts = prover.multiplicities(SMALL, columns)
    counts[0][1] = wrong
    with pytest.raises(InvalidInputError, match="multiplicity"):
        KernelWitness(SMALL, columns, counts)


def test_verifiers_need_no_prover_package() -> None:
    parts = ("lookup.protocol", "sumcheck.protocol", "pads.protocol")
    modules = ", ".join(f"zkinfer.protocol.{part}" for part in parts)
    code = (
        f"import sys\nfor name in ('numba', 'llvmlite', 'mpmath', 'onnx'): sys.modules[name] = None\nimport {modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("table", "outside"),
    [
        (RangeTable(8), (8,)),
        (RangeTable(5), (5,)),
        (RangeTable(5), (7,)),
        (step_table(5, 0, 2), (1, 1)),
        (step_table(5, 0, 2), (5, 1)),
        (affine_table(6, 0, 1, 1), (7, 8)),
        (ExplicitTable(((7, 3, 5),)), (8,)),
        (ExplicitTable(((0, 1, 2), (5, 6, 7))), (2, 6)),
        (ExplicitTable(((0, 1, 2), (5, 6, 7))), (3, 7)),
    ],
)
def test_an_entry_in_no_row_is_named(table: LookupTable, outside: tuple[int, ...]) -> None:
    """Among them the entries that follow the last given row, where the row is repeated."""
    instance = LookupInstance((table,), (Block(0, 1),))
    entry = [[int(column[0]), value] for column, value in zip(table.column_values(), outside, strict=True)]
    with pytest.raises(InvalidInputError, match="entry 1 of block 0"):
        plain_lookup.multiplicities(instance, [entry])
    with pytest.raises(InvalidInputError, match="entry 1 of block 0"):
        prover.multiplicities(instance, [[np.array(c, dtype=np.float64) for c in entry]])


@pytest.mark.parametrize(
    "build",
    [
        lambda: LookupInstance((), ()),
        lambda: LookupInstance((RangeTable(2),), ()),
        lambda: LookupInstance((RangeTable(2), RangeTable(4)), (Block(0, 1),)),
        lambda: LookupInstance((RangeTable(2),), (Block(0, 1), Block(1, 1))),
        lambda: LookupInstance((RangeTable(2),), (Block(0, -1),)),
        lambda: LookupInstance((RangeTable(2),), (Block(0, 41),)),
        lambda: LookupInstance((RangeTable(2),), (Block(0, 40), Block(0, 0))),
    ],
)
def test_instances_that_make_no_sense_are_refused(build: Callable[[], object]) -> None:
    with pytest.raises(InvalidInputError):
        build()


@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6), seed=st.integers(0, 2**32))
def test_a_stack_evaluates_as_its_vectors_do(sizes: list[int], seed: int) -> None:
    """Selectors times vectors, plus what is in the cells after the last."""
    rng = random.Random(seed)
    stack = Stack(tuple(sizes))
    cells = [(1, 0, 0)] * (1 << stack.variables)
    vectors = [[(rng.randrange(P), 0, 0) for _ in range(1 << k)] for k in sizes]
    for vector, offset in zip(vectors, stack.offsets, strict=True):
        assert offset % len(vector) == 0
        cells[offset : offset + len(vector)] = vector
    point = tuple((rng.randrange(P), rng.randrange(P), rng.randrange(P)) for _ in range(stack.variables))
    total = stack.unfilled(point)
    for vector, selector, k in zip(vectors, stack.selectors(point), sizes, strict=True):
        total = ext_add(total, ext_mul(selector, mle(vector, point[len(point) - k :])))
    assert total == mle(cells, point)
