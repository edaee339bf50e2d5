"""The stored opening in two levels: both verifiers say of it what is stored, and the code makes it as it is."""

import base64
import itertools
from typing import Any

import pytest
from support.channels import public_claim
from support.level_vectors import LIES, accept, described, lying, refusal
from support.lying_levels import Opened
from support.opening_prover import Statement, row_vector
from support.paths import DOCS
from support.proof_vectors import Json, flipped, read

from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters

PAGE = (DOCS / "protocol" / "vectors.md").read_text()
STORED = read("levels")


def opened(stored: Json, data: bytes, roots: list[str] | None = None, first_value: Any = None) -> Opened:
    """An opening as the stored numbers say it, perhaps under other roots, or with another value of the first claim."""
    log_columns, blinding, log_length, *checks = stored["opening"]
    parameters = OpeningParameters(Code(log_columns, blinding, log_length), *checks)
    groups = []
    for group in stored["groups"]:
        claims = [public_claim(row_vector(c["row_vector"]), tuple(c["value"])) for c in group["claims"]]
        groups.append(ClaimGroup(tuple(map(tuple, group["column_point"])), tuple(claims)))
    if first_value is not None:
        first, *rest = groups[0].claims
        groups[0] = ClaimGroup(groups[0].column_point, (public_claim(first.rows, tuple(first_value)), *rest))
    commitments = [MatrixCommitment(bytes.fromhex(root), rows, masks) for root, rows, masks in stored["commitments"]]
    if roots is not None:
        pairs = zip(roots, commitments, strict=True)
        commitments = [MatrixCommitment(bytes.fromhex(root), one.rows, one.masks) for root, one in pairs]
    return Statement(parameters, stored["data"], groups), commitments, data


OPENING = base64.b64decode(STORED["bytes"])


def test_it_is_what_the_code_makes() -> None:
    """Levels, transcript, targets of the folds and terms; and the opening, with fixed randomness."""
    made = described()
    assert made == {key: STORED[key] for key in made}


def test_both_verifiers_accept_it() -> None:
    accept(opened(STORED, OPENING))


def test_each_level_goes_on_where_the_one_before_ends() -> None:
    """Within a level a fold begins with the target that the last one left; columns of a level are added between."""
    folds = [level[1] for level in STORED["levels"]]
    assert len(folds) == 2
    targets = STORED["targets"]
    assert len(targets) == sum(folds)
    continued = [before == after for (_, after), (before, _) in itertools.pairwise(targets)]
    assert [number for number, same in enumerate(continued, start=1) if not same] == [folds[0]]


@pytest.mark.parametrize(("bit", "message"), STORED["flips"])
def test_flipped_bits_are_refused(bit: int, message: str) -> None:
    assert refusal(opened(STORED, flipped(OPENING, bit))) == message


def test_another_length_is_refused() -> None:
    assert refusal(opened(STORED, OPENING[:-1])) == STORED["shorter"]
    assert refusal(opened(STORED, OPENING + b"\0")) == STORED["longer"]


@pytest.mark.parametrize("lie", STORED["lies"], ids=lambda lie: lie["lie"])
def test_lies_are_refused(lie: Json) -> None:
    data = base64.b64decode(lie["bytes"])
    assert refusal(opened(STORED, data, lie["roots"], lie["value"])) == lie["refusal"] == LIES[lie["lie"]][1]


@pytest.mark.parametrize("lie", STORED["lies"], ids=lambda lie: lie["lie"])
def test_lying_provers_make_them_again(lie: Json) -> None:
    statement, commitments, opening = lying(lie["lie"])
    assert opening == base64.b64decode(lie["bytes"])
    assert [commitment.root.hex() for commitment in commitments] == lie["roots"]
    assert list(statement.groups[0].claims[0].value.constant) == lie["value"]


def test_every_lie_is_stored() -> None:
    assert [lie["lie"] for lie in STORED["lies"]] == list(LIES)


def test_the_page_describes_every_field() -> None:
    assert {key for key in (*STORED, *STORED["lies"][0]) if f"`{key}`" not in PAGE} == set()
    assert "levels.json" in PAGE
