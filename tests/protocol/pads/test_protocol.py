"""The proof about the pads: honest padded proofs verify, every lie about pads and constraints is refused.

Most tests draw few columns: the soundness error is large, but what is changed here is seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_lookup import PlainWitness, multiplicities
from support.reference_statements import pad_sizes

from zkinfer.errors import InvalidInputError, InvalidProofError, VerificationError
from zkinfer.protocol.channel import (
    AffineForm,
    Channel,
    DryChannel,
    LinearConstraint,
    PadConstraints,
    ProverChannel,
    Reader,
    Variables,
    VerifierChannel,
    Writer,
)
from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.encoding import EXT_BYTES, decode_array, encode_array, encode_ext
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_dot, ext_mul, ext_neg, ext_scale, ext_sub
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.lookup.tables import RangeTable, step_table
from zkinfer.protocol.merkle.paths import SALT_BYTES
from zkinfer.protocol.pads import protocol as pads_protocol
from zkinfer.protocol.pads.params import Coefficients, PadParameters, PadSizes, draw_coefficients
from zkinfer.protocol.pads.protocol import COLUMN_CHECK, CONSTRAINT_CHECK, absorb_root, run_pads_proof
from zkinfer.protocol.pads.prover import CommittedPads, commit_pads
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.transcript import NONCE_BYTES, Transcript
from zkinfer.typing import Floats, IntArray
from zkinfer.verifier import reference

SMALL = PadParameters(error_bits=8, query_grinding=0)
ELEMENTS = [(3, 1, 4), (1, 5, 9), (2, 6, 5)]
Patch = pytest.MonkeyPatch
MERKLE_CHECK = "the opened columns are not those that were committed"
PRODUCT = ext_mul(ext_mul(*ELEMENTS[:2]), ELEMENTS[2])


Run = Callable[[Channel], object]
Completed = tuple[CommittedPads, Transcript, Transcript, PadConstraints]


def product_check(product: Ext, elements: Sequence[Ext] = ELEMENTS) -> Run:
    """A protocol that sends x, y, z and requires x y z = product and x + y = what it is."""

    def run(channel: Channel) -> None:
        x, y, z = channel.exchange("values", 3, lambda: elements)
        channel.require_zero("product", channel.multiply(channel.multiply(x, y), z) - AffineForm(product))
        channel.require_zero("sum", x + y - AffineForm(ext_add(*ELEMENTS[:2])))

    return run


def transcript(root: bytes) -> Transcript:
    result = Transcript(b"pads")
    absorb_root(result, root)
    return result


def variables_of(run: Run) -> Variables:
    """The variables that a protocol's constraints will have: a dry run tells."""
    channel = DryChannel()
    run(channel)
    return channel.constraints().variables


def padded(committed: CommittedPads, elements: Sequence[Ext] = ELEMENTS) -> tuple[Transcript, bytes]:
    """The prover's transcript and message, after sending the elements."""
    state, wire = transcript(committed.root), Writer()
    ProverChannel(state, wire, committed.pads).exchange("values", len(elements), lambda: elements)
    return state, wire.written


def constraints_of(run: Run, root: bytes, message: bytes) -> tuple[Transcript, PadConstraints]:
    """The verifier's transcript and constraints."""
    state = transcript(root)
    channel = VerifierChannel(state, Reader(message), padded=True)
    run(channel)
    return state, channel.constraints()


def complete(parameters: PadParameters = SMALL, product: Ext = PRODUCT, seed: bytes = bytes(32)) -> Completed:
    run = product_check(product)
    committed = commit_pads(variables_of(run), parameters, Randomness(seed))
    prover_state, message = padded(committed)
    state, constraints = constraints_of(run, committed.root, message)
    return committed, prover_state, state, constraints


def prove_pads(committed: CommittedPads, constraints: PadConstraints, state: Transcript) -> bytes:
    wire = Writer()
    run_pads_proof(committed.sizes, committed.root, constraints, state, wire, committed)
    return wire.written


def verify_pads(sizes: PadSizes, root: bytes, constraints: PadConstraints, proof: bytes, state: Transcript) -> None:
    run_pads_proof(sizes, root, constraints, state, Reader(proof, "proof about the pads"))


