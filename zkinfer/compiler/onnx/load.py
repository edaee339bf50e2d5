"""Reading a model: from whatever the caller has to one normalized `onnx_ir.Model`.

Normalized means: the ONNX checker accepts it, the batch is a number, every value has a static shape and a dtype,
functions are inlined, constants are folded, batch normalization is folded into the convolution or Gemm before it,
and layers that normalize by statistics of their input are in steps. The same model gives the same result every time:
names, order and bytes.
"""

import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data
from onnx_ir.passes import common
from onnxscript import optimizer

from zkinfer.circuit.validate import MAX_TENSOR_ELEMENTS
from zkinfer.compiler.onnx import registry
from zkinfer.compiler.onnx.decompose import TREE_LAYERS, decompose
from zkinfer.errors import (
    CompileError,
    DynamicShapeError,
    InvalidInputError,
    NotFiniteError,
    ShapeError,
    UnsupportedOperatorError,
    ZkinferError,
)

logger = logging.getLogger(__name__)

MIN_OPSET = 13
"""Older models are converted to this version of the operator set."""

MAX_OPSET = 26
"""The newest version of the operator set that is read: the newest that onnxruntime runs."""

IR_VERSION = 10
"""Version of the file format that the normalized model states: old enough for every onnxruntime that is supported."""

MAX_MODEL_BYTES = (1 << 31) - 1
"""What a protobuf message can hold, and so what the ONNX tools can pass on."""

MAX_FOLDED_ELEMENTS = 1 << 26
"""Constants larger than this are not computed while the model is read."""

_STANDARD_DOMAINS = ("", "ai.onnx")
_READ_DOMAINS = (*_STANDARD_DOMAINS, "ai.onnx.ml")
_MASKING = ("Add", "Cast", "ConstantOfShape", "Expand", "Reshape", "Slice", "Trilu", "Unsqueeze", "Where")
_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm")


