"""The emitter: which functions stay pending, which arithmetic is exact, and when a lookup is emitted."""

from fractions import Fraction

import numpy as np
import pytest

from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Lookup
from zkinfer.circuit.steps import Expand, Pad, Reshape, Slice, Transpose
from zkinfer.compiler.approx.functions import abs_, log, relu, sigmoid, sign, sqrt
from zkinfer.compiler.lowering.activation import Activation, Addend, Constant
from zkinfer.compiler.lowering.affine import IDENTITY, AffineMap
from zkinfer.compiler.lowering.emitter import Emitter, broadcast_steps, sampled_range
from zkinfer.compiler.lowering.linear import add_all, add_weight
from zkinfer.compiler.lowering.precision import EZKL
from zkinfer.errors import CompileError
from zkinfer.protocol.field.params import P


@pytest.fixture
def g() -> Emitter:
    return Emitter(EZKL, label="out")


@pytest.fixture
def x(g: Emitter) -> Activation:
    """Eight bits, 16 to the unit, between -8 and 8."""
    return g.input("x", (1, 4), (-8.0, 8.0))


def outputs(g: Emitter, *activations: Activation, x: np.ndarray | None = None) -> list[np.ndarray]:
    """The real outputs of the program on integers `x`."""
    built = g.builder.finish([g.output(a) for a in activations])
    integers = np.array([[-128, -3, 0, 128]]) if x is None else x
    values = evaluate(built.program, built.weights, [integers[None]])
    return [values[v][0] * 2.0 ** -built.program.tensor(v).frac_bits for v in built.program.outputs]


def lookups(g: Emitter, *activations: Activation) -> list[Lookup]:
    program = g.builder.finish([g.output(a) for a in activations]).program
    return [node for node in program.nodes if isinstance(node, Lookup)]


X = np.array([-8.0, -3 / 16, 0.0, 8.0])


class TestPending:
    def test_nothing_is_emitted_for_functions_and_scalars(self, g: Emitter, x: Activation) -> None:
        y = g.affine(g.apply(g.affine(x, Fraction(1, 3)), sigmoid), Fraction(2), Fraction(1))
        assert y.value is x.value
        assert g.builder.finish([x.value]).program.nodes == ()

    def test_affine_steps_stay_affine(self, g: Emitter, x: Activation) -> None:
        y = g.affine(g.affine(x, Fraction(2), Fraction(1)), Fraction(1, 4), Fraction(3))
        assert y.pending == AffineMap(Fraction(1, 2), Fraction(13, 4))
        assert y.observed == (-0.75, 7.25)

    def test_a_factor_of_zero_is_a_constant(self, g: Emitter, x: Activation) -> None:
        y = g.affine(x, Fraction(0), Fraction(5))
        assert outputs(g, y)[0].tolist() == [[5.0] * 4]

    def test_the_range_of_a_function_is_that_over_the_range_seen(self, g: Emitter, x: Activation) -> None:
        lo, hi = g.apply(x, relu).observed
        assert (lo, hi) == (0.0, 8.0)

    def test_what_is_pending_comes_first_if_the_domain_of_the_whole_is_unknown(self, g: Emitter, x: Activation) -> None:
        """sign(x) * |x| is not known to be positive where x is."""
        signed = g.apply(x, sign * abs_)
        root = g.apply(signed, sqrt)
        assert (root.value, root.pending) == (g.narrow(signed), sqrt)
        assert g.apply(g.apply(x, abs_), sqrt).value is x.value

    def test_a_function_that_is_nowhere_defined_is_refused(self) -> None:
        with pytest.raises(CompileError, match=r"log.* is not defined anywhere from -8 to -1"):
            sampled_range(log, (-8.0, -1.0))


class TestOperand:
    def test_of_a_narrow_value_is_the_value_and_its_factor(self, g: Emitter, x: Activation) -> None:
        assert g.operand(g.affine(x, Fraction(1, 3))) == (x.value, Fraction(1, 3))

    def test_an_offset_that_is_exact_is_added(self, g: Emitter, x: Activation) -> None:
        value, factor = g.operand(g.affine(x, Fraction(1, 3), Fraction(1)))
        assert factor == Fraction(1, 3)
        assert value.real_bounds == (-5.0, 11.0)

    def test_an_offset_that_is_not_exact_is_looked_up(self, g: Emitter, x: Activation) -> None:
        shifted = g.affine(x, offset=Fraction(1, 3))
        assert g.operand(shifted) == (g.narrow(shifted), Fraction(1))

    def test_a_wide_value_is_looked_up_once(self, g: Emitter, x: Activation) -> None:
        wide = g.affine(g.einsum("bi,oi->bo", x, g.weight(Constant("w", np.eye(4) / 3))), Fraction(1, 3))
        first, _ = g.operand(wide)
        assert first is g.narrow(wide)
        assert first is not wide.value
        assert len(lookups(g, g.activation(first))) == 1

    def test_a_wide_value_passes_where_the_caller_takes_wide_ones(self, g: Emitter, x: Activation) -> None:
        wide = g.einsum("bi,oi->bo", x, g.weight(Constant("w", np.eye(4) / 3)))
        assert g.operand(wide, wide.value.bits)[0] is wide.value


