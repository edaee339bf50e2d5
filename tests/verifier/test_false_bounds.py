"""Commitments whose author states false bounds: refused by every reader, because intervals are derived again."""

from unittest import mock

import numpy as np
import pytest
from support.false_programs import FALSE, HALVED, HONEST
from support.native_prover import SMALL, Case, commit_weights, prove, small_verifier

from zkinfer.circuit.program import Program
from zkinfer.circuit.validate import validate
from zkinfer.errors import MalformedCommitmentError, ProvingError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import Statement
from zkinfer.native.setup import setup
from zkinfer.protocol.native_proof.encoding import encode
from zkinfer.protocol.pcs.prover import CommittedMatrix
from zkinfer.protocol.reduction import plan as plans
from zkinfer.typing import IntArray
from zkinfer.verifier import native, reference
from zkinfer.verifier.native_proof import NativeCheck

WEIGHT = np.array([[1]], dtype=np.int64)


def commitment(program: Program, matrix: CommittedMatrix | None = None) -> Commitment:
    """To the weight 1, with sizes that are worth nothing."""
    matrix = matrix or commit_weights(program, [WEIGHT])
    opening, code = SMALL.weights, SMALL.weights.code
    sizes = (code.log_columns, code.blinding, code.log_length, opening.queries)
    return Commitment(program, NativeVerifyingKey(matrix.commitment.root, matrix.commitment.rows, *sizes, 0, 0, 1))


def run_of(*values: int) -> list[IntArray]:
    return [np.array([[[value]]], dtype=np.int64) for value in values]


def test_the_same_program_with_true_bounds_is_read() -> None:
    honest = commitment(HONEST)
    assert Commitment.from_bytes(honest.to_bytes()) == honest


@pytest.mark.parametrize("name", FALSE)
def test_a_commitment_with_false_bounds_is_refused_when_it_is_read(name: str) -> None:
    """As programs all are well formed: nothing but the intervals is wrong."""
    validate(FALSE[name])
    with pytest.raises(MalformedCommitmentError, match=r"inner: .* bits"):
        Commitment.from_bytes(commitment(FALSE[name]).to_bytes())


@pytest.mark.parametrize("name", FALSE)
def test_no_check_is_made_for_it(name: str) -> None:
    for check in (native.check, reference.check):
        with pytest.raises(MalformedCommitmentError):
            NativeCheck(commitment(FALSE[name]), check)
        (x, y), false = run_of(2, 1), commitment(FALSE[name])
        with pytest.raises(MalformedCommitmentError):
            check(false, Statement(false, 1, (x,), (y,), b""), b"")


@pytest.mark.parametrize("name", FALSE)
def test_no_keys_are_made_for_it(name: str) -> None:
    with pytest.raises(ProvingError, match="inner"):
        setup(FALSE[name], [WEIGHT])


def test_without_derived_intervals_a_false_answer_would_have_a_proof() -> None:
    """(P + 1) / 2 times 2 is 1 in the field, and far beyond the table in integers."""
    x, w, product, scaled, y = run_of(2, 1, 2, 1, 1)
    with mock.patch.object(plans, "check_program"):
        plan = plans.make_plan.__wrapped__(HALVED, 1)
    values = {0: x, 1: w, 2: product, 3: scaled, 4: y}
    case = Case(plan, [WEIGHT], values, SMALL, commit_weights(HALVED, [WEIGHT]))
    published = commitment(HALVED, case.matrix)
    statement = Statement(published, 1, (x,), (y,), b"")
    data = encode(prove(case, digest=lambda roots: statement.digest()).proof)
    with small_verifier(SMALL):
        with mock.patch.object(native, "make_plan", return_value=plan):
            native.check(published, statement, data)
        with pytest.raises(MalformedCommitmentError):
            native.check(published, statement, data)
