"""The models that `approximation.py` compares on."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

CIRCUITS = Path(__file__).parent.parent / "circuits"
REFERENCE_MODELS = ("digits-mlp", "digits-gelu", "digits-cnn", "breast-cancer")
REACH = 6.0
"""Inputs of the functions lie between plus and minus this."""

MODEL_SAMPLES = 16

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """One model with its data.

    Attributes:
        name: what it is called on the command line and in the tables.
        model: ONNX with a batch of 1.
        calibration: float32 of shape (samples, *one input).
        samples: what accuracy is measured on, of the same shape; the first is proven.
        has_weights: a model with weights to commit to, rather than one function.
    """

    name: str
    model: bytes
    calibration: Floats
    samples: Floats
    has_weights: bool


def _function_nodes(function: str) -> list[onnx.NodeProto]:
    node = helper.make_node
    match function:
        case "gelu":
            return [
                node("Div", ["x", "root"], ["scaled"]),
                node("Erf", ["scaled"], ["erf"]),
                node("Add", ["erf", "one"], ["sum"]),
                node("Mul", ["x", "sum"], ["product"]),
                node("Mul", ["product", "half"], ["y"]),
            ]
        case "silu":
            return [node("Sigmoid", ["x"], ["gate"]), node("Mul", ["x", "gate"], ["y"])]
        case "sigmoid":
            return [node("Sigmoid", ["x"], ["y"])]
        case "tanh":
            return [node("Tanh", ["x"], ["y"])]
        case "softmax":
            return [node("Softmax", ["x"], ["y"], axis=-1)]
    raise ValueError(f"no function {function!r}")


def function_case(function: str, shape: tuple[int, ...]) -> Case:
    """One function, written as the exporters of torch write it at opset 17, on normal inputs of deviation 2."""
    constants = {"root": 2**0.5, "one": 1.0, "half": 0.5} if function == "gelu" else {}
    full = [1, *shape]
    graph = helper.make_graph(
        _function_nodes(function),
        function,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, full)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, full)],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rng = np.random.default_rng(0)
    data = np.clip(rng.normal(0, 2, (17, *shape)), -REACH, REACH).astype(np.float32)
    data[0].flat[:2] = -REACH, REACH
    name = f"{function}-{'x'.join(map(str, shape))}"
    return Case(name, model.SerializeToString(), data[:16], data[16:], has_weights=False)


def reference_case(name: str) -> Case:
    """One of the models in `circuits/`; its samples come from the held-out split."""
    model = onnx.load(CIRCUITS / name / "model.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    arrays = [np.load(CIRCUITS / name / f"{part}.npy", allow_pickle=False) for part in ("calibration", "held-out")]
    return Case(name, model.SerializeToString(), arrays[0], arrays[1][:MODEL_SAMPLES], has_weights=True)


def all_cases() -> list[Case]:
    """Every case, in the order of the tables."""
    functions = [function_case(f, (n,)) for f in ("gelu", "silu", "sigmoid", "tanh") for n in (256, 1024)]
    rows = [function_case("softmax", (16, n)) for n in (10, 16)]
    return [*functions, *rows, *(reference_case(name) for name in REFERENCE_MODELS)]


def select(patterns: Sequence[str]) -> list[Case]:
    """The cases whose names match a shell pattern; all without patterns."""
    return [c for c in all_cases() if not patterns or any(fnmatch.fnmatch(c.name, p) for p in patterns)]
