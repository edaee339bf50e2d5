"""Pictures of what models of the gallery say of pictures: the float model beside the circuit."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import matplotlib
import numpy as np
from runtime import onnxruntime

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SHOWN = 3
"""Samples of each model."""

Words = Callable[[np.ndarray, Path], str]
"""What an output says of one sample, in words; the file of the model may hold the names of classes."""


def class_name(output: np.ndarray, path: Path) -> str:
    """The likeliest class, under the name that the model's file gives it."""
    return f"{_names(path)[int(output.argmax())]} degrees"


def text(output: np.ndarray, path: Path) -> str:
    """The characters of a line: the likeliest one at each place, repeats and blanks left out."""
    names = ["", *_names(path), " "]
    return "".join(names[number] for number, _ in groupby(output.argmax(axis=-1).tolist()))


def share(output: np.ndarray, path: Path) -> str:
    """The probability of the second class."""
    return f"{output[-1]:.4%}"


def _names(path: Path) -> list[str]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names: str = session.get_modelmeta().custom_metadata_map["character"]
    return names.splitlines()


def draw(file: Path, path: Path, inputs: np.ndarray, floats: np.ndarray, ours: np.ndarray, words: Words | None) -> None:
    """Write a picture: a column for each sample, with what both say below it, in words or as maps.

    Args:
        file: where to write it.
        path: of the model.
        inputs: pictures, channels first or last.
        floats, ours: the first outputs of both.
        words: None where an output is a map of the picture.
    """
    count = min(SHOWN, len(inputs))
    rows: Sequence[np.ndarray] = [inputs] if words else [inputs, floats, ours]
    ratio = _pixels(inputs[0]).shape[0] / _pixels(inputs[0]).shape[1]
    height = 3.2 * ratio + (0.6 if words else 0.25)
    figure, axes = plt.subplots(len(rows), count, figsize=(3.2 * count, height * len(rows)), squeeze=False)
    for column in range(count):
        for axis, images in zip(axes[:, column], rows, strict=True):
            axis.imshow(_pixels(images[column]), cmap="gray")
            axis.set_xticks([])
            axis.set_yticks([])
        if words:
            said = (f"{who}: {words(x[column], path)}" for who, x in (("float", floats), ("circuit", ours)))
            axes[0, column].set_xlabel("\n".join(said), fontsize=9)
    if not words:
        for axis, name in zip(axes[:, 0], ("picture", "float", "circuit"), strict=True):
            axis.set_ylabel(name)
    figure.tight_layout()
    figure.savefig(file, dpi=80, pil_kwargs={"quality": 88})
    plt.close(figure)


def _pixels(image: np.ndarray) -> np.ndarray:
    """An array that holds a picture, as numbers from 0 to 1 of shape (height, width) or (height, width, 3).

    Models that take the channels last take blue before red.
    """
    array = np.squeeze(np.asarray(image, dtype=np.float64))
    if array.ndim == 3:
        array = array.transpose(1, 2, 0) if array.shape[0] == 3 else array[..., ::-1]
    low, high = array.min(), array.max()
    return np.asarray((array - low) / max(high - low, 1e-12))
