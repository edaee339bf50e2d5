"""Rotations: equal data are accepted, everything else is not, and each proof is paid for first."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.channels import open_falsely, without_claims_check
from support.invisible_cells import invisible_cells
from support.opening_prover import exts
from support.reference_statements import matrix_root, opening_sizes

from zkinfer.errors import (
    InvalidInputError,
    InvalidProofError,
    MalformedProofError,
    ProvingError,
    StatementError,
    VerificationError,
)
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ZERO, Ext
from zkinfer.protocol.pcs import rotation
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import CLAIMS_CHECK
from zkinfer.protocol.pcs.prover import CommittedMatrix, commit
from zkinfer.protocol.pcs.rotation import RotationStatement, column_points, state_rotation, verify_rotation
from zkinfer.protocol.pcs.rotation_prover import prove_rotation
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import reference

Patch = pytest.MonkeyPatch

PARAMETERS = OpeningParameters(Code(log_columns=3, blinding=72, log_length=9), 24, 2, 1)
"""Three openings; a lie is missed by all queries with probability 2^-15."""

CONTEXT = b"model of the spring"
DATA = np.random.default_rng(0).integers(-128, 128, (5, 8)).astype(np.int8)


def other_cell(row: int = 0, column: int = 0) -> np.ndarray:
    """The data, one cell by one larger."""
    data = DATA.astype(np.int16)
    data[row, column] += 1
    return data


def once(data: np.ndarray = DATA) -> CommittedMatrix:
    """A matrix without masks, held in memory: as a prover who keeps no budget has it."""
    return commit(PARAMETERS.code, data, 0)


def masking() -> CommittedMatrix:
    return commit(PARAMETERS.code, np.zeros((0, 8), dtype=np.int8), 1 + column_points(None))


def opened(statement: RotationStatement, old: CommittedMatrix, new: CommittedMatrix, masks: CommittedMatrix) -> bytes:
    """The proof of a statement by a prover who does not care whether it is true."""
    matrices = [old, new, masks]
    opening = open_falsely(PARAMETERS, matrices, statement.groups, statement.transcript)
    return masks.commitment.root + opening


def forged(old: CommittedMatrix, new: CommittedMatrix) -> bytes:
    """A proof whose messages are honest, although the data may differ."""
    masks = masking()
    statement = state_rotation(PARAMETERS, old.commitment, new.commitment, masks.commitment.root, CONTEXT)
    return opened(statement, old, new, masks)


@functools.cache
def example() -> tuple[MatrixCommitment, MatrixCommitment, bytes]:
    """Two commitments to the same data and a proof of it."""
    old, new = once(), once()
    return old.commitment, new.commitment, prove_rotation(old, new, PARAMETERS, CONTEXT)


class TestCompleteness:
    @pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.float64])
    def test_two_commitments_to_the_same_data(self, dtype: type) -> None:
        data: np.ndarray = DATA.astype(dtype)
        old, new = once(data), once(data)
        proof = prove_rotation(old, new, PARAMETERS, CONTEXT)
        verify_rotation(PARAMETERS, old.commitment, new.commitment, proof, CONTEXT)

    def test_one_column_and_many_rows(self) -> None:
        parameters = OpeningParameters(Code(0, 8, 5), 8, 0, 0)
        data = np.arange(-20, 20, dtype=np.int8)[:, None]
        old, new = (commit(parameters.code, data, 0) for _ in range(2))
        proof = prove_rotation(old, new, parameters, b"")
        verify_rotation(parameters, old.commitment, new.commitment, proof, b"")

    def test_the_claim_covers_every_row_and_only_equality(self) -> None:
        old, new, proof = example()
        statement = state_rotation(PARAMETERS, old, new, proof[:32], CONTEXT)
        (claim,) = statement.groups[0].claims
        assert claim.value.constant == ZERO
        assert (claim.rows != 0).any(axis=0).all()
        assert ((claim.rows[:, :5] + claim.rows[:, 5:]) % P == 0).all()


class TestReferenceVerifier:
    def test_accepts_what_the_verifier_accepts(self) -> None:
        assert reference_accepts(*example(), CONTEXT)

    def test_refuses_another_cell(self) -> None:
        old, new = once(), once(other_cell())
        assert not reference_accepts(old.commitment, new.commitment, forged(old, new), CONTEXT)

    @settings(max_examples=25, deadline=None)
    @given(st.data())
    def test_agrees_on_edited_proofs_and_contexts(self, data: st.DataObject) -> None:
        old, new, proof = example()
        bit = data.draw(st.integers(0, 8 * len(proof) - 1))
        changed = bytearray(proof)
        changed[bit // 8] ^= 1 << bit % 8
        context = data.draw(st.binary(max_size=5))
        for edited, stated in ((bytes(changed), CONTEXT), (proof, context), (proof[:-1], CONTEXT), (b"", CONTEXT)):
            assert not reference_accepts(old, new, edited, stated)
            with pytest.raises(VerificationError):
                verify_rotation(PARAMETERS, old, new, edited, stated)

    def test_refuses_matrices_that_cannot_have_equal_data(self) -> None:
        old, new, proof = example()
        for other in (MatrixCommitment(new.root, new.rows + 1, 0), MatrixCommitment(new.root, new.rows, 1)):
            with pytest.raises(StatementError):
                reference_accepts(old, other, proof, CONTEXT)
        with pytest.raises(StatementError):
            reference_accepts(MatrixCommitment(old.root, old.rows, 1), new, proof, CONTEXT)
        many = replace(PARAMETERS, queries=PARAMETERS.code.blinding + 1)
        with pytest.raises(StatementError):
            reference.verify_rotation(opening_sizes(many), matrix_root(old), matrix_root(new), proof, CONTEXT)

    def test_a_proof_without_a_whole_column_is_refused_before_anything_is_drawn(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Row weights take memory in proportion to the rows, whose number a hostile commitment names."""
        old, new, proof = example()
        rows = len(proof) + 1
        monkeypatch.setattr(Transcript, "challenge_exts", lambda *_: pytest.fail("something was drawn"))
        many = MatrixCommitment(old.root, rows, 0), MatrixCommitment(new.root, rows, 0)
        assert not reference_accepts(*many, proof, CONTEXT)


