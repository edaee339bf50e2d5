"""Loading a model: from the caller's form of it to one normalized `onnx_ir.Model`.

Normalized means: the ONNX checker accepts it, the batch is a number, every value has a static shape and a dtype,
functions are inlined, constants are folded, batch normalization is folded into the convolution or Gemm before it,
operators with a decomposition are decomposed, and scales of normalizations are folded into the products after them. The
same model gives the same result every time: names, order and bytes.
"""

import logging
import math
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import onnx
import onnx_ir
from onnx_ir.passes import common

from zkinfer.arguments import whole_number
from zkinfer.circuit.steps import MAX_TENSOR_ELEMENTS
from zkinfer.compiler.calibration.detached import Detached, detached
from zkinfer.compiler.calibration.float_model import static_shape
from zkinfer.compiler.lowering.quantizing import is_finite
from zkinfer.compiler.onnx import registry
from zkinfer.compiler.onnx.blame import blame
from zkinfer.compiler.onnx.conversion import IR_VERSION, MIN_OPSET, Conversion, convert
from zkinfer.compiler.onnx.decompose import decompose
from zkinfer.compiler.onnx.decompositions import classical, contributed
from zkinfer.compiler.onnx.folding import fold_scales
from zkinfer.compiler.onnx.limits import require_bounded
from zkinfer.compiler.onnx.loops import has_loops, settle_loops
from zkinfer.compiler.onnx.masks import bound_masks, drop_infinite_bounds
from zkinfer.compiler.onnx.published import (
    PARAMETERS,
    computed_from,
    is_known,
    require_initializers,
    store,
    written_constants,
)
from zkinfer.compiler.onnx.read import MAX_MODEL_BYTES, read_model
from zkinfer.compiler.onnx.refusals import refusals, require_none
from zkinfer.compiler.onnx.shapes import correct_shapes, inferred, with_shapes, without_shapes
from zkinfer.compiler.onnx.simplify import drop_empty, drop_expansions, simplify, unfolded_batch_norms
from zkinfer.counts import counted
from zkinfer.errors import (
    CompileError,
    DynamicShapeError,
    NotFiniteError,
    ShapeError,
    UnsupportedOperatorError,
    ZkinferError,
)

logger = logging.getLogger(__name__)

MAX_OPSET = 26
"""The newest version of the operator set that is supported: the newest that onnxruntime runs."""

_STANDARD_DOMAINS = ("", "ai.onnx")
_READ_DOMAINS = (*_STANDARD_DOMAINS, classical.DOMAIN, contributed.DOMAIN)


class Loaded(NamedTuple):
    """A model that was loaded.

    Attributes:
        model: normalized.
        original: as it was before anything was rewritten, with a batch that is a number; still to be compared.
        conversion: of its operator set, still to be checked on calibration data; None if it needed none.
    """

    model: onnx_ir.Model
    original: Detached
    conversion: Conversion | None


def load_model(source: str | os.PathLike[str] | bytes | onnx.ModelProto, *, batch: int) -> onnx_ir.Model:
    """The normalized model that `load` gives, without a check of the conversion of its operator set."""
    return load(source, batch=batch).model


def load(
    source: str | os.PathLike[str] | bytes | onnx.ModelProto, *, batch: int, publish: Sequence[str] = ()
) -> Loaded:
    """A normalized model.

    Args:
        source: a path or URL of an ONNX file, the bytes of one, or a ModelProto; never modified. External data is read
            for a path or URL alone, and only from within the folder of the model.
        batch: size of the first axis of every input, at least 1. Where the model leaves that axis open it is set;
            where the model fixes it, it must agree.
        publish: initializers that may become public, see `published`.

    Raises:
        InvalidInputError: not an ONNX model, or external data that is missing or outside the model's folder; or
            `publish` names what is not an initializer.
        ShapeError: an input has no batch axis or one of another size, or no elements.
        DynamicShapeError: another dimension is not a number.
        NotFiniteError: a constant holds NaN or infinity.
        UnsupportedOperatorError: control flow, or an operator outside the standard domain.
        CompileError: the checker, the version converter, the optimizer or shape inference refuses the model.
    """
    return normalize(detached(read_model(source)), batch=batch, publish=publish)


