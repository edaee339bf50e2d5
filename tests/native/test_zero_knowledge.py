"""What a native proof shows of the weights and of the values between inputs and outputs: nothing that tests can find.

Uniform means uniform for a prover with true randomness: the tests' is seeded, so that they decide the same every time.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from support.native_prover import HONEST, SMALL, Case, Lie, commit_weights, make_case, prove, verify
from support.two_layer_program import INPUT, PROGRAM, WEIGHTS

from zkinfer.protocol.field.encoding import encode_ext
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ZERO, Ext
from zkinfer.protocol.native_proof.encoding import NativeProof
from zkinfer.protocol.pcs import protocol as pcs_verifier
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.randomness import Randomness
from zkinfer.typing import IntArray

Look = list[tuple[IntArray, IntArray]]
"""Combinations and columns of openings."""

BINS = 16
PROOFS = 16
LIMIT = 60.0
"""Of a chi-square statistic with 15 degrees of freedom: exceeded by chance once in 4 million."""

SILENT = [np.zeros((3, 5), dtype=np.int64), np.array([[1, -2, 3], [-4, 5, -5]])]
ALSO_SILENT = [np.zeros((3, 5), dtype=np.int64), np.array([[0, 0, 0], [5, 5, 5]])]
"""Two sets of weights under which every output is zero: the hidden values are."""


@dataclass(frozen=True)
class Seen:
    """All field elements that a proof shows.

    Attributes:
        message: coordinates of the elements of the message.
        combinations: coordinates of those of both openings.
        columns_of_weights, columns_of_witness: symbols of the opened columns, without salts.
        shown: for each opening how many columns.
    """

    message: IntArray
    combinations: IntArray
    columns_of_weights: IntArray
    columns_of_witness: IntArray
    shown: list[int]


def seeded(seed: int) -> Randomness:
    return Randomness(seed.to_bytes(32, "little"))


def case_of(weights: list[IntArray], seed: int | None = None) -> Case:
    """With hidden inputs and public outputs; the weights' matrix of seeded randomness."""
    case = make_case(PROGRAM, weights, [INPUT], (True,), (False, False))
    if seed is None:
        return case
    matrix = commit_weights(PROGRAM, weights, SMALL, seeded(seed))
    return Case(case.plan, case.weights, case.values, case.sizes, matrix)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Look:
    """Fills up with combinations and columns of what the verifier checks."""
    found: Look = []
    honest = pcs_verifier._check_columns

    def check(
        code: Code, combinations: IntArray, coefficients: IntArray, indices: list[int], columns: IntArray
    ) -> None:
        found.append((combinations, columns))
        honest(code, combinations, coefficients, indices, columns)

    monkeypatch.setattr(pcs_verifier, "_check_columns", check)
    return found


def elements(data: bytes) -> IntArray:
    """The base field elements that bytes encode."""
    count = len(data) // 7
    padded = np.zeros((count, 8), dtype=np.uint8)
    padded[:, :7] = np.frombuffer(data[: 7 * count], dtype=np.uint8).reshape(count, 7)
    return padded.view("<i8").astype(np.int64).ravel()


def seen(case: Case, proof: NativeProof, look: Look) -> Seen:
    look.clear()
    verify(case, proof)
    return Seen(
        elements(proof.message),
        np.concatenate([combinations.ravel() for combinations, _ in look]),
        look[0][1].ravel(),
        look[1][1].ravel(),
        [len(columns) for _, columns in look],
    )


