"""The pinned model that is proven, its data, and its speed without proofs."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zkinfer.compiler.calibration.float_model import Session, open_session
from zkinfer.errors import InvalidInputError
from zkinfer.typing import Array, IntArray

Images = npt.NDArray[np.float32]

TIMED_RUNS = 1000


@dataclass(frozen=True)
class Reference:
    """A folder of `circuits/`; arrays of shape (samples, *one input) and (samples,)."""

    model: Path
    card: dict[str, Any]
    calibration: Images
    held_out: Images
    labels: IntArray

    @classmethod
    def load(cls, folder: Path) -> "Reference":
        """Read a folder of `circuits/`.

        Raises:
            InvalidInputError: it is not there.
        """
        if not (folder / "model.onnx").is_file():
            raise InvalidInputError(
                f"{folder}: no reference model there; run the demo in a clone of the repository, or name its circuits/ "
                "folder with --circuits"
            )
        return cls(
            folder / "model.onnx",
            json.loads((folder / "card.json").read_text()),
            np.load(folder / "calibration.npy", allow_pickle=False),
            np.load(folder / "held-out.npy", allow_pickle=False),
            np.load(folder / "held-out-labels.npy", allow_pickle=False),
        )

    def session(self) -> Session:
        """The float model in onnxruntime, on one thread."""
        return open_session(onnx.load(self.model), optimized=True)


def run_float(session: Session, inputs: Images) -> Array:
    """The float model's first output."""
    output: Array = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    return output


def time_float(session: Session, one: Images) -> float:
    """Median seconds of one inference of the float model."""
    times = []
    for _ in range(TIMED_RUNS):
        began = time.perf_counter()
        run_float(session, one)
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def share_correct(outputs: Array, labels: IntArray) -> float:
    """Accuracy of outputs of shape (samples, classes)."""
    return float((outputs.argmax(axis=1) == labels).mean())