def reference_accepts(old: MatrixCommitment, new: MatrixCommitment, proof: bytes, context: bytes) -> bool:
    roots = matrix_root(old), matrix_root(new)
    try:
        reference.verify_rotation(opening_sizes(PARAMETERS), *roots, proof, context)
    except StatementError:
        raise
    except VerificationError:
        return False
    return True


class TestCheating:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 4), st.integers(0, 7))
    def test_one_other_cell_anywhere(self, row: int, column: int) -> None:
        old, new = once(), once(other_cell(row, column))
        with pytest.raises(InvalidProofError, match=CLAIMS_CHECK):
            verify_rotation(PARAMETERS, old.commitment, new.commitment, forged(old, new), CONTEXT)

    def test_only_the_claim_finds_the_other_cell(self, monkeypatch: Patch) -> None:
        old, new = once(), once(other_cell())
        without_claims_check(monkeypatch)
        verify_rotation(PARAMETERS, old.commitment, new.commitment, forged(old, new), CONTEXT)

    def test_rows_in_another_order(self) -> None:
        old, new = once(), once(DATA[::-1])
        with pytest.raises(InvalidProofError, match=CLAIMS_CHECK):
            verify_rotation(PARAMETERS, old.commitment, new.commitment, forged(old, new), CONTEXT)

    @pytest.mark.parametrize("which", ["old root", "new root"])
    def test_data_chosen_after_the_challenges_change_the_challenges(self, which: str, monkeypatch: Patch) -> None:
        """Once q and z are known, some other data have the same combination; the roots come before them."""
        with pytest.raises(InvalidProofError, match=CLAIMS_CHECK):
            verify_rotation(PARAMETERS, *chosen_afterwards(which), CONTEXT)
        ignore_message(monkeypatch, which)
        verify_rotation(PARAMETERS, *chosen_afterwards(which), CONTEXT)

    def test_a_row_without_weight_would_not_be_compared(self, monkeypatch: Patch) -> None:
        draw = modular.from_exts

        def without_the_last(values: list[Ext]) -> np.ndarray:
            return draw([*values[:-1], ZERO])

        old, new = once(), once(other_cell(row=4))
        monkeypatch.setattr(rotation, "from_exts", without_the_last)
        verify_rotation(PARAMETERS, old.commitment, new.commitment, forged(old, new), CONTEXT)


