"""Cheating provers of combinations that are committed to and not sent: for each check a lie that it alone stops."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from support.lying_levels import (
    Cancelling,
    LastFold,
    Opened,
    Other,
    false_value,
    longer_rows,
    opened_by,
    two_columns,
    two_values,
)
from support.opening_prover import DOMAIN, Statement
from support.reference_statements import verify_by_reference
from support.small_levels import small_levels

from zkinfer.errors import VerificationError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.merkle.tree import build_tree
from zkinfer.protocol.pcs import folding, protocol
from zkinfer.protocol.pcs.folding_prover import FoldedVectors
from zkinfer.protocol.pcs.functionals import TensorSum
from zkinfer.protocol.pcs.levels import Level, choose_levels
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.protocol import verify_opening
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.transcript import Transcript, _grinding_prefix, _u64

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    with small_levels():
        yield


def accepted(opened: Opened) -> None:
    statement, commitments, opening = opened
    verify_opening(statement.parameters, commitments, statement.groups, opening, Transcript(DOMAIN))


def rejected(opened: Opened, match: str) -> None:
    statement, commitments, opening = opened
    with pytest.raises(VerificationError, match=match):
        accepted(opened)
    with pytest.raises(VerificationError):
        verify_by_reference(statement.parameters, commitments, statement.groups, opening)


def honest_statement() -> Statement:
    return Statement.random(5)


def skip(patch: Patch, check: Callable[..., None]) -> None:
    """Take a check out of the verifier."""
    patch.setattr(folding, check.__name__, lambda *_: None)


def test_the_honest_prover_is_accepted_by_both() -> None:
    statement, commitments, opening = opened = opened_by(FoldedVectors, honest_statement())
    assert len(choose_levels(3, statement.parameters.code.dimension)) == 2
    accepted(opened)
    verify_by_reference(statement.parameters, commitments, statement.groups, opening)


def test_a_wrong_fold_with_the_right_value_disagrees_with_the_columns(monkeypatch: Patch) -> None:
    opened = opened_by(LastFold, honest_statement())
    rejected(opened, "the last fold does not agree with the committed columns")
    skip(monkeypatch, folding._check_codeword)
    accepted(opened)


def test_a_wrong_value_of_a_combination_is_not_that_of_the_last_fold(monkeypatch: Patch) -> None:
    opened = false_value(Statement.random(6))
    rejected(opened, "the last fold does not have the claimed values")
    skip(monkeypatch, folding._check_target)
    accepted(opened)


def test_errors_of_two_combinations_do_not_cancel(monkeypatch: Patch) -> None:
    rejected(opened_by(Cancelling, honest_statement()), "the last fold does not have the claimed values")
    draw = Transcript.challenge_ext

    def all_alike(self: Transcript, label: str) -> Ext:
        drawn = draw(self, label)
        return ONE if label == "combination batch" else drawn

    monkeypatch.setattr(Transcript, "challenge_ext", all_alike)
    accepted(opened_by(Cancelling, honest_statement()))


def fixed(patch: Patch, label: str) -> None:
    """A challenge that a prover knows beforehand: all its powers are one."""
    draw = Transcript.challenge_ext
    patch.setattr(Transcript, "challenge_ext", lambda self, name: ONE if name == label else draw(self, name))


def test_errors_of_two_values_do_not_cancel(monkeypatch: Patch) -> None:
    rejected(two_values(honest_statement()), "the last fold does not have the claimed values")
    fixed(monkeypatch, "column batch")
    accepted(two_values(honest_statement()))


def test_errors_of_two_columns_do_not_cancel(monkeypatch: Patch) -> None:
    rejected(two_columns(honest_statement()), "the last fold does not have the claimed values")
    fixed(monkeypatch, "level batch")
    accepted(two_columns(honest_statement()))


def test_other_combinations_than_those_of_the_columns(monkeypatch: Patch) -> None:
    opened = opened_by(Other, honest_statement())
    rejected(opened, "the last fold does not have the claimed values")
    skip(monkeypatch, folding._check_target)
    accepted(opened)


UNEVEN = OpeningParameters(Code(3, 25, 7), queries=24, query_grinding=4, weight_grinding=3)
"""Combinations of 33 elements, which fill a row of 32 places and one place of the next."""


def test_longer_rows_than_the_codes_are_found_behind_the_combinations(monkeypatch: Patch) -> None:
    """Words of 64 coefficients agree with others of 64 in more places than the queries reckon with."""
    longer = UNEVEN.code.blinding + 31
    assert choose_levels(3, UNEVEN.code.dimension) == choose_levels(3, UNEVEN.code.dimension + 31)
    statement = Statement.random(5, parameters=UNEVEN)
    rejected(longer_rows(statement, longer), "the last fold does not have the claimed values")
    for tensor_sum in (TensorSum, FoldedVectors):
        monkeypatch.setattr(tensor_sum, "add_spare", lambda *_: None)
    accepted(longer_rows(statement, longer))


class FarWord(FoldedVectors):
    """The matrix of a level holds, in most columns, nothing that belongs to the vector."""

    LEVEL = 0
    KEPT: Sequence[int] = ()

    def commit(self, level: Level) -> bytes:
        root = super().commit(level)
        if len(self._trees) - 1 == self.LEVEL:
            self.honest = self._trees[-1]
            leaves = self.honest[0][range(level.length)].copy()
            others = [j for j in range(level.length) if j not in self.KEPT]
            leaves[others, 0] ^= 1
            self._trees[-1] = leaves, build_tree(leaves)
            root = self._trees[-1][1][1].tobytes()
        return root


@pytest.mark.parametrize(
    ("level", "message"), [(0, "does not have the claimed values"), (1, "does not agree with the committed columns")]
)
def test_a_matrix_that_is_far_from_all_codewords_is_found(level: int, message: str) -> None:
    class Far(FarWord):
        LEVEL = level

    rejected(opened_by(Far, honest_statement()), message)


@pytest.mark.parametrize("level", [0, 1])
def test_columns_made_up_after_the_queries_are_not_those_committed(level: int, monkeypatch: Patch) -> None:
    class MadeUp(FarWord):
        LEVEL = level

        def columns(self, number: int, indices: Sequence[int]) -> bytes:
            return self.honest[0][indices].tobytes() if number == level else super().columns(number, indices)

    opened = opened_by(MadeUp, honest_statement())
    rejected(opened, "the opened columns are not those that were committed")
    monkeypatch.setattr(folding, "check_leaves", lambda *_: None)
    accepted(opened)


def test_a_matrix_chosen_after_the_queries_changes_the_queries(monkeypatch: Patch) -> None:
    """Were roots not absorbed, a prover would know the columns that are drawn before it commits."""
    absorb, drawn = Transcript.absorb, dict[int, Sequence[int]]()

    def forgetful(self: Transcript, label: str, data: bytes) -> None:
        if label not in ("level root", "commitment"):
            absorb(self, label, data)

    class Honest(FoldedVectors):
        def columns(self, number: int, indices: Sequence[int]) -> bytes:
            drawn[number] = indices
            return super().columns(number, indices)

    seeds = iter(bytes([i]) * 32 for i in range(100))
    monkeypatch.setattr("zkinfer.protocol.pcs.prover.Randomness", lambda: Randomness(next(seeds)))
    with monkeypatch.context() as patch:
        patch.setattr(Transcript, "absorb", forgetful)
        opened_by(Honest, honest_statement())

        class Late(FarWord):
            KEPT = drawn[0]

        seeds = iter(bytes([i]) * 32 for i in range(100))
        accepted(opened_by(Late, honest_statement()))
    rejected(opened_by(Late, honest_statement()), "the last fold")


def test_a_level_left_out_is_missed(monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "choose_levels", lambda *sizes: choose_levels(*sizes)[:1])
        opened = opened_by(FoldedVectors, honest_statement())
        accepted(opened)
    rejected(opened, ".")


def test_combinations_that_are_sent_where_they_should_be_committed_to(monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "choose_levels", lambda *_: ())
        opened = opened_by(FoldedVectors, honest_statement())
        accepted(opened)
    rejected(opened, ".")


@pytest.mark.parametrize("label", ["level grinding", "fold grinding"])
def test_work_that_was_not_done_is_missed(label: str, monkeypatch: Patch) -> None:
    solve = Transcript.solve

    def bind(transcript: Transcript, name: str, bits: int, nonce: int) -> None:
        """What check_grind does once it is satisfied."""
        transcript._advance(_grinding_prefix(name, bits) + _u64(nonce))

    def lazy(transcript: Transcript, name: str, bits: int) -> int:
        """For the label, the number after one that solves: it does not, nearly always."""
        return solve(transcript, name, bits) + (name == label)

    with small_levels(unground=0):
        with monkeypatch.context() as patch:
            patch.setattr(Transcript, "solve", lazy)
            patch.setattr(Transcript, "check_grind", bind)
            # Of fixed randomness, with which the next number is no solution.
            opened = opened_by(FoldedVectors, honest_statement(), seed=bytes(32))
            accepted(opened)
        rejected(opened, f"{label}.* bits of work")


def test_an_element_has_one_encoding() -> None:
    """A value of a combination plus P, the same element in other bytes, is not an element."""
    statement, commitments, opening = opened_by(FoldedVectors, honest_statement())
    start = 2 * 21 + 8 + 32
    value = int.from_bytes(opening[start : start + 7], "little") + P
    changed = opening[:start] + value.to_bytes(7, "little") + opening[start + 7 :]
    rejected((statement, commitments, changed), "canonical")


def test_bytes_after_the_last_fold_are_refused() -> None:
    statement, commitments, opening = opened_by(FoldedVectors, honest_statement())
    rejected((statement, commitments, opening + b"\0"), "1 bytes follow")
