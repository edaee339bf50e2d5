"""Reading a model: from what the caller has to a ModelProto that is complete in itself."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from zkinfer.compiler.calibration.detached import Detached, Model
from zkinfer.compiler.onnx.limits import require_few_nodes
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError
from zkinfer.files.location import Location
from zkinfer.files.reading import open_regular, read_bounded, reason

MAX_MODEL_BYTES = (1 << 31) - 1
"""The most that a protobuf message can hold, and so the most that the ONNX tools can handle."""

_WEIGHTS_ALONE = (
    "weights are no model; load them into a module, module.load_state_dict(...), and hand in the module: "
    "zkinfer.compile(module, samples)"
)

_ZIP, _TORCH_RECORD, _TORCH_START = b"PK\x03\x04", b"/data.pkl", 1 << 10
"""How a file that torch.save wrote begins: an archive, within whose first bytes is the name of this record."""


def read_model(
    source: str | os.PathLike[str] | bytes | onnx.ModelProto, *, admit: Callable[[int], None] = lambda _: None
) -> onnx.ModelProto:
    """A copy of the caller's model that includes its external data, with float32 in place of bfloat16.

    Args:
        source: see `load_model`.
        admit: is told how many bytes the model has before they are read, and again once its other files are known; an
            error of its own ends the reading.

    Raises:
        InvalidInputError: see `load_model`.
        CompileError: it has more nodes than are compiled.
        MissingDependencyError: it is in a store whose package is not installed.
    """
    proto = onnx.ModelProto()
    place: Location | None = None
    match source:
        case onnx.ModelProto():
            admit(source.ByteSize())
            proto.CopyFrom(source)
        case bytes():
            admit(len(source))
            _parse(proto, source, "the bytes")
        case str() | os.PathLike():
            place = Location(source)
            _parse(proto, read_bounded(place, max_bytes=MAX_MODEL_BYTES, admit=admit), str(place))
        case _:
            advice = f": {_WEIGHTS_ALONE}" if isinstance(source, Mapping) else ""
            raise InvalidInputError(
                "a model is the path, URL or bytes of an ONNX file, an onnx.ModelProto, a torch module or a fitted "
                f"estimator; got {type(source).__name__}{advice}"
            )
    if not proto.HasField("graph") or not proto.opset_import:
        raise InvalidInputError("not an ONNX model: it has no graph, or states no version of the operator set")
    require_few_nodes(proto)  # before any pass over them
    if place is None or place.path is not None:
        _load_external_data(proto, None if place is None or place.path is None else place.path.resolve().parent, admit)
    else:
        with TemporaryDirectory(prefix="zkinfer-model-") as copies:
            folder = Path(copies).resolve()
            _copy_external_data(proto, place, folder)
            _load_external_data(proto, folder, admit)
    _widen(proto)
    return proto


def read_copy(model: Model) -> Detached:
    """A copy of a model of this process, with float32 in place of bfloat16; its large tensors are shared.

    Raises:
        InvalidInputError, CompileError: see `read_model`.
    """
    if isinstance(model, onnx.ModelProto):
        return Detached(read_model(model))
    copy = model.copy()
    require_few_nodes(copy.proto)
    _widen(copy.proto)
    return copy


def _parse(proto: onnx.ModelProto, data: bytes, where: str) -> None:
    if (data.startswith(_ZIP) and _TORCH_RECORD in data[:_TORCH_START]) or where.endswith((".pt", ".pth")):
        raise InvalidInputError(f"{where}: a file of torch, not an ONNX model: {_WEIGHTS_ALONE}")
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise InvalidInputError(f"{where}: not an ONNX model; the file is truncated, or of another format") from None


def _load_external_data(proto: onnx.ModelProto, folder: Path | None, admit: Callable[[int], None]) -> None:
    outside = [(name, tensor) for name, tensor in _all_tensors(proto) if uses_external_data(tensor)]
    left = MAX_MODEL_BYTES
    for name, tensor in outside:
        location = _location(tensor)
        if folder is None:
            raise InvalidInputError(
                f"tensor {name!r} is stored in another file, {location!r}; hand in the path of the model instead, "
                "or save it with save_as_external_data=False"
            )
        if not _is_within(folder, location):
            raise InvalidInputError(
                f"tensor {name!r} is stored in {location!r}, which is not a file within {folder}; put it there"
            )
        left -= _external_bytes(tensor, folder / location, f"tensor {name!r}: cannot read {location!r}")
        if left < 0:
            raise InvalidInputError(
                f"the model's tensors in other files have more than {counted(MAX_MODEL_BYTES, 'byte')}"
            )
    if not outside or folder is None:
        return
    admit(proto.ByteSize() + MAX_MODEL_BYTES - left)
    for name, tensor in outside:
        location = _location(tensor)
        try:
            load_external_data_for_tensor(tensor, str(folder))
        except Exception as error:  # the checker's exception, OSError or ValueError, by the cause
            raise InvalidInputError(f"tensor {name!r}: cannot read {location!r}: {error}") from None


def _copy_external_data(proto: onnx.ModelProto, model: Location, folder: Path) -> None:
    """Copy the other files of a model in a store, which lie beside it or deeper, into a folder of this machine.

    Raises:
        InvalidInputError: one is elsewhere, cannot be read, or they are too large together.
    """
    beside, left = str(model).rpartition("/")[0], MAX_MODEL_BYTES
    for location in {_location(tensor) for _, tensor in _all_tensors(proto) if uses_external_data(tensor)}:
        name = PurePosixPath(location)
        is_plain = name.name and ".." not in name.parts and name.as_posix() == location
        if not is_plain or name.is_absolute() or not location.isprintable():
            raise InvalidInputError(
                f"{model}: a tensor is stored in {location!r}, which is not beside it; put it there"
            )
        found = Location(f"{beside}/{location}")
        left -= found.size()
        if left < 0:
            raise InvalidInputError(
                f"the model's tensors in other files have more than {counted(MAX_MODEL_BYTES, 'byte')}"
            )
        target = folder / location
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_regular(found) as stored, target.open("wb") as copy:
                shutil.copyfileobj(stored, copy)
        except OSError as error:
            raise InvalidInputError(f"cannot read {found}: {reason(error)}") from None


def _location(tensor: onnx.TensorProto) -> str:
    """The file that holds a tensor, as the model names it."""
    return next((str(entry.value) for entry in tensor.external_data if entry.key == "location"), "")


def _is_within(folder: Path, location: str) -> bool:
    """Whether a location names a file within the folder, by no link."""
    target = folder / location
    try:
        return target.resolve().is_relative_to(folder) and target.is_file() and not target.is_symlink()
    except (OSError, ValueError):  # too long a name, or a zero byte within it
        return False


def _external_bytes(tensor: onnx.TensorProto, path: Path, where: str) -> int:
    """How many bytes of its file a tensor takes, checked before any is read.

    Raises:
        InvalidInputError: the file does not hold them.
    """
    stated = {entry.key: entry.value for entry in tensor.external_data}
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
        start = int(stated.get("offset") or 0)
        length = int(stated.get("length") or size - start)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{where}: {error}") from None
    if not 0 <= start <= size or not 0 <= length <= size - start:
        raise InvalidInputError(f"{where}: {counted(length, 'byte')} from {start:,} on are not in a file of {size:,}")
    return length


def _widen(proto: onnx.ModelProto) -> None:
    """Make every bfloat16 of a model a float32, in place: the same number, in a type that onnxruntime computes in."""
    for _, tensor in _all_tensors(proto):
        if tensor.data_type == onnx.TensorProto.BFLOAT16:
            wide = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(wide, tensor.name))
    for graph in graphs_of(proto):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16:
                value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for nodes in (*(graph.node for graph in graphs_of(proto)), *(function.node for function in proto.functions)):
        for attribute in (a for node in nodes for a in node.attribute if a.name in ("to", "dtype")):
            if attribute.i == onnx.TensorProto.BFLOAT16:
                attribute.i = onnx.TensorProto.FLOAT


def graphs_of(proto: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """Every graph of a model, those within nodes too."""
    waiting = [proto.graph, *inner_graphs(node for function in proto.functions for node in function.node)]
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += inner_graphs(graph.node)


def inner_graphs(nodes: Iterable[onnx.NodeProto]) -> list[onnx.GraphProto]:
    """The graphs that nodes hold."""
    found = []
    for attribute in (a for node in nodes for a in node.attribute):
        found += [attribute.g] * attribute.HasField("g") + list(attribute.graphs)
    return found


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename values that nodes and initializers of a graph have, in place, also where graphs within read them."""
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        for values in (node.input, node.output):
            for place, name in enumerate(values):
                if name in names:
                    values[place] = names[name]
    for inner in inner_graphs(graph.node):
        rename(inner, names)


def _all_tensors(proto: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Every stored tensor of a model, named."""
    yield from _tensors(proto.graph)
    for function in proto.functions:
        yield from _node_tensors(function.node)


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
