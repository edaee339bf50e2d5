"""A small opening in two levels, and all that an implementer compares with it: docs/protocol/vectors.md."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import pytest
from support.lying_levels import (
    Cancelling,
    LastFold,
    Opened,
    Other,
    false_statement,
    false_value,
    longer_rows,
    opened_by,
    two_columns,
    two_values,
)
from support.opening_prover import DOMAIN, Statement, exts
from support.proof_vectors import Json, Recorder, refusals
from support.reference_statements import verify_by_reference
from support.small_levels import small_levels

from zkinfer.errors import VerificationError
from zkinfer.protocol.pcs import folding, soundness
from zkinfer.protocol.pcs.folding_prover import FoldedVectors
from zkinfer.protocol.pcs.levels import choose_levels
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.protocol import verify_opening
from zkinfer.protocol.security import combine
from zkinfer.protocol.transcript import Transcript

SENT, UNGROUND = 8, 5
"""In the place of 3,072 elements that are sent, and of 2^10 symbols that need no work before folds."""

PARAMETERS = OpeningParameters(Code(3, 9, 5), queries=6, query_grinding=4, weight_grinding=3)
LONGER = 22
"""Random symbols of rows that are longer than those of the code; their combinations have the same levels."""

SEED = bytes([3] * 32)
COLUMNS_CHECK = "the last fold does not agree with the committed columns"
VALUES_CHECK = "the last fold does not have the claimed values"

LIES: dict[str, tuple[Callable[[Statement], Opened], str]] = {
    "another last fold of the same value": (partial(opened_by, LastFold, seed=SEED), COLUMNS_CHECK),
    "an element of one combination": (partial(opened_by, Other, seed=SEED), VALUES_CHECK),
    "elements of two combinations that add up": (partial(opened_by, Cancelling, seed=SEED), VALUES_CHECK),
    "values of two combinations that add up": (partial(two_values, seed=SEED), VALUES_CHECK),
    "columns of a level that add up": (
        lambda statement: two_columns(statement, (bytes([i] * 32) for i in range(99))),
        VALUES_CHECK,
    ),
    "longer rows than the code's": (partial(longer_rows, blinding=LONGER, seed=SEED), VALUES_CHECK),
    "a false claim, and the value that it needs": (partial(false_value, seed=SEED), VALUES_CHECK),
    "a false claim": (
        lambda statement: opened_by(FoldedVectors, false_statement(statement), SEED),
        "the check 'the opened matrices have the claimed values' fails",
    ),
}
"""What a prover changes, being honest otherwise, and what the verifier says."""


@contextmanager
def vector_sizes() -> Iterator[None]:
    """The small sizes of the vector, for provers and verifiers."""
    with small_levels(SENT, UNGROUND):
        yield


def statement() -> Statement:
    """Two matrices, three claims at two column points."""
    return Statement.random(5, parameters=PARAMETERS)


def accept(opened: Opened) -> None:
    """Ask both verifiers.

    Raises:
        VerificationError: both refuse; the words are those of the fast one.
        AssertionError: they differ.
    """
    stated, commitments, opening = opened
    with vector_sizes():
        arguments = stated.parameters, commitments, stated.groups, opening
        try:
            verify_opening(*arguments, Transcript(DOMAIN))
        except VerificationError:
            with pytest.raises(VerificationError):
                verify_by_reference(*arguments)
            raise
        verify_by_reference(*arguments)


def refusal(opened: Opened) -> str:
    """What an opening is refused with."""
    try:
        accept(opened)
    except VerificationError as error:
        return str(error)
    raise AssertionError("a changed opening is accepted")


def honest() -> Opened:
    """The opening of the vector."""
    with vector_sizes():
        return opened_by(FoldedVectors, statement(), SEED)


def lying(name: str) -> Opened:
    """An opening with a lie."""
    with vector_sizes():
        return LIES[name][0](statement())


def first_of_each(opening: bytes) -> list[int]:
    """A bit of every 37th byte, of all significances."""
    return [8 * at + at % 8 for at in range(0, len(opening), 37)]


def stated_groups(stated: Statement) -> list[Json]:
    """Claims, as they are stored."""
    return [
        {
            "column_point": group.column_point,
            "claims": [{"row_vector": exts(claim.rows), "value": claim.value.constant} for claim in group.claims],
        }
        for group in stated.groups
    ]


def described() -> Json:
    """The vector but for the refusals."""
    stated, commitments, opening = opened = honest()
    code, recorder = PARAMETERS.code, Recorder()
    targets: list[Any] = []
    fold = folding._polynomial_at

    def recorded(sent: Any, target: Any, r: Any) -> Any:
        result = fold(sent, target, r)
        targets.append([target, result])
        return result

    with vector_sizes():
        with mock.patch.object(folding, "_polynomial_at", recorded):
            recorder.run(lambda: verify_opening(PARAMETERS, commitments, stated.groups, opening, Transcript(DOMAIN)))
        levels = choose_levels(len(stated.groups) + 1, code.dimension)
        security = combine(soundness.opening(PARAMETERS, len(stated.groups)))
    accept(opened)
    work = PARAMETERS.query_grinding, PARAMETERS.weight_grinding
    found = {
        "domain": DOMAIN.decode(),
        "sent": SENT,
        "unground": UNGROUND,
        "opening": [code.log_columns, code.blinding, code.log_length, PARAMETERS.queries, *work],
        "levels": [level.sizes for level in levels],
        "data": stated.matrices,
        "commitments": [[c.root.hex(), c.rows, c.masks] for c in commitments],
        "groups": stated_groups(stated),
        "bytes": base64.b64encode(opening).decode(),
        "targets": targets,
        "transcript": recorder.calls,
        "terms": [[term.name, round(term.bits, 6), term.grinding] for term in security.terms],
    }
    plain: Json = json.loads(json.dumps(found))
    return plain


def refused() -> Json:
    """Changes that are refused: bits, lengths and lies."""
    stated, commitments, opening = honest()

    def of(data: bytes) -> str:
        return refusal((stated, commitments, data))

    lies = []
    for name, (_, message) in LIES.items():
        lie = lying(name)
        assert refusal(lie) == message
        lies.append(
            {
                "lie": name,
                "roots": [c.root.hex() for c in lie[1]],
                "value": lie[0].groups[0].claims[0].value.constant,
                "bytes": base64.b64encode(lie[2]).decode(),
                "refusal": message,
            }
        )
    found = {
        "flips": refusals(opening, first_of_each(opening), of),
        "shorter": of(opening[:-1]),
        "longer": of(opening + b"\0"),
        "lies": lies,
    }
    plain: Json = json.loads(json.dumps(found))
    return plain
