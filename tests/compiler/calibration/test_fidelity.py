"""What compiling says of a circuit: figures of samples that were set aside, and a warning where it is not the model."""

import sys
import warnings

import numpy as np
import onnx
import pytest
from support.model_comparison import build

import zkinfer as zk
from zkinfer.compiler.calibration import fidelity
from zkinfer.compiler.calibration.calibrate import Calibration, calibrate
from zkinfer.compiler.calibration.fidelity import CALIBRATION, HELD_OUT, LEAST_RUNS, SET_ASIDE_EVERY, Examiner
from zkinfer.compiler.calibration.stress import CONDITIONS, FEW_CONDITIONS, TYPICAL_LIMIT
from zkinfer.compiler.lowering.precision import NATIVE, Precision
from zkinfer.compiler.lowering.result import Lowered
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import AccuracyWarning, BoundsError
from zkinfer.typing import Array

WEIGHTS = np.random.default_rng(0).uniform(-1, 1, (4, 3))


def linear() -> onnx.ModelProto:
    return build("h = MatMul(x, w)\nr = Relu(h)\ny = MatMul(r, v)", {"x": ["n", 4]}, {"w": WEIGHTS, "v": np.eye(3)})


def uniform(*shape: int) -> Array:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture
def quiet_compile() -> object:
    """Warnings of accuracy are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", AccuracyWarning)
        yield


@pytest.mark.usefixtures("quiet_compile")
class TestCompile:
    def test_says_what_was_measured_on_samples_set_aside(self) -> None:
        found = zk.compile(linear(), uniform(40, 4)).fidelity
        assert found is not None
        assert found.held_out
        assert found.typical.samples == 40 // SET_ASIDE_EVERY
        assert [report.condition for report in found.stress] == [condition.name for condition in CONDITIONS]
        assert found.left == ()
        assert str(found).startswith("held-out cosine 1, error <0.01%, worst: ")
        assert str(found).endswith(f"worst: {found.typical.worst and found.typical.worst.name} (5 samples)")

    def test_says_when_there_were_too_few_to_set_some_aside(self) -> None:
        found = zk.compile(linear(), uniform(LEAST_RUNS - 1, 4)).fidelity
        assert found is not None
        assert (found.held_out, found.typical.condition) == (False, CALIBRATION)
        assert str(found).startswith("calibration cosine")
        assert "; calibrated on 15 samples; a hundred typical ones are usual" in str(found)
        assert "; calibrated on 1 sample; a hundred" in str(zk.compile(linear(), uniform(1, 4)).fidelity)
        assert "a hundred" not in str(zk.compile(linear(), uniform(LEAST_RUNS, 4)).fidelity)
        assert found.typical.samples == LEAST_RUNS - 1

    def test_sets_whole_runs_aside(self) -> None:
        few, enough = (zk.compile(linear(), uniform(n, 4), batch=2).fidelity for n in (30, 31))
        assert few is not None
        assert enough is not None
        assert not few.held_out
        assert enough.held_out
        # The last run is filled up with a sample that is measured once.
        assert enough.typical.samples == 2 * 2 - 1

    def test_does_not_set_samples_aside_for_a_large_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fidelity, "MAX_WEIGHTS", 10)
        found = zk.compile(linear(), uniform(40, 4)).fidelity
        assert found is not None
        assert not found.held_out

    def test_measures_less_where_one_run_is_much_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("zkinfer.compiler.calibration.stress.WORK_PER_CONDITION", 1)
        found = zk.compile(linear(), uniform(40, 4)).fidelity
        assert found is not None
        assert [report.condition for report in found.stress] == [condition.name for condition in FEW_CONDITIONS]
        assert {report.samples for report in (found.typical, *found.stress)} == {1}

    def test_the_circuit_is_the_one_that_all_samples_calibrate(self) -> None:
        x = uniform(40, 4)
        x[7] = 3.0
        normalized = load_model(linear(), batch=1)
        circuit = zk.compile(linear(), x)
        assert circuit.program == import_model(normalized, calibrate(normalized, x), NATIVE).program
        circuit.run(x)

    def test_a_line_appears_in_a_terminal(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        zk.compile(linear(), uniform(40, 4))
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "dumb")
        circuit = zk.compile(linear(), uniform(40, 4))
        assert capsys.readouterr().err.splitlines()[-1] == str(circuit.fidelity)


class TestWarning:
    def test_few_bits(self) -> None:
        with pytest.warns(AccuracyWarning, match="leaves the float model: held-out cosine 0.9.*worst: ") as caught:
            circuit = zk.compile(linear(), uniform(40, 4), activation_bits=3, weight_bits=3)
        assert len(caught) == 1
        assert "\n" not in str(caught[0].message)
        assert caught[0].filename == __file__
        assert circuit.fidelity is not None
        assert circuit.fidelity.typical in circuit.fidelity.left

    def test_a_target_below_is_what_was_asked_for(self) -> None:
        """The circuit that it gives warns of quiet inputs alone."""
        with pytest.warns(AccuracyWarning):
            found = zk.compile(linear(), uniform(40, 4), target="cosine>=0.9").fidelity
        assert found is not None
        assert found.typical.output is not None
        assert found.typical.output.deviation > TYPICAL_LIMIT
        assert found.typical not in found.left

    def test_what_only_stress_finds(self) -> None:
        """Two features that are never large together, whose sum saturates when they are."""
        rng = np.random.default_rng(0)
        turn = rng.integers(0, 2, 64)
        x = (rng.uniform(-0.05, 0.05, (64, 2)) + np.eye(2)[turn] * rng.uniform(0.5, 1, (64, 1))).astype(np.float32)
        model = build(
            "h = MatMul(x, w)\nr = Relu(h)\ny = MatMul(r, v)",
            {"x": ["n", 2]},
            {"w": [[0.75], [0.75]], "v": [[1.0]]},
        )
        with pytest.warns(AccuracyWarning, match="single features at their ends cosine .* saturated, worst: "):
            found = zk.compile(model, x).fidelity
        assert found is not None
        assert not found.typical.leaves
        assert [report.condition for report in found.left] == ["single features at their ends"]


class TestExaminer:
    def test_held_out_samples_calibrate_nothing_of_what_is_measured(self) -> None:
        """The measured circuit has the ranges of the other samples; what is set aside may lie beyond them."""
        x = uniform(40, 4)
        held_out = np.arange(40) % SET_ASIDE_EVERY == SET_ASIDE_EVERY - 1
        x[held_out] *= 2
        model = load_model(linear(), batch=1)
        seen: list[Calibration] = []

        def lower(statistics: Calibration) -> Lowered:
            seen.append(statistics)
            return import_model(model, statistics, NATIVE)

        examiner = Examiner(model, [x])
        found = examiner.examine(import_model(model, examiner.statistics, NATIVE), lower, TYPICAL_LIMIT)
        assert found.typical.condition == HELD_OUT
        assert found.typical.clipped > 0
        (others,) = seen
        assert others.samples == 35
        expected = calibrate(model, x[~held_out])
        assert {name: (s.lo, s.hi) for name, s in others.tensors.items()} == {
            name: (s.lo, s.hi) for name, s in expected.tensors.items()
        }
        for name, statistics in calibrate(model, x).tensors.items():
            assert (examiner.statistics.tensors[name].lo, examiner.statistics.tensors[name].hi) == (
                statistics.lo,
                statistics.hi,
            )
            assert examiner.statistics.tensors[name].elements == statistics.elements

    def test_what_lowering_warns_of_is_said_once(self) -> None:
        """The circuit that is measured is not the one that is returned."""
        model = load_model(linear(), batch=1)
        examiner = Examiner(model, [uniform(40, 4)])

        def lower(statistics: Calibration) -> Lowered:
            warnings.warn("values that no grid separates", UserWarning, stacklevel=1)
            return import_model(model, statistics, NATIVE)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            examiner.examine(import_model(model, examiner.statistics, NATIVE), lower, TYPICAL_LIMIT)

    def test_a_circuit_that_the_others_do_not_give_is_measured_on_all(self) -> None:
        def refuse(statistics: Calibration) -> Lowered:
            raise BoundsError("too coarse")

        model = load_model(linear(), batch=1)
        examiner = Examiner(model, [uniform(40, 4)])
        found = examiner.examine(import_model(model, examiner.statistics, NATIVE), refuse, TYPICAL_LIMIT)
        assert found.typical.condition == CALIBRATION

    def test_the_precision_is_that_of_the_circuit(self) -> None:
        few = Precision(activation_bits=3, weight_bits=3, max_table_entries=256)
        with pytest.warns(AccuracyWarning):
            found = zk.compile(linear(), uniform(40, 4), precision=few).fidelity
        assert found is not None
        assert found.typical.leaves
