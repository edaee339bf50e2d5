"""Cheating provers of openings: for each check of the verifier a lie that this check alone stops.

Each lie is tried twice: it is rejected, and it is accepted once the check is taken out.
"""

from collections.abc import Callable
from typing import Any

import pytest
from support.channels import public_claim, without_claims_check
from support.opening_prover import DOMAIN, SMALL, PlainProver, Statement, random_ext, row_vector
from support.reference_statements import verify_by_reference

from zkinfer.errors import InvalidProofError, MalformedProofError, VerificationError
from zkinfer.protocol import channel
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.encoding import decode_array
from zkinfer.protocol.field.modular import to_exts
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext
from zkinfer.protocol.pcs import protocol as verifier
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.protocol import CLAIMS_CHECK, verify_opening
from zkinfer.protocol.transcript import Transcript

Patch = pytest.MonkeyPatch


def accepted(prover: PlainProver, opening: bytes) -> None:
    verify_opening(prover.parameters, prover.commitments, prover.groups, opening, Transcript(DOMAIN))


def rejected(prover: PlainProver, opening: bytes, error: type[VerificationError], match: str) -> None:
    with pytest.raises(error, match=match):
        accepted(prover, opening)
    with pytest.raises(VerificationError):
        verify_by_reference(prover.parameters, prover.commitments, prover.groups, opening)


def with_values(statement: Statement, change: Callable[[int, int, Ext], Ext]) -> Statement:
    """The statement with other values: change(group, claim, value)."""
    groups = [
        ClaimGroup(
            g.column_point, tuple(public_claim(c.rows, change(i, j, c.value.constant)) for j, c in enumerate(g.claims))
        )
        for i, g in enumerate(statement.groups)
    ]
    return Statement(statement.parameters, statement.matrices, groups)


def off_by_one(group: int, claim: int, value: Ext) -> Ext:
    """The first claim of the first group is false."""
    return scalar.ext_add(value, ONE) if (group, claim) == (0, 0) else value


def skip_combination(patch: Patch, number: int) -> None:
    """Take out the comparison of one combination with the columns."""
    check = verifier._check_columns

    def partial(code: Any, combinations: Any, coefficients: Any, indices: Any, columns: Any) -> None:
        others = [i for i in range(len(combinations)) if i != number]
        check(code, combinations[others], coefficients[others], indices, columns)

    patch.setattr(verifier, "_check_columns", partial)


def ignore_message(patch: Patch, label: str) -> None:
    """Take a message out of the transcript."""
    absorb = Transcript.absorb

    def partial(self: Transcript, name: str, data: bytes) -> None:
        if name != label:
            absorb(self, name, data)

    patch.setattr(Transcript, "absorb", partial)


def bump(message: list[Ext], group: ClaimGroup, amount: Ext) -> list[Ext]:
    """A message whose data evaluate to `amount` more: a constant added to all of them, as eq sums to 1."""
    columns = 1 << len(group.column_point)
    return [scalar.ext_add(v, amount) for v in message[:columns]] + message[columns:]


@pytest.mark.parametrize("seed", range(4))
def test_the_honest_plain_prover_is_accepted(seed: int) -> None:
    prover = PlainProver(Statement.random(seed), seed)
    opening = prover.open()
    accepted(prover, opening)
    verify_by_reference(prover.parameters, prover.commitments, prover.groups, opening)


def test_a_false_value_with_honest_messages_leaves_a_residual(monkeypatch: Patch) -> None:
    prover = PlainProver(with_values(Statement.random(1), off_by_one))
    opening = prover.open()
    rejected(prover, opening, InvalidProofError, CLAIMS_CHECK)
    without_claims_check(monkeypatch)
    accepted(prover, opening)


def test_a_combination_that_gives_the_false_value_disagrees_with_the_columns(monkeypatch: Patch) -> None:
    class Prover(PlainProver):
        def combine(self, weights: list[list[Ext]], proximity: list[Ext]) -> list[list[Ext]]:
            honest = super().combine(weights, proximity)
            return [honest[0], bump(honest[1], self.groups[0], weights[0][0]), honest[2]]

    prover = Prover(with_values(Statement.random(2), off_by_one))
    opening = prover.open()
    rejected(prover, opening, InvalidProofError, "the combination 0 does not agree")
    skip_combination(monkeypatch, 1)
    accepted(prover, opening)


def test_a_row_that_is_no_codeword_is_found_by_the_combination_of_all_rows(monkeypatch: Patch) -> None:
    """The row has no part in the claims, so that nothing else meets it."""

    class Prover(PlainProver):
        def word(self, matrix: int, row: int, message: list[int]) -> list[int]:
            return self.uniform(self.code.length) if (matrix, row) == (0, 1) else super().word(matrix, row, message)

    statement = Statement.random(3, claims=(1,))
    claim = statement.groups[0].claims[0]
    vector = claim.rows.copy()
    vector[:, 1] = 0
    rows = [row if i != 1 else [0] * 8 for i, row in enumerate(statement.matrices[0])] + statement.matrices[1]
    point = statement.groups[0].column_point
    value = scalar.mle(scalar.row_combination(rows, to_exts(vector)), point)
    prover = Prover(Statement(SMALL, statement.matrices, [ClaimGroup(point, (public_claim(vector, value),))]))
    opening = prover.open()
    rejected(prover, opening, InvalidProofError, "the combination of all rows does not agree")
    skip_combination(monkeypatch, 0)
    accepted(prover, opening)


