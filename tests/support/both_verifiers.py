"""What the fast verifier and the reference say of one native proof: they must agree."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from unittest import mock

from support.native_prover import DIGEST, Case, prove, verify

from zkinfer.errors import VerificationError
from zkinfer.protocol import native_proof as argument
from zkinfer.protocol.ligero.pads import PadParameters
from zkinfer.protocol.native_proof import NativeProof
from zkinfer.protocol.pcs.params import MatrixCommitment, OpeningParameters
from zkinfer.protocol.reduction import opening as fast_opening
from zkinfer.typing import IntArray
from zkinfer.verifier import reference
from zkinfer.verifier.reference import reduction as slow_opening


def prove_and_verify(case: Case) -> float:
    """The bits of security of an honest proof, on which both verifiers agree."""
    return ask_both(case, prove(case).proof)


def ask_both(
    case: Case,
    proof: NativeProof,
    publics: Mapping[int, IntArray] | None = None,
    digest: bytes = DIGEST,
    weights: MatrixCommitment | None = None,
) -> float:
    """What both verifiers say of a proof of the case: bits of security.

    Args:
        publics: the statement's integers; by default the true ones.
        digest: of the statement.
        weights: the published matrix; by default the case's own.

    Raises:
        VerificationError: both refuse; the error is that of the fast one.
        AssertionError: they differ, or one of them fails otherwise.
    """
    publics = case.publics if publics is None else publics
    weights = case.matrix.commitment if weights is None else weights
    slow_bits = fast_bits = None
    refusal: VerificationError | None = None
    with suppress(VerificationError):
        slow_bits = _ask_slow(case, argument.encode(proof), publics, digest, weights)
    try:
        with mock.patch.object(argument, "PADS", case.sizes.pads):
            fast_bits = verify(case, proof, publics, statement=digest, weights=weights).bits
    except VerificationError as error:
        refusal = error
    assert (slow_bits is None) == (fast_bits is None), f"fast: {refusal or fast_bits}, slow: {slow_bits}"
    if fast_bits is None or slow_bits is None:
        assert refusal is not None
        raise refusal
    assert abs(fast_bits - slow_bits) < 1e-6
    return fast_bits


def _ask_slow(
    case: Case, data: bytes, publics: Mapping[int, IntArray], digest: bytes, weights: MatrixCommitment
) -> float:
    plan, first = case.plan, case.plan.program.num_values
    inputs = [_integers(publics, i, private) for i, private in enumerate(plan.private_inputs)]
    outputs = [_integers(publics, first + i, private) for i, private in enumerate(plan.private_outputs)]
    own = reference.Plan(plan.program, plan.runs, plan.private_inputs, plan.private_outputs)
    root = reference.Root(weights.root, weights.rows, 0)
    return reference.verify_run(
        own, inputs, outputs, digest, root, _sizes(case.sizes.weights), reference.decode(data), _pads(case.sizes.pads)
    )


def _integers(publics: Mapping[int, IntArray], number: int, private: bool) -> list[int] | None:
    return None if private else [int(v) for v in publics[number].ravel()]


def _sizes(parameters: OpeningParameters) -> reference.Sizes:
    code = parameters.code
    work = (parameters.queries, parameters.query_grinding, parameters.weight_grinding)
    return reference.Sizes(code.log_columns, code.blinding, code.log_length, *work)


def _pads(parameters: PadParameters) -> reference.PadSizes:
    return reference.PadSizes(parameters.log_dimension, parameters.log_length, parameters.queries)


@contextmanager
def direct_openings(cells: int = 0) -> Iterator[None]:
    """Prover and both verifiers open column points directly from so few cells a symbol on."""
    with (
        mock.patch.object(fast_opening, "DIRECT_CELLS", cells),
        mock.patch.object(slow_opening, "DIRECT_CELLS", cells),
    ):
        yield