def test_a_verifier_checks_also_if_it_is_given_a_witness() -> None:
    """Who reads is who checks: no argument of a caller leaves a check out."""
    committed, prover_state, state, constraints = complete()
    proof = bytearray(prove_pads(committed, constraints, prover_state))
    proof[-1] ^= 1
    with pytest.raises(InvalidProofError):
        run_pads_proof(committed.sizes, committed.root, constraints, state, Reader(bytes(proof)), committed)


@pytest.mark.parametrize("parameters", [SMALL, PadParameters(20, 10), PadParameters()])
def test_an_honest_proof_is_accepted(parameters: PadParameters) -> None:
    committed, prover_state, state, constraints = complete(parameters)
    proof = prove_pads(committed, constraints, prover_state)
    verify_pads(committed.sizes, committed.root, constraints, proof, state)
    assert prover_state.challenge_ext("next") == state.challenge_ext("next")
    verify_by_reference(committed, PRODUCT, padded(committed)[1], proof, parameters)


def test_a_padded_lookup_is_accepted() -> None:
    instance = LookupInstance((RangeTable(4), step_table(4, 0, 2)), (Block(0, 2), Block(1, 1)))
    blocks = [[[0, 3, 3, 1]], [[1, 2], [0, 1]]]
    witness = PlainWitness(instance, blocks, multiplicities(instance, blocks))

    def run(channel: Channel) -> object:
        return run_lookup(instance, channel)

    committed = commit_pads(variables_of(run), SMALL)
    prover_state, wire = transcript(committed.root), Writer()
    run_lookup(instance, ProverChannel(prover_state, wire, committed.pads), witness)
    state, constraints = constraints_of(run, committed.root, wire.written)
    proof = prove_pads(committed, constraints, prover_state)
    verify_pads(committed.sizes, committed.root, constraints, proof, state)


@pytest.mark.parametrize("arguments", [(3, 0), (257, 8), (132, -1), (10, 10)])
def test_parameters_that_make_no_sense_are_refused(arguments: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError):
        PadParameters(*arguments)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 140), st.integers(0, 20))
def test_a_codeword_has_four_times_a_word_and_no_query_is_spare(variables: int, bits: int, grinding: int) -> None:
    sizes = PadParameters(bits, min(grinding, bits - 1)).sizes(variables)
    assert 4 * sizes.dimension <= sizes.length <= 8 * (variables + 2 * bits)
    assert sizes.dimension == variables + 1 + sizes.queries


def test_sizes_for_other_variables_are_refused() -> None:
    committed, _, state, constraints = complete()
    with pytest.raises(InvalidInputError, match="8 variables, not for 7"):
        run_pads_proof(SMALL.sizes(8), committed.root, constraints, state, Reader(b""))


def test_the_honest_prover_refuses_constraints_that_fail() -> None:
    committed, prover_state, _, constraints = complete(product=ext_add(PRODUCT, ONE))
    with pytest.raises(InvalidProofError, match="'product' fails"):
        prove_pads(committed, constraints, prover_state)


def test_the_honest_prover_refuses_other_variables() -> None:
    committed, prover_state, _, constraints = complete()
    other = PadConstraints([None] * len(constraints.variables), constraints.linear)
    with pytest.raises(InvalidInputError, match="other variables"):
        prove_pads(committed, other, prover_state)


BY_REFERENCE = {
    CONSTRAINT_CHECK: "the pads do not satisfy the constraints",
    COLUMN_CHECK: "the word about the pads is not that of the columns",
    MERKLE_CHECK: "columns",
}
"""The words of the reference for the checks."""


def verify_by_reference(
    committed: CommittedPads, product: Ext, message: bytes, proof: bytes, parameters: PadParameters = SMALL
) -> None:
    """The reference verifier, with the protocol of `product_check`."""
    channel = reference.Channel(transcript(committed.root), message)
    x, y, z = channel.receive("values", 3)
    channel.require_zero(channel.multiply(channel.multiply(x, y), z) - reference.AffineForm(product))
    channel.require_zero(x + y - reference.AffineForm(ext_add(*ELEMENTS[:2])))
    channel.finish()
    reference.verify_pads(channel, pad_sizes(parameters), committed.root, proof)