def normalize(stored: Detached, *, batch: int, publish: Sequence[str] = ()) -> Loaded:
    """A model that `read_model` gave, normalized; its message is modified. The rest as for `load`."""
    batch = whole_number("the batch size", batch)
    fixed = _fixes_batch(stored.proto)
    _with_batch(stored.proto, batch)
    _check(stored)
    conversion = _conversion(stored)
    if conversion is None:
        original = stored.copy()
    else:
        original = Detached(conversion.original)
        stored = detached(Detached(conversion.converted).copy().proto)
    proto = without_shapes(stored.proto)
    with blame("its shapes cannot be inferred"):
        correct_shapes(proto)
    stored = Detached(with_shapes(proto), stored.arrays)
    with blame("the model is malformed"):
        model = stored.to_ir()
        common.RemoveInitializersFromInputsPass()(model)
        _require_inputs(model, batch)
        common.InlinePass()(model)
        require_initializers(model.graph, publish)
        written = {*written_constants(model.graph), *publish}
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        public = computed_from(model.graph, written)
        exported = model.metadata_props.get(PARAMETERS) is not None
        drop_infinite_bounds(model)
        bound_masks(model)
        _require_finite(model)
        simplify(model)
        if has_loops(model):
            model = settle_loops(_decomposed(model, public, foreign=True))
        drop_infinite_bounds(model)
        bound_masks(model)
        model.ir_version = IR_VERSION
        # Decompositions have notes of their own for the importer.
        common.ClearMetadataAndDocStringPass()(model)
        model = _decomposed(model, public)
        drop_expansions(model)
        fold_scales(model)
        drop_empty(model)
        known = set() if exported else {n for n, value in model.graph.initializers.items() if is_known(value)}
        store(model, public | known)
        _require_lowerable(model, batch, fixed=fixed)
        _require_finite(model)
        for node in unfolded_batch_norms(model):
            logger.warning("BatchNormalization %r could not be folded into the layer before it", node.name)
    return Loaded(model, original, conversion)


def _decomposed(model: onnx_ir.Model, public: set[str], *, foreign: bool = False) -> onnx_ir.Model:
    """The model, which may be modified, with decompositions in place of operators; the rest as for `decompose`.

    Shape inference does not know every layer: values after one have shapes once the layer is decomposed.
    """
    replaced = True
    while replaced:
        replaced = decompose(model, public, foreign=foreign)
        model = inferred(model)
    return model


def _check(model: Detached) -> None:
    """Check what ONNX's checker checks, and more; in place, what it is strict about without need is corrected."""
    proto = model.proto
    if proto.graph.sparse_initializer:
        raise CompileError("the model holds sparse initializers; store its weights as dense tensors")
    if not proto.graph.node:
        raise CompileError("the model has no nodes: it computes nothing")
    names = [value.name for value in proto.graph.output]
    if len(set(names)) != len(names):
        raise CompileError(f"the model lists an output twice: {names}")
    if model.nbytes > MAX_MODEL_BYTES:
        raise CompileError(f"the model and its weights are {counted(model.nbytes, 'byte')}; {MAX_MODEL_BYTES:,} fit")
    _require_known_domains(proto)
    _import_standard_domain(proto)
    require_bounded(proto)
    _give_outputs_nodes(proto)
    for output in proto.graph.output:
        if output.type.HasField("tensor_type"):
            # The checker requires a shape, which is inferred later.
            output.type.tensor_type.shape.SetInParent()
    with blame("the ONNX checker refuses the model"):
        onnx.checker.check_model(model.with_inputs()[0])


def _import_standard_domain(proto: onnx.ModelProto) -> None:
    """Import the standard operators where a model of trees alone does not, as converters write it; in place."""
    imported = {entry.domain for entry in proto.opset_import}
    if not imported.intersection(_STANDARD_DOMAINS) and {node.domain for node in proto.graph.node} <= imported:
        proto.opset_import.append(onnx.helper.make_opsetid("", MIN_OPSET))


