"""Options that say what a model leaves open."""

from pathlib import Path

import numpy as np
import pytest

from zkinfer.cli.bindings import named, read_axis, read_constant, read_shape
from zkinfer.errors import InvalidInputError


def test_sizes_and_shapes() -> None:
    assert named("--shape", ["s=32", "x=?,3, 48,", "a=b=2"], read_shape) == {
        "s": 32,
        "x": [None, 3, 48, None],
        "a=b": 2,
    }


def test_constants(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.ones((2, 3)))
    found = named("--constant", ["sr=16000", "k=-2.5", "big=1e3", f"m=@{tmp_path / 'mask.npy'}"], read_constant)
    assert (found["sr"], found["k"], found["big"]) == (16000, -2.5, 1000.0)
    assert isinstance(found["sr"], int)
    assert np.array_equal(found["m"], np.ones((2, 3)))


def test_axes() -> None:
    assert named("--batch-axis", ["h=1", "k=none"], read_axis) == {"h": 1, "k": None}
    assert named("--batch-axis", None, read_axis) == {}


@pytest.mark.parametrize("given", [["32"], ["=3"], ["s=many"], ["s=1", "s=2"]])
def test_other_forms_are_refused(given: list[str]) -> None:
    with pytest.raises(InvalidInputError, match=f"--shape '{given[-1]}'"):
        named("--shape", given, read_shape)
