"""Models whose large tensors are numpy arrays beside the protobuf message, which has placeholders in their place.

ONNX's tools work on protobuf messages, and each of them takes a message apart or puts it together again: a message that
holds the weights is copied by every one. With the weights beside it, a message is small, and there is one copy of each
weight, which all forms of a model share: before and after rewriting, as `onnx_ir` has it, and as onnxruntime runs it.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx_ir
from onnx import helper, numpy_helper

from zkinfer.typing import Array

LEAST_BYTES = 1 << 20
"""Smaller tensors stay in the message."""

_PREFIX = "zkinfer detached "
_TYPES = {
    onnx_ir.DataType.FLOAT: "<f4",
    onnx_ir.DataType.FLOAT16: "<f2",
    onnx_ir.DataType.DOUBLE: "<f8",
    onnx_ir.DataType.INT8: "<i1",
    onnx_ir.DataType.UINT8: "<u1",
}
"""Types of weights. What may be a shape, axes or positions stays in the message, where inference reads it."""

_ALIGNMENT = 64

Model: TypeAlias = "onnx.ModelProto | Detached"
"""A model in either form."""


@dataclass(frozen=True)
class Detached:
    """A model and its large tensors.

    Attributes:
        proto: the model; of a large initializer of its graph it has name, type and shape.
        arrays: the large initializers, by what their placeholders say.
    """

    proto: onnx.ModelProto
    arrays: Mapping[str, Array] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole model, nearly."""
        return int(self.proto.ByteSize()) + sum(array.nbytes for array in self.arrays.values())

    def copy(self) -> "Detached":
        """With a message of its own, and the same arrays."""
        return Detached(_copied(self.proto), self.arrays)

    def whole(self) -> onnx.ModelProto:
        """A message with everything in it: a copy of all arrays."""
        proto = _copied(self.proto)
        for tensor in proto.graph.initializer:
            array = self.arrays.get(_key(tensor))
            if array is not None:
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        return proto

    def with_inputs(self) -> tuple[onnx.ModelProto, dict[str, Array]]:
        """A model that takes its large tensors as inputs, for tools that take no placeholders; and what to feed it."""
        proto, feeds = _copied(self.proto), dict[str, Array]()
        stated = {value.name for value in proto.graph.input}
        kept = []
        for tensor in proto.graph.initializer:
            array = self.arrays.get(_key(tensor))
            if array is None:
                kept.append(tensor)
                continue
            feeds[tensor.name] = array
            if tensor.name not in stated:
                proto.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        others = onnx.GraphProto(initializer=kept)
        del proto.graph.initializer[:]
        proto.graph.initializer.extend(others.initializer)
        return proto, feeds

    def to_ir(self) -> onnx_ir.Model:
        """The model as `onnx_ir` has it, with the same arrays."""
        model = onnx_ir.serde.deserialize_model(self.proto)
        for value in model.graph.initializers.values():
            if isinstance(value.const_value, onnx_ir.ExternalTensor) and value.const_value.location in self.arrays:
                value.const_value = onnx_ir.Tensor(self.arrays[str(value.const_value.location)], name=value.name)
        return model

    def joined(self) -> tuple[bytes, dict[str, Array]]:
        """The bytes of an ONNX file with everything in it, and the large tensors, by name, as parts of these bytes.

        A message of protobuf may come in parts, which are merged: so each large tensor is a part behind the others,
        and no message ever holds all of them.
        """
        proto = _copied(self.proto)
        held = [tensor for tensor in proto.graph.initializer if _key(tensor) in self.arrays]
        kept = onnx.GraphProto(initializer=[t for t in proto.graph.initializer if _key(t) not in self.arrays])
        del proto.graph.initializer[:]
        proto.graph.initializer.extend(kept.initializer)
        parts: list[Any] = [proto.SerializeToString(deterministic=True)]
        length, starts = len(parts[0]), dict[str, tuple[Array, int]]()
        for tensor in held:
            array = np.ascontiguousarray(self.arrays[_key(tensor)])
            head = _aligned_head(tensor, array.nbytes, length)
            parts += [head, array.reshape(-1).view(np.uint8).data]
            starts[tensor.name] = array, length + len(head)
            length += len(head) + array.nbytes
        data = b"".join(parts)
        return data, {
            name: np.frombuffer(data, array.dtype, array.size, start).reshape(array.shape)
            for name, (array, start) in starts.items()
        }


