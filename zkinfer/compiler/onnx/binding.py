"""What a model leaves open, bound before anything else: sizes from the data, constants, and where the batch is.

Files from elsewhere name sizes (`sequence`, `height`) or leave them without a name, take a sampling rate as an input,
and keep recurrent states as (layers, batch, units). A circuit has fixed sizes, and the samples along the first axis of
every input. So sizes are taken from the calibration data, numbers become constants, and where the batch of an input is
another axis, or none, one operator after the input brings it into the form that the model takes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from zkinfer.compiler.onnx.read import rename
from zkinfer.errors import DynamicShapeError, InvalidInputError, ShapeError
from zkinfer.typing import Array

Sizes = Mapping[str, int | Sequence[int | None]]
"""The size of each open dimension by its name, or the whole shape of an input by the input's name."""

_BATCH_WORDS = ("n", "b", "bs")


class Open(NamedTuple):
    """What a caller says about what a model leaves open; see `zkinfer.compile`."""

    shapes: Sizes
    constants: Mapping[str, Any]
    batch_axes: Mapping[str, int | None]
    states: Mapping[str, str]


class Binding(NamedTuple):
    """How a model was bound.

    Attributes:
        arrays: for each input that is left, in the model's order, the samples that calibrate it; None of a state
            whose samples follow from the model.
        text: what was bound, in a line for the reader; empty if nothing was.
    """

    arrays: list[Array | None]
    text: str


def open_inputs(proto: onnx.ModelProto) -> dict[str, tuple[int | str | None, ...]]:
    """The inputs that are not initializers, each with its sizes: a number, the name of an open one, or None.

    Raises:
        DynamicShapeError: an input has no shape at all.
    """
    constants = {tensor.name for tensor in proto.graph.initializer}
    found: dict[str, tuple[int | str | None, ...]] = {}
    for value in proto.graph.input:
        if value.name in constants or not value.type.HasField("tensor_type"):
            continue
        if not value.type.tensor_type.HasField("shape"):
            raise DynamicShapeError(f"input {value.name!r} has no shape; export the model with its rank")
        found[value.name] = tuple(_size(dim) for dim in value.type.tensor_type.shape.dim)
    return found


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return int(dim.dim_value)
    # Some exporters write a question mark for every size that they do not know.
    return dim.dim_param if any(c.isalnum() for c in dim.dim_param) else None


def bind(proto: onnx.ModelProto, data: Mapping[str, Array], batch: int, said: Open) -> Binding:
    """Bind what a model leaves open, in place; only sizes that neither caller nor data tell stay open.

    An input without a batch axis, whose samples are whole tensors one after another, gets an axis in front; one whose
    batch is another axis gets it moved in front. Operators after the input undo that. The outputs that the inputs'
    names, `batch_axes` or `states` tell of are moved likewise.

    Args:
        proto: the model.
        data: the samples of each input, along a first axis; a number makes that input a constant. States may be left
            out.
        batch: the number of samples in one run.
        said: by the caller.

    Raises:
        InvalidInputError: a name that the model does not have, or an input without data; also as ShapeError where
            sizes contradict each other.
    """
    bound = _constants(proto, {**said.constants, **{name: x for name, x in data.items() if x.ndim == 0}})
    data = {name: x for name, x in data.items() if x.ndim}
    inputs = open_inputs(proto)
    _require_known(proto, inputs, said)
    for name in inputs:
        if name not in data and name not in said.states:
            raise InvalidInputError(
                f"there is no calibration data for input {name!r}; hand in an array of samples for it, or a number, "
                f"which becomes a constant of the circuit: constants={{{name!r}: 0}}"
            )
    stated = {name: _stated(name, sizes, said.shapes) for name, sizes in inputs.items()}
    words = _batch_names(stated)
    sizes = dict[str, int]()
    axes: dict[str, int | None] = {}
    for name, shape in stated.items():
        axes[name] = _batch_axis(name, shape, data.get(name), batch, words, said.batch_axes)
        _learn(name, shape, axes[name], data.get(name), sizes)
    opened = {
        key: sizes[key]
        for name, shape in stated.items()
        for key, axis in _keys(name, inputs[name])
        if key in sizes and axis != axes[name] and not isinstance(inputs[name][axis], int)
    }
    opened |= {key: n for key, n in said.shapes.items() if isinstance(n, int)}
    outputs = _output_axes(proto, words, axes, said)
    for name, shape in stated.items():
        fixed = tuple(
            batch if axis == axes[name] and not isinstance(n, int) else sizes.get(key, n)
            for n, (key, axis) in zip(shape, _keys(name, shape), strict=True)
        )
        _form_input(proto, name, fixed, axes[name], batch)
    for name, place in outputs.items():
        _form_output(proto, name, place)
    return Binding([data.get(name) for name in inputs], _described(bound, opened, {**axes, **outputs}))