def refused_by(check: str, patch: Patch, committed: CommittedPads, product: Ext, message: bytes, proof: bytes) -> None:
    """Refused by this check, also of the reference, and accepted once it is taken away: no other check sees the lie."""

    def verify() -> None:
        state, constraints = constraints_of(product_check(product), committed.root, message)
        verify_pads(committed.sizes, committed.root, constraints, proof, state)

    with pytest.raises(InvalidProofError, match=check):
        verify()
    with pytest.raises(InvalidProofError, match=BY_REFERENCE[check]):
        verify_by_reference(committed, product, message, proof)
    honest = pads_protocol.require
    with patch.context() as taken:
        if check == MERKLE_CHECK:
            taken.setattr(pads_protocol, "check_leaves", lambda *_: None)
        taken.setattr(pads_protocol, "require", lambda name, holds: honest(name, holds or name == check))
        verify()


def cheat(patch: Patch, committed: CommittedPads, constraints: PadConstraints, prover_state: Transcript) -> bytes:
    """The proof of a prover who does not look whether the constraints hold."""
    with patch.context() as careless:
        careless.setattr(PadConstraints, "check", lambda self, contents: None)
        return prove_pads(committed, constraints, prover_state)


FALSE = product_check(ext_add(PRODUCT, ONE))
"""A protocol whose constraint does not hold."""


def test_a_false_linear_constraint(monkeypatch: Patch) -> None:
    """Everything else is honest."""
    committed, prover_state, _, constraints = complete(product=ext_add(PRODUCT, ONE))
    proof = cheat(monkeypatch, committed, constraints, prover_state)
    refused_by(CONSTRAINT_CHECK, monkeypatch, committed, ext_add(PRODUCT, ONE), padded(committed)[1], proof)


@pytest.mark.parametrize("variable", range(3, 7))
def test_a_product_that_is_not_the_product(monkeypatch: Patch, variable: int) -> None:
    """A prover who commits to another product, with which all linear constraints hold."""
    run, honest = product_check(PRODUCT), PadConstraints.expand
    variables = variables_of(run)
    assert variables[variable] is not None

    def expand(self: PadConstraints, pads: Sequence[Ext]) -> list[Ext]:
        contents = honest(self, pads)
        contents[variable] = ext_add(contents[variable], ONE)
        return contents

    with monkeypatch.context() as patch:
        patch.setattr(PadConstraints, "expand", expand)
        committed = commit_pads(variables, SMALL, Randomness(bytes(32)))
    prover_state, message = padded(committed)
    _, constraints = constraints_of(run, committed.root, message)
    # The product that is claimed takes up what the wrong variable adds to the constraint.
    form = constraints.linear[0].form
    claimed = ext_add(PRODUCT, form.variables.get(variable, ZERO))
    _, constraints = constraints_of(product_check(claimed), committed.root, message)
    proof = cheat(monkeypatch, committed, constraints, prover_state)
    refused_by(CONSTRAINT_CHECK, monkeypatch, committed, claimed, message, proof)


class Adapting(CommittedPads):
    """A prover whose word is changed in the mask, so that it gives the value of the line that was sent."""

    drawn: list[Coefficients]

    def line(self, drawn: Coefficients) -> bytes:
        self.drawn.append(drawn)
        return super().line(drawn)

    def word(self, point: Ext) -> bytes:
        return self.shifted(decode_word(super().word(point), self.sizes), self.missing(point))

    def missing(self, point: Ext) -> Ext:
        """What the honest word's mask would have to be greater by."""
        drawn = self.drawn[-1]
        values = [drawn.check_value(pads_protocol.joined(self.words, at), at) for at in (ZERO, ONE, point)]
        line = ext_add(values[0], ext_mul(point, ext_sub(values[1], values[0])))
        return ext_sub(line, values[2])

    def shifted(self, word: IntArray, missing: Ext) -> bytes:
        word[self.sizes.variables] = (word[self.sizes.variables] + np.array(missing)) % P
        return encode_array(word).tobytes()


def decode_word(word: bytes, sizes: PadSizes) -> IntArray:
    return decode_array(word, (sizes.dimension, 3)).copy()


def as_kind(kind: type[Adapting], committed: CommittedPads) -> Adapting:
    """The same commitment, of a prover that cheats."""
    prover = kind(**vars(committed))
    object.__setattr__(prover, "drawn", [])
    return prover