def _give_outputs_nodes(proto: onnx.ModelProto) -> None:
    """Give an output that is an input a node of its own, and one that is a dictionary the tensor in it; in place."""
    inputs = {value.name for value in proto.graph.input} - {tensor.name for tensor in proto.graph.initializer}
    for output in proto.graph.output:
        if output.name in inputs:
            source, output.name = output.name, f"{output.name}/output"
            proto.graph.node.append(onnx.helper.make_node("Identity", [source], [output.name], name=output.name))
    for node in proto.graph.node:
        if node.domain == classical.DOMAIN and node.op_type == "ZipMap":
            # A list of dictionaries from class labels to probabilities.
            node.CopyFrom(onnx.helper.make_node("Identity", node.input, node.output, name=node.name))
            for output in proto.graph.output:
                if output.name == node.output[0]:
                    output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, onnx.TensorProto.FLOAT, None))


def _require_known_domains(proto: onnx.ModelProto) -> None:
    defined = {(function.domain, function.name) for function in proto.functions}
    require_none(
        [
            UnsupportedOperatorError(
                f"node {node.name!r} is {node.domain}.{node.op_type}, an operator outside the ONNX standard; export "
                "the model with standard operators only"
            )
            for node in proto.graph.node
            if node.domain not in _READ_DOMAINS and (node.domain, node.op_type) not in defined
        ]
    )


def _conversion(model: Detached) -> Conversion | None:
    opsets = model.proto.opset_import
    version = next((int(entry.version) for entry in opsets if entry.domain in _STANDARD_DOMAINS), 0)
    if version > MAX_OPSET:
        raise CompileError(
            f"the model uses ONNX operator set {version}; the newest that is supported is {MAX_OPSET}. Export it "
            "with opset=18"
        )
    # ONNX's converter takes whole messages alone.
    return convert(model.whole(), version) if version < MIN_OPSET else None


