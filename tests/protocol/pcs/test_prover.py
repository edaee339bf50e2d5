"""The prover: honest openings of any shape are accepted by both verifiers; what would reveal data is refused."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.channels import public_claim
from support.opening_prover import DOMAIN, SMALL, Statement, random_ext
from support.reference_statements import verify_by_reference

from zkinfer.errors import InvalidInputError, InvalidProofError, ProvingError
from zkinfer.protocol.channel import AffineForm, ProverChannel, Reader, VerifierChannel, Writer
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO
from zkinfer.protocol.pcs.claims import ClaimGroup, RowClaim
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.protocol import CLAIMS_CHECK, run_opening, verify_opening
from zkinfer.protocol.pcs.prover import ColumnsAgain, CommittedMatrix, MatrixWitness, commit, large_tree, open_claims
from zkinfer.protocol.pcs.sizes import max_opening_bytes
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.transcript import Transcript


def committed(statement: Statement, dtype: type = np.int64) -> list[CommittedMatrix]:
    masks = [0] * (len(statement.matrices) - 1) + [len(statement.groups) + 1]
    arrays: list[np.ndarray] = [a.astype(dtype) for a in statement.arrays()]
    return [commit(statement.parameters.code, a, m) for a, m in zip(arrays, masks, strict=True)]


codes = st.tuples(st.integers(0, 4), st.integers(1, 12), st.integers(1, 3)).map(
    lambda t: Code(t[0], t[1], ((1 << t[0]) + t[1] - 1).bit_length() + t[2])
)


@settings(max_examples=60, deadline=None)
@given(codes, st.data())
def test_honest_openings_are_accepted(code: Code, data: st.DataObject) -> None:
    """Any number of matrices, empty ones too, rows, groups and claims; any type of data."""
    queries = data.draw(st.integers(1, code.blinding))
    parameters = OpeningParameters(code, queries, data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3)))
    rows = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))
    rows[:-1] = [max(r, 1) for r in rows[:-1]]
    claims = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    statement = Statement.random(data.draw(st.integers(0, 1000)), rows, claims, parameters)
    matrices = committed(statement, data.draw(st.sampled_from([np.int8, np.int16, np.int32, np.int64, np.float64])))
    opening = open_claims(parameters, matrices, statement.groups, Transcript(DOMAIN))
    commitments = [m.commitment for m in matrices]
    verify_opening(parameters, commitments, statement.groups, opening, Transcript(DOMAIN))
    verify_by_reference(parameters, commitments, statement.groups, opening)
    assert len(opening) <= max_opening_bytes(parameters, [c.symbols for c in commitments], len(claims))


def test_data_are_taken_modulo_the_field() -> None:
    """Any int64, and balanced floats."""
    cells = np.array([[-(2**63), 2**63 - 1, -P, P, P - 1, -1, 0, 1]])
    groups = [ClaimGroup((ZERO, ZERO, ONE), (public_claim(np.array([[1], [0], [0]]), (int(cells[0, 1]) % P, 0, 0)),))]
    for data in (cells, kernels.from_ints(cells)):
        matrix = commit(SMALL.code, data, 2)
        opening = open_claims(SMALL, [matrix], groups, Transcript(DOMAIN))
        verify_opening(SMALL, [matrix.commitment], groups, opening, Transcript(DOMAIN))


def test_blocks_of_rows_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    statement = Statement.random(1, rows=(7,))
    data = statement.arrays()[0]
    whole = commit(SMALL.code, data, 3, Randomness(bytes(32)))
    monkeypatch.setattr("zkinfer.protocol.pcs.prover._BLOCK_SYMBOLS", 2 * SMALL.code.length)
    assert commit(SMALL.code, data, 3, Randomness(bytes(32))).commitment == whole.commitment


@pytest.mark.parametrize("masks", [0, 3])
def test_codewords_that_are_not_kept_are_made_again(masks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Veil and masks included, in several blocks, in any order and more than once; and hashed block by block."""
    data, veil = Statement.random(1, rows=(17,)).arrays()[0], np.arange(float(SMALL.code.columns))[None]
    kept = commit(SMALL.code, data, masks, Randomness(bytes(32)), veil)
    monkeypatch.setattr("zkinfer.protocol.pcs.prover.KEPT_BYTES", 0)
    monkeypatch.setattr("zkinfer.protocol.pcs.prover._BLOCK_SYMBOLS", 2 * SMALL.code.length)
    monkeypatch.setattr("zkinfer.protocol.pcs.prover._HASHED_BLOCK_SYMBOLS", 1)
    again = commit(SMALL.code, data, masks, Randomness(bytes(32)), veil)
    assert isinstance(again.leaves, ColumnsAgain)
    assert not isinstance(kept.leaves, ColumnsAgain)
    assert np.array_equal(again.nodes, kept.nodes)
    for indices in ([3, 0, 3], list(range(SMALL.code.length))):
        assert again.leaves[indices].tobytes() == kept.leaves[indices].tobytes()