def test_a_word_that_is_not_that_of_the_columns(monkeypatch: Patch) -> None:
    """The constraint is false, and the word is changed to hide it."""
    committed, prover_state, _, constraints = complete(product=ext_add(PRODUCT, ONE))
    proof = cheat(monkeypatch, as_kind(Adapting, committed), constraints, prover_state)
    refused_by(COLUMN_CHECK, monkeypatch, committed, ext_add(PRODUCT, ONE), padded(committed)[1], proof)


class Rewriting(Adapting):
    """And its columns are changed to fit the word."""

    changes: Callable[[int], Ext]

    def word(self, point: Ext) -> bytes:
        missing, root = self.missing(point), self.sizes.points
        object.__setattr__(self, "changes", lambda j: ext_scale(missing, pow(int(root[j]), self.sizes.variables, P)))
        return super().word(point)

    def columns(self, indices: Sequence[int]) -> bytes:
        leaves = self.leaves[list(indices)].copy()
        for leaf, j in zip(leaves, indices, strict=True):
            at = slice(SALT_BYTES + EXT_BYTES, SALT_BYTES + 2 * EXT_BYTES)
            second = decode_array(leaf[at].tobytes(), (3,)).tolist()
            changed = ext_add((second[0], second[1], second[2]), self.changes(j))
            leaf[at] = np.frombuffer(encode_ext([changed]), dtype=np.uint8)
        return leaves.tobytes()


def test_columns_changed_after_they_were_drawn(monkeypatch: Patch) -> None:
    committed, prover_state, _, constraints = complete(product=ext_add(PRODUCT, ONE))
    proof = cheat(monkeypatch, as_kind(Rewriting, committed), constraints, prover_state)
    refused_by(MERKLE_CHECK, monkeypatch, committed, ext_add(PRODUCT, ONE), padded(committed)[1], proof)


@pytest.mark.parametrize("word", range(2))
def test_a_word_that_is_far_from_every_codeword(monkeypatch: Patch, word: int) -> None:
    """Wrong in every second column."""
    honest = kernels.rs_encode

    def rs_encode(messages: Floats, length: int) -> Floats:
        codewords = honest(messages, length)
        codewords[3 * word, 1::2] = kernels.from_ints(kernels.to_ints(codewords[3 * word, 1::2]) + 1)
        return codewords

    run = product_check(PRODUCT)
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "rs_encode", rs_encode)
        committed = commit_pads(variables_of(run), SMALL, Randomness(bytes(32)))
    prover_state, message = padded(committed)
    _, constraints = constraints_of(run, committed.root, message)
    proof = prove_pads(committed, constraints, prover_state)
    refused_by(COLUMN_CHECK, monkeypatch, committed, PRODUCT, message, proof)


def forgetting(label: str) -> Callable[[Transcript, str, bytes], None]:
    """`Transcript.absorb` that leaves one message out."""
    honest = Transcript.absorb
    return lambda self, name, data: None if name == label else honest(self, name, data)


class LateLine(CommittedPads):
    """A prover who knows the point before it sends the line, and sends one that has the right value there."""

    point: list[Ext]

    def line(self, drawn: Coefficients) -> bytes:
        point = self.point[0]
        return encode_ext([drawn.check_value(pads_protocol.joined(self.words, point), point), ZERO])


def test_a_line_that_is_sent_after_the_point_is_known(monkeypatch: Patch) -> None:
    """Were the line not absorbed before the point is drawn, it could be any that has its value there."""
    committed, prover_state, state, constraints = complete(product=ext_add(PRODUCT, ONE))
    late = LateLine(**vars(committed))
    with monkeypatch.context() as patch:
        patch.setattr(Transcript, "absorb", forgetting("pads line"))
        ahead, _ = constraints_of(FALSE, committed.root, padded(committed)[1])
        draw_coefficients(constraints, ahead)
        ahead.check_grind("pads point grinding", 0, 0)
        object.__setattr__(late, "point", [ahead.challenge_ext("pads point")])
        proof = cheat(monkeypatch, late, constraints, prover_state)
        verify_pads(committed.sizes, committed.root, constraints, proof, state)
    state, _ = constraints_of(FALSE, committed.root, padded(committed)[1])
    with pytest.raises(VerificationError):
        verify_pads(committed.sizes, committed.root, constraints, proof, state)
    with pytest.raises(VerificationError):
        verify_by_reference(committed, ext_add(PRODUCT, ONE), padded(committed)[1], proof)


