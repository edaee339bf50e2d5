"""From old versions of the operator set to the oldest one that is lowered, and the check that nothing else changed.

ONNX's converter keeps the names of operators whose meaning changed. What it is known to get wrong is rewritten before
or after it. Whatever else there may be is found by running the model before and after the conversion on the calibration
data: from operator set 7 on, onnxruntime implements every version of an operator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from zkinfer.compiler.calibration.float_model import open_session
from zkinfer.compiler.onnx.blame import blame
from zkinfer.compiler.onnx.old_operators import ADVICE, OPSET, modernized
from zkinfer.compiler.onnx.read import graphs_of
from zkinfer.errors import CompileError, UnsupportedOperatorError
from zkinfer.typing import Array

MIN_OPSET = 13
"""Older models are converted to this version of the operator set."""

IR_VERSION = 10
"""Version of the file format of normalized models: old enough for every supported onnxruntime."""

MAX_DIFFERENCE = 1e-4
"""Share of a tensor's largest magnitude by which a conversion may change it: rounding in float32 stays below."""


_WITHOUT_BATCHES = 9
"""The version of the operator set from which on a Scan has no axis for a batch."""


@dataclass(frozen=True)
class Conversion:
    """A model before and after its conversion.

    Attributes:
        opset: version of the operator set that the model was written for.
        original: the model in that version, or in `old_operators.OPSET` if that is newer.
        converted: the model in `MIN_OPSET`.
    """

    opset: int
    original: onnx.ModelProto
    converted: onnx.ModelProto

    def check(self, runs: Sequence[Array]) -> None:
        """Run both on the same data.

        Args:
            runs: for each input of the model, in its dtype, an array of shape (runs, *shape).

        Raises:
            CompileError: an output differs; the message names the first operator whose result does. Or onnxruntime
                does not run the original, so that nothing vouches for the conversion.
        """
        outputs = [value.name for value in self.original.graph.output]
        if not self._differences(runs, outputs):
            return
        inner = [name for node in self.original.graph.node for name in node.output if name]
        differences = self._differences(runs, inner) or self._differences(runs, outputs)
        name, difference = next(iter(differences.items()))
        node = next(node for node in self.original.graph.node if name in node.output)
        raise CompileError(
            f"node {node.name!r} ({node.op_type}) computes {name!r} differently in operator set {self.opset} and after "
            f"ONNX's conversion to {MIN_OPSET}: by {difference:.3g} on the calibration data. {ADVICE.capitalize()}"
        )

    def _differences(self, runs: Sequence[Array], names: Sequence[str]) -> dict[str, float]:
        """The largest difference of every value that differs noticeably, in order of execution."""
        inputs = [v.name for v in self.original.graph.input if v.name not in _constants(self.original)]
        before, after = _session(self.original, names, self.opset), _session(self.converted, names, self.opset)
        found: dict[str, float] = {}
        shared = [value.name for value in after.get_outputs()]
        for feed in zip(*runs, strict=True):
            feeds = dict(zip(inputs, feed, strict=True))
            with blame(f"onnxruntime does not run the model in operator set {self.opset}; {ADVICE}"):
                pairs = zip(shared, before.run(shared, feeds), after.run(shared, feeds), strict=True)
            for name, expected, got in pairs:
                difference = _difference(expected, got)
                if difference:
                    found[name] = max(found.get(name, 0.0), difference)
        return {name: found[name] for name in names if name in found}


def _constants(model: onnx.ModelProto) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}


