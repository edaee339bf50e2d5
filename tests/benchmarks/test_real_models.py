"""The command that measures the gallery."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.example_programs import mlp

import zkinfer as zk

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_pattern_that_no_model_matches_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Instead of a run that measures nothing and ends well."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", ["real_models.py", "magika"])
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module("real_models").main()
    assert "no model is named 'magika'; there are: magika, file types" in capsys.readouterr().err


def test_an_estimate_is_compared_with_processor_seconds_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are of all threads together, however many there are."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    real_models = importlib.import_module("real_models")
    example = mlp()
    circuit = zk.Circuit(example.program, example.weights, (), b"")
    monkeypatch.setattr(real_models, "inference_seconds", lambda *_: 1.0)
    monkeypatch.setattr(real_models, "Stopwatch", lambda: SimpleNamespace(processor=0.01))
    data = {tensor.label: np.zeros(tensor.shape) for tensor in example.program.inputs}
    row = real_models.proven(Path(), circuit, data, {})
    assert row["estimate / measured"] == f"{zk.estimate(circuit).prove_seconds / 0.01:.2f}"