class LateWord(Adapting):
    """A prover who knows the columns before it sends the word: it changes the word where no column shows it."""

    indices: list[int]

    def shifted(self, word: IntArray, missing: Ext) -> bytes:
        vanishing = [1]
        for j in self.indices:
            root = int(self.sizes.points[j])
            vanishing = [(a - root * b) % P for a, b in zip([0, *vanishing], [*vanishing, 0], strict=True)]
        by_one = ext_scale(missing, pow(vanishing[0], -1, P))
        for place, coefficient in enumerate(vanishing, start=self.sizes.variables):
            word[place] = (word[place] + np.array(ext_scale(by_one, coefficient))) % P
        return encode_array(word).tobytes()


def test_a_word_that_is_sent_after_the_columns_are_known(monkeypatch: Patch) -> None:
    committed, prover_state, state, constraints = complete(product=ext_add(PRODUCT, ONE))
    late, sizes, message = as_kind(LateWord, committed), committed.sizes, padded(committed)[1]
    with monkeypatch.context() as patch:
        patch.setattr(Transcript, "absorb", forgetting("pads word"))
        ahead, _ = constraints_of(FALSE, committed.root, message)
        ahead.absorb("pads line", committed.line(draw_coefficients(constraints, ahead)))
        ahead.check_grind("pads point grinding", 0, 0)
        ahead.challenge_ext("pads point")
        ahead.check_grind("pads query grinding", 0, 0)
        drawn = ahead.challenge_indices("pads queries", sizes.length, sizes.queries)
        object.__setattr__(late, "indices", sorted(set(drawn)))
        proof = cheat(monkeypatch, late, constraints, prover_state)
        verify_pads(sizes, committed.root, constraints, proof, state)
    state, _ = constraints_of(FALSE, committed.root, message)
    with pytest.raises(VerificationError):
        verify_pads(sizes, committed.root, constraints, proof, state)
    with pytest.raises(VerificationError):
        verify_by_reference(committed, ext_add(PRODUCT, ONE), message, proof)


def test_the_work_before_columns_is_checked(monkeypatch: Patch) -> None:
    """The nonce, which follows line, nonce and word, is one that shows nothing."""
    committed, prover_state, state, constraints = complete(PadParameters(20, 10))
    with monkeypatch.context() as patch:
        patch.setattr(Transcript, "solve", lambda self, label, bits: 0)
        patch.setattr(Transcript, "check_grind", checked_as(0))
        proof = prove_pads(committed, constraints, prover_state)
        patch.setattr(Transcript, "solve", None)
        verify_pads(committed.sizes, committed.root, constraints, proof, state)
    state, _ = constraints_of(product_check(PRODUCT), committed.root, padded(committed)[1])
    with pytest.raises(InvalidProofError, match="work"):
        verify_pads(committed.sizes, committed.root, constraints, proof, state)
    with pytest.raises(InvalidProofError, match="work"):
        verify_by_reference(committed, PRODUCT, padded(committed)[1], proof, PadParameters(20, 10))


def test_long_codewords_need_work_before_the_point(monkeypatch: Patch) -> None:
    variables = [None] * (1 << 14)
    sizes = SMALL.sizes(len(variables))
    assert (sizes.log_length, sizes.point_grinding) == (17, 2)
    committed, constraints = commit_pads(variables, SMALL, Randomness(bytes(32))), PadConstraints([*variables])
    with monkeypatch.context() as patch:
        patch.setattr(Transcript, "check_grind", checked_as(0))
        patch.setattr(Transcript, "solve", lambda self, label, bits: 1)
        proof = prove_pads(committed, constraints, transcript(committed.root))
    with pytest.raises(InvalidProofError, match="work"):
        verify_pads(sizes, committed.root, constraints, proof, transcript(committed.root))
    channel = reference.Channel(transcript(committed.root), b"")
    channel.variables.extend(variables)
    with pytest.raises(InvalidProofError, match="work"):
        reference.verify_pads(channel, pad_sizes(SMALL), committed.root, proof)
    proof = prove_pads(committed, constraints, transcript(committed.root))
    verify_pads(sizes, committed.root, constraints, proof, transcript(committed.root))


