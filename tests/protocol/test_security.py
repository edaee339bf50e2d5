"""Security in bits: the figures for known parameters, by hand; the definition; and that nothing drifts below 128."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import InvalidInputError
from zkinfer.protocol import security
from zkinfer.protocol.field.params import P
from zkinfer.protocol.pads import params as pads
from zkinfer.protocol.pads.params import PadParameters, PadSizes
from zkinfer.protocol.pcs import soundness
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.search import search
from zkinfer.protocol.security import Security, SoundnessTerm, combine, ground, report

EXAMPLE = OpeningParameters(Code(log_columns=10, blinding=200, log_length=12), 199, query_grinding=6, weight_grinding=2)


class TestTermsByHand:
    def test_queries(self) -> None:
        """n = 4096, k = 1224, e = 1436: at most 2659 columns agree."""
        assert EXAMPLE.code.correctable == 1436
        expected = Fraction(2659, 4096) ** 199 / 2**6
        assert soundness.queries(EXAMPLE).error == pytest.approx(float(expected), rel=1e-12)
        assert soundness.queries(EXAMPLE).grinding == 6

    @pytest.mark.parametrize(("log_columns", "blinding", "log_length"), [(2, 3, 4), (2, 4, 4), (0, 1, 2), (3, 24, 7)])
    def test_agreement_in_both_cases_of_the_argument(self, log_columns: int, blinding: int, log_length: int) -> None:
        code = Code(log_columns, blinding, log_length)
        n, k = code.length, code.dimension
        e = max(e for e in range(n) if 2 * e <= n - k)
        agreeing = max(n - (e + 1), (k - 1) + e)
        one = soundness.queries(OpeningParameters(code, 1, 0, 0))
        assert one.error == agreeing / n

    def test_proximity(self) -> None:
        assert soundness.proximity(EXAMPLE).error == pytest.approx(4096 / P**3 / 4)

    def test_claims(self) -> None:
        assert soundness.claims(EXAMPLE, 3).error == pytest.approx(3 / P**3 / 4)

    def test_sumcheck(self) -> None:
        assert security.sumcheck("s", 20, 3).error == pytest.approx(60 / P**3)

    def test_batching(self) -> None:
        assert security.batching("b", 5).error == pytest.approx(4 / P**3)
        assert security.batching("b", 1).error == 0

    def test_logup(self) -> None:
        assert security.logup("l", 1000, 24, 0).error == pytest.approx(1024 / P**3)
        assert security.logup("l", 1000, 24, 1).error == pytest.approx(1024 / P**3)
        assert security.logup("l", 1000, 24, 3).error == pytest.approx(3 * 1024 / P**3)
        with pytest.raises(InvalidInputError, match="wrap around"):
            security.logup("l", P, 24, 1)
        with pytest.raises(InvalidInputError, match="wrap around"):
            security.logup("l", P, 1, 1)

    def test_fractional_sums(self) -> None:
        """Two trees, layers of 0, 1, 2 variables: 5 + (5 + 2) + (5 + 4) = 21."""
        assert security.fractional_sums("f", 3, 2).error == pytest.approx(21 / P**3)

    def test_rotation(self) -> None:
        rows, point, *rest = soundness.rotation(EXAMPLE)
        assert rows.error == pytest.approx(1 / P**3)
        assert point.error == pytest.approx(10 / P**3)
        assert tuple(rest) == soundness.opening(EXAMPLE, 1)

    def test_grinding_halves_the_error_with_every_bit(self) -> None:
        assert ground(SoundnessTerm("t", 0.5), 3) == SoundnessTerm("t", 0.0625, 3)


class TestTheSum:
    @given(st.floats(-200, -100))
    def test_is_the_largest_b_with_error_plus_collision_at_most_2_to_the_minus_b(self, log_error: float) -> None:
        error = 2.0**log_error
        bits = Security((SoundnessTerm("t", error),)).bits
        assert error + 2 ** (bits - 257) == pytest.approx(2**-bits, rel=1e-9)

    def test_128_bits_need_half_of_2_to_the_minus_128(self) -> None:
        assert Security((SoundnessTerm("t", 2.0**-129),)).bits == pytest.approx(128)
        assert Security((SoundnessTerm("t", 2.0**-128),)).bits < 128
        assert Security(()).bits == pytest.approx(128.5)

    def test_adds_the_terms(self) -> None:
        assert combine(SoundnessTerm("a", 0.25), [SoundnessTerm("b", 0.125), SoundnessTerm("c", 0.125)]).error == 0.5

    def test_grinding_is_that_of_the_step_that_needs_most(self) -> None:
        assert combine(SoundnessTerm("a", 0.25, 3), SoundnessTerm("b", 0.25, 7)).grinding == 7


@pytest.mark.parametrize("cells", [1000, 1 << 16, 1 << 22])
@pytest.mark.parametrize("proofs", [1, 100])
def test_default_parameters_give_128_bits_with_at_most_20_of_work(cells: int, proofs: int) -> None:
    """The drift test: parameters as the search gives them, with a protocol around them."""
    choice = search(cells, groups=3, proofs=proofs)
    around = [
        ground(security.logup("lookups", cells, 1 << 16, 2), 10),
        security.fractional_sums("lookup trees", 24, 2),
        security.sumcheck("layers", 200, 3),
        security.batching("layers", 100),
    ]
    total = combine(soundness.opening(choice.parameters, 3), around)
    assert total.bits >= security.DEFAULT_BITS
    assert total.grinding <= security.MAX_GRINDING_IN_DEFAULT


@pytest.mark.parametrize("cells", [1000, 1 << 16, 1 << 22])
@pytest.mark.parametrize("proofs", [2, 100])
def test_rotations_have_128_bits_with_the_parameters_of_the_commitment(cells: int, proofs: int) -> None:
    parameters = search(cells, groups=2, proofs=proofs).parameters
    assert combine(soundness.rotation(parameters)).bits >= security.DEFAULT_BITS


@pytest.mark.parametrize("variables", [1, 500, 40_000, 10_000_000])
def test_the_proof_about_the_pads_fits_beside_an_opening(variables: int) -> None:
    """Its error is far enough below 2^-129 to leave room for the rest, whatever the size; with a query less it is not
    what it should be."""
    sizes = PadParameters().sizes(variables)
    terms = pads.soundness(sizes)
    assert combine(terms).error < 2.0**-131.7
    assert [term.grinding for term in terms] == [0, sizes.point_grinding, 8]
    less = PadSizes(variables, sizes.log_length, sizes.queries - 1, sizes.query_grinding)
    assert pads.soundness(less)[-1].bits < 132 <= terms[-1].bits


@pytest.mark.parametrize("weaker", ["query less", "longer rows", "shorter code", "less query work", "less weight work"])
def test_every_parameter_counts(weaker: str) -> None:
    code = EXAMPLE.code
    base = combine(soundness.opening(EXAMPLE, 2)).error
    other = {
        "query less": OpeningParameters(code, 198, 6, 2),
        "longer rows": OpeningParameters(Code(10, 300, 12), 199, 6, 2),
        "shorter code": OpeningParameters(Code(10, 200, 11), 199, 6, 2),
        "less query work": OpeningParameters(code, 199, 5, 2),
        "less weight work": OpeningParameters(code, 199, 6, 1),
    }[weaker]
    assert combine(soundness.opening(other, 2)).error > base


def test_field_has_150_bits() -> None:
    assert math.log2(security.FIELD_SIZE) == pytest.approx(150, abs=1e-3)


def test_hiding_is_far_beyond_the_default() -> None:
    assert all(term.bits > 200 for term in soundness.hiding(EXAMPLE, 2))


def test_the_report_names_every_term_and_the_total() -> None:
    total = combine(soundness.opening(EXAMPLE, 2), security.sumcheck("layers", 10, 3))
    text = report(total)
    for term in total.terms:
        assert f"{term.name:<40} {term.bits:7.1f}" in text
    assert f"{total.bits:7.1f}  of which {total.grinding}" in text.splitlines()[-1]
    assert "unique decoding" in text
