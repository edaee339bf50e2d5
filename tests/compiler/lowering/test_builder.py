"""The builder: exact bounds, formats aligned, equal things kept once, unneeded things left out."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.bounds import check_bounds, round_outward
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import MAX_MAGNITUDE, View
from zkinfer.circuit.regions import find_regions
from zkinfer.circuit.steps import Expand, Pad, Reshape, Slice, Transpose
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import validate
from zkinfer.compiler.lowering.builder import Builder, Built, ProgramValue, Summand, exponent, is_dyadic
from zkinfer.errors import BoundsError, ShapeError


def run(built: Built, *inputs: np.ndarray) -> list[np.ndarray]:
    """The outputs, as real numbers, after every check there is."""
    validate(built.program)
    check_bounds(built.program, built.weights)
    values = evaluate(built.program, built.weights, [x[None] for x in inputs])
    return [values[v][0] * 2.0 ** -built.program.tensor(v).frac_bits for v in built.program.outputs]


@pytest.fixture
def builder() -> Builder:
    return Builder()


@pytest.fixture
def x(builder: Builder) -> ProgramValue:
    return builder.input("x", (2, 3), 4, -20, 30)


IDENTITY = Table("identity", -20, tuple(range(-20, 31)))


class TestBounds:
    def test_a_product_has_the_row_norms_of_its_weight(self, builder: Builder, x: ProgramValue) -> None:
        weight = builder.weight("w", np.array([[1, -2, 3], [0, 0, 1]]), 2)
        y = builder.einsum("y", "bi,oi->bo", x, weight)
        assert y.frac_bits == 6
        assert y.interval == (-20 - 60 - 60, 30 + 40 + 90)
        assert (y.tensor.lo, y.tensor.hi) == round_outward(y.interval)
        assert y.real_bounds == (-140 / 64, 160 / 64)
        assert y.bits == 8

    def test_a_lookup_reaches_what_its_table_holds_there(self, builder: Builder, x: ProgramValue) -> None:
        squares = Table("square", -30, tuple(i * i for i in range(-30, 40)))
        assert builder.lookup("y", x, squares, 0, 8).interval == (0, 900)

    def test_a_table_has_to_cover_the_published_bounds_not_just_the_exact_ones(
        self, builder: Builder, x: ProgramValue
    ) -> None:
        doubled = builder.combine("d", [Summand(x), Summand(x)])
        assert (doubled.interval, doubled.tensor.hi) == ((-40, 60), 63)
        with pytest.raises(BoundsError, match="y: table 'tight' covers indices -40 to 60"):
            builder.lookup("y", doubled, Table("tight", -40, tuple(range(-40, 61))), 0, 4)

    def test_sums_that_leave_exact_arithmetic_are_refused_by_name(self, builder: Builder) -> None:
        big = builder.input("big", (4,), 0, 0, MAX_MAGNITUDE // 2)
        with pytest.raises(BoundsError, match="total: Einsum 'i->' could reach"):
            builder.einsum("total", "i->", big)
        with pytest.raises(BoundsError, match="total: a sum could reach"):
            builder.combine("total", [Summand(big), Summand(big)])

    def test_formats_too_far_apart_are_refused_by_name(self, builder: Builder, x: ProgramValue) -> None:
        fine = builder.input("fine", (2, 3), 70, -1, 1)
        with pytest.raises(BoundsError, match="y: the formats of its terms are too far apart"):
            builder.combine("y", [Summand(x), Summand(fine)])
        with pytest.raises(BoundsError, match=r"y: the constant 1e.30 is too large"):
            builder.combine("y", [Summand(x)], offset=Fraction(10**30))


class TestCombine:
    @given(
        st.lists(
            st.tuples(st.integers(-7, 7).filter(bool), st.integers(-4, 4), st.integers(-3, 6)), min_size=1, max_size=4
        ),
        st.integers(-16, 16),
    )
    def test_is_exact(self, terms: list[tuple[int, int, int]], offset: int) -> None:
        builder = Builder()
        inputs = [builder.input(f"x{i}", (3,), frac_bits, -9, 9) for i, (_, _, frac_bits) in enumerate(terms)]
        coefficients = [Fraction(odd) * Fraction(2) ** twos for odd, twos, _ in terms]
        summands = [Summand(value, c) for value, c in zip(inputs, coefficients, strict=True)]
        y = builder.combine("y", summands, offset=Fraction(offset, 1 << 4), extra_bits=16)
        arrays = [np.arange(3) * 3 - 3 - i for i in range(len(terms))]
        expected = np.full(3, offset / 16)
        for array, c, (_, _, frac_bits) in zip(arrays, coefficients, terms, strict=True):
            expected = expected + float(c) * array * 2.0**-frac_bits
        np.testing.assert_array_equal(run(builder.finish([y]), *arrays)[0], expected)

    def test_takes_the_coarsest_format_that_is_exact(self, builder: Builder, x: ProgramValue) -> None:
        assert builder.combine("y", [Summand(x, Fraction(6))]).frac_bits == 3
        assert builder.combine("y", [Summand(x, Fraction(3, 8))]).frac_bits == 7

    def test_rounds_the_offset_to_even(self, builder: Builder, x: ProgramValue) -> None:
        y = builder.combine("y", [Summand(x)], offset=Fraction(5, 32))
        z = builder.combine("z", [Summand(x)], offset=Fraction(7, 32))
        zeros = np.zeros((2, 3), dtype=np.int64)
        real = run(builder.finish([y, z]), zeros)
        assert [r[0, 0] for r in real] == [2 / 16, 4 / 16]

    def test_reads_through_a_view_that_only_moves(self, builder: Builder, x: ProgramValue) -> None:
        moved = builder.combine("a", [Summand(x, Fraction(3), (Transpose((1, 0)),))])
        y = builder.combine("y", [Summand(moved, Fraction(-1), (Pad((0, 1), (0, 0)), Reshape((9,))))])
        program = builder.finish([y]).program
        assert len(program.nodes) == 1
        np.testing.assert_array_equal(
            run(builder.finish([y]), np.arange(6).reshape(2, 3))[0] * 16,
            [0, 0, -9, 0, -3, -12, 0, -6, -15],
        )

    def test_does_not_read_through_an_offset(self, builder: Builder, x: ProgramValue) -> None:
        shifted = builder.combine("a", [Summand(x)], offset=Fraction(1))
        y = builder.combine("y", [Summand(shifted, steps=(Pad((0, 1), (0, 0)),))])
        assert len(builder.finish([y]).program.nodes) == 2
        assert run(builder.finish([y]), np.zeros((2, 3), dtype=np.int64))[0].tolist() == [[0, 1, 1, 1]] * 2

    def test_of_one_value_is_that_value(self, builder: Builder, x: ProgramValue) -> None:
        assert builder.combine("y", [Summand(x)]) is x

    @pytest.mark.parametrize("coefficient", [Fraction(0), Fraction(1, 3)])
    def test_refuses_coefficients_that_are_not_integers_over_powers_of_two(
        self, builder: Builder, x: ProgramValue, coefficient: Fraction
    ) -> None:
        with pytest.raises(ValueError, match="y: every coefficient"):
            builder.combine("y", [Summand(x, coefficient)])

    def test_refuses_steps_that_do_not_fit(self, builder: Builder, x: ProgramValue) -> None:
        with pytest.raises(ShapeError):
            builder.combine("y", [Summand(x, steps=(Expand((4, 3)),))])


class TestSharing:
    def test_equal_weights_are_one(self, builder: Builder) -> None:
        content = np.array([[1, 2], [3, 4]])
        first = builder.weight("a", content, 3)
        assert builder.weight("b", content.copy(), 3) is first
        assert builder.weight("c", content, 4) is not first
        assert builder.weight("d", content.reshape(4), 3) is not first

    def test_weights_are_copied(self, builder: Builder, x: ProgramValue) -> None:
        content = np.array([1, 2, 3])
        weight = builder.weight("a", content, 0)
        content[:] = 0
        y = builder.einsum("y", "bi,i->bi", x, weight)
        assert run(builder.finish([y]), np.ones((2, 3), dtype=np.int64))[0].tolist() == [[1 / 16, 2 / 16, 3 / 16]] * 2

    def test_equal_nodes_are_one_under_the_first_name(self, builder: Builder, x: ProgramValue) -> None:
        first = builder.einsum("a", "bi->b", x)
        assert builder.einsum("b", "bi->b", x) is first
        assert first.tensor.label == "a"

    def test_equal_tables_are_one_whatever_their_names(self, builder: Builder, x: ProgramValue) -> None:
        a = builder.lookup("a", x, IDENTITY, 0, 4)
        b = builder.lookup("b", x, Table("other name", IDENTITY.lo, IDENTITY.values), 0, 5)
        program = builder.finish([a, b]).program
        assert len(program.tables) == 1
        assert len(program.nodes) == 2


class TestFinish:
    def test_leaves_out_what_no_output_needs(self, builder: Builder, x: ProgramValue) -> None:
        unused = builder.weight("unused", np.array([1, 2, 3]), 0)
        used = builder.weight("used", np.array([4, 5, 6]), 0)
        builder.einsum("dead", "bi,i->b", x, unused)
        builder.lookup("dead too", x, Table("dead", -20, (0,) * 51), 0, 0)
        y = builder.lookup("y", x, IDENTITY, 0, 4)
        z = builder.einsum("z", "bi,i->b", y, used)
        built = builder.finish([z])
        assert [tensor.label for tensor in built.program.weights] == ["used"]
        assert [node.out.label for node in built.program.nodes] == ["y", "z"]
        assert [table.name for table in built.program.tables] == ["identity"]
        assert unused.number not in built.numbers
        assert built.numbers[z.number] == built.program.outputs[0] == 3

    def test_keeps_the_saturations_of_lookups_that_an_output_needs(self, builder: Builder, x: ProgramValue) -> None:
        doubled = builder.combine("doubled", [Summand(x, Fraction(2), (Reshape((6,)),))])
        table = Table("clamp", -20, tuple(min(i, 9) for i in range(-20, 31)))
        kept = builder.lookup("kept", doubled, table, 1, 4, [(-20, -20), (10, 30)])
        builder.lookup("unneeded", x, table, 0, 4, [(10, 30)])
        built = builder.finish([kept])
        (saturation,) = built.saturations
        assert built.program.tensor(saturation.value).label == "kept"
        assert built.program.tensor(saturation.source).label == "doubled"
        assert saturation.runs == ((-41, -40), (19, 60))
        np.testing.assert_array_equal(
            [saturation.count(np.array([i])) for i in (-42, -41, -40, -39, 18, 19, 60, 61)], [0, 1, 1, 0, 0, 1, 1, 0]
        )

    def test_keeps_the_limits_of_lookups(self, builder: Builder, x: ProgramValue) -> None:
        """Where a table clamps its operand, its elements are saturated too; the runs of both reasons are joined."""
        coarse = Table("coarse", -10, tuple(range(-10, 16)))
        value = builder.lookup("y", x, coarse, 1, 3, [(-10, -9), (14, 15)])
        # An index i stands for i / 8: inside are -0.5 to 1.5, and so the indices -4 to 12.
        builder.limit(value, lambda reals: (reals >= -0.5) & (reals <= 1.5))
        (saturation,) = builder.finish([value]).saturations
        assert saturation.runs == ((-21, -10), (25, 30))

    def test_keeps_inputs_that_no_output_needs(self, builder: Builder, x: ProgramValue) -> None:
        other = builder.input("other", (1,), 0, 0, 1)
        assert builder.finish([x]).program.inputs == (x.tensor, other.tensor)

    def test_numbers_weights_before_nodes_though_they_came_later(self, builder: Builder, x: ProgramValue) -> None:
        y = builder.combine("y", [Summand(x), Summand(x)])
        weight = builder.weight("w", np.array([1, 2, 3]), 0)
        z = builder.einsum("z", "bi,i->b", y, weight)
        built = builder.finish([z, y])
        assert built.numbers == {x.number: 0, weight.number: 1, y.number: 2, z.number: 3}
        assert isinstance(built.program.nodes[0], View)
        assert built.program.outputs == (3, 2)
        validate(built.program)


@given(st.integers(-1000, 1000).filter(bool), st.integers(-20, 20))
def test_the_exponent_of_a_dyadic_number(odd_times_twos: int, twos: int) -> None:
    x = Fraction(odd_times_twos) * Fraction(2) ** twos
    assert is_dyadic(x)
    quotient = x / Fraction(2) ** exponent(x)
    assert quotient.denominator == 1
    assert quotient.numerator % 2 == 1
    assert not is_dyadic(x / 3) or x.numerator % 3 == 0


class TestRecurrences:
    """A state of 3 steps, next = clamp(x + past + w), built among other nodes."""

    STEPS = 3

    @pytest.fixture
    def x(self, builder: Builder) -> ProgramValue:
        return builder.input("x", (self.STEPS, 2), 0, -5, 5)

    def table(self, reach: int = 7) -> Table:
        return Table("clamp", -31, tuple(min(max(i, -reach), reach) for i in range(-31, 32)))

    def past(self, builder: Builder) -> ProgramValue:
        return builder.delay("past", builder.zeros("zero", (1, 2), 0), self.STEPS, (-7, 7))

    def test_its_nodes_follow_one_another_and_read_steps_alone(self, builder: Builder, x: ProgramValue) -> None:
        past = self.past(builder)
        twice = builder.combine("twice", [Summand(x, Fraction(2))])
        seen = builder.combine("seen", [Summand(past, Fraction(3))])
        w = builder.weight("w", np.array([1, -2]), 0)
        everywhere = (Reshape((1, 2)), Expand((self.STEPS, 2)))
        summed = builder.combine("sum", [Summand(twice), Summand(past), Summand(w, steps=everywhere)])
        state = builder.lookup("state", summed, self.table(), 0, 0)
        builder.close(past, state)
        built = builder.finish([state, seen, past])
        kinds = [type(node).__name__ for node in built.program.nodes]
        assert kinds == ["View", "View", "Delay", "View", "Lookup", "View"]
        (region,) = find_regions(built.program)
        assert [built.program.tensor(v).label for v in region.values] == ["past", "sum", "state"]
        given = np.array([[1, 1], [2, -2], [0, 5]])
        states, expected = [np.zeros(2, dtype=np.int64)], []
        for row in given:
            expected.append(np.clip(2 * row + states[-1] + [1, -2], -7, 7))
            states.append(expected[-1])
        found = run(built, given)
        np.testing.assert_array_equal(found[0], expected)
        np.testing.assert_array_equal(found[1], 3 * np.array(states[:-1]))
        np.testing.assert_array_equal(found[2], states[:-1])

    def test_zeros_are_zero_whatever_inputs_are(self, builder: Builder, x: ProgramValue) -> None:
        zero = builder.zeros("zero", (1, 4), 3)
        assert zero.interval == (0, 0)
        (found,) = run(builder.finish([zero]), np.full((self.STEPS, 2), 5))
        np.testing.assert_array_equal(found, np.zeros((1, 4)))

    def test_a_state_that_leaves_its_bounds_or_format_is_refused(self, builder: Builder, x: ProgramValue) -> None:
        past = self.past(builder)
        summed = builder.combine("sum", [Summand(x), Summand(past)])
        for state in (
            builder.lookup("wide", summed, self.table(8), 0, 0),
            builder.lookup("fine", summed, self.table(), 0, 1),
            builder.lookup(
                "other shape", builder.combine("r", [Summand(past, steps=(Slice(1, 0, 1, 1),))]), self.table(), 0, 0
            ),
        ):
            with pytest.raises(ValueError, match=f"{state.tensor.label}: the state of a recurrence"):
                builder.close(past, state)

    def test_what_does_not_depend_on_the_state_is_no_recurrence(self, builder: Builder, x: ProgramValue) -> None:
        past = self.past(builder)
        for other in (
            builder.lookup("other", x, self.table(), 0, 0),
            builder.combine("sum", [Summand(x), Summand(past)]),
        ):
            with pytest.raises(ValueError, match="the result of a lookup within it"):
                builder.close(past, other)