def keep_outputs(proto: onnx.ModelProto, names: Sequence[str]) -> None:
    """Remove all other outputs of a model, in place.

    Raises:
        InvalidInputError: it does not have these, or there is none of them.
    """
    values = {value.name: value for value in proto.graph.output}
    unknown = [name for name in names if name not in values]
    if unknown or not names:
        raise InvalidInputError(f"outputs names {unknown or 'nothing'}; the model gives {list(values)}")
    kept = [values[name] for name in names]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)


def leave_out_texts(proto: onnx.ModelProto) -> str:
    """Leave out outputs that hold texts, such as labels, unless there are no others; in place. What that was, or ""."""
    texts = [value for value in proto.graph.output if value.type.tensor_type.elem_type == onnx.TensorProto.STRING]
    if not texts or len(texts) == len(proto.graph.output):
        return ""
    for value in texts:
        proto.graph.output.remove(value)
    return f"left out, because they are texts: {', '.join(repr(value.name) for value in texts)}"


def _constants(proto: onnx.ModelProto, given: Mapping[str, Any]) -> dict[str, Array]:
    """Make initializers of inputs, in place; a number fills the input's shape."""
    found: dict[str, Array] = {}
    for name, number in given.items():
        shape = open_inputs(proto).get(name)
        if shape is None:
            raise InvalidInputError(f"constants names {name!r}, which is not an input of the model")
        value = next(value for value in proto.graph.input if value.name == name)
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        array = np.asarray(number)
        if array.dtype.kind not in "fiub" or (array.astype(dtype) != array).any():
            raise InvalidInputError(f"the constant {name!r} is not of the input's type, {dtype.name}: {array!r:.60}")
        if array.ndim == 0 and shape:
            sizes = [n for n in shape if isinstance(n, int)]
            if len(sizes) < len(shape):
                raise DynamicShapeError(
                    f"the constant {name!r} fills an input of the shape {_shown(shape)}, whose open sizes are not "
                    "known: hand in an array of all its numbers"
                )
            array = np.full(sizes, array)
        if not _fits(shape, array.shape):
            raise ShapeError(f"the constant {name!r} has the shape {array.shape}, the input {_shown(shape)}")
        proto.graph.input.remove(value)
        proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=dtype), name))
        found[name] = array
    return found


def _require_known(proto: onnx.ModelProto, inputs: Mapping[str, Sequence[int | str | None]], said: Open) -> None:
    outputs = {value.name for value in proto.graph.output}
    dimensions = {size for shape in inputs.values() for size in shape if isinstance(size, str)}
    for what, names, known in (
        ("shapes", said.shapes, {*inputs, *dimensions}),
        ("batch_axes", said.batch_axes, {*inputs, *outputs}),
        ("states", said.states, {*inputs}),
        ("states", said.states.values(), outputs),
    ):
        for name in names:
            if name not in known:
                raise InvalidInputError(f"{what} names {name!r}, which the model does not have; it has {sorted(known)}")


