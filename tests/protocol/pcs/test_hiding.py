"""Zero knowledge of openings: exactly, by construction; by a simulator that knows no data; and by statistics."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import merkle_tree, opening_prover
from support.channels import public_claim
from support.opening_prover import DOMAIN, SMALL, PlainProver, Statement, random_ext, row_vector, value_of

from zkinfer.errors import InvalidProofError
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext
from zkinfer.protocol.merkle.paths import hash_node
from zkinfer.protocol.pcs import copies
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.copies import COPY_MASKS, CopiesCommitment, Link, Place
from zkinfer.protocol.pcs.copies_prover import with_link
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import CLAIMS_CHECK, verify_opening
from zkinfer.protocol.pcs.prover import CommittedMatrix, commit, open_claims
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import Array, IntArray

CODE = SMALL.code


def points(indices: list[int]) -> list[int]:
    root = scalar.root_of_unity(CODE.length)
    return [pow(root, i, P) for i in indices]


def solve(matrix: list[list[int]], target: list[int]) -> list[int] | None:
    """x with matrix x = target, modulo P; None if the square matrix is singular."""
    size = len(matrix)
    rows = [[*row, t] for row, t in zip(matrix, target, strict=True)]
    for i in range(size):
        pivot = next((r for r in range(i, size) if rows[r][i]), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        scale = pow(rows[i][i], -1, P)
        rows[i] = [v * scale % P for v in rows[i]]
        for r in range(size):
            if r != i and rows[r][i]:
                rows[r] = [(v - rows[r][i] * w) % P for v, w in zip(rows[r], rows[i], strict=True)]
    return [row[size] for row in rows]


def blinding_to_columns(indices: list[int]) -> list[list[int]]:
    """The linear map from a row's random symbols to its codeword at these indices."""
    return [[pow(x, CODE.columns + i, P) for i in range(CODE.blinding)] for x in points(indices)]


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, CODE.length - 1), min_size=CODE.blinding, max_size=CODE.blinding).map(sorted))
def test_as_many_columns_as_random_symbols_are_uniform_whatever_the_data(indices: list[int]) -> None:
    """The map is a bijection, so uniform symbols give uniform columns."""
    assert solve(blinding_to_columns(indices), [1] * CODE.blinding) is not None


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_every_opening_has_an_explanation_by_any_other_data(seed: int) -> None:
    """For data with the same claimed values, random symbols and masks exist that give the very same messages.

    For given challenges this is a bijection between the random choices of both, so that both have equal distributions.
    """
    rng = random.Random(seed)
    statement = Statement.random(seed)
    for group in statement.groups:
        for claim in group.claims:
            claim.rows[:, 0] = 0
    other = Statement(
        SMALL, [[[rng.randrange(P) for _ in range(8)], *statement.matrices[0][1:]], statement.matrices[1]], []
    )
    indices = sorted(rng.sample(range(CODE.length), CODE.blinding))
    weights = [[random_ext(rng) for _ in g.claims] for g in statement.groups]
    proximity = [random_ext(rng) for _ in range(5 + 3 * len(statement.groups))]

    first = PlainProver(statement, seed)
    second = PlainProver(Statement(SMALL, other.matrices, statement.groups), seed)
    explain(first, second, indices, weights, proximity)
    assert first.messages[0][0] != second.messages[0][0]
    assert view(first, indices, weights, proximity) == view(second, indices, weights, proximity)


def explain(
    first: PlainProver, second: PlainProver, indices: list[int], weights: list[list[Ext]], proximity: list[Ext]
) -> None:
    """Change the random symbols and masks of the second prover so that it shows what the first one does.

    By sums that depend on the data and the challenges alone: a bijection.
    """
    theirs, ours = first.all_messages(), second.all_messages()
    differences = [[0] * CODE.dimension for _ in ours]

    def settle(row: int) -> None:
        differences[row] = [(a - b) % P for a, b in zip(theirs[row], ours[row], strict=True)]

    for row in range(second.data_rows):
        moved = [(a - b) % P for a, b in zip(theirs[row][: CODE.columns], ours[row][: CODE.columns], strict=True)]
        target = [sum(v * pow(x, i, P) for i, v in enumerate(moved)) % P for x in points(indices)]
        shift = solve(blinding_to_columns(indices), target)
        assert shift is not None
        ours[row][CODE.columns :] = [(r + s) % P for r, s in zip(ours[row][CODE.columns :], shift, strict=True)]
        settle(row)
    by_combination = opening_prover.coefficients(second.groups, weights, proximity)
    for number in reversed(range(len(by_combination))):  # the first one combines all other masks, too
        missing = scalar.row_combination(differences, by_combination[number])
        for coordinate in range(3):
            row = second.data_rows + 3 * number + coordinate
            ours[row][:] = [(m + d[coordinate]) % P for m, d in zip(ours[row], missing, strict=True)]
            settle(row)