def _session(model: onnx.ModelProto, names: Sequence[str], opset: int) -> onnxruntime.InferenceSession:
    """The model with these values as outputs, as far as it has them."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {name for node in model.graph.node for name in node.output}
    stated = {value.name: value for value in model.graph.output}
    del shown.graph.output[:]
    shown.graph.output.extend(stated.get(n) or onnx.ValueInfoProto(name=n) for n in names if n in known)
    with blame(
        f"onnxruntime does not run the model in operator set {opset}, so that its conversion to {MIN_OPSET} cannot be "
        f"checked; {ADVICE}"
    ):
        return open_session(shown, optimized=False)


def _difference(expected: Array, got: Array) -> float:
    """The largest difference of two tensors; 0 if it may be rounding, infinite between shapes or NaN and a number."""
    if expected.shape != got.shape:
        return float("inf")
    a, b = (x.astype(np.float64) for x in (expected, got))
    size = np.abs(a[np.isfinite(a)]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        errors = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    largest = float(np.nan_to_num(errors, nan=np.inf).max(initial=0.0))
    return largest if largest > MAX_DIFFERENCE * size else 0.0


def convert(proto: onnx.ModelProto, opset: int) -> Conversion:
    """The model in the operator set `MIN_OPSET`.

    Args:
        proto: a model of an older operator set, with a batch that is a number; left as it is.
        opset: that operator set.

    Raises:
        UnsupportedOperatorError: an operator of a form that cannot be converted.
        CompileError: ONNX's converter refuses the model.
    """
    original = modernized(proto, opset) if opset < OPSET else proto
    advice = f"the model uses ONNX operator set {opset} and cannot be converted to {MIN_OPSET}; {ADVICE}"
    with blame(advice):
        converted = onnx.version_converter.convert_version(_before(original), MIN_OPSET)
    _after(original, converted)
    return Conversion(opset, original, converted)


def _before(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the operators that the converter gets wrong, in the same operator set."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    # From version 4 of the file format on, an initializer need not be listed as an input.
    result.ir_version = max(result.ir_version, 4)
    # The graphs within the new nodes of a graph come after it.
    for graph in graphs_of(result):
        nodes = [node for old in graph.node for node in _rewritten(old, graph, _version(proto))]
        del graph.node[:]
        graph.node.extend(nodes)
    return result


def _rewritten(node: onnx.NodeProto, graph: onnx.GraphProto, version: int) -> list[onnx.NodeProto]:
    """The nodes in the place of one, which may be a copy of it; constants of theirs go to the graph."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Hardmax":
        return _flat_hardmax(node, attributes.get("axis", 1))
    if node.op_type == "BatchNormalization" and not attributes.get("spatial", 1):
        return _normalization_of_elements(node, attributes.get("epsilon", 1e-5), graph)
    if node.op_type == "Scan" and version < _WITHOUT_BATCHES:
        return _loops_of_scan(node, attributes)
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return [copy]


def _flat_hardmax(node: onnx.NodeProto, axis: int) -> list[onnx.NodeProto]:
    """Before operator set 13, a Hardmax is over all axes from `axis` on, as one."""
    (x,), (y,) = node.input, node.output
    return [
        helper.make_node("Shape", [x], [f"{y}/shape"]),
        helper.make_node("Flatten", [x], [f"{y}/flat"], axis=axis),
        helper.make_node("Hardmax", [f"{y}/flat"], [f"{y}/rows"], name=node.name, axis=1),
        helper.make_node("Reshape", [f"{y}/rows", f"{y}/shape"], [y]),
    ]


def _normalization_of_elements(node: onnx.NodeProto, epsilon: float, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """With spatial=0, before operator set 9, every element of a sample has a mean and a variance of its own."""
    x, scale, bias, mean, variance = node.input
    y = node.output[0]
    steps = (
        ("Sub", (x, mean), "centred"),
        ("Add", (variance, f"{y}/epsilon"), "variance"),
        ("Sqrt", (f"{y}/variance",), "deviation"),
        ("Div", (f"{y}/centred", f"{y}/deviation"), "normal"),
        ("Mul", (f"{y}/normal", scale), "scaled"),
    )
    graph.initializer.append(numpy_helper.from_array(np.array(epsilon, dtype=np.float32), f"{y}/epsilon"))
    nodes = [helper.make_node(op, inputs, [f"{y}/{out}"], name=f"{node.name}/{out}") for op, inputs, out in steps]
    return [*nodes, helper.make_node("Add", [f"{y}/scaled", bias], [y], name=node.name)]


def _version(proto: onnx.ModelProto) -> int:
    return next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)