def load_model(source: str | Path | bytes | onnx.ModelProto, *, batch: int) -> onnx_ir.Model:
    """A normalized model.

    Args:
        source: a path to an ONNX file, the bytes of one, or a ModelProto; never modified. External data is read for
            a path alone, and only from within the folder of the model.
        batch: size of the first axis of every input, at least 1. Where the model leaves that axis open it is set;
            where the model fixes it, it must agree.

    Raises:
        InvalidInputError: not an ONNX model, or external data that is missing or outside the model's folder.
        ShapeError: an input has no batch axis or one of another size, or no elements.
        DynamicShapeError: another dimension is not a number.
        NotFiniteError: a constant holds NaN or infinity.
        UnsupportedOperatorError: control flow, or an operator outside the standard domain.
        CompileError: the checker, the version converter, the optimizer or shape inference refuses the model.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InvalidInputError(f"the batch size is a whole number from 1 on, got {batch!r}")
    proto = _checked(_with_batch(read_model(source), batch))
    proto = _infer_shapes(_without_shapes(_with_known_opset(proto)))
    with _blame("the model is malformed"):
        model = onnx_ir.serde.deserialize_model(proto)
        common.RemoveInitializersFromInputsPass()(model)
        _require_inputs(model, batch)
        common.InlinePass()(model)
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        _bound_masks(model)
        _require_finite(model)
        _optimize(model)
        model.ir_version = IR_VERSION
        # What follows a layer that shape inference does not know has a shape only once that layer is in steps.
        in_steps = True
        while in_steps:
            in_steps = decompose(model)
            proto = onnx_ir.serde.serialize_model(model)
            model = onnx_ir.serde.deserialize_model(_infer_shapes(_without_shapes(proto)))
        common.ClearMetadataAndDocStringPass()(model)
        _require_lowerable(model, batch)
        _require_finite(model)
        for node in _unfolded_batch_norms(model):
            logger.warning("BatchNormalization %r could not be folded into the layer before it", node.name)
    return model


def read_model(source: str | Path | bytes | onnx.ModelProto) -> onnx.ModelProto:
    """A model as the caller has it, in a copy that is complete in itself: external data included.

    Raises:
        InvalidInputError: see `load_model`.
    """
    proto = onnx.ModelProto()
    folder: Path | None = None
    match source:
        case onnx.ModelProto():
            proto.CopyFrom(source)
        case bytes():
            _parse(proto, source, "the bytes")
        case str() | Path():
            path = Path(source)
            try:
                size = path.stat().st_size
                if size > MAX_MODEL_BYTES:
                    raise InvalidInputError(f"{path}: {size} bytes are more than an ONNX file can hold")
                data = path.read_bytes()
            except (OSError, ValueError) as error:
                raise InvalidInputError(f"{path}: cannot read the model: {error}") from None
            _parse(proto, data, str(path))
            folder = path.resolve().parent
        case _:
            raise InvalidInputError(
                f"a model is a path, the bytes of an ONNX file or an onnx.ModelProto, got {type(source).__name__}"
            )
    if not proto.HasField("graph") or not proto.opset_import:
        raise InvalidInputError("not an ONNX model: it has no graph, or states no version of the operator set")
    _load_external_data(proto, folder)
    return proto


def _parse(proto: onnx.ModelProto, data: bytes, where: str) -> None:
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise InvalidInputError(f"{where}: not an ONNX model; the file is truncated, or of another format") from None


def _tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Every stored tensor of a graph and of the graphs within it, named."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, onnx.TensorProto]]:
    for node in nodes:
        for attribute in node.attribute:
            for tensor in (attribute.t, *attribute.tensors):
                yield tensor.name or next(iter(node.output), node.name), tensor
            for graph in (attribute.g, *attribute.graphs):
                yield from _tensors(graph)


def _load_external_data(proto: onnx.ModelProto, folder: Path | None) -> None:
    functions = (pair for function in proto.functions for pair in _node_tensors(function.node))
    for name, tensor in (*_tensors(proto.graph), *functions):
        if not uses_external_data(tensor):
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        if folder is None:
            raise InvalidInputError(
                f"tensor {name!r} is stored in another file, {location!r}; hand in the path of the model instead, "
                "or save it with save_as_external_data=False"
            )
        target = folder / location
        if not target.resolve().is_relative_to(folder) or target.is_symlink() or not target.is_file():
            raise InvalidInputError(
                f"tensor {name!r} is stored in {location!r}, which is not a file within {folder}; put it there"
            )
        try:
            load_external_data_for_tensor(tensor, str(folder))
        except Exception as error:  # the checker's exception, OSError or ValueError, by the cause
            raise InvalidInputError(f"tensor {name!r}: cannot read {location!r}: {error}") from None


def _checked(proto: onnx.ModelProto) -> onnx.ModelProto:
    if proto.graph.sparse_initializer:
        raise CompileError("the model holds sparse initializers; store its weights as dense tensors")
    if not proto.graph.node:
        raise CompileError("the model has no nodes: it computes nothing")
    names = [value.name for value in proto.graph.output]
    if len(set(names)) != len(names):
        raise CompileError(f"the model lists an output twice: {names}")
    if proto.ByteSize() > MAX_MODEL_BYTES:
        raise CompileError(f"the model and its weights are {proto.ByteSize()} bytes; {MAX_MODEL_BYTES} fit")
    _require_known_domains(proto)
    for output in proto.graph.output:
        if output.type.HasField("tensor_type"):
            # The checker wants a shape stated; it is not looked at, and inferred later.
            output.type.tensor_type.shape.SetInParent()
    with _blame("the ONNX checker refuses the model"):
        onnx.checker.check_model(proto)
    return proto


def _require_known_domains(proto: onnx.ModelProto) -> None:
    defined = {(function.domain, function.name) for function in proto.functions}
    for node in proto.graph.node:
        if node.domain not in _READ_DOMAINS and (node.domain, node.op_type) not in defined:
            raise UnsupportedOperatorError(
                f"node {node.name!r} is {node.domain}.{node.op_type}, an operator outside the ONNX standard; export "
                "the model with standard operators only"
            )


def _opset(proto: onnx.ModelProto) -> int:
    return next((int(entry.version) for entry in proto.opset_import if entry.domain in _STANDARD_DOMAINS), 0)


def _with_known_opset(proto: onnx.ModelProto) -> onnx.ModelProto:
    version = _opset(proto)
    if version > MAX_OPSET:
        raise CompileError(
            f"the model uses ONNX operator set {version}; the newest that is supported is {MAX_OPSET}. Export it "
            "with opset=18"
        )
    if version >= MIN_OPSET:
        return proto
    advice = (
        f"the model uses ONNX operator set {version} and cannot be converted to {MIN_OPSET}; export it with opset=18"
    )
    with _blame(advice):
        return onnx.version_converter.convert_version(proto, MIN_OPSET)


def _with_batch(proto: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """The model with the first axis of every input set where it is open; in place."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    for value in proto.graph.input:
        if value.name in constants:
            continue
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            raise DynamicShapeError(f"input {value.name!r} has no shape; export the model with its sizes")
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value > 0:
                continue
            if dim.HasField("dim_value") and dim.dim_value == 0 and axis > 0:
                raise ShapeError(
                    f"input {value.name!r}: axis {axis} has size 0, so that it holds no elements. Export the model "
                    "with another number there, or without the input"
                )
            if axis > 0:
                raise DynamicShapeError(
                    f"input {value.name!r}: axis {axis} ({dim.dim_param or 'unnamed'}) has no fixed size. Export the "
                    "model with a number there; only the first axis, the batch, may stay open"
                )
            dim.dim_value = batch
    return proto


