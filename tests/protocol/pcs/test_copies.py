"""Copies under one commitment: the tree over their roots, the link that ties them, and what the link shows."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.channels import open_falsely, without_claims_check
from support.invisible_cells import invisible_cells
from support.opening_prover import exts

from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ZERO, Ext
from zkinfer.protocol.merkle.paths import hash_node
from zkinfer.protocol.pcs import copies, soundness
from zkinfer.protocol.pcs.copies import ONLY, CopiesCommitment, Link, Place, link_grinding, no_link
from zkinfer.protocol.pcs.copies_prover import with_link
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.protocol import CLAIMS_CHECK, verify_opening
from zkinfer.protocol.pcs.prover import CommittedMatrix, commit, open_claims
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.security import FIELD_SIZE
from zkinfer.protocol.transcript import Transcript

PARAMETERS = OpeningParameters(Code(log_columns=3, blinding=24, log_length=7), 24, 2, 1)
CODE = PARAMETERS.code
"""A lie is missed by all queries with probability 2^-16."""

DATA = np.random.default_rng(0).integers(-128, 128, (4, 8)).astype(np.int8)


def uniform_veil(seed: int = 5) -> np.ndarray:
    return kernels.from_ints(Randomness(seed.to_bytes(32, "little")).elements(1, 8))


VEIL = uniform_veil()


def copy_of(data: np.ndarray, veil: np.ndarray = VEIL) -> CommittedMatrix:
    """A copy for one opening, with its masks."""
    return commit(CODE, data, copies.COPY_MASKS, None, veil)


def committed(*matrices: CommittedMatrix, veil: np.ndarray = VEIL) -> CopiesCommitment:
    """The commitment to two copies, linked as the first one says."""
    root = hash_node(*(matrix.commitment.root for matrix in matrices))
    return with_link(CopiesCommitment(CODE, 5, copies.COPY_MASKS, 1, root), matrices[0].data, veil)


def place_of(number: int, *matrices: CommittedMatrix) -> Place:
    own, sibling = matrices[number].commitment.root, matrices[1 - number].commitment.root
    return Place(number, own + sibling)


def link_of(commitment: CopiesCommitment) -> Link:
    link = commitment.link()
    assert link is not None
    return link


def opened(matrix: CommittedMatrix, link: Link) -> bytes:
    """The link shown of a copy, by a prover who does not care whether it holds."""
    return open_falsely(PARAMETERS, [replace(matrix)], [link.group], Transcript(b"test"))


def check(commitment: CopiesCommitment, place: Place, opening: bytes) -> None:
    link = link_of(commitment)
    verify_opening(PARAMETERS, [commitment.matrix(place)], [link.group], opening, Transcript(b"test"))


class TestHonest:
    @pytest.mark.parametrize("number", [0, 1])
    def test_every_copy_satisfies_the_link(self, number: int) -> None:
        pair = copy_of(DATA), copy_of(DATA)
        commitment = committed(*pair)
        matrix, place = pair[number], place_of(number, *pair)
        assert commitment.matrix(place) == matrix.commitment
        opening = open_claims(PARAMETERS, [matrix], [link_of(commitment).group], Transcript(b"test"))
        check(commitment, place, opening)

    def test_a_matrix_alone_has_no_link_and_one_place(self) -> None:
        alone = CopiesCommitment(CODE, 4, 0, 0, bytes(32))
        assert alone.link() is None
        assert with_link(alone, DATA, np.zeros((0, 8))) is alone
        assert alone.matrix(ONLY).rows == 4

    @pytest.mark.parametrize("log_copies", range(1, 6))
    def test_every_place_of_a_tree_has_its_branch(self, log_copies: int) -> None:
        roots = [bytes([number]) * 32 for number in range(1 << log_copies)]
        branches, level = [[root] for root in roots], roots
        for height in range(log_copies):
            for number, branch in enumerate(branches):
                branch.append(level[number >> height ^ 1])
            level = [hash_node(level[i], level[i + 1]) for i in range(0, len(level), 2)]
        commitment = CopiesCommitment(CODE, 5, 0, log_copies, level[0])
        for number, branch in enumerate(branches):
            assert commitment.matrix(Place(number, b"".join(branch))).root == roots[number]
            for other in {0, number ^ 1, number ^ 1 << log_copies - 1} - {number}:
                with pytest.raises(InvalidProofError, match="not one of those that were committed"):
                    commitment.matrix(Place(other, b"".join(branch)))


class TestCheating:
    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 3), st.integers(0, 7))
    def test_a_copy_with_another_cell(self, row: int, column: int) -> None:
        other = DATA.astype(np.int16)
        other[row, column] += 1
        pair = copy_of(DATA), copy_of(other)
        commitment = committed(*pair)
        with pytest.raises(InvalidProofError, match=CLAIMS_CHECK):
            check(commitment, place_of(1, *pair), opened(pair[1], link_of(commitment)))

    def test_only_the_link_finds_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pair = copy_of(DATA), copy_of(-DATA)
        commitment = committed(*pair)
        opening = opened(pair[1], link_of(commitment))
        without_claims_check(monkeypatch)
        check(commitment, place_of(1, *pair), opening)

    def test_another_veil(self) -> None:
        pair = copy_of(DATA), copy_of(DATA, uniform_veil(6))
        commitment = committed(*pair)
        with pytest.raises(InvalidProofError, match=CLAIMS_CHECK):
            check(commitment, place_of(1, *pair), opened(pair[1], link_of(commitment)))

    def test_data_chosen_after_the_point_change_the_point(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Once it is known, some other data have the same value; all roots come before it."""

        def chosen_afterwards() -> tuple[CopiesCommitment, Place, bytes]:
            first = copy_of(DATA)
            guess = CopiesCommitment(CODE, 5, copies.COPY_MASKS, 1, bytes(32))
            second = copy_of(DATA + invisible_to(link_of(guess)))
            commitment = committed(first, second)
            return commitment, place_of(1, first, second), opened(second, link_of(commitment))

        with pytest.raises(InvalidProofError, match=CLAIMS_CHECK):
            check(*chosen_afterwards())
        absorb = Transcript.absorb
        monkeypatch.setattr(
            Transcript, "absorb", lambda self, name, data: None if name == "root" else absorb(self, name, data)
        )
        copies._draw_link.cache_clear()
        check(*chosen_afterwards())
        copies._draw_link.cache_clear()

    @pytest.mark.parametrize("field", ["root", "rows", "masks", "log_copies", "code"])
    def test_the_point_depends_on_all_that_is_published(self, field: str) -> None:
        commitment = CopiesCommitment(CODE, 5, 0, 1, bytes(32))
        other = {"root": bytes([1] * 32), "rows": 6, "masks": 2, "log_copies": 2, "code": Code(3, 25, 7)}[field]
        changed = replace(commitment, **{field: other})  # type: ignore[arg-type]
        assert link_of(changed).point != link_of(commitment).point

    @pytest.mark.parametrize(
        "place",
        [Place(2, bytes(64)), Place(-1, bytes(64)), Place(0, b""), Place(0, bytes(63)), Place(0, bytes(96))],
        ids=["number", "negative", "no branch", "short", "long"],
    )
    def test_places_that_there_are_not(self, place: Place) -> None:
        with pytest.raises(MalformedProofError, match="2 copies have no place"):
            CopiesCommitment(CODE, 5, 0, 1, bytes(32)).matrix(place)

    def test_a_matrix_alone_has_no_branch(self) -> None:
        with pytest.raises(MalformedProofError, match="1 copies have no place"):
            CopiesCommitment(CODE, 5, 0, 0, bytes(32)).matrix(Place(0, bytes(32)))

    def test_a_copy_that_was_not_committed(self) -> None:
        """Also with equal data: what it shows was fixed after the point was known."""
        pair, foreign = (copy_of(DATA), copy_of(DATA)), copy_of(DATA)
        commitment = committed(*pair)
        swapped = Place(1, foreign.commitment.root + pair[0].commitment.root)
        with pytest.raises(InvalidProofError, match="not one of those that were committed"):
            check(commitment, swapped, opened(foreign, link_of(commitment)))

    def test_many_copies_ask_for_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert [link_grinding(n) for n in (1, 7, 8, 20)] == [0, 0, 2, 26]
        monkeypatch.setattr(copies, "FREE_LOG_COPIES", -3)
        commitment = with_link(CopiesCommitment(CODE, 5, 0, 1, bytes(32)), DATA, VEIL)
        link_of(commitment)
        wrong = replace(commitment, nonce=commitment.nonce + 1)
        with pytest.raises(InvalidProofError, match="8 bits of work"):
            wrong.link()

    @pytest.mark.parametrize("log_copies", [1, 7, 8, 20])
    def test_the_term_of_the_link(self, log_copies: int) -> None:
        term = no_link(Code(12, 100, 14), 5, log_copies).term
        pairs = 2 ** (2 * log_copies - 1)
        assert term.error == pairs * 13 / FIELD_SIZE / 2 ** (2 * max(0, log_copies - 7))
        assert term.bits > 132

    def test_links_make_a_rotation_of_more_column_points(self) -> None:
        one, three = ({t.name: t.error for t in soundness.rotation(PARAMETERS, groups)} for groups in (1, 3))
        assert three["weights of the claims"] == pytest.approx(3 * one["weights of the claims"], rel=1e-9, abs=0)