def view(prover: PlainProver, indices: list[int], weights: list[list[Ext]], proximity: list[Ext]) -> object:
    """All that an opening shows, for given challenges."""
    words = [prover.word(m, i, row) for m, rows in enumerate(prover.messages) for i, row in enumerate(rows)]
    return prover.mask_values(), prover.combine(weights, proximity), [[w[i] for w in words] for i in indices]


class Programmed(Transcript):
    """A random oracle that answers as the simulator wants."""

    def __init__(self, answers: dict[str, list[Ext]], indices: Sequence[int] = ()) -> None:
        super().__init__(DOMAIN)
        self.answers, self.indices = answers, list(indices)

    def challenge_exts(self, label: str, count: int) -> list[Ext]:
        assert len(self.answers[label]) == count
        return self.answers[label]

    def challenge_indices(self, label: str, bound: int, count: int) -> list[int]:
        return self.indices

    def check_grind(self, label: str, bits: int, nonce: int) -> None:
        """Work is not a secret."""


def simulate(
    parameters: OpeningParameters, rows: int, groups: list[ClaimGroup], rng: random.Random
) -> tuple[MatrixCommitment, bytes, Programmed]:
    """A commitment of one matrix and its opening, from the claims alone."""
    code = parameters.code
    drawn = [rng.randrange(code.length) for _ in range(parameters.queries)]
    indices = sorted(set(drawn))
    weights = [[random_ext(rng) for _ in g.claims] for g in groups]
    proximity = [random_ext(rng) for _ in range(rows + 3 * len(groups))]
    combinations = [[random_ext(rng) for _ in range(code.dimension)] for _ in range(len(groups) + 1)]
    mask_values = []
    for group, group_weights, message in zip(groups, weights, combinations[1:], strict=True):
        value = scalar.mle(message[: code.columns], group.column_point)
        claimed = scalar.ext_dot(group_weights, [c.value.constant for c in group.claims])
        mask_values.append(scalar.ext_sub(value, claimed))

    leaves = [rng.randbytes(32) for _ in range(code.length)]
    root = scalar.root_of_unity(code.length)
    row_coefficients = opening_prover.coefficients(groups, weights, proximity)
    for i in indices:
        x = (pow(root, i, P), 0, 0)
        column = [rng.randrange(P) for _ in range(rows)]
        masks: list[list[int]] = []
        for number in reversed(range(len(groups) + 1)):
            known = [*column, *([0] * 3 * (number + 1)), *(c for m in masks for c in m)]
            rest = scalar.ext_base_dot(row_coefficients[number], known)
            masks.insert(0, list(scalar.ext_sub(scalar.ext_polynomial(combinations[number], x), rest)))
        leaves[i] = leaves[i] + opening_prover.encode([*column, *(c for m in masks for c in m)])
    nodes = merkle_tree.tree(leaves)
    opening = opening_prover.encode_exts(mask_values) + bytes(8)
    opening += b"".join(opening_prover.encode_exts(c) for c in combinations) + bytes(8)
    opening += b"".join(leaves[i] for i in indices) + merkle_tree.siblings(nodes, indices)
    flat = [w for group_weights in weights for w in group_weights]
    return (
        MatrixCommitment(nodes[1], rows, len(groups) + 1),
        opening,
        Programmed({"claim weights": flat, "proximity": proximity}, drawn),
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_simulator_without_data_is_accepted(seed: int) -> None:
    """It chooses the challenges before the messages, which is all that the random oracle grants it."""
    groups = Statement.random(seed, rows=(4,)).groups
    commitment, opening, transcript = simulate(SMALL, 4, groups, random.Random(seed))
    verify_opening(SMALL, [commitment], groups, opening, transcript)


TINY = OpeningParameters(Code(1, 3, 4), queries=3, query_grinding=0, weight_grinding=0)
RUNS, CELLS = 800, 8


def chi_squared(first: np.ndarray, second: np.ndarray) -> float:
    """Of two samples of cells, in units of its standard deviation above its mean."""
    a, b = (np.bincount(s, minlength=CELLS**2).astype(float) for s in (first, second))
    used = (a + b) > 0
    freedom = max(int(used.sum()) - 1, 1)
    statistic = ((a - b)[used] ** 2 / (a + b)[used]).sum()
    return float((statistic - freedom) / np.sqrt(2 * freedom))


def views(data: np.ndarray, randomness: Callable[[], Randomness], runs: int = RUNS) -> np.ndarray:
    """The numbers that openings of the data show, shape (runs, numbers): messages, then three columns."""
    groups = [ClaimGroup((ONE,), (public_claim(row_vector([ZERO]), ZERO),))]
    return np.array(
        [shown(TINY, commit(TINY.code, data, 2, randomness()), groups, run) for run in range(runs)], dtype=np.int64
    )


def shown(parameters: OpeningParameters, matrix: CommittedMatrix, groups: list[ClaimGroup], run: int) -> list[int]:
    """The numbers that one opening shows of one column point: messages, then three columns, the same in all runs."""
    opening = open_claims(parameters, [matrix], groups, Transcript(run.to_bytes(4, "little")))
    verify_opening(parameters, [matrix.commitment], groups, opening, Transcript(run.to_bytes(4, "little")))
    columns = np.asarray(matrix.leaves[[1, 5, 11]])[:, 32:].tobytes()
    combinations = opening[21 + 8 : 21 + 8 + 2 * 21 * parameters.code.dimension]
    return numbers(opening[:21]) + numbers(combinations) + numbers(columns)


def numbers(octets: bytes) -> list[int]:
    return [int.from_bytes(octets[i : i + 7], "little") for i in range(0, len(octets), 7)]


def worst(first: np.ndarray, second: np.ndarray) -> float:
    """The largest deviation over single numbers and over pairs of neighbours."""
    a, b = (np.asarray(s * CELLS // P, dtype=np.int64) for s in (first, second))
    singles = (chi_squared(x, y) for x, y in zip(a.T, b.T, strict=True))
    pairs = (chi_squared(CELLS * a[:, i] + a[:, i + 1], CELLS * b[:, i] + b[:, i + 1]) for i in range(a.shape[1] - 1))
    return max([*singles, *pairs])


class Predictable(Randomness):
    """Elements that are all zero: a prover who forgets to hide."""

    def fill(self, out: Array, convert: Callable[[IntArray], Array] = np.asarray) -> None:
        out[...] = 0


def seeds(start: int) -> Callable[[], Randomness]:
    counter: Iterator[int] = iter(range(start, start + RUNS))
    return lambda: Randomness(next(counter).to_bytes(32, "little"))


def test_openings_of_different_data_have_one_distribution() -> None:
    zeros, large = np.zeros((1, 2), dtype=np.int64), np.full((1, 2), P // 3)
    of_zeros, of_large = views(zeros, seeds(0)), views(large, seeds(RUNS))
    uniform = np.random.default_rng(0).integers(0, P, of_zeros.shape)
    assert worst(of_zeros, of_large) < 5
    assert worst(of_zeros, uniform) < 5


def test_the_statistic_sees_data_that_are_not_hidden() -> None:
    zeros, large = np.zeros((1, 2), dtype=np.int64), np.full((1, 2), P // 3)
    assert worst(views(zeros, Predictable, 50), views(large, Predictable, 50)) > 5


def test_unopened_leaves_are_salted() -> None:
    """Equal matrices under equal symbols have different roots: a guess of the data cannot be checked."""
    data = np.ones((1, 2), dtype=np.int8)
    first, second = Predictable(bytes(32)), Predictable(bytes([1] * 32))
    assert commit(TINY.code, data, 2, first).commitment != commit(TINY.code, data, 2, second).commitment


class TestCopies:
    """What the link and the openings of all copies show together: docs, section 6."""

    @pytest.mark.parametrize("seed", range(3))
    def test_a_simulator_without_weights_is_accepted_for_every_copy(
        self, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It draws the link with its value first, then each copy by itself; the oracle answers with that link."""
        rng = random.Random(seed)
        row_weights, point = [random_ext(rng) for _ in range(4)], [random_ext(rng) for _ in range(CODE.log_columns)]
        link = Link(row_vector([*row_weights, ONE]), tuple(point), random_ext(rng), log_copies=1)
        simulated = [simulate(SMALL, 5, [link.group], rng) for _ in range(2)]
        roots = [commitment.root for commitment, _, _ in simulated]
        published = CopiesCommitment(CODE, 5, COPY_MASKS, 1, hash_node(*roots), link.value)
        answers = {"row weights": row_weights, "column point": point}
        monkeypatch.setattr(copies, "link_transcript", lambda _: Programmed(answers))
        for number, (_, opening, transcript) in enumerate(simulated):
            copy = published.matrix(Place(number, roots[number] + roots[1 - number]))
            verify_opening(SMALL, [copy], [link_of(published).group], opening, transcript)
            other = replace(published, value=random_ext(rng))
            with pytest.raises(InvalidProofError, match=CLAIMS_CHECK):
                verify_opening(SMALL, [copy], [link_of(other).group], opening, transcript)

    @settings(max_examples=3, deadline=None)
    @given(st.integers(0, 1000))
    def test_all_that_is_shown_has_an_explanation_by_any_other_weights(self, seed: int) -> None:
        """One veil, and of each copy symbols and masks: the value of the link and all openings are the very same."""
        rng = random.Random(seed)
        data, other = ([[rng.randrange(P) for _ in range(CODE.columns)] for _ in range(2)] for _ in range(2))
        row_weights, point = [random_ext(rng), random_ext(rng)], tuple(random_ext(rng) for _ in range(CODE.log_columns))
        veil = [rng.randrange(P) for _ in range(CODE.columns)]

        def value(rows: list[list[int]], behind: list[int]) -> Ext:
            return value_of([rows, [behind]], [*row_weights, ONE], point)

        missing = scalar.ext_sub(value(data, veil), value(other, veil))
        table = scalar.eq_table(list(point))
        cells = solve([[weight[k] for weight in table[:3]] for k in range(3)], list(missing))
        assert cells is not None
        other_veil = [(v + c) % P for v, c in zip(veil, [*cells, *[0] * (CODE.columns - 3)], strict=True)]
        assert value(other, other_veil) == value(data, veil)

        group = Link(row_vector([*row_weights, ONE]), point, value(data, veil), log_copies=1).group
        for number in range(2):
            indices = sorted(rng.sample(range(CODE.length), CODE.blinding))
            weights, proximity = [[random_ext(rng)]], [random_ext(rng) for _ in range(3 + 3)]
            first = PlainProver(Statement(SMALL, [[*data, veil]], [group]), number)
            second = PlainProver(Statement(SMALL, [[*other, other_veil]], [group]), number)
            explain(first, second, indices, weights, proximity)
            assert view(first, indices, weights, proximity) == view(second, indices, weights, proximity)

    def test_links_and_openings_of_different_weights_have_one_distribution(self) -> None:
        zeros, large = np.zeros((1, 8)), kernels.from_ints(np.full((1, 8), P // 3))
        of_zeros, of_large = views_of_copies(zeros, 0), views_of_copies(large, 1)
        assert of_zeros.shape[1] == 3 + 2 * (3 + 2 * 3 * COPY.code.dimension + 3 * (2 + 3 * COPY_MASKS))
        assert worst(of_zeros, of_large) < 5
        assert worst(of_zeros, np.random.default_rng(0).integers(0, P, of_zeros.shape)) < 5

    def test_the_statistic_sees_a_link_without_a_veil(self) -> None:
        """Only there: what openings show of the veil's row is hidden by random symbols, as in all other rows."""
        zeros, large = np.zeros((1, 8)), kernels.from_ints(np.full((1, 8), P // 3))
        bare = [views_of_copies(data, seed, veiled=False, runs=50) for seed, data in enumerate((zeros, large))]
        assert worst(*(sample[:, :3] for sample in bare)) > 5
        openings = [sample[:, 3:] for sample in bare]
        assert worst(*openings) < 5
        assert worst(openings[0], np.random.default_rng(0).integers(0, P, openings[0].shape)) < 5


COPY = OpeningParameters(Code(copies.MIN_LOG_COLUMNS, 3, 5), queries=3, query_grinding=0, weight_grinding=0)
"""Each of its copies hides one opening."""


def views_of_copies(data: np.ndarray, seed: int, *, veiled: bool = True, runs: int = 200) -> np.ndarray:
    """The numbers that a link and the openings of both its copies show, shape (runs, numbers)."""
    seen = []
    for run in range(runs):
        randomness = Randomness((seed * runs + run).to_bytes(32, "little"))
        veil = kernels.from_ints(randomness.elements(1, COPY.code.columns) * veiled)
        pair = [commit(COPY.code, data, COPY_MASKS, randomness, veil) for _ in range(2)]
        root = hash_node(*(matrix.commitment.root for matrix in pair))
        published = with_link(CopiesCommitment(COPY.code, 2, COPY_MASKS, 1, root), data, veil)
        openings = [shown(COPY, matrix, [link_of(published).group], run) for matrix in pair]
        seen.append([*published.value, *openings[0], *openings[1]])
    return np.array(seen, dtype=np.int64)


def link_of(commitment: CopiesCommitment) -> Link:
    link = commitment.link()
    assert link is not None
    return link
