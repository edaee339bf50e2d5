"""Tuning: cheaper circuits that hold their target, none that do not, and a table that says what was traded."""

import numpy as np
import onnx_ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from zkinfer.circuit.program import Program
from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.calibration.target import Judge, parse_target
from zkinfer.compiler.calibration.tune import Tuning, tune
from zkinfer.compiler.lowering.cost import ProgramCost, program_cost
from zkinfer.compiler.lowering.precision import NATIVE, Precision
from zkinfer.compiler.lowering.result import Lowered
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import BoundsError, ToleranceError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 16)).astype(np.float32)
FIRST, SECOND = (RNG.normal(size=shape).astype(np.float32) / 4 for shape in ((16, 24), (24, 5)))


@pytest.fixture(scope="module")
def model() -> onnx_ir.Model:
    """A perceptron 16-24-5; the first layer's outputs are much finer than the second's need."""
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["hidden"]),
        helper.make_node("Tanh", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["scores"]),
        helper.make_node("Sigmoid", ["scores"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(FIRST, "first"), numpy_helper.from_array(SECOND, "second")],
    )
    return load_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), batch=1)


class Lowering:
    """Lowers the model with statistics of some samples, and counts how often."""

    def __init__(self, model: onnx_ir.Model, samples: np.ndarray) -> None:
        self.model, self.statistics, self.calls = model, calibrate(model, samples), 0

    def __call__(self, precision: Precision) -> Lowered:
        self.calls += 1
        return import_model(self.model, self.statistics, precision)


def _tuned(model: onnx_ir.Model, target: str, start: Precision = NATIVE) -> tuple[Lowered, Tuning, Judge]:
    judge = Judge(model, [X[1::2]], parse_target(target))
    lowered, tuning = tune(Lowering(model, X[::2]), Lowering(model, X), judge, start)
    return lowered, tuning, judge


@pytest.mark.parametrize("target", ["cosine>=0.999", "max_error<=0.02", "top1>=0.95, max_error<=0.1"])
def test_a_tuned_circuit_costs_less_and_holds_the_target(model: onnx_ir.Model, target: str) -> None:
    lowered, tuning, judge = _tuned(model, target)
    assert judge.holds(judge.figures(lowered))
    assert tuning.cost_after == program_cost(lowered.program).total
    assert tuning.cost_after < tuning.cost_before / 4
    assert tuning.after == judge.described(judge.figures(lowered))


def test_the_tuned_precision_gives_the_tuned_circuit_again(model: onnx_ir.Model) -> None:
    lowered, tuning, _ = _tuned(model, "cosine>=0.999")
    assert Lowering(model, X)(tuning.precision_after).program == lowered.program


def test_a_stricter_target_costs_more(model: onnx_ir.Model) -> None:
    costs = [_tuned(model, f"max_error<={error}")[1].cost_after for error in (0.1, 0.02, 0.005)]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


def test_single_tensors_are_lowered_where_the_others_cannot_be(model: onnx_ir.Model) -> None:
    _, tuning, judge = _tuned(model, "cosine>=0.999")
    precision = tuning.precision_after
    assert precision.tensors
    names = {trade.name for trade in tuning.trades}
    assert set(precision.tensors) <= names
    # Without the single tensors the same target costs more, or is missed.
    uniform = Precision(precision.activation_bits, precision.weight_bits, precision.max_table_entries)
    lowered = Lowering(model, X)(uniform)
    assert program_cost(lowered.program).total > tuning.cost_after or not judge.holds(judge.figures(lowered))


def test_a_target_out_of_reach_is_refused_with_what_is_reached(model: onnx_ir.Model) -> None:
    coarse = Precision(activation_bits=3, weight_bits=3, max_table_entries=256)
    with pytest.raises(
        ToleranceError, match=r"cosine>=0.99999 is not reached: with 3 activation bits.*it is cosine 0\.9"
    ):
        _tuned(model, "cosine>=0.99999", coarse)


def test_a_start_without_a_circuit_is_refused_as_it_is(model: onnx_ir.Model) -> None:
    with pytest.raises(BoundsError, match="max_table_entries"):
        _tuned(model, "cosine>=0.9", Precision(activation_bits=4, weight_bits=16, max_table_entries=16))


def test_statistics_of_all_samples_that_break_the_target_undo_steps(model: onnx_ir.Model) -> None:
    """One sample, a hundred times larger than the others, makes every format coarser than it was tuned with."""
    judge = Judge(model, [X[1::2]], parse_target("cosine>=0.999"))
    outlier = X.copy()
    outlier[0, :] = 100
    lowered, tuning = tune(Lowering(model, X[::2]), Lowering(model, outlier), judge, NATIVE)
    undisturbed = _tuned(model, "cosine>=0.999")[1]
    assert judge.holds(judge.figures(lowered))
    assert tuning.precision_after != undisturbed.precision_after
    assert tuning.cost_after > undisturbed.cost_after


def test_statistics_of_all_samples_that_break_even_the_start_are_refused(model: onnx_ir.Model) -> None:
    judge = Judge(model, [X[1::2]], parse_target("cosine>=0.999"))
    start = Precision(activation_bits=8, weight_bits=8, max_table_entries=1 << 14)
    with pytest.raises(ToleranceError, match="is not reached"):
        tune(Lowering(model, X[::2]), Lowering(model, X * np.float32(1e4)), judge, start)


def test_the_search_ends(model: onnx_ir.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkinfer.compiler.calibration.tune.MAX_CIRCUITS", 10)
    lower = Lowering(model, X[::2])
    judge = Judge(model, [X[1::2]], parse_target("cosine>=0.999"))
    lowered, tuning = tune(lower, Lowering(model, X), judge, NATIVE)
    assert tuning.circuits <= 11
    assert lower.calls <= 20
    assert judge.holds(judge.figures(lowered))


def test_the_cost_that_is_handed_in_is_what_is_lowered(model: onnx_ir.Model) -> None:
    """A hundred runs pay for larger tables: the elements count, and the tables hardly."""

    def of_many(program: Program) -> ProgramCost:
        return program_cost(program, runs=1000)

    judge = Judge(model, [X[1::2]], parse_target("max_error<=0.005"))
    _, tuning = tune(Lowering(model, X[::2]), Lowering(model, X), judge, NATIVE, cost=of_many)
    _, single, _ = _tuned(model, "max_error<=0.005")
    assert tuning.precision_after.max_table_entries >= single.precision_after.max_table_entries
    assert tuning.cost_after < 1000 * single.cost_after


def test_the_table_says_what_was_traded(model: onnx_ir.Model) -> None:
    _, tuning, _ = _tuned(model, "cosine>=0.999")
    text = str(tuning)
    assert {trade.kind for trade in tuning.trades} == {"input", "weight", "lookup"}
    for trade in tuning.trades:
        assert trade.name in text
        assert trade.bits_after <= trade.bits_before or trade.bits_before == 0
    assert f"{tuning.cost_before:,}" in text
    assert f"{tuning.cost_after:,}" in text
    assert "held-out samples" in text
    assert sum(trade.cost_after for trade in tuning.trades) <= tuning.cost_after