def invisible_to(link: Link) -> np.ndarray:
    """A difference of data that the link does not see."""
    return invisible_cells(exts(link.rows)[0], link.point, DATA.shape)


class TestHiding:
    def test_a_veil_explains_the_value_by_any_other_data(self) -> None:
        """For each difference of data there is one of veils under which the link has the same value: a bijection."""
        commitment = committed(copy_of(DATA), copy_of(DATA))
        link = link_of(commitment)
        other = np.zeros_like(DATA)
        for veil in (VEIL, uniform_veil(9)):
            shift = difference_of_values(link, other, veil)
            moved = (kernels.to_ints(veil) + cells_with_value(link.point, shift)) % P
            assert with_link(commitment, other, kernels.from_ints(moved)).value == commitment.value

    def test_values_of_different_data_have_one_distribution(self) -> None:
        values = [[value_under(data, uniform_veil(seed)) for seed in range(400)] for data in (DATA, 0 * DATA)]
        for sample in values:
            coordinates = np.array(sample).ravel()
            counts = np.bincount(coordinates * 16 // P, minlength=16)
            assert ((counts - 75) ** 2 / 75).sum() < 60
        assert not set(values[0]) & set(values[1])

    def test_without_a_veil_the_value_shows_the_data(self) -> None:
        nothing = np.zeros((1, 8))
        assert value_under(0 * DATA, nothing) == ZERO != value_under(DATA, nothing)

    @pytest.mark.parametrize("log_columns", [copies.MIN_LOG_COLUMNS, 5])
    def test_the_weights_of_a_veil_span_the_field(self, log_columns: int) -> None:
        """So that uniform cells have a uniform sum; with two columns alone they would not."""
        rng = random.Random(0)
        for count, spans in ((log_columns, True), (1, False)):
            point = [(rng.randrange(P), rng.randrange(P), rng.randrange(P)) for _ in range(count)]
            assert (rank(scalar.eq_table(point)) == 3) == spans


def value_under(data: np.ndarray, veil: np.ndarray) -> Ext:
    """The value of the link, at one fixed point."""
    return with_link(CopiesCommitment(CODE, 5, 0, 1, bytes(32)), data, veil).value


def difference_of_values(link: Link, data: np.ndarray, veil: np.ndarray) -> Ext:
    """What has to be added to a veil so that the link of other data has its value."""
    commitment = CopiesCommitment(CODE, 5, copies.COPY_MASKS, 1, bytes(32))
    rows = [[(int(v), 0, 0) for v in row] for row in [*data, kernels.to_ints(veil)[0]]]
    weights = exts(link.rows)
    total = ZERO
    for weight, row in zip(weights, rows, strict=True):
        total = scalar.ext_add(total, scalar.ext_mul(weight, scalar.mle([(v[0] % P, 0, 0) for v in row], link.point)))
    assert commitment.rows == len(rows)
    return scalar.ext_sub(link.value, total)


def cells_with_value(point: tuple[Ext, ...], value: Ext) -> np.ndarray:
    """A row of cells whose extension has this value at the point."""
    table = scalar.eq_table(list(point))
    for places in ((0, 1, 2), (0, 2, 4), (1, 2, 4)):
        found = solved([[table[i][k] for i in places] for k in range(3)], list(value))
        if found is not None:
            row = np.zeros((1, len(table)), dtype=np.int64)
            row[0, list(places)] = found
            return row
    raise AssertionError("the weights span the field")


def solved(matrix: list[list[int]], target: list[int]) -> list[int] | None:
    """x with matrix x = target modulo P."""
    rows = [[*row, t] for row, t in zip(matrix, target, strict=True)]
    for i in range(3):
        pivot = next((r for r in range(i, 3) if rows[r][i]), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        inverse = pow(rows[i][i], -1, P)
        rows[i] = [v * inverse % P for v in rows[i]]
        for r in range(3):
            if r != i:
                rows[r] = [(v - rows[r][i] * w) % P for v, w in zip(rows[r], rows[i], strict=True)]
    return [row[3] for row in rows]


def rank(vectors: list[Ext]) -> int:
    """Of vectors of F^3."""
    left, found = [list(v) for v in vectors], 0
    for k in range(3):
        pivot = next((v for v in left if v[k]), None)
        if pivot is None:
            continue
        found += 1
        left = [[(x * pivot[k] - y * v[k]) % P for x, y in zip(v, pivot, strict=True)] for v in left if v is not pivot]
    return found