def chosen_afterwards(which: str) -> tuple[MatrixCommitment, MatrixCommitment, bytes]:
    """Commitments to different data, the second chosen for the challenges that leave its root out, and a proof."""
    fixed, masks, guess = once(), masking(), bytes(32)
    statement = state_rotation(
        PARAMETERS,
        MatrixCommitment(guess, 5, 0) if which == "old root" else fixed.commitment,
        MatrixCommitment(guess, 5, 0) if which == "new root" else fixed.commitment,
        masks.commitment.root,
        CONTEXT,
    )
    chosen = once(DATA + invisible_to(statement))
    old, new = (chosen, fixed) if which == "old root" else (fixed, chosen)
    true = state_rotation(PARAMETERS, old.commitment, new.commitment, masks.commitment.root, CONTEXT)
    return old.commitment, new.commitment, opened(true, old, new, masks)


def invisible_to(statement: RotationStatement) -> np.ndarray:
    """A difference of data that the statement's first claim does not see."""
    group = statement.groups[0]
    return invisible_cells(exts(group.claims[0].rows)[0], group.column_point, DATA.shape)


def ignore_message(patch: Patch, label: str) -> None:
    """Take a message out of the transcript."""
    absorb = Transcript.absorb

    def partial(self: Transcript, name: str, data: bytes) -> None:
        if name != label:
            absorb(self, name, data)

    patch.setattr(Transcript, "absorb", partial)


class TestAnotherStatement:
    def test_a_proof_for_another_new_commitment(self) -> None:
        """Also to the same data: the root that the proof is about is gone."""
        old, _, proof = example()
        with pytest.raises(VerificationError):
            verify_rotation(PARAMETERS, old, once().commitment, proof, CONTEXT)

    def test_a_proof_from_another_old_commitment(self) -> None:
        _, new, proof = example()
        with pytest.raises(VerificationError):
            verify_rotation(PARAMETERS, once().commitment, new, proof, CONTEXT)

    def test_new_and_old_swapped(self) -> None:
        old, new, proof = example()
        with pytest.raises(VerificationError):
            verify_rotation(PARAMETERS, new, old, proof, CONTEXT)

    @pytest.mark.parametrize("context", [b"", CONTEXT[:-1], CONTEXT + b"\0"])
    def test_another_context(self, context: bytes) -> None:
        old, new, proof = example()
        with pytest.raises(VerificationError):
            verify_rotation(PARAMETERS, old, new, proof, context)

    @pytest.mark.parametrize(
        "parameters",
        [
            OpeningParameters(Code(3, 72, 9), 23, 2, 1),
            OpeningParameters(Code(3, 72, 9), 24, 1, 1),
            OpeningParameters(Code(3, 72, 9), 24, 2, 0),
            OpeningParameters(Code(3, 71, 9), 24, 2, 1),
            OpeningParameters(Code(3, 72, 8), 24, 2, 1),
            OpeningParameters(Code(2, 76, 9), 24, 2, 1),
        ],
        ids=["queries", "query work", "weight work", "blinding", "length", "columns"],
    )
    def test_other_parameters(self, parameters: OpeningParameters) -> None:
        old, new, proof = example()
        with pytest.raises(VerificationError):
            verify_rotation(parameters, old, new, proof, CONTEXT)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (MatrixCommitment(bytes(32), 5, 0), MatrixCommitment(bytes(32), 4, 0)),
            (MatrixCommitment(bytes(32), 5, 2), MatrixCommitment(bytes(32), 5, 0)),
            (MatrixCommitment(bytes(32), 5, 0), MatrixCommitment(bytes(32), 5, 2)),
        ],
        ids=["rows", "masks of the old", "masks of the new"],
    )
    def test_matrices_that_cannot_hold_equal_data(self, old: MatrixCommitment, new: MatrixCommitment) -> None:
        with pytest.raises(StatementError, match="a rotation keeps the data"):
            verify_rotation(PARAMETERS, old, new, example()[2], CONTEXT)

    def test_parameters_that_hide_nothing(self) -> None:
        old, new, proof = example()
        with pytest.raises(StatementError, match="do not hide"):
            verify_rotation(OpeningParameters(Code(3, 5, 9), 24, 2, 1), old, new, proof, CONTEXT)


