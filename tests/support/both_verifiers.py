"""What the fast verifier and the reference say of one native proof: they must agree."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from unittest import mock

from support.native_prover import DIGEST, Case, prove, verify
from support.reference_statements import matrix_root, opening_sizes, pad_sizes

from zkinfer.errors import VerificationError
from zkinfer.protocol.native_proof.encoding import NativeProof, encode
from zkinfer.protocol.pcs.params import MatrixCommitment
from zkinfer.protocol.reduction import boxes, gather
from zkinfer.protocol.reduction import opening as fast_opening
from zkinfer.protocol.reduction.plan import make_plan
from zkinfer.protocol.reduction.weight_ranges import make_range_plan
from zkinfer.typing import IntArray
from zkinfer.verifier import reference
from zkinfer.verifier.reference import committed_claims as reference_opening
from zkinfer.verifier.reference import first_claims
from zkinfer.verifier.reference import plan as reference_plan


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
    reference_bits = fast_bits = None
    refusal: VerificationError | None = None
    with suppress(VerificationError):
        reference_bits = ask_reference(case, proof, publics, digest, weights)
    try:
        fast_bits = verify(case, proof, publics, statement=digest, weights=weights).bits
    except VerificationError as error:
        refusal = error
    assert (reference_bits is None) == (fast_bits is None), f"fast: {refusal or fast_bits}, reference: {reference_bits}"
    if fast_bits is None or reference_bits is None:
        assert refusal is not None
        raise refusal
    assert abs(fast_bits - reference_bits) < 1e-6
    return fast_bits


def ask_reference(
    case: Case,
    proof: NativeProof,
    publics: Mapping[int, IntArray] | None = None,
    digest: bytes = DIGEST,
    weights: MatrixCommitment | None = None,
) -> float:
    """What the reference alone says; the arguments are those of `ask_both`."""
    publics = case.publics if publics is None else publics
    weights = case.matrix.commitment if weights is None else weights
    plan, first = case.plan, case.plan.program.num_values
    inputs = [_integers(publics, i, private) for i, private in enumerate(plan.private_inputs)]
    outputs = [_integers(publics, first + i, private) for i, private in enumerate(plan.private_outputs)]
    return reference.verify_proof(
        plan=reference.Plan(plan.program, plan.runs, plan.private_inputs, plan.private_outputs),
        inputs=inputs,
        outputs=outputs,
        digest=digest,
        weights=matrix_root(weights),
        sizes=opening_sizes(case.sizes.weights),
        proof=reference.decode(encode(proof)),
        pads=pad_sizes(case.sizes.pads),
    )


def _integers(publics: Mapping[int, IntArray], number: int, private: bool) -> list[int] | None:
    return None if private else [int(v) for v in publics[number].ravel()]


@contextmanager
def cheap_boxes(places: int = 0) -> Iterator[None]:
    """Prover and both verifiers cover tensors as if a box cost no more than so many places: small ones have several."""
    caches = (boxes.cover.cache_clear, make_plan.cache_clear, make_range_plan.cache_clear)
    with (
        mock.patch.object(boxes, "BOX_PLACES", places),
        mock.patch.object(reference_plan, "BOX_PLACES", places),
    ):
        for clear in caches:
            clear()
        yield
    for clear in caches:
        clear()


@contextmanager
def gathered_up_to(padding: int) -> Iterator[None]:
    """Prover and both verifiers gather boxes if the padded axes have at most so many times the tensor's places."""
    with (
        mock.patch.object(gather, "MAX_PADDING", padding),
        mock.patch.object(first_claims, "MAX_PADDING", padding),
    ):
        yield


@contextmanager
def direct_openings(cells: int = 0) -> Iterator[None]:
    """Prover and both verifiers open column points directly from so few cells a symbol on."""
    with (
        mock.patch.object(fast_opening, "DIRECT_CELLS", cells),
        mock.patch.object(reference_opening, "DIRECT_CELLS", cells),
    ):
        yield
