"""Truth values in products."""

from fractions import Fraction

import numpy as np
import pytest

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Lookup
from zkinfer.compiler.approx.functions import step
from zkinfer.compiler.lowering.activation import Activation, Constant, Operand
from zkinfer.compiler.lowering.builder import ProgramValue
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import EZKL
from zkinfer.compiler.lowering.truth import both, integral_value, opposite, times_truth

X = np.array([[[-3, -1, 0, 2]]])


def run(g: Emitter, value: ProgramValue) -> np.ndarray:
    built = g.builder.finish([value])
    return evaluate(built.program, built.weights, [X])[built.program.outputs[0]]


def number() -> tuple[Emitter, Activation]:
    g = Emitter(EZKL, label="op")
    return g, g.integral_input("x", (1, 4), -4, 3)


def truth(g: Emitter, x: Activation) -> Activation:
    return g.apply(x, step, (0.0, 1.0), integral=True)


@pytest.mark.parametrize("constant", [False, True])
def test_a_product_keeps_what_is_true(constant: bool) -> None:
    g, x = number()
    kept: Operand = Constant("c", np.array([False, False, True, True])) if constant else truth(g, x)
    assert run(g, times_truth(g, x.value, kept)).tolist() == [[[0, 0, 0, 2]]]
    assert run(g, times_truth(g, x.value, opposite(g, kept))).tolist() == [[[-3, -1, 0, 0]]]


def test_a_product_broadcasts_the_truth() -> None:
    g, x = number()
    assert run(g, times_truth(g, x.value, Constant("c", np.array([[0]])))).tolist() == [[[0, 0, 0, 0]]]


def test_both_of_constants_is_a_constant() -> None:
    g, _ = number()
    joint = both(g, Constant("a", np.array([True, True])), Constant("b", np.array([True, False])))
    assert isinstance(joint, Constant)
    assert joint.integers == (1, 0)


def test_both_of_a_constant_and_a_computed_one() -> None:
    g, x = number()
    joint = both(g, Constant("a", np.array([1, 1, 0, 1])), truth(g, x))
    assert isinstance(joint, Activation)
    assert run(g, integral_value(g, joint, 0, 1)).tolist() == [[[0, 0, 0, 1]]]


class TestIntegralValue:
    def test_integers_within_the_bounds_need_no_lookup(self) -> None:
        g, x = number()
        assert integral_value(g, x, -4, 3) is x.value

    def test_others_saturate(self) -> None:
        g, x = number()
        value = integral_value(g, g.affine(x, offset=Fraction(1)), 0, 2)
        built = g.builder.finish([value])
        assert any(isinstance(node, Lookup) for node in built.program.nodes)
        assert run(g, value).tolist() == [[[0, 0, 1, 2]]]