def test_a_row_of_too_high_degree_is_found(monkeypatch: Patch) -> None:
    """A polynomial with one coefficient too many, sent without it."""

    class Prover(PlainProver):
        def word(self, matrix: int, row: int, message: list[int]) -> list[int]:
            if (matrix, row) != (0, 0):
                return super().word(matrix, row, message)
            return scalar.ntt([*message, 1] + [0] * (self.code.length - self.code.dimension - 1))

    zero = row_vector([ZERO] * 5)
    point = tuple(random_ext(PlainProver(Statement.random(4)).rng) for _ in range(3))
    prover = Prover(Statement(SMALL, Statement.random(4).matrices, [ClaimGroup(point, (public_claim(zero, ZERO),))]))
    opening = prover.open()
    rejected(prover, opening, InvalidProofError, "the combination of all rows does not agree")
    skip_combination(monkeypatch, 0)
    accepted(prover, opening)


def test_columns_made_up_after_the_queries_are_not_those_committed(monkeypatch: Patch) -> None:
    """The mask of the group is moved by what the false combination has too much, the mask of proximity against it."""

    class Prover(PlainProver):
        def combine(self, weights: list[list[Ext]], proximity: list[Ext]) -> list[list[Ext]]:
            self.weight, self.proximity = weights[0][0], proximity
            honest = super().combine(weights, proximity)
            return [honest[0], bump(honest[1], self.groups[0], self.weight), honest[2]]

        def columns(self, matrix: int, indices: list[int], combinations: list[list[Ext]]) -> list[bytes]:
            honest = super().columns(matrix, indices, combinations)
            if matrix != len(self.leaves) - 1:
                return honest
            root = scalar.root_of_unity(self.code.length)
            all_ones = [self.weight] * self.code.columns
            return [self.moved(leaf, all_ones, pow(root, i, P)) for i, leaf in zip(indices, honest, strict=True)]

        def moved(self, leaf: bytes, added: list[Ext], x: int) -> bytes:
            difference = scalar.ext_polynomial(added, (x, 0, 0))
            values = [int.from_bytes(leaf[i : i + 7], "little") for i in range(32, len(leaf), 7)]
            masks = self.commitments[-1].rows
            in_proximity = self.proximity[self.data_rows : self.data_rows + 3]
            shift = scalar.ext_base_dot(in_proximity, difference)
            for k in range(3):
                values[masks + k] = (values[masks + k] - shift[k]) % P
                values[masks + 3 + k] = (values[masks + 3 + k] + difference[k]) % P
            return leaf[:32] + b"".join(v.to_bytes(7, "little") for v in values)

    prover = Prover(with_values(Statement.random(5), off_by_one))
    opening = prover.open()
    rejected(prover, opening, InvalidProofError, "not those that were committed")
    monkeypatch.setattr(verifier, "check_leaves", lambda *_: None)
    accepted(prover, opening)


def test_a_combination_chosen_after_the_queries_changes_the_queries(monkeypatch: Patch) -> None:
    """A multiple of the polynomial that vanishes on all drawn columns changes the value and no column."""

    class Prover(PlainProver):
        def combine(self, weights: list[list[Ext]], proximity: list[Ext]) -> list[list[Ext]]:
            self.weight = weights[0][0]
            return super().combine(weights, proximity)

        def after_queries(self, indices: list[int], combinations: list[list[Ext]]) -> list[list[Ext]]:
            root = scalar.root_of_unity(self.code.length)
            vanishing = [1]
            for i in indices:
                x = pow(root, i, P)
                vanishing = [(a - x * b) % P for a, b in zip([0, *vanishing], [*vanishing, 0], strict=True)]
            assert len(vanishing) <= self.code.dimension
            padded = [(v, 0, 0) for v in vanishing] + [ZERO] * (self.code.dimension - len(vanishing))
            scale = scalar.ext_mul(self.weight, scalar.ext_inv(self.evaluate(padded, self.groups[0])))
            false = [scalar.ext_add(c, scalar.ext_mul(scale, v)) for c, v in zip(combinations[1], padded, strict=True)]
            return [combinations[0], false, combinations[2]]

    statement = with_values(Statement.random(6), off_by_one)
    prover = Prover(statement)
    rejected(prover, prover.open(), VerificationError, "work|agree|ends at|follow|committed")
    ignore_message(monkeypatch, "combinations")
    accepted(prover, prover.open())