def _loops_of_scan(node: onnx.NodeProto, attributes: Mapping[str, Any]) -> list[onnx.NodeProto]:
    """Before operator set 9, a Scan runs its body for every element of a batch: a Loop over these, with a Loop in it.

    Raises:
        UnsupportedOperatorError: the sequences have lengths of their own.
    """
    body, count = attributes["body"], attributes["num_scan_inputs"]
    lengths, *given = node.input
    if lengths:
        raise UnsupportedOperatorError(
            f"node {node.name!r} (Scan): supported are sequences of full length, without sequence_lens; {ADVICE}"
        )
    at, first, last = f"{node.output[0]}/scan", len(given) - count, given[-1]
    backward = attributes.get("directions", [0] * count)
    inner = [helper.make_node("Sub", [f"{at}/last", f"{at}/step"], [f"{at}/left"])] if any(backward) else []
    for k, value in enumerate(body.input[first:]):
        place = f"{at}/left" if backward[k] else f"{at}/step"
        inner.append(helper.make_node("Gather", [f"{at}/own{first + k}", place], [value.name], axis=0))
    inner += [*body.node, helper.make_node("Identity", [f"{at}/goes on"], [f"{at}/still"])]
    number, truth = onnx.TensorProto.INT64, onnx.TensorProto.BOOL
    steps = helper.make_graph(
        inner,
        f"{at}/steps",
        [
            helper.make_tensor_value_info(f"{at}/step", number, []),
            helper.make_tensor_value_info(f"{at}/goes on", truth, []),
            *body.input[:first],
        ],
        [helper.make_tensor_value_info(f"{at}/still", truth, []), *body.output],
        list(body.initializer),
    )
    outer = [
        helper.make_node("Gather", [name, f"{at}/element"], [f"{at}/own{k}"], axis=0) for k, name in enumerate(given)
    ]
    results = [f"{at}/result{k}" for k in range(len(body.output))]
    states = [f"{at}/own{k}" for k in range(first)]
    outer.append(helper.make_node("Loop", [f"{at}/length", f"{at}/true", *states], results, body=steps))
    outer.append(helper.make_node("Identity", [f"{at}/goes further"], [f"{at}/further"]))
    kinds = [value.type.tensor_type.elem_type for value in body.output]
    elements = helper.make_graph(
        outer,
        f"{at}/elements",
        [
            helper.make_tensor_value_info(f"{at}/element", number, []),
            helper.make_tensor_value_info(f"{at}/goes further", truth, []),
        ],
        [
            helper.make_tensor_value_info(f"{at}/further", truth, []),
            *(helper.make_tensor_value_info(*pair, None) for pair in zip(results, kinds, strict=True)),
        ],
    )
    constants = {"zero": np.array(0), "one": np.array(1), "true": np.array(True)}
    return [
        *(
            helper.make_node("Constant", [], [f"{at}/{name}"], value=numpy_helper.from_array(array))
            for name, array in constants.items()
        ),
        helper.make_node("Shape", [last], [f"{at}/shape"]),
        helper.make_node("Gather", [f"{at}/shape", f"{at}/zero"], [f"{at}/count"], axis=0),
        helper.make_node("Gather", [f"{at}/shape", f"{at}/one"], [f"{at}/length"], axis=0),
        helper.make_node("Sub", [f"{at}/length", f"{at}/one"], [f"{at}/last"]),
        helper.make_node("Loop", [f"{at}/count", f"{at}/true"], list(node.output), name=node.name, body=elements),
    ]


def _after(original: onnx.ModelProto, converted: onnx.ModelProto) -> None:
    """Say what an Upsample, and a Resize before operator set 11, do: coordinates are scaled from zero on.

    The nearest element is the one before if the tensor grows, and the one after if it shrinks. Where one axis grows and
    another shrinks, no form of Resize does that.
    """
    before = [node for graph in graphs_of(original) for node in graph.node]
    old = {node.output[0] for node in before if node.op_type == "Upsample" or _is_first_resize(node, original)}
    graphs = list(graphs_of(converted))
    nodes = [node for graph in graphs for node in graph.node]
    contents = {tensor.name: tensor for graph in graphs for tensor in graph.initializer}
    contents |= {n.output[0]: a.t for n in nodes for a in n.attribute if n.op_type == "Constant"}
    for node in nodes:
        if node.op_type == "Resize" and node.output[0] in old:
            scales = numpy_helper.to_array(contents[node.input[2]]) if node.input[2] in contents else np.ones(0)
            kept = [a for a in node.attribute if a.name == "mode"]
            del node.attribute[:]
            node.attribute.extend(
                [
                    *kept,
                    helper.make_attribute("coordinate_transformation_mode", "asymmetric"),
                    helper.make_attribute("nearest_mode", "ceil" if (scales < 1).any() else "floor"),
                ]
            )


def _is_first_resize(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    return node.op_type == "Resize" and any(e.version < 11 for e in model.opset_import if e.domain in ("", "ai.onnx"))