class TestBytes:
    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_no_bit_can_be_changed(self, data: st.DataObject) -> None:
        old, new, proof = example()
        bit = data.draw(st.integers(0, 8 * len(proof) - 1))
        changed = bytearray(proof)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((InvalidProofError, MalformedProofError)):
            verify_rotation(PARAMETERS, old, new, bytes(changed), CONTEXT)

    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=100), st.integers(0, 100))
    def test_any_bytes_whatever(self, noise: bytes, kept: int) -> None:
        old, new, proof = example()
        for data in (noise, proof[:kept] + noise, proof + noise + b"\0", proof[: -1 - kept]):
            with pytest.raises((InvalidProofError, MalformedProofError)):
                verify_rotation(PARAMETERS, old, new, data, CONTEXT)


class TestProver:
    def test_both_are_spent_before_the_proof_exists(self, monkeypatch: Patch) -> None:
        old, new = once(), once()

        def crash(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("zkinfer.protocol.pcs.protocol.absorb_statement", crash)
            with pytest.raises(KeyboardInterrupt):
                prove_rotation(old, new, PARAMETERS, CONTEXT)
        for pair in ((old, once()), (once(), new)):
            with pytest.raises(ProvingError, match="opened before"):
                prove_rotation(*pair, PARAMETERS, CONTEXT)

    @pytest.mark.parametrize("data", [other_cell(4, 7), DATA[:4], np.zeros((5, 8), dtype=np.int8)])
    def test_other_data_are_refused_and_nothing_is_spent(self, data: np.ndarray) -> None:
        old, new = once(), once(data)
        with pytest.raises(InvalidInputError, match="other data"):
            prove_rotation(old, new, PARAMETERS, CONTEXT)
        prove_rotation(old, once(), PARAMETERS, CONTEXT)

    def test_data_are_compared_block_by_block(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr("zkinfer.protocol.pcs.rotation_prover._BLOCK_CELLS", 16)
        prove_rotation(once(), once(), PARAMETERS, CONTEXT)
        with pytest.raises(InvalidInputError, match="other data"):
            prove_rotation(once(), once(other_cell(4, 7)), PARAMETERS, CONTEXT)

    def test_a_commitment_is_no_rotation_of_itself(self) -> None:
        old = once()
        with pytest.raises(InvalidInputError, match="is the old one"):
            prove_rotation(old, replace(old), PARAMETERS, CONTEXT)

    def test_another_code_is_refused_and_nothing_is_spent(self) -> None:
        old, new = once(), commit(Code(3, 72, 10), DATA, 0)
        with pytest.raises(InvalidInputError, match="another code"):
            prove_rotation(old, new, PARAMETERS, CONTEXT)
        prove_rotation(old, once(), PARAMETERS, CONTEXT)

    def test_more_columns_than_an_opening_may_show(self) -> None:
        old, new = replace(once(), limit=24), once()
        more = OpeningParameters(PARAMETERS.code, 25, 2, 1)
        with pytest.raises(ProvingError, match="24 columns an opening, not 25"):
            prove_rotation(old, new, more, CONTEXT)

    def test_the_proof_shows_no_random_symbol_of_both_in_common(self) -> None:
        """Old and new commit to the same rows under independent random symbols: no opened column is the same."""
        every = list(range(1 << 9))
        old, new = (np.frombuffer(once().leaves[every].tobytes(), dtype=np.uint8).reshape(1 << 9, -1) for _ in range(2))
        assert not (old[:, 32:] == new[:, 32:]).all(axis=1).any()
        assert not (old[:, :32] == new[:, :32]).all(axis=1).any()
