"""The command that measures the gallery."""

import importlib
import sys
from pathlib import Path

import pytest

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