def checked_as(bits: int) -> Callable[[Transcript, str, int, int], None]:
    """`Transcript.check_grind` that asks for so many bits of work, whatever is asked of it."""
    honest = Transcript.check_grind
    return lambda self, label, asked, nonce: honest(self, label, bits, nonce)


def test_a_proof_is_for_its_root_messages_and_constraints() -> None:
    committed, prover_state, _, constraints = complete()
    proof = prove_pads(committed, constraints, prover_state)
    other = complete(seed=bytes([1] * 32))[0].root
    _, message = padded(committed)
    changed = padded(committed, [ELEMENTS[1], ELEMENTS[0], ELEMENTS[2]])[1]
    for root, sent, product in (
        (other, message, PRODUCT),
        (committed.root, changed, PRODUCT),
        (committed.root, message, ext_add(PRODUCT, ONE)),
    ):
        state, stated = constraints_of(product_check(product), root, sent)
        with pytest.raises(VerificationError):
            verify_pads(committed.sizes, root, stated, proof, state)


def test_messages_without_products_or_constraints() -> None:
    def run(channel: Channel) -> object:
        return channel.exchange("values", 3)

    committed = commit_pads(variables_of(run), SMALL)
    prover_state, message = padded(committed)
    state, constraints = constraints_of(run, committed.root, message)
    proof = prove_pads(committed, constraints, prover_state)
    verify_pads(committed.sizes, committed.root, constraints, proof, state)


MANY = [*[None] * 30, (0, 1), (30, 2), (0, 0), *[(i, 29 - i) for i in range(25)], None, (33, 3)]
"""Variables with products of products."""


def test_the_check_polynomial_written_out() -> None:
    """In plain Python, constraint by constraint."""
    forms = [
        AffineForm((1, 2, 3), {0: ONE, 33: (4, 5, 6)}),
        AffineForm((7, 8, 9), {33: (1, 1, 1), 58: ONE}),
        AffineForm(ONE),
    ]
    constraints = PadConstraints(MANY, [LinearConstraint("some", form) for form in forms])
    drawn, state = draw_coefficients(constraints, transcript(bytes(32))), transcript(bytes(32))
    linear = state.challenge_exts("pads linear", len(forms))
    products = iter(state.challenge_exts("pads products", sum(variable is not None for variable in MANY)))
    array = np.random.default_rng(0).integers(0, P, (3, len(MANY) + 5))
    word, point = modular.to_exts(array), (3, 1, 4)
    expected = word[len(MANY)]
    for r, form in zip(linear, forms, strict=True):
        total = ext_dot(list(form.variables.values()), [word[number] for number in form.variables])
        expected = ext_add(expected, ext_mul(ext_mul(point, r), ext_add(total, ext_mul(point, form.constant))))
    for number, pair in enumerate(MANY):
        if pair is not None:
            wrong = ext_sub(ext_mul(word[pair[0]], word[pair[1]]), ext_mul(point, word[number]))
            expected = ext_add(expected, ext_mul(next(products), wrong))
    assert drawn.check_value(array, point) == expected


PROVEN = complete()
PROOF = prove_pads(PROVEN[0], PROVEN[3], PROVEN[1])


def verdict(proof: bytes) -> None:
    committed, _, _, constraints = PROVEN
    state, _ = constraints_of(product_check(PRODUCT), committed.root, padded(committed)[1])
    verify_pads(committed.sizes, committed.root, constraints, proof, state)


def test_every_byte_counts() -> None:
    """Every third one, of line, nonces, word, columns, salts and paths."""
    verdict(PROOF)
    for at in range(0, len(PROOF), 3):
        changed = bytearray(PROOF)
        changed[at] ^= 1
        with pytest.raises(VerificationError):
            verdict(bytes(changed))


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, 10**6), noise=st.binary(max_size=200))
def test_any_bytes_raise_verification_errors_alone(cut: int, noise: bytes) -> None:
    changed = PROOF[: cut % (len(PROOF) + 1)] + noise
    if changed != PROOF:
        with pytest.raises(VerificationError):
            verdict(changed)


def test_elements_that_are_not_canonical_are_malformed() -> None:
    line, word = 2 * EXT_BYTES, EXT_BYTES * PROVEN[0].sizes.dimension
    for at in [*range(0, line, 7), *range(line + NONCE_BYTES, line + NONCE_BYTES + word, 7)]:
        value = int.from_bytes(PROOF[at : at + 7], "little") + P
        with pytest.raises(VerificationError):
            verdict(PROOF[:at] + value.to_bytes(7, "little") + PROOF[at + 7 :])