def _stated(name: str, shape: Sequence[int | str | None], sizes: Sizes) -> tuple[int | str | None, ...]:
    """The sizes of an input as far as model and caller state them."""
    own = sizes.get(name)
    if own is not None and not isinstance(own, int):
        if len(own) != len(shape) or any(
            isinstance(n, int) and m is not None and n != m for n, m in zip(shape, own, strict=True)
        ):
            raise ShapeError(f"shapes gives input {name!r} the shape {tuple(own)}; the model says {_shown(shape)}")
        shape = [n if m is None else int(m) for n, m in zip(shape, own, strict=True)]
    given = [sizes.get(n) if isinstance(n, str) else None for n in shape]
    return tuple(n if m is None or not isinstance(m, int) else m for n, m in zip(shape, given, strict=True))


def _batch_names(inputs: Mapping[str, Sequence[int | str | None]]) -> frozenset[str]:
    """Names of the open dimension that is the batch: those that say so, or else those of first axes."""
    names = {n for shape in inputs.values() for n in shape if isinstance(n, str)}
    saying = {n for n in names if n.lower() in _BATCH_WORDS or "batch" in n.lower()}
    return frozenset(saying or {shape[0] for shape in inputs.values() if shape and isinstance(shape[0], str)})


def _batch_axis(
    name: str,
    shape: Sequence[int | str | None],
    array: Array | None,
    batch: int,
    words: frozenset[str],
    said: Mapping[str, int | None],
) -> int | None:
    """The axis of an input that is the batch; None if the samples are whole tensors."""
    if name in said:
        axis = said[name]
        if axis is not None and not -len(shape) <= axis < len(shape):
            raise ShapeError(f"batch_axes gives {name!r} the axis {axis}, but its shape is {_shown(shape)}")
        axis = None if axis is None else axis % len(shape)
    else:
        axis = _found_axis(shape, array, batch, words)
    if axis is None and batch > 1:
        raise ShapeError(
            f"input {name!r} of the shape {_shown(shape)} has no axis for a batch of {batch}; compile with batch=1, or "
            f"say which axis is the batch: batch_axes={{{name!r}: 1}}"
        )
    return axis


def _found_axis(
    shape: Sequence[int | str | None], array: Array | None, batch: int, words: frozenset[str]
) -> int | None:
    rank = len(shape)
    named = [axis for axis, n in enumerate(shape) if isinstance(n, str) and n in words]
    open_axes = [axis for axis, n in enumerate(shape) if not isinstance(n, int)]
    if not rank:
        return None
    if array is not None and array.ndim == rank + 1 and batch == 1:
        likely = (named or open_axes[:1] or [0])[0]
        # Whole tensors, with a batch of one in them, or without any batch.
        unbatched = isinstance(shape[0], int) and shape[0] != batch and not named
        if _fits(shape, array.shape[1:]) and (array.shape[1 + likely] == 1 or unbatched):
            return None
    if named:
        return named[0]
    if not isinstance(shape[0], int) or shape[0] in (0, batch):
        return 0
    if array is not None and array.ndim == rank:
        # An axis is the batch if the samples, which come first, have the sizes of all others.
        fitting = [
            axis
            for axis, n in enumerate(shape)
            if (n == batch or not isinstance(n, int))
            and all(
                not isinstance(m, int) or m == k for m, k in zip(_without(shape, axis), array.shape[1:], strict=True)
            )
        ]
        if fitting:
            return next((axis for axis in fitting if axis in open_axes), fitting[0])
    return open_axes[0] if len(open_axes) == 1 else 0 if array is not None and array.ndim == rank else None


def _fits(shape: Sequence[int | str | None], sizes: Sequence[int]) -> bool:
    """Whether these sizes are those of a shape, where it is not open."""
    return len(shape) == len(sizes) and all(not isinstance(n, int) or n == m for n, m in zip(shape, sizes, strict=True))


def _without(shape: Sequence[Any], axis: int) -> list[Any]:
    return [n for place, n in enumerate(shape) if place != axis]


def _keys(name: str, shape: Sequence[int | str | None]) -> Iterator[tuple[str, int]]:
    """For each axis of an input, under which name its size is known, and the axis."""
    for axis, size in enumerate(shape):
        yield (size if isinstance(size, str) else f"{name}[{axis}]"), axis