class TestSum:
    def test_of_different_formats_is_exact(self, g: Emitter, x: Activation) -> None:
        y = add_all(g, [Addend(x), Addend(g.affine(x, Fraction(3, 64)), Fraction(-1))])
        assert outputs(g, y)[0].tolist() == [(X * (1 - 3 / 64)).tolist()]

    def test_keeps_a_common_factor_pending(self, g: Emitter, x: Activation) -> None:
        third = g.affine(x, Fraction(1, 3))
        y = add_all(g, [Addend(third), Addend(g.affine(x, Fraction(2, 3)))])
        assert y.pending == AffineMap(Fraction(1, 3))
        assert not lookups(g, g.activation(y.value))

    def test_looks_up_what_has_another_factor(self, g: Emitter, x: Activation) -> None:
        y = add_all(g, [Addend(x), Addend(g.affine(x, Fraction(1, 3)))])
        assert len(lookups(g, y)) == 1
        np.testing.assert_allclose(outputs(g, y)[0][0], X * 4 / 3, atol=1 / 64)

    def test_collects_offsets_without_rounding(self, g: Emitter, x: Activation) -> None:
        y = add_all(g, [Addend(g.affine(x, offset=Fraction(1, 3))), Addend(x, Fraction(1))])
        assert y.pending == AffineMap(Fraction(1), Fraction(1, 3))

    def test_what_outgrew_its_table_is_made_narrow_if_others_read_it_too(self, g: Emitter, x: Activation) -> None:
        # As the sums that run through a network of residual blocks.
        stream = g.named(
            g.activation(g.einsum("bi,oi->bo", x, g.weight(Constant("w", np.eye(4) * 4))).value),
            "s",
            observed=(-1.0, 1.0),
        )
        private = add_all(g, [Addend(stream), Addend(x)])
        assert not lookups(g, private)
        shared = add_all(g, [Addend(g.named(stream, "s", shared=True)), Addend(x)])
        assert [lookup.out.label for lookup in lookups(g, shared)] == ["s"]


class TestReindex:
    def test_a_pending_function_waits(self, g: Emitter, x: Activation) -> None:
        y = g.reindex(g.apply(x, sigmoid), Reshape((2, 2)), Transpose((1, 0)), Slice(0, 0, 1, 1))
        assert [lookup.out.shape for lookup in lookups(g, y)] == [(1, 2)]

    def test_a_pending_function_comes_first_where_elements_are_repeated(self, g: Emitter, x: Activation) -> None:
        y = g.reindex(g.apply(x, sigmoid), Reshape((1, 4, 1)), Expand((1, 4, 9)))
        assert [lookup.out.shape for lookup in lookups(g, y)] == [(1, 4)]

    def test_a_pending_function_comes_first_where_others_read_it(self, g: Emitter, x: Activation) -> None:
        r = g.named(g.apply(x, sigmoid), "r", shared=True)
        assert len(lookups(g, g.reindex(r, Reshape((4,))), g.reindex(r, Reshape((2, 2))))) == 1

    def test_zeros_are_padded_after_what_does_not_keep_zero(self, g: Emitter, x: Activation) -> None:
        pad = Pad((0, 1), (0, 0))
        for a in (g.apply(x, sigmoid), g.affine(x, offset=Fraction(1, 3))):
            assert outputs(g, g.reindex(a, pad))[0][0, 0] == 0
        assert not lookups(g, g.reindex(g.affine(x, Fraction(1, 4)), pad))

    def test_padding_makes_zero_part_of_the_range(self, g: Emitter) -> None:
        x = g.input("x", (1, 4), (4.0, 8.0))
        assert g.reindex(x, Pad((0, 1), (0, 0))).observed == (0.0, 8.0)