def chi_square(values: IntArray) -> float:
    """How far the values are from uniform over the field, over BINS bins of equal size."""
    counts = np.bincount(values // (-(-P // BINS)), minlength=BINS)
    expected = len(values) / BINS
    return float(((counts - expected) ** 2 / expected).sum())


def two_sample(first: IntArray, second: IntArray) -> float:
    """How far two samples are from having one distribution."""
    width = -(-P // BINS)
    a, b = (np.bincount(values // width, minlength=BINS) for values in (first, second))
    total, share = a + b, len(first) / (len(first) + len(second))
    return float(((a - share * total) ** 2 / (share * (1 - share) * total)).sum())


def test_the_statistic_tells_uniform_from_almost_uniform() -> None:
    rng = np.random.default_rng(0)
    uniform = rng.integers(0, P, 4000)
    assert chi_square(uniform) < LIMIT < chi_square(rng.integers(0, P - P // 8, 4000))
    assert two_sample(uniform, rng.integers(0, P, 4000)) < LIMIT < two_sample(uniform, uniform // 4 * 3)


def test_two_proofs_of_one_statement_share_no_element(look: Look) -> None:
    """But for columns of the weights, whose one codeword is opened again and again, and no root either."""
    case = case_of(WEIGHTS)
    proofs = [prove(case).proof for _ in range(2)]
    shown = [seen(case, proof, look) for proof in proofs]
    for kind in ("message", "combinations", "columns_of_witness"):
        first, second = (set(getattr(one, kind).tolist()) for one in shown)
        assert not first & second, kind
    roots = [{*proof.roots, proof.masks, proof.pads} - {b""} for proof in proofs]
    assert not roots[0] & roots[1]
    assert proofs[0].about_pads[:100] != proofs[1].about_pads[:100]


def test_what_is_shown_is_uniform_whatever_the_weights(look: Look) -> None:
    """Two sets of weights with the same outputs: each alone looks uniform, and both look the same."""
    shown: list[list[Seen]] = []
    for weights in (SILENT, ALSO_SILENT):
        cases = [case_of(weights, seed) for seed in range(PROOFS)]
        assert not cases[0].publics[PROGRAM.num_values].any()
        proofs = [prove(case, randomness=seeded(1000 + seed)).proof for seed, case in enumerate(cases)]
        shown.append([seen(case, proof, look) for case, proof in zip(cases, proofs, strict=True)])
    for kind in ("message", "combinations", "columns_of_weights", "columns_of_witness"):
        samples = [np.concatenate([getattr(one, kind) for one in many]) for many in shown]
        assert all(len(sample) > 20 * BINS for sample in samples), kind
        assert max(map(chi_square, samples)) < LIMIT, kind
        assert two_sample(*samples) < LIMIT, kind


def test_no_element_that_is_shown_is_small(look: Look) -> None:
    """Weights, hidden values, remainders and counts are small integers; a uniform element is one in 2^28 times."""
    case = case_of(WEIGHTS)
    shown = seen(case, prove(case).proof, look)
    for values in (shown.message, shown.combinations, shown.columns_of_weights, shown.columns_of_witness):
        assert np.minimum(values, P - values).min() > 1 << 20


def sent(case: Case, lie: Lie) -> tuple[NativeProof, list[Ext]]:
    """A proof, and the elements that its messages hide."""
    plain: list[Ext] = []

    def send(number: int, label: str, values: list[Ext]) -> list[Ext]:
        plain.extend(values)
        return values

    return prove(case, Lie(send=send, pads=lie.pads)).proof, plain


def test_no_message_is_sent_as_it_is() -> None:
    """None of the elements that the messages hide is in the proof; without pads all of them are."""
    case = case_of(WEIGHTS)
    proof, plain = sent(case, HONEST)
    assert len(plain) == len(proof.message) // 21
    parts = proof.message + proof.weights + proof.witness + proof.about_pads
    assert not [value for value in plain if value != ZERO and encode_ext([value]) in parts]
    bare, plain = sent(case, Lie(pads=lambda pads: [ZERO] * len(pads)))
    assert bare.message == encode_ext(plain)


def test_no_more_columns_are_shown_than_there_are_random_symbols(look: Look) -> None:
    case = case_of(WEIGHTS)
    for _ in range(5):
        shown = seen(case, prove(case).proof, look).shown
        assert len(shown) == 2
        for count, parameters in zip(shown, (case.sizes.weights, case.sizes.header.opening), strict=True):
            assert 1 <= count <= parameters.queries <= parameters.code.blinding


def test_proofs_of_one_statement_and_of_another_have_one_length() -> None:
    """The length of all but the paths follows from the plan: it tells nothing of the values."""
    lengths = set()
    for weights in (WEIGHTS, SILENT, ALSO_SILENT):
        proof = prove(case_of(weights)).proof
        lengths.add((len(proof.message), len(proof.masks), len(proof.pads)))
    assert len(lengths) == 1


def test_hidden_values_have_other_commitments_each_time() -> None:
    """Their roots are salted: equal inputs do not show as equal."""
    case = case_of(WEIGHTS)
    roots = [prove(case).proof.roots[0] for _ in range(4)]
    assert all(a != b for a, b in pairwise(sorted(roots)))
    parameters: OpeningParameters = case.sizes.header.opening
    assert parameters.code.blinding >= parameters.queries
