"""Models with one Scan or Loop, and what onnxruntime makes of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir
from support.model_comparison import Comparison, build, compare

from zkinfer.circuit.regions import find_regions
from zkinfer.compiler.calibration.float_model import FloatModel, open_session
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.load import load_model
from zkinfer.compiler.onnx.read import graphs_of
from zkinfer.typing import Array

FINE = Precision(activation_bits=12, weight_bits=12, max_table_entries=1 << 14)

SAMPLES = 12


def scan_model(
    body: str,
    shapes: Mapping[str, Sequence[int]],
    weights: Mapping[str, object] | None = None,
    *,
    states: Sequence[str] = (),
    reads: Sequence[str] = (),
    collected: int = 0,
    attributes: str | None = None,
    outputs: Sequence[str] | None = None,
    opset: int = 18,
) -> onnx.ModelProto:
    """A Scan in a model.

    Args:
        body: its nodes, separated by spaces; it reads the states as s0, s1, ... and the elements as e0, e1, ..., and
            makes n0, n1, ... of the states, and o0, o1, ... to collect.
        shapes: of the model's inputs, the batch first.
        weights: of the model.
        states, reads: the values that are the initial states, and the sequences.
        collected: how many values are.
        attributes: others of the Scan; by default steps are along axis 1, after the batch.
        outputs: of the model: by default all of the Scan, y0, y1, ...
        opset: version of the operator set.
    """
    before = ", ".join([*(f"float s{k}" for k in range(len(states))), *(f"float e{k}" for k in range(len(reads)))])
    after = ", ".join([*(f"float n{k}" for k in range(len(states))), *(f"float o{k}" for k in range(collected))])
    names = [f"y{k}" for k in range(len(states) + collected)]
    if attributes is None:
        attributes = f"scan_input_axes={[1] * len(reads)}"
        attributes += f", scan_output_axes={[1] * collected}" if collected else ""
    line = (
        f"{', '.join(names)} = Scan<num_scan_inputs={len(reads)}, {attributes}, body=body ({before}) => ({after}) "
        f"{{ {body} }}>({', '.join([*states, *reads])})"
    )
    model = build(line, shapes, weights, outputs=names if outputs is None else outputs, opset=opset)
    _forget_shapes(model)
    return model


def _forget_shapes(model: onnx.ModelProto) -> None:
    """The text form says that a type without sizes is a scalar."""
    for graph in graphs_of(model):
        if graph.name == model.graph.name:
            continue
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
                value.type.tensor_type.ClearField("shape")


def loop_model(
    body: str,
    carried: str,
    shapes: Mapping[str, Sequence[int]],
    weights: Mapping[str, object] | None = None,
    *,
    given: str = "count, ",
    names: Sequence[str] = ("y",),
    outputs: Sequence[str] | None = None,
    before: str = "",
) -> onnx.ModelProto:
    """A Loop in a model.

    Args:
        body: its nodes, separated by spaces; it reads the number of the step as `t` and the condition as `on`.
        carried: the further inputs and the outputs of the body, such as `float s => bool still, float n`.
        shapes, weights: of the model.
        given: the number of steps, the condition, and the initial states.
        names: what the Loop gives.
        outputs: of the model; by default what the Loop gives.
        before: nodes before it, one a line.
    """
    left, _, right = carried.partition("=>")
    left = f", {left.strip()}" if left.strip() else ""
    line = f"{', '.join(names)} = Loop<body=body (int64 t, bool on{left}) => ({right.strip()}) {{ {body} }}>({given})"
    model = build(f"{before}\n{line}".strip(), shapes, weights, outputs=names if outputs is None else outputs)
    _forget_shapes(model)
    return model


def samples(model: onnx.ModelProto, seed: int = 0) -> list[Array]:
    """Data for the inputs of a model whose batch is one."""
    rng = np.random.default_rng(seed)
    shapes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input]
    return [rng.normal(size=(SAMPLES, *shape[1:])).astype(np.float32) for shape in shapes]


def check_floats(model: onnx.ModelProto) -> onnx_ir.Model:
    """The normalized model, which gives what onnxruntime makes of the model as it is."""
    normalized = load_model(model, batch=1)
    runs = [array[:3, None] for array in samples(model)]
    tensors = FloatModel(normalized).run(runs)
    session = open_session(model, optimized=False)
    for k in range(3):
        feeds = {value.name: array[k] for value, array in zip(model.graph.input, runs, strict=True)}
        for value, expected in zip(model.graph.output, session.run(None, feeds), strict=True):
            assert tensors[value.name][k].shape == expected.shape
            np.testing.assert_allclose(tensors[value.name][k], expected, atol=2e-6, rtol=1e-5)
    return normalized


def in_integers(model: onnx.ModelProto) -> Comparison:
    """The model as a circuit, beside floats."""
    return compare(model, *samples(model), precision=FINE)


def steps_of_regions(model: onnx.ModelProto) -> list[int]:
    """How many steps each recurrence of the model's circuit has, which computes nearly what the floats say."""
    result = in_integers(model)
    assert result.error <= 0.02
    return [region.steps for region in find_regions(result.program)]
