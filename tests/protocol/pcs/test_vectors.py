"""Stored openings: the fast verifier and the reference agree on each, and the plain prover makes it again."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.channels import public_claim
from support.opening_prover import DOMAIN, PlainProver, Statement, row_vector
from support.reference_statements import reference_accepts

from zkinfer.errors import VerificationError
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import verify_opening
from zkinfer.protocol.transcript import Transcript

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())


def statement(vector: dict[str, Any]) -> tuple[OpeningParameters, list[MatrixCommitment], list[ClaimGroup]]:
    code = Code(vector["log_columns"], vector["blinding"], vector["log_length"])
    parameters = OpeningParameters(code, vector["queries"], vector["query_grinding"], vector["weight_grinding"])
    commitments = [MatrixCommitment(bytes.fromhex(c["root"]), c["rows"], c["masks"]) for c in vector["commitments"]]
    groups = [
        ClaimGroup(
            tuple(tuple(x) for x in group["column_point"]),
            tuple(public_claim(row_vector(claim["rows"]), tuple(claim["value"])) for claim in group["claims"]),
        )
        for group in vector["groups"]
    ]
    return parameters, commitments, groups


def accepted(vector: dict[str, Any], opening: bytes) -> bool:
    """Whether the verifiers, which must agree, accept."""
    fast = fast_accepts(*statement(vector), opening)
    assert fast == reference_accepts(*statement(vector), opening)
    return fast


def fast_accepts(
    parameters: OpeningParameters, commitments: list[MatrixCommitment], groups: list[ClaimGroup], opening: bytes
) -> bool:
    try:
        verify_opening(parameters, commitments, groups, opening, Transcript(DOMAIN))
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_vectors(vector: dict[str, Any]) -> None:
    opening = bytes.fromhex(vector["opening"])
    assert accepted(vector, opening)
    for bit in vector["invalid_when_flipped"]:
        changed = bytearray(opening)
        changed[bit // 8] ^= 1 << bit % 8
        assert not accepted(vector, bytes(changed))
    for length in vector["invalid_when_cut_to"]:
        assert not accepted(vector, opening[:length])


@pytest.mark.parametrize("number", range(len(VECTORS)))
def test_the_plain_prover_makes_them_again(number: int) -> None:
    parameters, commitments, groups = statement(VECTORS[number])
    rows = [c.rows for c in commitments]
    again = Statement.random(number, rows, [len(g.claims) for g in groups], parameters)
    assert PlainProver(again, number).open().hex() == VECTORS[number]["opening"]