def detached(model: Model) -> Detached:
    """A model, which is used up, with its large tensors taken out of the message.

    A tensor that is not as long as its shape says stays where it is, so that ONNX's checker refuses the model.
    """
    model = as_detached(model)
    proto, arrays = model.proto, dict(model.arrays)
    for tensor in proto.graph.initializer:
        dtype = _TYPES.get(onnx_ir.DataType(tensor.data_type))
        if dtype is None or len(tensor.raw_data) < LEAST_BYTES:
            continue
        raw = tensor.raw_data
        if any(n < 0 for n in tensor.dims) or len(raw) != np.prod(tensor.dims, dtype=object) * np.dtype(dtype).itemsize:
            continue
        key = f"{_PREFIX}{len(arrays)}"
        arrays[key] = np.frombuffer(raw, dtype).reshape(tensor.dims)
        tensor.ClearField("raw_data")
        _mark(tensor, key)
    # What a message held stays in its memory until it is gone itself.
    return Detached(_copied(proto), arrays)


def detached_ir(model: onnx_ir.Model) -> Detached:
    """A model of `onnx_ir`, which keeps its tensors and shares them."""
    arrays: dict[str, Array] = {}
    with contextlib.ExitStack() as stack:
        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.dtype not in _TYPES or tensor.nbytes < LEAST_BYTES:
                continue
            if not isinstance(tensor, onnx_ir.Tensor):
                # One that reads its message anew each time.
                tensor = onnx_ir.Tensor(tensor.numpy(), name=tensor.name)
            key = f"{_PREFIX}{len(arrays)}"
            arrays[key] = tensor.numpy()
            stack.callback(setattr, value, "const_value", tensor)
            value.const_value = onnx_ir.ExternalTensor(
                key, None, None, tensor.dtype, shape=onnx_ir.Shape(tensor.shape), name=value.name or "", base_dir=""
            )
        return Detached(onnx_ir.serde.serialize_model(model), arrays)


def joined_ir(model: onnx_ir.Model) -> bytes:
    """The bytes of an ONNX file of a model, whose large tensors are parts of these bytes afterwards."""
    data, parts = detached_ir(model).joined()
    for name, array in parts.items():
        model.graph.initializers[name].const_value = onnx_ir.Tensor(array, name=name)
    return data


def _copied(proto: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def _key(tensor: onnx.TensorProto) -> str:
    """What a placeholder says; empty for other tensors."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return ""
    return next((str(entry.value) for entry in tensor.external_data if entry.key == "location"), "")


def _mark(tensor: onnx.TensorProto, key: str) -> None:
    """Make a placeholder of a tensor that holds nothing."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", key


_GRAPH, _INITIALIZER, _RAW_DATA = (bytes([number << 3 | 2]) for number in (7, 5, 9))
"""Tags of protobuf: of ModelProto.graph, GraphProto.initializer and TensorProto.raw_data, which have lengths."""


def _aligned_head(tensor: onnx.TensorProto, nbytes: int, start: int) -> bytes:
    """What stands before the content of a tensor that begins at `start`: the content then begins at a multiple of 64.

    Spaces in the tensor's comment fill up what is missing.
    """
    for spaces in range(2 * _ALIGNMENT):
        own = onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type, name=tensor.name)
        if spaces:
            own.doc_string = " " * spaces
        inner = own.SerializeToString(deterministic=True) + _RAW_DATA + _varint(nbytes)
        middle = _INITIALIZER + _varint(len(inner) + nbytes) + inner
        head: bytes = _GRAPH + _varint(len(middle) + nbytes) + middle
        if (start + len(head)) % _ALIGNMENT == 0:
            return head
    raise AssertionError("some number of spaces fills up any number of bytes")


def _varint(number: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def as_detached(model: Model) -> Detached:
    """A model in either form; a message is left as it is, and holds its tensors itself."""
    return model if isinstance(model, Detached) else Detached(model)