class TestAddConstant:
    def test_a_weight_comes_at_the_scale_of_a_wide_sum(self, g: Emitter, x: Activation) -> None:
        wide = g.einsum("bi,oi->bo", x, g.weight(Constant("w", np.eye(4) / 3)))
        bias = Constant("b", np.array([0.1, -0.2, 0.3, 0.4]))
        y = add_weight(g, wide, bias, bias.reals, broadcast_steps((4,), (1, 4)))
        assert y.value.frac_bits == wide.value.frac_bits
        assert y.pending == IDENTITY

    def test_a_weight_brings_its_own_digits_beside_a_narrow_value(self, g: Emitter, x: Activation) -> None:
        bias = Constant("b", np.array([0.1, -0.2, 0.3, 0.4]))
        y = add_weight(g, x, bias, bias.reals, broadcast_steps((4,), (1, 4)))
        np.testing.assert_allclose(outputs(g, y)[0][0], X + bias.reals, atol=2.0**-9)

    def test_a_factor_that_is_pending_stays_so(self, g: Emitter, x: Activation) -> None:
        bias = Constant("b", np.array([0.1, -0.2, 0.3, 0.4]))
        y = add_weight(g, g.affine(x, Fraction(1, 3)), bias, bias.reals, broadcast_steps((4,), (1, 4)))
        assert y.pending == AffineMap(Fraction(1, 3))
        np.testing.assert_allclose(outputs(g, g.activation(y.value))[0][0] / 3, X / 3 + bias.reals, atol=2.0**-8)


class TestState:
    def test_emitters_of_other_operators_share_the_program_and_narrow_forms(self, g: Emitter, x: Activation) -> None:
        other = g.for_operator("other", integer=True, outputs=2)
        assert (other.label, other.integer, other.outputs) == ("other", True, 2)
        assert (g.label, g.integer, g.outputs) == ("out", False, 1)
        y = g.apply(x, sigmoid)
        assert other.narrow(y) is g.narrow(y)
        assert other.ranges.of(x.value) == (-8.0, 8.0)
        assert other.apply(x, sigmoid).label == "other"

    def test_a_tensor_under_another_name_has_the_same_narrow_form(self, g: Emitter, x: Activation) -> None:
        y = g.apply(x, sigmoid)
        named = g.named(y, "y", observed=(0.25, 0.75), shared=True)
        assert named.tensor == y.tensor
        assert g.narrow(named) is g.narrow(y)

    def test_another_function_is_another_tensor(self, g: Emitter, x: Activation) -> None:
        y = g.affine(x)
        assert y.tensor != x.tensor
        assert g.narrow_forms == {}
        g.narrow(y)
        assert list(g.narrow_forms) == [y.tensor]


class TestOutput:
    def test_wide_sums_stay_wide(self, g: Emitter, x: Activation) -> None:
        wide = g.einsum("bi,oi->bo", x, g.weight(Constant("w", np.eye(4) / 3)))
        assert g.output(wide) is wide.value

    def test_an_offset_is_rounded_with_digits_to_spare(self, g: Emitter, x: Activation) -> None:
        np.testing.assert_allclose(outputs(g, g.affine(x, offset=Fraction(1, 3)))[0][0], X + 1 / 3, atol=2.0**-9)


class TestWhatThePublicKnows:
    """Contents of weights keep sums small; the public knows only the largest weight."""

    @staticmethod
    def layers(g: Emitter, x: Activation, count: int) -> Activation:
        """Layers of a single weight each, one after another, which row norms keep as small as their input."""
        sparse = np.zeros((64, 64))
        np.fill_diagonal(sparse, 127.0)
        for i in range(count):
            weight = g.weight_at(Constant(f"w{i}", sparse), sparse * (i + 1) % 128, 0)
            x = g.einsum("bi,oi->bo", x, weight, width=60)
        return x

    def test_an_operand_becomes_narrow_before_a_product_leaves_the_field(self, g: Emitter) -> None:
        x = g.input("x", (1, 64), (-8.0, 8.0))
        short, long = self.layers(g, x, 3), self.layers(g, x, 5)
        assert not lookups(g, short), "8 + 3 * 13 bits"
        assert len(lookups(g, long)) == 1
        program = g.builder.finish([g.output(long)]).program
        derived_bounds(program, P // 2)

    def test_a_summand_becomes_narrow_before_a_sum_leaves_the_field(self, g: Emitter) -> None:
        x = g.input("x", (1, 64), (-8.0, 8.0))
        y = self.layers(g, x, 3)
        total = add_all(g, [Addend(y, Fraction(8)), Addend(x, Fraction(1, 1 << 10))])
        assert len(lookups(g, total)) == 1
        derived_bounds(g.builder.finish([g.output(total)]).program, P // 2)

    def test_a_bias_finds_its_sum_in_the_field(self, g: Emitter) -> None:
        x = g.input("x", (1, 64), (-8.0, 8.0))
        y = self.layers(g, x, 3)
        bias = np.full(64, 2.0**-30)
        total = add_weight(g, y, Constant("b", bias), bias * 2.0**36, (Reshape((1, 64)),))
        derived_bounds(g.builder.finish([g.output(total)]).program, P // 2)