def _without_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the shapes that it states for what it computes, so that they are inferred anew."""
    del proto.graph.value_info[:]
    for output in proto.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    return proto


def _infer_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    advice = (
        "the shapes of the model do not fit together; if it was exported for one batch size, export it with a dynamic "
        "batch, or compile with that batch size"
    )
    with _blame(advice):
        return onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)


def _require_inputs(model: onnx_ir.Model, batch: int) -> None:
    """Every input is a tensor of a known dtype whose first axis is the batch."""
    if not model.graph.inputs:
        raise CompileError("the model has no inputs: its outputs are constants")
    if not model.graph.outputs:
        raise CompileError("the model has no outputs")
    for value in model.graph.inputs:
        if not isinstance(value.type, onnx_ir.TensorType) or value.dtype is None or value.shape is None:
            raise CompileError(f"input {value.name!r} is not a tensor of known type and rank")
        if not len(value.shape):
            raise ShapeError(f"input {value.name!r} is a scalar; its first axis has to be the batch")
        if value.shape[0] != batch:
            raise ShapeError(
                f"input {value.name!r} has the shape {value.shape}: its first axis is not the batch of {batch}. "
                f"Compile with batch={value.shape[0]}, or export the model with a dynamic batch"
            )


def _require_finite(model: onnx_ir.Model) -> None:
    """No constant holds NaN or infinity; those of trees, where NaN separates lists, once they are in steps."""
    constants = [(value.name, value.const_value) for value in model.graph.initializers.values()]
    constants += [
        (node.outputs[0].name, attribute.as_tensor())
        for node in model.graph.all_nodes()
        if node.domain in _STANDARD_DOMAINS
        for attribute in node.attributes.values()
        if not attribute.is_ref() and attribute.type is onnx_ir.AttributeType.TENSOR
    ]
    for name, tensor in constants:
        if tensor is None or not tensor.dtype.is_floating_point():
            continue
        bad = ~np.isfinite(tensor.numpy())
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise NotFiniteError(
                f"constant {name!r} holds {int(bad.sum())} values that are NaN or infinite, the first at index "
                f"{where}; correct the model's weights"
            )


def _bound_masks(model: onnx_ir.Model) -> None:
    """Put a finite number in place of minus infinity where it masks scores: a softmax makes zero of either."""
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is None or not tensor.dtype.is_floating_point():
            continue
        array = tensor.numpy()
        masks = np.isneginf(array)
        if masks.any() and _masks_scores(value):
            # Half the lowest, so that adding a score does not overflow.
            finite = np.where(masks, np.finfo(array.dtype).min / 2, array).astype(array.dtype)
            value.const_value = onnx_ir.tensor(finite, name=value.name)


def _masks_scores(value: onnx_ir.Value) -> bool:
    """Whether whatever is made of the value ends in a softmax, or in the layer that holds one."""
    return not value.is_graph_output() and all(
        node.op_type in ("Attention", "Softmax")
        or (node.op_type in _MASKING and all(_masks_scores(v) for v in node.outputs))
        for node, _ in value.uses()
    )


def _unshare_batch_norm_inputs(model: onnx_ir.Model) -> None:
    """Give every layer before a BatchNormalization constants of its own: shared ones would keep it from folding."""
    for node in model.graph:
        if node.op_type != "BatchNormalization" or (layer := _layer_before(node)) is None:
            continue
        for index, value in enumerate(layer.inputs):
            if value is None or value.const_value is None or len(value.uses()) == 1:
                continue
            copy = onnx_ir.Value(
                name=f"{value.name}/{layer.outputs[0].name}",
                shape=value.shape,
                type=value.type,
                const_value=value.const_value,
            )
            model.graph.register_initializer(copy)
            layer.replace_input_with(index, copy)


def _layer_before(batch_norm: onnx_ir.Node) -> onnx_ir.Node | None:
    """The layer into whose constant weights a BatchNormalization can be folded, if there is one."""
    source = batch_norm.inputs[0]
    layer = source.producer() if source is not None else None
    if source is None or layer is None or layer.op_type not in _WITH_WEIGHTS or len(source.uses()) != 1:
        return None
    constants = [value for value in (*layer.inputs[1:], *batch_norm.inputs[1:]) if value is not None]
    return layer if all(value.const_value is not None for value in constants) and not source.is_graph_output() else None


def _unfolded_batch_norms(model: onnx_ir.Model) -> list[onnx_ir.Node]:
    """The BatchNormalizations that should have been folded into the layer before them."""
    return [n for n in model.graph if n.op_type == "BatchNormalization" and _layer_before(n) is not None]


def _folds(node: onnx_ir.Node) -> bool | None:
    """Whether to compute a node of constants now: yes, unless the result is large or of unknown size.

    Quantized weights stay the integers that they are.
    """
    if node.op_type == "DequantizeLinear":
        return False
    sizes = [math.prod(v.shape.numpy()) if v.shape is not None and v.shape.is_static() else None for v in node.outputs]
    return True if all(size is not None and size <= MAX_FOLDED_ELEMENTS for size in sizes) else None


def _optimize(model: onnx_ir.Model) -> None:
    """Fold, rewrite, remove what is unused: onnxscript's own passes, in place."""
    names = [value.name for value in model.graph.outputs]
    # What overflows here is found, and named, when the constants are checked afterwards.
    with _blame("the model cannot be simplified"), np.errstate(all="ignore"):
        _unshare_batch_norm_inputs(model)
        optimizer.optimize_ir(model, num_iterations=8, should_fold=_folds)
        common.IdentityEliminationPass()(model)
        common.RemoveUnusedNodesPass()(model)
        common.TopologicalSortPass()(model)
        common.OutputFixPass()(model)
        for value, name in zip(model.graph.outputs, names, strict=True):
            value.name = name
        common.NameFixPass()(model)