def _learn(
    name: str, shape: Sequence[int | str | None], batch_axis: int | None, array: Array | None, sizes: dict[str, int]
) -> None:
    """Add to `sizes` what the samples of an input tell of its open dimensions."""
    if array is None:
        return
    rest = list(_keys(name, shape)) if batch_axis is None else _without(list(_keys(name, shape)), batch_axis)
    # One sample may come without the first axis; any other rank is an error that the check of samples words.
    seen = array.shape[1:] if array.ndim == len(rest) + 1 else array.shape
    if len(seen) != len(rest):
        return
    for (key, axis), n in zip(rest, seen, strict=True):
        if isinstance(shape[axis], int):
            continue
        if sizes.setdefault(key, n) != n:
            raise ShapeError(
                f"the size {key!r} is {sizes[key]} in the data of one input, and {n} in that of {name!r}: a circuit "
                "has fixed sizes; pad the data, or compile one circuit for each size"
            )


def _output_axes(
    proto: onnx.ModelProto, words: frozenset[str], inputs: Mapping[str, int | None], said: Open
) -> dict[str, int]:
    """The outputs whose batch is another axis than the first, and which."""
    found: dict[str, int] = {}
    fed = {output: inputs[name] for name, output in said.states.items()}
    for value in proto.graph.output:
        axis = said.batch_axes.get(value.name, fed.get(value.name))
        if value.name not in said.batch_axes and value.name not in fed:
            dims = value.type.tensor_type.shape.dim
            named = [place for place, dim in enumerate(dims) if dim.dim_param in words]
            axis = named[0] if named else 0
        if axis:
            found[value.name] = axis
    return found


def _form_input(
    proto: onnx.ModelProto, name: str, shape: Sequence[int | str | None], axis: int | None, batch: int
) -> None:
    """Give an input its sizes, and the samples along its first axis, in place."""
    value = next(value for value in proto.graph.input if value.name == name)
    dims = value.type.tensor_type.shape.dim
    for dim, size in zip(dims, shape, strict=True):
        if isinstance(size, int):
            dim.dim_value = size
    if axis == 0 or not all(isinstance(size, int) for size in shape):
        return
    inner = f"{name}/model"
    rename(proto.graph, {name: inner})
    fixed = [int(size) for size in shape if isinstance(size, int)]
    if axis is None:
        sizes = numpy_helper.from_array(np.array(fixed, dtype=np.int64), f"{inner}/shape")
        proto.graph.initializer.append(sizes)
        node = helper.make_node("Reshape", [name, sizes.name], [inner], name=inner)
        outside = [batch, *fixed]
    else:
        order = [*range(1, axis + 1), 0, *range(axis + 1, len(fixed))]
        node = helper.make_node("Transpose", [name], [inner], name=inner, perm=order)
        outside = [fixed[axis], *_without(fixed, axis)]
    proto.graph.node.insert(0, node)
    value.CopyFrom(helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, outside))


def _form_output(proto: onnx.ModelProto, name: str, axis: int) -> None:
    """Move the batch of an output in front, in place."""
    inner = f"{name}/model"
    value = next(value for value in proto.graph.output if value.name == name)
    rank = len(value.type.tensor_type.shape.dim)
    if not rank:
        raise ShapeError(f"the batch of output {name!r} cannot be moved: the model does not say how many axes it has")
    rename(proto.graph, {name: inner})
    value.name = name
    order = [axis, *_without(range(rank), axis)]
    proto.graph.node.append(helper.make_node("Transpose", [inner], [name], name=inner, perm=order))


def _described(constants: Mapping[str, Array], sizes: Mapping[str, int], axes: Mapping[str, int | None]) -> str:
    parts = [f"{name} = {size}" for name, size in sizes.items()]
    parts += [f"input {name} = {x if x.ndim == 0 else f'an array {x.shape}'}" for name, x in constants.items()]
    parts += [
        f"{name} without a batch axis" if axis is None else f"the batch of {name} is its axis {axis}, moved in front"
        for name, axis in axes.items()
        if axis != 0
    ]
    return f"bound: {', '.join(parts)}" if parts else ""


def _shown(shape: Sequence[int | str | None]) -> str:
    return f"[{', '.join('?' if n is None else str(n) for n in shape)}]"