def test_both_sides_leave_the_transcript_in_the_same_state() -> None:
    statement = Statement.random(2)
    matrices = committed(statement)
    sender, receiver = Transcript(DOMAIN), Transcript(DOMAIN)
    opening = open_claims(SMALL, matrices, statement.groups, sender)
    verify_opening(SMALL, [m.commitment for m in matrices], statement.groups, opening, receiver)
    assert sender.challenge_ext("next") == receiver.challenge_ext("next")


def test_padded_values() -> None:
    """Where values are hidden, both sides are left with the same constraints, which the pads satisfy."""
    statement = Statement.random(3)
    matrices = committed(statement)
    rng = random.Random(3)
    values = [claim.value.constant for group in statement.groups for claim in group.claims]
    pads = [random_ext(rng) for _ in range(len(values) + len(statement.groups))]
    message, opening = Writer(), Writer()
    prover = ProverChannel(Transcript(DOMAIN), message, pads)
    witness = MatrixWitness(SMALL, matrices)
    groups = hidden(statement.groups, prover.exchange("values", len(values), lambda: values))
    run_opening(SMALL, witness.commitments, groups, prover, opening, witness)
    verifier = VerifierChannel(Transcript(DOMAIN), Reader(message.written), padded=True)
    groups = hidden(statement.groups, verifier.exchange("values", len(values)))
    run_opening(SMALL, witness.commitments, groups, verifier, Reader(opening.written))
    constraints = verifier.constraints()
    assert prover.constraints() == constraints
    assert [constraint.check for constraint in constraints.linear] == [CLAIMS_CHECK] * len(statement.groups)
    constraints.check(constraints.expand(pads))
    for index in range(len(pads)):
        wrong = [scalar.ext_add(pad, ONE) if i == index else pad for i, pad in enumerate(pads)]
        with pytest.raises(InvalidProofError, match=CLAIMS_CHECK):
            constraints.check(constraints.expand(wrong))


def hidden(groups: Sequence[ClaimGroup], forms: Sequence[AffineForm]) -> list[ClaimGroup]:
    """The groups, their claims' values replaced by these forms."""
    left = iter(forms)
    return [ClaimGroup(g.column_point, tuple(RowClaim(c.rows, next(left)) for c in g.claims)) for g in groups]


def test_equality_of_two_commitments() -> None:
    """A random combination of the rows of one, less the same of the other, is zero at a random point."""
    statement = Statement.random(4, rows=(4,), claims=(1,))
    data = statement.arrays()[0]
    old, new = commit(SMALL.code, data, 0), commit(SMALL.code, data, 2)
    vector = statement.groups[0].claims[0].rows
    group = ClaimGroup(
        statement.groups[0].column_point, (public_claim(np.concatenate([vector, -vector % P], axis=1), ZERO),)
    )
    opening = open_claims(SMALL, [old, new], [group], Transcript(DOMAIN))
    verify_opening(SMALL, [old.commitment, new.commitment], [group], opening, Transcript(DOMAIN))
    other = commit(SMALL.code, data + np.eye(4, 8, dtype=np.int64), 2)
    with pytest.raises(ProvingError, match="false"):
        open_claims(SMALL, [commit(SMALL.code, data, 0), other], [group], Transcript(DOMAIN))