def _require_lowerable(model: onnx_ir.Model, batch: int) -> None:
    """No control flow, standard operators alone, static shapes and dtypes everywhere, outputs that are computed."""
    if not len(model.graph):
        raise CompileError("the model computes nothing: its outputs are its inputs or constants")
    for node in model.graph:
        if any(a.type in (onnx_ir.AttributeType.GRAPH, onnx_ir.AttributeType.GRAPHS) for a in node.attributes.values()):
            raise UnsupportedOperatorError(
                f"node {node.name!r} is control flow ({node.op_type}); a circuit is straight-line. Export the model "
                "so that loops are unrolled and branches are decided"
            )
        if node.domain not in _STANDARD_DOMAINS:
            raise UnsupportedOperatorError(
                f"node {node.name!r} is {node.domain}.{node.op_type}, which is not supported in this form; of that "
                f"domain, supported are {', '.join(TREE_LAYERS)} with one kind of comparison by size, as a sum of trees"
            )
        for value in node.outputs:
            _require_static(node, value, model.opset_imports.get("", 0))
        if node.op_type == "Reshape":
            _require_whole_reshape(node)
    for output in model.graph.outputs:
        if output.producer() is None or _is_constant(output):
            raise CompileError(f"output {output.name!r} is an input or a constant: there is nothing to prove about it")
        shape = static_shape(output)
        if batch > 1 and shape[:1] != (batch,):
            raise ShapeError(
                f"output {output.name!r} has shape {shape}: its first axis is not the batch of {batch}. Compile with "
                "batch=1, or export the model with a dynamic batch"
            )


