"""Both verifiers on models of every operator: the same intervals, and the same verdicts on proofs of those with most to
say: norms, exponentials, selectors, orders, trees and recurrence."""

import msgspec
import pytest
from support.both_verifiers import ask_both, prove_and_verify
from support.native_prover import Lie, prove
from support.operator_cases import CASES, proving_case

from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.errors import VerificationError
from zkinfer.native.witness import Witness
from zkinfer.protocol.field.params import P
from zkinfer.verifier.reference.intervals import Intervals

PROVEN = (
    "LayerNormalization",
    "LayerNormalization: small epsilon",
    "RMSNormalization",
    "Softmax: masked",
    "ArgMax: rounded",
    "TopK",
    "OneHot",
    "Gather: computed",
    "TreeEnsembleClassifier",
    "LSTM",
)


@pytest.mark.parametrize("name", CASES)
def test_both_derive_the_same_intervals(name: str) -> None:
    program = proving_case(name).plan.program
    assert Intervals(program).found == derived_bounds(program, P // 2)


@pytest.mark.parametrize("name", PROVEN)
def test_both_accept_the_honest_proof(name: str) -> None:
    prove_and_verify(proving_case(name))


@pytest.mark.parametrize("name", PROVEN)
@pytest.mark.parametrize("column", [0, -1], ids=["index", "output"])
def test_both_refuse_a_lookup_of_another_row_and_another_result(name: str, column: int) -> None:
    """Of an identity there is one column for both."""
    case = proving_case(name)
    attempt = prove(case, Lie(witness=lambda witness: shift_a_cell(witness, column)))
    with pytest.raises(VerificationError):
        ask_both(case, attempt.proof, attempt.publics)


@pytest.mark.parametrize("name", PROVEN)
def test_both_refuse_other_outputs(name: str) -> None:
    case = proving_case(name)
    publics = {number: array.copy() for number, array in case.publics.items()}
    publics[max(publics)].flat[0] += 1
    with pytest.raises(VerificationError):
        ask_both(case, prove(case).proof, publics)


@pytest.mark.parametrize("name", PROVEN[:1])
def test_both_refuse_a_proof_with_any_part_altered(name: str) -> None:
    case = proving_case(name)
    proof = prove(case).proof
    for part in ("masks", "pads", "message", "weights", "witness", "about_pads"):
        data = bytearray(getattr(proof, part))
        data[len(data) // 2] ^= 1
        with pytest.raises(VerificationError):
            ask_both(case, msgspec.structs.replace(proof, **{part: bytes(data)}))


def shift_a_cell(witness: Witness, column: int) -> None:
    """In the first block of the lookups, which is what is committed to."""
    witness.blocks[0][column][0] += 1