# What a proof shows


def explained(committed: CommittedPads, constraints: PadConstraints, pads: Sequence[Ext]) -> CommittedPads:
    """Words with other pads, to which line, word and opened columns of the same challenges belong as well.

    The mask makes up for what the other pads do to the line, the random elements of the first word for what they do to
    the opened columns, and the second word for what all of that does to the word.
    """
    sizes, state = committed.sizes, padded(committed)[0]
    drawn = draw_coefficients(constraints, state)
    state.absorb("pads line", committed.line(drawn))
    state.check_grind("pads point grinding", 0, 0)
    point = state.challenge_ext("pads point")
    state.absorb("pads word", committed.word(point))
    state.check_grind("pads query grinding", 0, 0)
    indices = sorted(set(state.challenge_indices("pads queries", sizes.length, sizes.queries)))
    first, word = committed.words[0].copy(), pads_protocol.joined(committed.words, point)
    contents = PadConstraints(list(committed.variables)).expand(pads)
    first[:, : sizes.variables] = modular.from_exts(contents)

    def second() -> IntArray:
        return pads_protocol.joined(np.stack([first, word]), ext_neg(point))

    def line(words: IntArray) -> tuple[Ext, Ext]:
        start, end = (drawn.check_value(pads_protocol.joined(words, at), at) for at in (ZERO, ONE))
        return start, ext_sub(end, start)

    missing = ext_sub(line(committed.words)[1], line(np.stack([first, second()]))[1])
    # The mask is in the slope as it is: of the second word it is in the start.
    first[:, sizes.variables] = (first[:, sizes.variables] + np.array(missing)) % P
    opened, free = sizes.points[indices], slice(sizes.dimension - len(indices), None)
    wrong = (modular.evaluate(committed.words[0], opened) - modular.evaluate(first, opened)) % P
    first[:, free] = (first[:, free] + solved(modular.powers(opened, sizes.dimension).T[:, free], wrong)) % P
    return replace(committed, words=np.stack([first, second()]), pads=list(pads))


def solved(matrix: IntArray, right: IntArray) -> IntArray:
    """x of shape (m, n) with matrix x_i = right_i for each i, modulo P, by elimination."""
    rows = [[int(v) for v in (*row, *column)] for row, column in zip(matrix, right.T, strict=True)]
    for pivot in range(len(rows)):
        at = next(i for i in range(pivot, len(rows)) if rows[i][pivot])
        rows[pivot], rows[at] = rows[at], rows[pivot]
        inverse = pow(rows[pivot][pivot], -1, P)
        rows[pivot] = [v * inverse % P for v in rows[pivot]]
        for i in range(len(rows)):
            if i != pivot:
                factor = rows[i][pivot]
                rows[i] = [(x - factor * y) % P for x, y in zip(rows[i], rows[pivot], strict=True)]
    return np.array([row[len(rows) :] for row in rows]).T


def test_a_proof_is_explained_by_other_pads_as_well() -> None:
    """x and y exchanged satisfy the same constraints, with the same messages and other pads.

    For each choice of these pads there is one choice of mask, random elements and second word that gives the same line,
    word and opened columns: so a proof has the same probability with either.
    """
    committed, prover_state, _, constraints = complete()
    proof = prove_pads(committed, constraints, prover_state)
    x, y, z = committed.pads
    apart = ext_sub(ELEMENTS[1], ELEMENTS[0])
    other = [ext_add(x, apart), ext_sub(y, apart), z]
    constraints.check(constraints.expand(other))
    lying = explained(committed, constraints, other)
    assert (lying.words[0, :, : committed.sizes.variables] != committed.words[0, :, : committed.sizes.variables]).any()
    codewords = kernels.rs_encode(kernels.from_ints(lying.words.reshape(6, -1)), lying.sizes.length)
    leaves = committed.leaves.copy()
    kernels.write_columns(codewords, leaves, SALT_BYTES)
    assert (leaves != committed.leaves).any(axis=1).sum() > committed.sizes.length // 2
    same = replace(lying, leaves=leaves)
    assert prove_pads(same, constraints, padded(committed)[0]) == proof
