"""Pictures of the gallery: what is said of an output, and files that hold a picture."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from PIL import Image
from support.model_comparison import build

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gallery_pictures")


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A model whose file names three classes."""
    model = build("y = Relu(x)", {"x": [1, 2]})
    onnx.helper.set_model_props(model, {"character": "a\nb\nc"})
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_text_leaves_out_repeats_and_blanks(pictures: ModuleType, named: Path) -> None:
    """Class 0 is the blank, and the last one, after all characters, is the space."""
    assert pictures.text(np.eye(5)[[0, 1, 1, 0, 1, 4, 3, 3, 0]], named) == "aa c"


def test_classes_have_the_names_of_the_file(pictures: ModuleType, named: Path) -> None:
    assert pictures.class_name(np.array([0.1, 0.2, 0.7]), named) == "c degrees"


@pytest.mark.parametrize("shape", [(4, 3, 8, 16), (4, 8, 16, 3), (4, 1, 8, 16)])
@pytest.mark.parametrize("words", [True, False])
def test_a_picture_is_written(
    pictures: ModuleType, named: Path, tmp_path: Path, shape: tuple[int, ...], words: bool
) -> None:
    images = np.random.default_rng(0).random(shape)
    pictures.draw(
        tmp_path / "p.jpg", named, images, images, images, (lambda x, path: f"mean {x.mean():.2f}") if words else None
    )
    assert Image.open(tmp_path / "p.jpg").size[0] == 80 * 3.2 * pictures.SHOWN
