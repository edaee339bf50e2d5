"""The reference circuits are what their folders say: rebuilt here from their ONNX files and compared."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

CIRCUITS = Path(__file__).parent.parent / "circuits"
NAMES = ["digits-mlp", "digits-gelu", "digits-cnn", "breast-cancer"]
MAX_ACCURACY_LOST = 0.005


def script(name: str) -> ModuleType:
    """A module of `circuits/`, which is not a package."""
    spec = importlib.util.spec_from_file_location(f"circuits_{name}", CIRCUITS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pin() -> ModuleType:
    return script("pin")


def read(name: str, file: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((CIRCUITS / name / file).read_text())
    return content


def float_accuracy(name: str) -> float:
    session = onnxruntime.InferenceSession(CIRCUITS / name / "model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(None, {"input": np.load(CIRCUITS / name / "held-out.npy")})[0]
    return float((logits.argmax(axis=1) == np.load(CIRCUITS / name / "held-out-labels.npy")).mean())


def test_every_folder_is_listed(pin: ModuleType) -> None:
    folders = {path.parent.name for path in CIRCUITS.glob("*/model.onnx")}
    assert folders == set(NAMES) == set(pin.NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_circuit_is_the_pinned_one(pin: ModuleType, name: str) -> None:
    assert pin.pin_circuit(name) == read(name, "pinned.json")["circuit"]


@pytest.mark.parametrize("name", NAMES)
def test_the_commitment_is_the_pinned_one(pin: ModuleType, name: str) -> None:
    assert pin.pin_commitment(name) == read(name, "pinned.json")["commitment"]


@pytest.mark.parametrize("name", NAMES)
def test_fixed_point_costs_at_most_half_a_point_of_accuracy(name: str) -> None:
    in_float, in_fixed = float_accuracy(name), read(name, "pinned.json")["circuit"]["held_out_accuracy"]
    assert in_float == pytest.approx(read(name, "card.json")["accuracy"]["held_out"], abs=1e-4)
    assert in_fixed >= in_float - MAX_ACCURACY_LOST


@pytest.mark.parametrize("name", NAMES)
def test_the_data_is_the_split_that_the_card_names(name: str) -> None:
    """Recomputed from scikit-learn; no held-out sample is used for calibration."""
    data = script("train").RECIPES[name].data()
    held_out, calibration = (np.load(CIRCUITS / name / f"{which}.npy") for which in ("held-out", "calibration"))
    np.testing.assert_array_equal(held_out, data.held_out_inputs)
    np.testing.assert_array_equal(np.load(CIRCUITS / name / "held-out-labels.npy"), data.held_out_labels)
    np.testing.assert_array_equal(calibration, data.train_inputs[: len(calibration)])


def test_units_make_the_features_alike() -> None:
    """Powers of two, which leave the features' deviations within a factor of two of one another."""
    units = np.load(CIRCUITS / "breast-cancer" / "units.npy")
    np.testing.assert_array_equal(units, np.exp2(np.round(np.log2(units))))
    deviations = script("train").RECIPES["breast-cancer"].data().train_inputs.std(axis=0)
    assert deviations.max() <= 2 * deviations.min()