def _require_static(node: onnx_ir.Node, value: onnx_ir.Value, opset: int) -> None:
    if not value.name:
        return
    if not isinstance(value.type, onnx_ir.TensorType) or value.dtype is None:
        raise CompileError(f"node {node.name!r} ({node.op_type}): {value.name!r} is not a tensor of known dtype")
    if value.shape is None or not value.shape.is_static():
        if node.op_type in registry.HINTS:
            registry.find_for(node, opset)
        raise DynamicShapeError(
            f"node {node.name!r} ({node.op_type}): the shape of {value.name!r} depends on data. Export the model so "
            "that every shape but the batch is fixed"
        )
    if math.prod(static_shape(value)) > MAX_TENSOR_ELEMENTS:
        raise CompileError(
            f"node {node.name!r} ({node.op_type}): {value.name!r} has shape {static_shape(value)}; tensors of up to "
            f"{MAX_TENSOR_ELEMENTS} elements fit"
        )


def _require_whole_reshape(node: onnx_ir.Node) -> None:
    """Shape inference takes a Reshape's sizes as they are: hold them against the number of elements."""
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    if math.prod(static_shape(source)) != math.prod(static_shape(result)):
        raise ShapeError(
            f"node {node.name!r} (Reshape) takes shape {static_shape(source)} to {static_shape(result)}. If the model "
            "was exported for one batch size, export it with a dynamic batch, or compile with that batch size"
        )


def _is_constant(output: onnx_ir.Value) -> bool:
    """Whether the value is a constant handed on unchanged."""
    node = output.producer()
    return (
        node is not None
        and node.op_type == "Identity"
        and all(v is not None and v.const_value is not None for v in node.inputs)
    )


def static_shape(value: onnx_ir.Value) -> tuple[int, ...]:
    """The shape of a value of a normalized model."""
    assert value.shape is not None
    return value.shape.numpy()


@contextmanager
def _blame(what: str) -> Iterator[None]:
    """Turn whatever a library raises over a model into a CompileError that says what was being done.

    Hostile and merely unusual models make ONNX's tools raise nearly anything, from their own classes to bare
    RuntimeErrors of their C++ side.
    """
    try:
        yield
    except ZkinferError:
        raise
    except Exception as error:
        detail = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CompileError(f"{what}: {detail}") from error
