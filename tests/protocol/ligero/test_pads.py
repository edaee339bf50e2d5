"""The proof about the pads: honest padded proofs verify, every lie about pads and constraints is refused.

Most tests use a small code, whose soundness error is large but which draws enough columns to see what is changed here.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_lookup import PlainWitness, multiplicities

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
from zkinfer.protocol.field.encoding import EXT_BYTES, decode_ext, encode_ext
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_dot, ext_mul, ext_neg, ext_scale, ext_sub
from zkinfer.protocol.ligero import protocol as pads_protocol
from zkinfer.protocol.ligero import prover as pads_prover
from zkinfer.protocol.ligero.pads import (
    PadParameters,
    draw_coefficients,
    evaluate,
    interpolate,
    layout,
    polynomial_values,
)
from zkinfer.protocol.ligero.protocol import COLUMN_CHECK, LINEAR_CHECK, PRODUCT_CHECK, absorb_root, run_pads_proof
from zkinfer.protocol.ligero.prover import CommittedPads, commit_pads
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.lookup.tables import RangeTable, step_table
from zkinfer.protocol.merkle.paths import SALT_BYTES
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import Floats, IntArray

SMALL = PadParameters(log_dimension=5, log_length=9, queries=12)
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
    run_pads_proof(committed.tableau.parameters, committed.root, constraints, state, wire, committed)
    return wire.written


def verify_pads(
    parameters: PadParameters, root: bytes, constraints: PadConstraints, proof: bytes, state: Transcript
) -> None:
    run_pads_proof(parameters, root, constraints, state, Reader(proof, "proof about the pads"))


def test_a_verifier_checks_also_if_it_is_given_a_witness() -> None:
    """Who reads is who checks: no argument of a caller leaves a check out."""
    committed, prover_state, state, constraints = complete()
    proof = bytearray(prove_pads(committed, constraints, prover_state))
    proof[-1] ^= 1
    with pytest.raises(InvalidProofError):
        run_pads_proof(SMALL, committed.root, constraints, state, Reader(bytes(proof)), committed)


@pytest.mark.parametrize("parameters", [SMALL, PadParameters(4, 9, 13), PadParameters()])
def test_an_honest_proof_is_accepted(parameters: PadParameters) -> None:
    committed, prover_state, state, constraints = complete(parameters)
    proof = prove_pads(committed, constraints, prover_state)
    verify_pads(parameters, committed.root, constraints, proof, state)
    assert prover_state.challenge_ext("next") == state.challenge_ext("next")


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
    verify_pads(SMALL, committed.root, constraints, proof, state)


def test_the_default_parameters_give_129_bits() -> None:
    """One bit more than the whole proof needs, since it has other terms."""
    assert -math.log2(PadParameters().error) > 129


@pytest.mark.parametrize("arguments", [(1, 13, 1), (12, 13, 100), (8, 21, 150), (8, 13, 0), (8, 13, 256)])
def test_sizes_that_make_no_sense_are_refused(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInputError):
        PadParameters(*arguments)


def test_the_honest_prover_refuses_constraints_that_fail() -> None:
    committed, prover_state, _, constraints = complete(product=ext_add(PRODUCT, ONE))
    with pytest.raises(InvalidProofError, match="'product' fails"):
        prove_pads(committed, constraints, prover_state)


def test_the_honest_prover_refuses_other_variables() -> None:
    committed, prover_state, _, constraints = complete()
    with pytest.raises(InvalidInputError):
        prove_pads(committed, PadConstraints([None], constraints.linear), prover_state)


def refused_by(
    check: str,
    monkeypatch: Patch,
    committed: CommittedPads,
    constraints: PadConstraints,
    run: Run,
    message: bytes,
    proof: bytes,
) -> None:
    """Refused by this check, and accepted once it is taken away: no other check sees the lie."""

    def verify() -> None:
        state, _ = constraints_of(run, committed.root, message)
        verify_pads(SMALL, committed.root, constraints, proof, state)

    with pytest.raises(InvalidProofError, match=check):
        verify()
    honest = pads_protocol.require
    with monkeypatch.context() as patch:
        if check == MERKLE_CHECK:
            patch.setattr(pads_protocol, "check_leaves", lambda *_: None)
        patch.setattr(pads_protocol, "require", lambda name, holds: honest(name, holds or name == check))
        verify()


def cheat(monkeypatch: Patch, committed: CommittedPads, constraints: PadConstraints, prover_state: Transcript) -> bytes:
    """The proof of a prover who does not look whether the constraints hold."""
    with monkeypatch.context() as patch:
        patch.setattr(PadConstraints, "check", lambda self, contents: None)
        return prove_pads(committed, constraints, prover_state)


def test_a_false_linear_constraint(monkeypatch: Patch) -> None:
    """Everything else is honest; the one check that fails is the linear one."""
    committed, prover_state, _, constraints = complete(product=ext_add(PRODUCT, ONE))
    proof = cheat(monkeypatch, committed, constraints, prover_state)
    run, message = product_check(ext_add(PRODUCT, ONE)), padded(committed)[1]
    refused_by(LINEAR_CHECK, monkeypatch, committed, constraints, run, message, proof)


def test_a_false_linear_constraint_hidden_by_the_polynomial(monkeypatch: Patch) -> None:
    """The prover sends a second polynomial whose sum is right: the columns do not give it."""
    run = product_check(ext_add(PRODUCT, ONE))
    committed, prover_state, _, constraints = complete(product=ext_add(PRODUCT, ONE))
    message = padded(committed)[1]
    proof = prove_shifted(monkeypatch, committed, constraints, prover_state)
    refused_by(COLUMN_CHECK, monkeypatch, committed, constraints, run, message, proof)


def test_columns_changed_after_they_were_drawn(monkeypatch: Patch) -> None:
    """The same, and the opened columns are made to fit the polynomial: they are not those of the root."""
    run = product_check(ext_add(PRODUCT, ONE))
    committed, prover_state, _, constraints = complete(product=ext_add(PRODUCT, ONE))
    message = padded(committed)[1]
    shift = linear_shift(committed, constraints)
    first = committed.tableau.data_words
    weight = draw_coefficients(committed.tableau, constraints, padded(committed)[0]).combination[first]
    leaves = committed.leaves.copy()
    for leaf in leaves:
        # The linear mask takes the shift, the mask of the combination takes out what that does to the combination.
        for word, change in ((first + 1, shift), (first, ext_neg(ext_mul(weight, shift)))):
            at = slice(SALT_BYTES + EXT_BYTES * word, SALT_BYTES + EXT_BYTES * (word + 1))
            (mask,) = decode_ext(leaf[at].tobytes(), 1)
            leaf[at] = np.frombuffer(encode_ext([ext_add(mask, change)]), dtype=np.uint8)
    proof = prove_shifted(monkeypatch, replace(committed, leaves=leaves), constraints, prover_state)
    refused_by(MERKLE_CHECK, monkeypatch, committed, constraints, run, message, proof)


def linear_shift(committed: CommittedPads, constraints: PadConstraints) -> Ext:
    """What to add to the second polynomial so that its sum over the data points is what it should be."""
    tableau, size = committed.tableau, SMALL.data
    drawn = draw_coefficients(tableau, constraints, padded(committed)[0])
    contents = PadConstraints(list(tableau.variables)).expand(committed.pads)
    held = dict(zip(tableau.places, contents, strict=True))
    for index, pair in enumerate(tableau.products):
        held |= {tableau.factor_place(index, which): contents[pair[which]] for which in (0, 1)}
    missing = drawn.right_side
    for place, content in held.items():
        weight = as_ext(drawn.weights[place // size, :, place % size])
        missing = ext_sub(missing, ext_mul(weight, content))
    return ext_scale(missing, pow(size, -1, P))


def prove_shifted(
    monkeypatch: Patch, committed: CommittedPads, constraints: PadConstraints, state: Transcript
) -> bytes:
    """The proof of a prover who adds `linear_shift` to the second polynomial."""
    shift = linear_shift(committed, constraints)
    honest = polynomial_values

    def shifted_values(*arguments: Any) -> IntArray:
        values = honest(*arguments)
        values[1] = (values[1] + np.array(shift)[:, None]) % P
        return values

    with monkeypatch.context() as patch:
        patch.setattr(pads_prover, "polynomial_values", shifted_values)
        return cheat(monkeypatch, committed, constraints, state)


@pytest.mark.parametrize("variable", range(3, 7))
def test_a_product_that_is_not_the_product(monkeypatch: Patch, variable: int) -> None:
    """A prover who commits to products that make a false constraint true."""
    run = product_check(PRODUCT)
    variables = variables_of(run)
    honest = PadConstraints.expand

    def expand(self: PadConstraints, pads: Sequence[Ext]) -> list[Ext]:
        contents = honest(self, pads)
        contents[variable] = ext_add(contents[variable], ONE)
        return contents

    with monkeypatch.context() as patch:
        patch.setattr(PadConstraints, "expand", expand)
        committed = commit_pads(variables, SMALL, Randomness(bytes(32)))
    prover_state, message = padded(committed)
    _, constraints = constraints_of(run, committed.root, message)
    # The lie is that the product constraint holds: take out what the wrong variable adds to it.
    last = constraints.linear[0].form
    shift = last.variables.get(variable, ZERO)
    linear = [LinearConstraint("product", last - AffineForm(shift)), *constraints.linear[1:]]
    false = PadConstraints(constraints.variables, linear)
    proof = cheat(monkeypatch, committed, false, prover_state)
    refused_by(PRODUCT_CHECK, monkeypatch, committed, false, run, message, proof)


@pytest.mark.parametrize("which", [0, 1])
def test_a_factor_that_is_not_the_variable_it_stands_for(monkeypatch: Patch, which: int) -> None:
    """x' y' = z holds in the words, but x' is not x: the factors' constraints are linear ones."""
    run = product_check(PRODUCT)
    tableau = layout(variables_of(run), SMALL)
    place = tableau.factor_place(0, which)
    product_place = (tableau.pad_words + 2 * tableau.product_words) * SMALL.data
    honest = pads_prover.interpolate

    def interpolate(parameters: PadParameters, values: IntArray) -> IntArray:
        factors = [as_ext(values[p // SMALL.data, :, p % SMALL.data]) for p in places]
        factors[which] = ext_add(factors[which], ONE)
        values[place // SMALL.data, :, place % SMALL.data] = factors[which]
        values[product_place // SMALL.data, :, product_place % SMALL.data] = ext_mul(*factors)
        return honest(parameters, values)

    places = [tableau.factor_place(0, 0), tableau.factor_place(0, 1)]
    with monkeypatch.context() as patch:
        patch.setattr(pads_prover, "interpolate", interpolate)
        committed = commit_pads(tableau.variables, SMALL, Randomness(bytes(32)))
    prover_state, message = padded(committed)
    _, constraints = constraints_of(run, committed.root, message)
    proof = cheat(monkeypatch, committed, constraints, prover_state)
    refused_by(LINEAR_CHECK, monkeypatch, committed, constraints, run, message, proof)


@pytest.mark.parametrize("word", range(4))
def test_a_word_that_is_far_from_every_codeword(monkeypatch: Patch, word: int) -> None:
    """Wrong in every second column, in none from which the prover computes the polynomials."""
    committed, _, _, _ = complete()
    honest = kernels.rs_encode

    def rs_encode(messages: Floats, length: int) -> Floats:
        codewords = honest(messages, length)
        if length == SMALL.length:
            codewords[3 * word, 1::2] = kernels.from_ints(kernels.to_ints(codewords[3 * word, 1::2]) + 1)
        return codewords

    with monkeypatch.context() as patch:
        patch.setattr(kernels, "rs_encode", rs_encode)
        committed = commit_pads(committed.tableau.variables, SMALL, Randomness(bytes(32)))
    prover_state, message = padded(committed)
    run = product_check(PRODUCT)
    _, constraints = constraints_of(run, committed.root, message)
    proof = cheat(monkeypatch, committed, constraints, prover_state)
    refused_by(COLUMN_CHECK, monkeypatch, committed, constraints, run, message, proof)


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
            verify_pads(SMALL, root, stated, proof, state)


def test_messages_without_products_or_constraints() -> None:
    def run(channel: Channel) -> object:
        return channel.exchange("values", 3)

    committed = commit_pads(variables_of(run), SMALL)
    prover_state, message = padded(committed)
    state, constraints = constraints_of(run, committed.root, message)
    proof = prove_pads(committed, constraints, prover_state)
    verify_pads(SMALL, committed.root, constraints, proof, state)


def as_ext(coordinates: IntArray) -> Ext:
    return cast("Ext", tuple(int(v) for v in coordinates))


def random_elements(*shape: int) -> IntArray:
    return np.random.default_rng(math.prod(shape)).integers(0, P, shape)


@pytest.mark.parametrize("parameters", [SMALL, PadParameters(4, 9, 13), PadParameters(8, 10, 3)])
def test_prover_and_verifier_find_the_polynomial_with_given_values(parameters: PadParameters) -> None:
    values = random_elements(2, 3, parameters.dimension)
    polynomials = interpolate(parameters, values)
    assert np.array_equal(evaluate(polynomials, parameters.coset), values)
    assert np.array_equal(pads_prover.interpolate(parameters, values), polynomials)


MANY = [*[None] * 30, (0, 1), (30, 2), (0, 0), *[(i, 29 - i) for i in range(25)], None, (33, 3)]
"""Variables of more than one word of pads and of products, with products of products."""


def test_weights_combine_the_constraints() -> None:
    """Places times weights, less the right side, is what the drawn combination of the constraints is."""
    values = [
        AffineForm((1, 2, 3), {0: ONE, 33: (4, 5, 6)}),
        AffineForm((7, 8, 9), {33: (1, 1, 1), 58: ONE}),
        AffineForm(ONE),
    ]
    constraints = PadConstraints(MANY, [LinearConstraint("some", value) for value in values])
    tableau = layout(MANY, SMALL)
    contents = modular.to_exts(random_elements(3, len(MANY)))
    factors = modular.to_exts(random_elements(3, 2 * len(tableau.products)))
    drawn = draw_coefficients(tableau, constraints, transcript(bytes(32)))

    state = transcript(bytes(32))
    state.challenge_exts("pads combination", tableau.words - 1)
    linear = state.challenge_exts("pads linear", len(values))
    copies = state.challenge_exts("pads factors", len(factors))
    expected = ZERO
    for r, value in zip(linear, values, strict=True):
        held = [contents[variable] for variable in value.variables]
        expected = ext_add(expected, ext_mul(r, ext_add(value.constant, ext_dot(list(value.variables.values()), held))))
    for index, pair in enumerate(tableau.products):
        for which in (0, 1):
            number = which * len(tableau.products) + index
            expected = ext_add(expected, ext_mul(copies[number], ext_sub(factors[number], contents[pair[which]])))

    places = dict(zip(tableau.places.tolist(), contents, strict=True))
    for number, factor in enumerate(factors):
        places[tableau.factor_place(number % len(tableau.products), number // len(tableau.products))] = factor
    assert len(places) == len(MANY) + len(factors)
    total = ext_neg(drawn.right_side)
    for place, content in places.items():
        weight = as_ext(drawn.weights[place // SMALL.data, :, place % SMALL.data])
        total = ext_add(total, ext_mul(weight, content))
    assert total == expected
    assert not drawn.weights[:, :, SMALL.data :].any()


def test_polynomial_values_word_by_word() -> None:
    """What the three polynomials are, written out for one point after another in plain Python."""
    tableau = layout(MANY, SMALL)
    constraints = PadConstraints(MANY, [LinearConstraint("some", AffineForm(ONE, {5: ONE}))])
    drawn = draw_coefficients(tableau, constraints, transcript(bytes(32)))
    points = SMALL.points[[1, 100]]
    columns, weights = random_elements(tableau.words, 3, 2), random_elements(tableau.data_words, 3, 2)
    found = polynomial_values(tableau, drawn, columns, weights, points)
    first, pieces = tableau.data_words, SMALL.mask_pieces
    for j, point in enumerate(points.tolist()):
        words, at = modular.to_exts(columns[:, :, j].T), modular.to_exts(weights[:, :, j].T)
        powers = [pow(point, i * SMALL.shift, P) for i in range(pieces)]
        sums = [words[first], ZERO, ZERO]
        for word, coefficient in zip(words[:first] + words[first + 1 :], drawn.combination, strict=True):
            sums[0] = ext_add(sums[0], ext_mul(coefficient, word))
        for test in (1, 2):
            masks = words[first + 1 + (test - 1) * pieces :][:pieces]
            for mask, power in zip(masks, powers, strict=True):
                sums[test] = ext_add(sums[test], ext_scale(mask, power))
        sums[1] = ext_add(sums[1], ext_dot(at, words[:first]))
        count = tableau.product_words
        for i, coefficient in enumerate(drawn.products):
            x, y, z = (words[tableau.pad_words + which * count + i] for which in range(3))
            sums[2] = ext_add(sums[2], ext_mul(coefficient, ext_sub(ext_mul(x, y), z)))
        assert modular.to_exts(found[:, :, j].T) == sums


PROVEN = complete()
PROOF = prove_pads(PROVEN[0], PROVEN[3], PROVEN[1])


def verdict(proof: bytes) -> None:
    committed, _, _, constraints = PROVEN
    state, _ = constraints_of(product_check(PRODUCT), committed.root, padded(committed)[1])
    verify_pads(SMALL, committed.root, constraints, proof, state)


def test_every_byte_counts() -> None:
    """Every 7th byte and its neighbour, of polynomials, columns, salts and paths."""
    verdict(PROOF)
    for at in [*range(0, len(PROOF), 7), *range(1, len(PROOF), 49)]:
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
    for at in range(0, 10 * EXT_BYTES, 7):
        value = int.from_bytes(PROOF[at : at + 7], "little") + P
        with pytest.raises(VerificationError):
            verdict(PROOF[:at] + value.to_bytes(7, "little") + PROOF[at + 7 :])


def test_words_hold_the_variables_and_masks_are_what_they_should_be() -> None:
    committed, *_ = complete()
    tableau, size = committed.tableau, SMALL.data
    words = kernels.to_ints(kernels.intt(committed.codewords)).reshape(tableau.words, 3, SMALL.length)
    assert not words[:, :, SMALL.dimension :].any(), "codewords are of polynomials of degree below k"
    values = evaluate(words[:, :, : SMALL.dimension], SMALL.coset[:size])
    contents = PadConstraints(list(tableau.variables)).expand(committed.pads)
    for place, content in zip(tableau.places, contents, strict=True):
        assert tuple(values[place // size, :, place % size]) == content
    starts = (tableau.data_words + 1, tableau.data_words + 1 + SMALL.mask_pieces)
    linear, product = (assembled(words[start : start + SMALL.mask_pieces, :, : SMALL.dimension]) for start in starts)
    for mask in (linear, product):
        assert not mask[:, SMALL.product_size :].any()
        assert mask[:, SMALL.product_size - 1].any()
    assert not (modular.evaluate(linear, SMALL.coset[:size]).sum(axis=1) % P).any()
    assert not modular.evaluate(product, SMALL.coset[:size]).any()


def assembled(pieces: IntArray) -> IntArray:
    """The mask that the pieces are made of: their sum, each times its power of X^shift."""
    total = np.zeros((3, SMALL.mask_pieces * SMALL.shift + SMALL.dimension), dtype=np.int64)
    for i, piece in enumerate(pieces):
        total[:, i * SMALL.shift : i * SMALL.shift + SMALL.dimension] += piece
    return total % P


class Given(Randomness):
    """Randomness that is one given vector."""

    def __init__(self, values: Iterable[int]) -> None:
        self.values = list(values)

    def elements(self, rows: int, columns: int) -> IntArray:
        taken, self.values = self.values[: rows * columns], self.values[rows * columns :]
        assert len(taken) == rows * columns
        return np.array(taken, dtype=np.int64).reshape(rows, columns)


def rank(matrix: Sequence[Sequence[int]]) -> int:
    """The rank modulo P, by elimination."""
    rows, found = [[int(v) % P for v in row] for row in matrix], 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(found, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        inverse = pow(rows[found][column], -1, P)
        for i in range(found + 1, len(rows)):
            factor = rows[i][column] * inverse % P
            rows[i] = [(x - factor * y) % P for x, y in zip(rows[i], rows[found], strict=True)]
        found += 1
    return found


TINY = PadParameters(log_dimension=3, log_length=5, queries=3)
OPENED = TINY.points[[1, 7, 30]]


def test_random_values_of_a_word_make_its_opened_values_uniform() -> None:
    """From the random cells to the values at any t columns: a bijection, whatever the data."""
    matrix = []
    for unit in np.eye(TINY.queries, dtype=np.int64):
        cells = np.concatenate([np.zeros(TINY.data, dtype=np.int64), unit])
        word = pads_prover.interpolate(TINY, cells.reshape(1, 1, -1))
        matrix.append(modular.evaluate(word[0], OPENED)[0])
    assert rank(matrix) == TINY.queries


def test_a_mask_and_the_opened_values_of_its_pieces_are_independent() -> None:
    """From mask and moved polynomials to mask and opened values of all pieces but the first: a bijection."""
    mask_size, moved = TINY.product_size, (TINY.mask_pieces - 1) * TINY.queries
    matrix = []
    for unit in np.eye(mask_size + moved, dtype=np.int64):
        mask = np.tile(unit[:mask_size], (3, 1))
        per_piece = unit[mask_size:].reshape(-1, TINY.queries)
        pieces = pads_prover._pieces(TINY, mask, Given([v for h in per_piece for v in np.tile(h, 3)]))
        opened = evaluate(pieces[1:], OPENED)[:, 0].reshape(-1)
        matrix.append([*unit[:mask_size], *opened])
    assert rank(matrix) == mask_size + moved


def test_masks_fill_the_spaces_in_which_the_polynomials_lie() -> None:
    """From the drawn elements: all polynomials whose data values add up to 0, and all that vanish there."""
    k, size, data = TINY.dimension, TINY.product_size, TINY.data
    drawn, shift, masks = k + size + (size - data), TINY.shift, []
    for unit in np.eye(drawn, dtype=np.int64):
        parts = np.split(unit, [k, k + size])
        moved = [0] * (2 * 3 * (TINY.mask_pieces - 1) * TINY.queries)
        words = pads_prover._masks(TINY, Given([v for part in parts for v in np.tile(part, 3)] + moved))[:, 0]
        for_test = words[1:].reshape(2, TINY.mask_pieces, k)
        assembled = np.zeros((2, TINY.mask_pieces * shift + k), dtype=np.int64)
        for i in range(TINY.mask_pieces):
            assembled[:, i * shift : i * shift + k] += for_test[:, i]
        masks.append([*words[0], *assembled.reshape(-1)])
    # The linear mask loses one dimension, the sum; the product mask one for each data point.
    assert rank(masks) == k + (size - 1) + (size - data)


def test_opened_columns_do_not_tell_what_was_sent() -> None:
    """Residues modulo 3 of messages and opened columns are uniform in every place, whatever is sent."""
    tiny, runs = PadParameters(log_dimension=2, log_length=4, queries=2), 400
    run = product_check(PRODUCT)
    variables = variables_of(run)
    statistics = []
    for elements in (ELEMENTS, [ZERO, ext_mul(ELEMENTS[0], ELEMENTS[1]), ELEMENTS[2]]):
        seen = []
        for seed in range(runs):
            committed = commit_pads(variables, tiny, Randomness(random.Random(seed).randbytes(32)))
            _, message = padded(committed, elements)
            numbers = [int.from_bytes(message[i : i + 7], "little") for i in range(0, len(message), 7)]
            columns = kernels.to_ints(committed.codewords[:, [3, 10]]).reshape(-1)
            seen.append([v % 3 for v in [*numbers, *map(int, columns)]])
        counts = np.array([(np.array(seen) == residue).sum(axis=0) for residue in range(3)])
        statistics.append(((counts - runs / 3) ** 2 / (runs / 3)).sum(axis=0))
    # 99.9999 % of a chi-square variable with 2 degrees of freedom lie below 27.7.
    assert max(statistics[0].max(), statistics[1].max()) < 27.7
