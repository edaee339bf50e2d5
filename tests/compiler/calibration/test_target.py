"""Targets: what is one, what it measures, and that a judge sees a circuit that is off."""

import math

import numpy as np
import onnx_ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.calibration.report import compare
from zkinfer.compiler.calibration.target import (
    Judge,
    Requirement,
    largest_error,
    least_agreement,
    least_cosine,
    parse_target,
)
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.lowering.result import Lowered
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import InvalidInputError, ShapeError

X = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> onnx_ir.Model:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Tanh", ["h"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    return load_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), batch=2)


def _lowered(model: onnx_ir.Model, bits: int) -> Lowered:
    precision = Precision(activation_bits=bits, weight_bits=bits, max_table_entries=1 << 16)
    return import_model(model, calibrate(model, X), precision)


def test_several_requirements_are_read() -> None:
    assert parse_target(" cosine >= 0.999,top1>=1 , max_error<=1e-2") == (
        Requirement("cosine", 0.999),
        Requirement("top1", 1.0),
        Requirement("max_error", 0.01),
    )


@given(st.sampled_from(["cosine>=", "top1>=", "max_error<="]), st.floats(0.001, 0.999))
def test_a_requirement_is_written_as_it_is_read(form: str, bound: float) -> None:
    (requirement,) = parse_target(f"{form}{bound:g}")
    assert parse_target(str(requirement)) == (requirement,)
    assert requirement.holds(requirement.bound)
    worse = math.nextafter(requirement.bound, math.inf if form == "max_error<=" else -math.inf)
    assert not requirement.holds(worse)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a target"),
        ("0.999", "is not a target"),
        ("cosine", "is not a target"),
        ("cosine>0.9", "is not a target"),
        ("cosine<=0.9", "is not a target"),
        ("max_error>=0.1", "is not a target"),
        ("accuracy>=0.9", "is not a target"),
        ("cosine>=0.9 top1>=0.9", "is not a target"),
        ("cosine>=0.9,", "is not a target"),
        ("cosine>=1.2.3", "is not a target"),
        ("cosine>=nan", "out of range"),
        ("cosine>=1", "out of range"),
        ("top1>=1.5", "out of range"),
        ("top1>=-0.5", "out of range"),
        ("max_error<=0", "out of range"),
        ("max_error<=inf", "out of range"),
        ("cosine>=0.9,cosine>=0.99", "twice"),
        (0.999, "a target is text"),
    ],
)
def test_what_is_no_target(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        parse_target(text)


def test_the_worst_output_counts() -> None:
    good, bad = (np.eye(3), np.eye(3)), (np.eye(3), np.eye(3)[[1, 1, 2]])
    assert least_cosine([good, bad]) == pytest.approx(2 / 3)
    assert least_agreement([good, bad]) == pytest.approx(2 / 3)
    assert largest_error([good, bad]) == 1.0
    assert least_cosine([good]) == pytest.approx(1.0)
    assert (least_agreement([good]), largest_error([good])) == (1.0, 0.0)


def test_agreement_passes_over_outputs_without_classes() -> None:
    values = np.zeros((3, 1)), np.ones((3, 1))
    assert least_agreement([values, (np.eye(3), np.eye(3))]) == 1.0
    with pytest.raises(InvalidInputError, match="top1 needs an output"):
        least_agreement([values])


class TestJudge:
    @pytest.mark.parametrize("samples", [28, 29])
    def test_figures_are_those_of_the_report(self, model: onnx_ir.Model, samples: int) -> None:
        """In batches of two; of 29 samples the first fills the last batch, where the report counts it again."""
        judge = Judge(model, [X[:samples]], parse_target("max_error<=0.5, top1>=0.5, cosine>=0.5"))
        lowered = _lowered(model, 4)
        output = compare(model, lowered, [X[:samples]]).outputs[0]
        error, top1, cosine = judge.figures(lowered)
        assert judge.samples == samples
        assert (error, top1) == (output.max_error, output.agreement)
        assert 0 < error < 1 > top1
        assert (cosine == pytest.approx(output.cosine, abs=1e-12)) == (samples == 28)

    def test_figures_are_said_by_name(self, model: onnx_ir.Model) -> None:
        judge = Judge(model, [X], parse_target("cosine>=0.9, max_error<=0.5, top1>=0.5"))
        assert judge.described((0.5, 0.25, 1.0)) == "cosine 0.5, max_error 0.25, top1 1"

    def test_more_bits_are_closer(self, model: onnx_ir.Model) -> None:
        judge = Judge(model, [X], parse_target("max_error<=0.01"))
        errors = [judge.figures(_lowered(model, bits))[0] for bits in (4, 8, 12)]
        assert errors == sorted(errors, reverse=True)
        assert [judge.holds((error,)) for error in errors] == [False, False, True]

    def test_a_circuit_with_other_weights_does_not_hold(self, model: onnx_ir.Model) -> None:
        judge = Judge(model, [X], parse_target("cosine>=0.99"))
        honest = _lowered(model, 12)
        negated = Lowered(honest.program, tuple(-weight for weight in honest.weights), honest.layers)
        assert judge.holds(judge.figures(honest))
        assert not judge.holds(judge.figures(negated))

    def test_every_requirement_has_to_hold(self, model: onnx_ir.Model) -> None:
        judge = Judge(model, [X], parse_target("cosine>=0.9, top1>=0.9"))
        assert judge.holds((0.95, 0.95))
        assert not judge.holds((0.95, 0.85))
        assert not judge.holds((0.85, 0.95))
        assert not judge.holds((math.nan, 0.95))

    def test_samples_have_to_fit_the_model(self, model: onnx_ir.Model) -> None:
        with pytest.raises(ShapeError):
            Judge(model, [X[:, :5]], parse_target("cosine>=0.9"))