def _fixes_batch(proto: onnx.ModelProto) -> bool:
    """Whether the model states a size for the first axis of some input."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    shapes = [value.type.tensor_type.shape for value in proto.graph.input if value.name not in constants]
    return any(shape.dim and shape.dim[0].dim_value > 0 for shape in shapes)


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
                size = repr(dim.dim_param) if dim.dim_param else repr(value.name)
                raise DynamicShapeError(
                    f"input {value.name!r}: axis {axis} ({dim.dim_param or 'unnamed'}) has no fixed size, and no "
                    f"calibration data tells it. State the number: shapes={{{size}: "
                    f"{'32' if dim.dim_param else '[None, 32, ...]'}}}"
                )
            dim.dim_value = batch
    return proto


def _require_inputs(model: onnx_ir.Model, batch: int) -> None:
    """Check that every input is a tensor of a known dtype whose first axis is the batch."""
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
            size = value.shape[0]
            same = all(
                v.shape is not None and v.shape[:1] == (size,) for v in (*model.graph.inputs, *model.graph.outputs)
            )
            raise ShapeError(
                f"input {value.name!r} has the shape {value.shape}: its first axis is not the batch of {batch}. "
                + (
                    f"Compile with batch={size}, or export the model with a dynamic batch"
                    if same
                    else _without_batch(model)
                )
            )


def _without_batch(model: onnx_ir.Model) -> str:
    """What to do with a model whose inputs and outputs do not have a first axis in common."""
    inputs, outputs = (
        ", ".join(f"{value.name!r} {value.shape}" for value in values)
        for values in (model.graph.inputs, model.graph.outputs)
    )
    return (
        f"The model has no batch axis: it takes {inputs} and gives {outputs}. Export it with one more axis in front of "
        "every input and every output"
    )


def _require_finite(model: onnx_ir.Model) -> None:
    """Check that no constant holds NaN or infinity; in trees, NaN separates lists until they are decomposed."""
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
        if not is_finite(np.asarray(tensor.numpy())):
            bad = ~np.isfinite(tensor.numpy())
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            what_to_do = (
                "minus infinity may mask what Softmax, Exp and maxima read; elsewhere put a finite number, such as -1e4"
                if np.isneginf(tensor.numpy()[bad]).all()
                else "correct the model's weights"
            )
            raise NotFiniteError(
                f"constant {name!r} holds {int(bad.sum()):,} values that are NaN or infinite, the first at "
                f"index {where}; {what_to_do}"
            )


def _require_lowerable(model: onnx_ir.Model, batch: int, *, fixed: bool) -> None:
    """Check: no control flow, standard operators alone, static shapes and dtypes, and outputs that are computed."""
    if not len(model.graph):
        raise CompileError("the model computes nothing: its outputs are its inputs or constants")
    refused = dict(refusals(model))
    # Of an operator that is not supported, nothing is known of the results either.
    refused |= {node: error for node, error in _misshapen(model) if node.domain in _STANDARD_DOMAINS}
    require_none([refused[node] for node in model.graph if node in refused])
    for output in model.graph.outputs:
        if output.producer() is None or _is_constant(output):
            raise CompileError(
                f"output {output.name!r} is a constant: there is nothing to prove about it. Leave it out of the outputs"
            )
    for output in model.graph.outputs:
        # Where a constant is an output too, shapes of the others may be unknown.
        shape = static_shape(output)
        if not math.prod(shape):
            raise ShapeError(
                f"output {output.name!r} has shape {shape}, and so no elements. Leave it out of the outputs"
            )
        if batch > 1 and shape[:1] != (batch,):
            advice = "Compile with batch=1, or export the model with a dynamic batch"
            raise ShapeError(
                f"output {output.name!r} has shape {shape}: its first axis is not the batch of {batch}. "
                + (_without_batch(model) if fixed else advice)
            )


def _misshapen(model: onnx_ir.Model) -> Iterator[tuple[onnx_ir.Node, ZkinferError]]:
    """Every node with an error whose results have no fixed shape or type, unless those before it have none either."""
    for node in model.graph:
        if node.op_type in ("If", "Loop"):
            # Refused as such.
            continue
        if any(value is not None and (value.shape is None or not value.shape.is_static()) for value in node.inputs):
            continue
        try:
            for value in node.outputs:
                _require_static(node, value, model.opset_imports.get("", 0))
            if node.op_type == "Reshape":
                _require_whole_reshape(node)
        except ZkinferError as error:
            yield node, error


def _require_static(node: onnx_ir.Node, value: onnx_ir.Value, opset: int) -> None:
    if not value.name:
        return
    if not isinstance(value.type, onnx_ir.TensorType) or value.dtype is None:
        raise CompileError(f"node {node.name!r} ({node.op_type}): {value.name!r} is not a tensor of known dtype")
    if value.shape is None or not value.shape.is_static():
        if node.op_type in registry.hints():
            registry.find_for(node, opset)
        raise DynamicShapeError(
            f"node {node.name!r} ({node.op_type}): the shape of {value.name!r} depends on data. Export the model so "
            "that every shape but the batch is fixed"
        )
    if math.prod(static_shape(value)) > MAX_TENSOR_ELEMENTS:
        raise CompileError(
            f"node {node.name!r} ({node.op_type}): {value.name!r} has shape {static_shape(value)}; tensors of up to "
            f"{MAX_TENSOR_ELEMENTS:,} elements fit"
        )


def _require_whole_reshape(node: onnx_ir.Node) -> None:
    """Check the number of elements of a Reshape, which shape inference does not check."""
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    if math.prod(static_shape(source)) != math.prod(static_shape(result)):
        raise ShapeError(
            f"node {node.name!r} (Reshape) takes shape {static_shape(source)} to {static_shape(result)}. If the model "
            "was exported for one batch size, export it with a dynamic batch, or compile with that batch size"
        )


def _is_constant(output: onnx_ir.Value) -> bool:
    """Whether the value is the Identity of a constant."""
    node = output.producer()
    return (
        node is not None
        and node.op_type == "Identity"
        and all(v is not None and v.const_value is not None for v in node.inputs)
    )