class TestRefusals:
    def test_a_matrix_is_opened_once(self) -> None:
        """A second opening under the same masks would show the difference of two combinations."""
        statement = Statement.random(5)
        matrices = committed(statement)
        open_claims(SMALL, matrices, statement.groups, Transcript(DOMAIN))
        with pytest.raises(ProvingError, match="opened before"):
            open_claims(SMALL, matrices, statement.groups, Transcript(b"another"))

    def test_false_claims(self) -> None:
        statement = Statement.random(6)
        first, second = statement.groups
        false = public_claim(first.claims[0].rows, scalar.ext_add(first.claims[0].value.constant, ONE))
        with pytest.raises(ProvingError, match="false"):
            open_claims(
                SMALL,
                committed(statement),
                [ClaimGroup(first.column_point, (false, first.claims[1])), second],
                Transcript(DOMAIN),
            )

    def test_another_code(self) -> None:
        statement = Statement.random(7)
        wider = OpeningParameters(Code(3, 25, 7), 24, 0, 0)
        with pytest.raises(InvalidInputError, match="another code"):
            open_claims(wider, committed(statement), statement.groups, Transcript(DOMAIN))

    def test_refusing_a_statement_spends_nothing(self) -> None:
        statement = Statement.random(9)
        matrices = committed(statement)
        with pytest.raises(InvalidInputError, match="masks"):
            open_claims(SMALL, matrices, statement.groups[:1], Transcript(DOMAIN))
        open_claims(SMALL, matrices, statement.groups, Transcript(DOMAIN))

    @pytest.mark.parametrize(
        "data",
        [
            np.zeros((2, 7), dtype=np.int64),
            np.zeros(8, dtype=np.int64),
            np.zeros((2, 8), dtype=np.uint64),
            np.zeros((2, 8), dtype=np.float32),
            np.full((2, 8), np.nan),
            np.full((2, 8), 0.5),
            np.full((2, 8), float(P)),
            np.zeros((2, 8), dtype=object),
        ],
    )
    def test_data_that_are_no_rows(self, data: np.ndarray) -> None:
        with pytest.raises(InvalidInputError, match="data must"):
            commit(SMALL.code, data, 2)

    @pytest.mark.parametrize("sizes", [(3, 4, 3), (-1, 1, 2), (3, -1, 5), (3, 8, 25), (3, 8, 4)])
    def test_codes_that_correct_nothing(self, sizes: tuple[int, int, int]) -> None:
        with pytest.raises(InvalidInputError, match=r"not a code|corrects nothing"):
            Code(*sizes)


def test_random_elements_are_uniform_and_the_seed_decides() -> None:
    drawn = Randomness(bytes(32)).elements(256, 256)
    assert (drawn == Randomness(bytes(32)).elements(256, 256)).all()
    assert (drawn != Randomness().elements(256, 256)).all()
    counts = np.bincount(drawn.ravel() * 64 // P, minlength=64)
    assert ((counts - 1024) ** 2 / 1024).sum() < 130
    assert drawn.min() >= 0
    assert drawn.max() < P


def test_nothing_random_is_used_twice() -> None:
    """What is drawn bit by bit is one stream, cut up."""
    whole, parts = Randomness(bytes(32)), Randomness(bytes(32))
    stream = whole.octets(100).tobytes()
    assert b"".join(parts.octets(n).tobytes() for n in (1, 60, 0, 39)) == stream
    drawn = Randomness()
    elements = [*drawn.elements(10, 10).ravel().tolist(), *drawn.elements(10, 10).ravel().tolist()]
    assert len(set(elements)) == 200


def test_words_that_are_too_large_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [np.array([5, P, P + 1, P - 1]), np.array([P, 7]), np.array([8])]
    randomness = Randomness()
    monkeypatch.setattr(randomness, "_words", lambda count: words.pop(0))
    assert randomness.elements(2, 2).tolist() == [[5, 8], [7, P - 1]]


def test_a_verifier_checks_also_if_it_is_given_a_witness() -> None:
    """Who reads is who checks: no argument of a caller leaves a check out."""
    statement = Statement.random(4)
    matrices = committed(statement)
    opening = bytearray(open_claims(SMALL, matrices, statement.groups, Transcript(DOMAIN)))
    opening[-1] ^= 1
    witness = MatrixWitness(SMALL, committed(statement))
    verifier = VerifierChannel(Transcript(DOMAIN), Reader(b""))
    commitments = [m.commitment for m in matrices]
    with pytest.raises(InvalidProofError, match="not those that were committed"):
        run_opening(SMALL, commitments, statement.groups, verifier, Reader(bytes(opening)), witness)


@pytest.mark.parametrize("rows", [1, 7, 8, 30])
@pytest.mark.parametrize("veil_rows", [0, 1])
def test_the_tree_of_codewords_that_are_not_kept(rows: int, veil_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether leaves are written or not, and whatever is encoded at a time."""
    monkeypatch.setattr("zkinfer.protocol.pcs.prover._LARGE_BLOCK_SYMBOLS", 0)
    rng = np.random.default_rng(rows)
    code = SMALL.code
    data = rng.integers(-100, 100, (rows, code.columns), dtype=np.int8)
    veil = kernels.from_ints(rng.integers(0, P, (veil_rows, code.columns)))
    whole = commit(code, data, 0, Randomness(bytes(32)), veil)
    for written in (True, False):
        randomness = Randomness(bytes(32))
        blinding = np.empty((rows + veil_rows, code.blinding))
        randomness.fill(blinding, kernels.from_ints)
        leaves = np.empty((code.length, whole.commitment.leaf_bytes), dtype=np.uint8) if written else None
        nodes = large_tree(code, data, veil, blinding, randomness, leaves)
        np.testing.assert_array_equal(nodes, whole.nodes)
        np.testing.assert_array_equal(blinding, whole.blinding)
        if leaves is not None:
            np.testing.assert_array_equal(leaves, whole.leaves[range(code.length)])
