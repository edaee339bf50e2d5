"""A prover of the proof about weights for tests: it commits to whatever it likes, and says that all is in bounds."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

from support.native_prover import count_known
from support.single_copies import opening_of_one_copy

from zkinfer.circuit.program import Program
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import ranges_statement
from zkinfer.native import weight_ranges
from zkinfer.native.prove import header_for, prove_run
from zkinfer.native.setup import RANGE_PROOFS
from zkinfer.native.weight_ranges import commit_ranges
from zkinfer.protocol.channel import PadConstraints
from zkinfer.protocol.pcs.prover import CommittedMatrix, commit
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.reduction.layout import weight_layout, weight_matrix
from zkinfer.protocol.reduction.weight_ranges import make_range_plan
from zkinfer.typing import IntArray


def committed(program: Program, weights: Sequence[IntArray], behind: int = 0) -> tuple[Commitment, CommittedMatrix]:
    """A commitment to any weights, without a proof about them, for one proof; and the matrix, to be opened once.

    Args:
        behind: what stands behind weights on axes that are lengthened, where honest owners have zeros.
    """
    parameters = opening_of_one_copy(program, 1 + RANGE_PROOFS)
    code = parameters.code
    data = weight_matrix(program, weights, code.log_columns)
    weight_layout(program).fill([weight[None] for weight in weights], data.reshape(-1), behind)
    matrix = commit(code, data, 0)
    key = NativeVerifyingKey(
        root=matrix.commitment.root,
        rows=matrix.commitment.rows,
        log_columns=code.log_columns,
        blinding=code.blinding,
        log_length=code.log_length,
        queries=parameters.queries,
        query_grinding=parameters.query_grinding,
        weight_grinding=parameters.weight_grinding,
        proofs=1,
    )
    return Commitment(program, key), matrix


def claimed_in_bounds(
    program: Program,
    weights: Sequence[IntArray],
    lie: Callable[[], AbstractContextManager[object]] = nullcontext,
    behind: int = 0,
) -> Commitment:
    """A commitment with a proof that its weights are in bounds, true or not.

    Args:
        lie: makes a context in which the prover does something otherwise.
        behind: as for `committed`.
    """
    commitment, matrix = committed(program, weights, behind)
    key = commitment.key_as(NativeVerifyingKey)
    with mock.patch.object(PadConstraints, "check"), mock.patch.object(weight_ranges, "count", count_known), lie():
        plan = make_range_plan(program)
        run = commit_ranges(plan, header_for(plan), matrix.data, key, Randomness())
        data = prove_run(run, ranges_statement(commitment), matrix, key.opening)
    return Commitment(program, key, data)
