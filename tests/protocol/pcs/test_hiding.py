"""Zero knowledge of openings: exactly, by construction; by a simulator that knows no data; and by statistics."""

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import merkle_tree, opening_prover
from support.channels import public_claim
from support.opening_prover import DOMAIN, SMALL, PlainProver, Statement, random_ext, row_vector

from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import verify_opening
from zkinfer.protocol.pcs.prover import commit, open_claims
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

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
    moved = [(a - b) % P for a, b in zip(first.messages[0][0][:8], second.messages[0][0][:8], strict=True)]
    target = [sum(v * pow(x, i, P) for i, v in enumerate(moved)) % P for x in points(indices)]
    shift = solve(blinding_to_columns(indices), target)
    assert shift is not None
    second.messages[0][0][8:] = [(r + s) % P for r, s in zip(second.messages[0][0][8:], shift, strict=True)]
    difference = [(a - b) % P for a, b in zip(first.messages[0][0], second.messages[0][0], strict=True)]
    for coordinate in range(3):
        mask = second.messages[-1][2 + coordinate]
        mask[:] = [(m + proximity[0][coordinate] * d) % P for m, d in zip(mask, difference, strict=True)]

    def view(prover: PlainProver) -> object:
        words = [prover.word(m, i, row) for m, rows in enumerate(prover.messages) for i, row in enumerate(rows)]
        return prover.mask_values(), prover.combine(weights, proximity), [[w[i] for w in words] for i in indices]

    assert first.messages[0][0] != second.messages[0][0]
    assert view(first) == view(second)


class Programmed(Transcript):
    """A random oracle that answers as the simulator wants."""

    def __init__(self, weights: list[Ext], proximity: list[Ext], indices: list[int]) -> None:
        super().__init__(DOMAIN)
        self.answers = {"claim weights": weights, "proximity": proximity}
        self.indices = indices

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
    return MatrixCommitment(nodes[1], rows, len(groups) + 1), opening, Programmed(flat, proximity, drawn)


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
    seen = []
    for run in range(runs):
        matrix = commit(TINY.code, data, 2, randomness())
        opening = open_claims(TINY, [matrix], groups, Transcript(run.to_bytes(4, "little")))
        verify_opening(TINY, [matrix.commitment], groups, opening, Transcript(run.to_bytes(4, "little")))
        octets = matrix.leaves[[1, 5, 11]][:, 32:].tobytes()
        columns = [int.from_bytes(octets[i : i + 7], "little") for i in range(0, len(octets), 7)]
        body = opening[21 + 8 : 21 + 8 + 2 * 21 * TINY.code.dimension]
        combinations = [int.from_bytes(body[i : i + 7], "little") for i in range(0, len(body), 7)]
        mask_value = [int.from_bytes(opening[i : i + 7], "little") for i in range(0, 21, 7)]
        seen.append(mask_value + combinations + columns)
    return np.array(seen)


def worst(first: np.ndarray, second: np.ndarray) -> float:
    """The largest deviation over single numbers and over pairs of neighbours."""
    a, b = (np.asarray(s * CELLS // P, dtype=np.int64) for s in (first, second))
    singles = (chi_squared(x, y) for x, y in zip(a.T, b.T, strict=True))
    pairs = (chi_squared(CELLS * a[:, i] + a[:, i + 1], CELLS * b[:, i] + b[:, i + 1]) for i in range(a.shape[1] - 1))
    return max([*singles, *pairs])


class Predictable(Randomness):
    """Elements that are all zero: a prover who forgets to hide."""

    def elements(self, rows: int, columns: int) -> IntArray:
        return np.zeros((rows, columns), dtype=np.int64)


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
