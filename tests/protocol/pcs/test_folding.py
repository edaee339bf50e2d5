"""Combinations that are not sent: both verifiers accept what is honest, and refuse whatever was changed."""

import dataclasses
import functools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import merkle_tree, opening_prover
from support.opening_prover import DOMAIN, SMALL, Statement, random_ext
from support.reference_statements import reference_accepts
from support.small_levels import open_statement, small_levels

from zkinfer.errors import VerificationError
from zkinfer.protocol.channel import ProverChannel, Writer
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.pcs.folding_prover import FoldedVectors
from zkinfer.protocol.pcs.levels import choose_levels
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import run_opening, verify_opening
from zkinfer.protocol.pcs.sizes import expected_opening_bytes, fixed_opening_bytes, max_opening_bytes
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray


@functools.cache
def example() -> tuple[Statement, list[MatrixCommitment], bytes]:
    statement = Statement.random(20)
    with small_levels():
        return statement, *open_statement(statement)


def accepted(opening: bytes, **changes: Any) -> bool:
    """Whether the verifiers, which must agree, accept."""
    statement, commitments, _ = example()
    stated: dict[str, Any] = {"parameters": SMALL, "commitments": commitments, "groups": statement.groups} | changes
    with small_levels():
        slow = reference_accepts(**stated, opening=opening)
        try:
            verify_opening(**stated, opening=opening, transcript=Transcript(DOMAIN))
        except VerificationError:
            assert not slow
            return False
    assert slow
    return True


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([8, 20, 40]),
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.sampled_from([24, 25, 33, 55]),
    st.integers(0, 100),
)
def test_honest_openings_are_accepted_at_every_depth(sent: int, claims: list[int], blinding: int, seed: int) -> None:
    """Also where rows have places behind the combinations."""
    parameters = dataclasses.replace(SMALL, code=Code(SMALL.code.log_columns, blinding, SMALL.code.log_length))
    statement = Statement.random(seed, rows=(2, 1), claims=claims, parameters=parameters)
    with small_levels(sent):
        commitments, opening = open_statement(statement)
        verify_opening(parameters, commitments, statement.groups, opening, Transcript(DOMAIN))
        assert reference_accepts(parameters, commitments, statement.groups, opening)
        assert len(opening) <= max_opening_bytes(parameters, [c.symbols for c in commitments], len(claims))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_bit_can_be_changed(data: st.DataObject) -> None:
    opening = example()[2]
    bit = data.draw(st.integers(0, 8 * len(opening) - 1))
    changed = bytearray(opening)
    changed[bit // 8] ^= 1 << bit % 8
    assert not accepted(bytes(changed))


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_no_length_but_the_right_one(data: st.DataObject) -> None:
    opening = example()[2]
    cut = data.draw(st.integers(0, len(opening) - 1))
    more = data.draw(st.binary(min_size=1, max_size=50))
    for changed in (opening[:cut], opening + more, opening[:cut] + more + opening[cut:]):
        assert not accepted(changed)


@pytest.mark.parametrize("change", ["order of groups", "less work", "another root"])
def test_an_opening_proves_its_own_statement_alone(change: str) -> None:
    statement, commitments, opening = example()
    assert accepted(opening)
    changes: dict[str, dict[str, Any]] = {
        "order of groups": {"groups": statement.groups[::-1]},
        "less work": {"parameters": OpeningParameters(SMALL.code, SMALL.queries, 3, SMALL.weight_grinding)},
        "another root": {"commitments": [MatrixCommitment(bytes(32), commitments[0].rows, 0), commitments[1]]},
    }
    assert not accepted(opening, **changes[change])


def test_the_real_sizes_save_most_of_the_bytes() -> None:
    """Without patches: rows of 7,000 symbols, of which two combinations would take 294 kB."""
    parameters = OpeningParameters(Code(3, 6992, 14), 8, 0, 0)
    statement = Statement.random(1, rows=(1,), claims=(1,), parameters=parameters)
    commitments, opening = open_statement(statement)
    verify_opening(parameters, commitments, statement.groups, opening, Transcript(DOMAIN))
    symbols = [c.symbols for c in commitments]
    assert fixed_opening_bytes(parameters, 1) < len(opening) <= max_opening_bytes(parameters, symbols, 1)
    assert len(opening) == pytest.approx(expected_opening_bytes(parameters, symbols, 1), rel=0.1)
    assert len(opening) < 2 * 21 * 7000 / 2


class Programmed(Transcript):
    """A random oracle that answers in the places that a simulator needs, and at random elsewhere."""

    def __init__(self, answers: dict[str, list[Ext]], indices: list[int]) -> None:
        super().__init__(DOMAIN)
        self._answers, self._indices = answers, indices

    def challenge_exts(self, label: str, count: int) -> list[Ext]:
        return self._answers.get(label) or super().challenge_exts(label, count)

    def challenge_indices(self, label: str, bound: int, count: int) -> list[int]:
        return self._indices if label == "queries" else super().challenge_indices(label, bound, count)


class Simulator:
    """An opening's witness that was made from the claims alone, challenges first."""

    def __init__(self, statement: Statement, rows: int, rng: random.Random) -> None:
        groups, code = statement.groups, SMALL.code
        drawn = [rng.randrange(code.length) for _ in range(SMALL.queries)]
        weights = [[random_ext(rng) for _ in g.claims] for g in groups]
        proximity = [random_ext(rng) for _ in range(rows + 3 * len(groups))]
        self.answers = {"claim weights": [w for own in weights for w in own], "proximity": proximity}
        self.drawn = drawn
        self._combinations = [[random_ext(rng) for _ in range(code.dimension)] for _ in range(len(groups) + 1)]
        self._values = []
        for group, own, message in zip(groups, weights, self._combinations[1:], strict=True):
            value = scalar.mle(message[: code.columns], group.column_point)
            claimed = scalar.ext_dot(own, [c.value.constant for c in group.claims])
            self._values.append(scalar.ext_sub(value, claimed))
        self._leaves = [rng.randbytes(32) for _ in range(code.length)]
        root = scalar.root_of_unity(code.length)
        by_row = opening_prover.coefficients(groups, weights, proximity)
        for i in set(drawn):
            column = [rng.randrange(P) for _ in range(rows)]
            masks: list[int] = []
            for number in reversed(range(len(groups) + 1)):
                known = [*column, *[0] * (3 * (number + 1)), *masks]
                rest = scalar.ext_base_dot(by_row[number], known)
                at = scalar.ext_polynomial(self._combinations[number], (pow(root, i, P), 0, 0))
                masks[:0] = scalar.ext_sub(at, rest)
            self._leaves[i] += opening_prover.encode([*column, *masks])
        self._nodes = merkle_tree.tree(self._leaves)
        self.commitment = MatrixCommitment(self._nodes[1], rows, len(groups) + 1)

    def spend(self) -> None:
        """Nothing is used up."""

    def mask_values(self, points: Sequence[Sequence[Ext]]) -> list[Ext]:
        return self._values

    def combinations(self, coefficients: IntArray) -> IntArray:
        return np.array(self._combinations, dtype=np.int64)

    def fold(self, coefficients: IntArray) -> FoldedVectors:
        return FoldedVectors(kernels.from_ints(self.combinations(coefficients)).transpose(0, 2, 1))

    def leaves(self, matrix: int, indices: Sequence[int]) -> bytes:
        return b"".join(self._leaves[i] for i in indices)

    def paths(self, matrix: int, indices: Sequence[int]) -> bytes:
        return merkle_tree.siblings(self._nodes, list(indices))


@pytest.mark.parametrize("seed", range(2))
def test_a_simulator_without_data_is_accepted(seed: int) -> None:
    """It draws combinations at random; all that levels add is computed from these."""
    statement = Statement.random(seed, rows=(4,))
    simulator = Simulator(statement, 4, random.Random(seed))
    with small_levels():
        assert len(choose_levels(3, SMALL.code.dimension)) == 2
        wire, transcript = Writer(), Programmed(simulator.answers, simulator.drawn)
        channel = ProverChannel(transcript, wire)
        run_opening(SMALL, [simulator.commitment], statement.groups, channel, wire, simulator)
        again = Programmed(simulator.answers, simulator.drawn)
        verify_opening(SMALL, [simulator.commitment], statement.groups, wire.written, again)