def test_a_mask_value_chosen_after_the_weights_changes_the_weights(monkeypatch: Patch) -> None:
    class Prover(PlainProver):
        def open(self) -> bytes:
            self.shift = ZERO
            opening = super().open()
            self.shift = scalar.ext_neg(self.weight)
            return self.patched(opening)

        def combine(self, weights: list[list[Ext]], proximity: list[Ext]) -> list[list[Ext]]:
            self.weight = weights[0][0]
            return super().combine(weights, proximity)

        def patched(self, opening: bytes) -> bytes:
            value = scalar.ext_add(self.mask_values()[0], self.shift)
            return b"".join(c.to_bytes(7, "little") for c in value) + opening[21:]

    prover = Prover(with_values(Statement.random(7), off_by_one))
    rejected(prover, prover.open(), VerificationError, "work|agree|ends at|follow|committed")
    ignore_message(monkeypatch, "mask values")
    accepted(prover, prover.open())


def test_two_errors_that_cancel_do_not_cancel_under_the_weights(monkeypatch: Patch) -> None:
    def opposite(group: int, claim: int, value: Ext) -> Ext:
        return scalar.ext_add(value, (ONE, scalar.ext_neg(ONE))[claim]) if group == 0 else value

    prover = PlainProver(with_values(Statement.random(8), opposite))
    rejected(prover, prover.open(), InvalidProofError, CLAIMS_CHECK)
    draw = Transcript.challenge_exts

    def ones(self: Transcript, label: str, count: int) -> list[Ext]:
        drawn = draw(self, label, count)
        return [ONE] * count if label == "claim weights" else drawn

    monkeypatch.setattr(Transcript, "challenge_exts", ones)
    accepted(prover, prover.open())


def test_values_chosen_after_the_weights_change_the_weights(monkeypatch: Patch) -> None:
    """Two errors that cancel under the weights that the true values lead to."""

    class Prover(PlainProver):
        def combine(self, weights: list[list[Ext]], proximity: list[Ext]) -> list[list[Ext]]:
            self.weights = weights[0]
            return super().combine(weights, proximity)

        def lie(self) -> bytes:
            opening = self.open()
            errors = (self.weights[1], scalar.ext_neg(self.weights[0]))
            point, claims = self.groups[0].column_point, self.groups[0].claims
            lies = tuple(
                public_claim(c.rows, scalar.ext_add(c.value.constant, e)) for c, e in zip(claims, errors, strict=True)
            )
            self.groups = [ClaimGroup(point, lies), self.groups[1]]
            return opening

    prover = Prover(Statement.random(9))
    rejected(prover, prover.lie(), VerificationError, "work|agree|ends at|follow|committed")
    ignore_message(monkeypatch, "value")
    prover = Prover(Statement.random(9))
    accepted(prover, prover.lie())


@pytest.mark.parametrize("label", ["weight grinding", "query grinding"])
def test_work_that_was_not_done_is_missed(label: str, monkeypatch: Patch) -> None:
    check = Transcript.check_grind

    class Prover(PlainProver):
        def grind(self, transcript: Transcript, name: str, bits: int) -> int:
            if name != label:
                return super().grind(transcript, name, bits)
            unsolved = 0
            while True:
                probe = Transcript(b"")
                probe._state = transcript._state
                try:
                    check(probe, name, bits, unsolved)
                except InvalidProofError:
                    break
                unsolved += 1
            _bind(transcript, name, bits, unsolved)
            return unsolved

    def _bind(transcript: Transcript, name: str, bits: int, nonce: int) -> None:
        """What check_grind does once it is satisfied."""
        from zkinfer.protocol.transcript import _grinding_prefix, _u64

        transcript._advance(_grinding_prefix(name, bits) + _u64(nonce))

    prover = Prover(Statement.random(10))
    opening = prover.open()
    rejected(prover, opening, InvalidProofError, f"{label}.* bits of work")
    monkeypatch.setattr(Transcript, "check_grind", _bind)
    accepted(prover, opening)


def test_bytes_after_the_opening_are_refused(monkeypatch: Patch) -> None:
    prover = PlainProver(Statement.random(11))
    opening = prover.open() + b"\0"
    rejected(prover, opening, MalformedProofError, "1 bytes follow")
    monkeypatch.setattr(channel.Reader, "finish", lambda _: None)
    accepted(prover, opening)


def test_an_element_has_one_encoding(monkeypatch: Patch) -> None:
    """P added to a coordinate of a combination: the same element, other bytes."""

    class Prover(PlainProver):
        def encode_combinations(self, combinations: list[list[Ext]]) -> bytes:
            flat = [c for message in combinations for value in message for c in value]
            small = min(range(len(flat)), key=flat.__getitem__)
            flat[small] += P
            return b"".join(c.to_bytes(7, "little") for c in flat)

    prover = Prover(Statement.random(12))
    opening = prover.open()
    rejected(prover, opening, MalformedProofError, "not canonical")

    def lenient(data: bytes, shape: tuple[int, ...]) -> Any:
        reduced = (int.from_bytes(data[i : i + 7], "little") % P for i in range(0, len(data), 7))
        return decode_array(b"".join(v.to_bytes(7, "little") for v in reduced), shape)

    monkeypatch.setattr(channel, "decode_array", lenient)
    accepted(prover, opening)
