"""Between real numbers and the integers of a circuit.

A tensor in Q-format with `f` fraction bits holds the real number `r` as the integer nearest to `r * 2**f`, ties to
even. All arithmetic is float64, where multiplying by a power of two is exact. An input may have more fraction bits in
some features than in others, see `Tensor`.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeGuard

import numpy as np

from zkinfer.circuit.program import MAX_MAGNITUDE, Tensor
from zkinfer.errors import InputRangeError, InvalidInputError, NotFiniteError, ShapeError
from zkinfer.typing import Array, BoolArray, FloatArray, IntArray


class NamedColumns(Protocol):
    """A table with named columns, such as a DataFrame of pandas or polars."""

    columns: Any

    def to_numpy(self) -> Any:
        """All of it, as one array."""

    def __getitem__(self, name: str) -> Any:
        """One column."""


def is_table(x: Any) -> TypeGuard[NamedColumns]:
    """Whether this has named columns."""
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def as_array(x: Any) -> Array:
    """A numpy array of a numpy array, a torch tensor (detached, on the CPU) or nested lists of numbers.

    Raises:
        InvalidInputError: the elements are not real numbers or booleans.
    """
    if isinstance(x, (str, os.PathLike)):
        raise InvalidInputError(
            f"a text is not an array; if it is a path, read the file first: numpy.load({os.fspath(x)!r})"
        )
    try:
        if hasattr(x, "detach"):
            x = x.detach().cpu()
            # numpy has no bfloat16; every one is a float32.
            x = (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
        array = np.asarray(x)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"not an array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise InvalidInputError(f"an array of dtype {array.dtype} does not hold real numbers; convert it to float64")
    return array


def named(x: Any) -> Mapping[str, Any] | None:
    """What has names: a mapping, such as a dictionary or a ModelOutput of transformers; a dataclass's fields that are
    not None; else None."""
    if isinstance(x, Mapping):
        return x
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        values = {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
        return {name: value for name, value in values.items() if value is not None}
    return None


def one_each(x: Any, count: int) -> list[Any]:
    """What has no names, for `count` tensors, one entry each: the entries of a list or tuple, or a single one.

    Nested lists of numbers, several samples of a single tensor, are one entry.
    """
    if not isinstance(x, (list, tuple)) or (count == 1 and len(x) > 1 and _holds_numbers(x)):
        return [x]
    return list(x)


def _holds_numbers(x: Any) -> bool:
    """Whether nested lists hold numbers, as far as the first one says."""
    while isinstance(x, (list, tuple)) and x:
        x = x[0]
    return isinstance(x, (int, float, np.number, np.bool_))


def as_arrays(x: Any, labels: Sequence[str]) -> list[Array]:
    """One array an input, from any of the forms in which callers hand in data.

    Args:
        x: one array or tensor or nested lists (for a single input), a list or tuple of one array an input in order, or
            a mapping from each input's label to its array.
        labels: the inputs' labels, in order.

    Raises:
        InvalidInputError: elements that are not numbers, a mapping with missing or unknown labels, or a table: its
            columns have names, and only a circuit may know which of them it takes.
        ShapeError: not one array an input.
    """
    if is_table(x):
        raise InvalidInputError(
            "a table's columns have names, of which nothing is known here: hand in arrays, circuit.arrays(table), "
            "which chooses columns by name; or table[names].to_numpy() with the names in the order of the calibration"
        )
    given = named(x)
    if given is not None:
        if set(given) != set(labels):
            raise InvalidInputError(f"the inputs are named {list(labels)}, got arrays named {list(given)}")
        return [as_array(given[label]) for label in labels]
    arrays = one_each(x, len(labels))
    if len(arrays) != len(labels):
        raise ShapeError(
            f"there are {len(labels)} inputs {list(labels)}, got {len(arrays)} arrays; a list holds one array an "
            "input, so samples of a single input belong into one array (numpy.stack)"
        )
    return [as_array(array) for array in arrays]


def as_batch(array: Array, shape: tuple[int, ...], where: str) -> Array:
    """Samples along the first axis: shape (n, *shape[1:]), n at least 1.

    Args:
        array: shape (n, *shape[1:]), or shape[1:] where the batch `shape[0]` is 1: one sample without its batch axis.
        shape: the input's shape in the circuit, the batch first.
        where: names the input in messages.

    Raises:
        ShapeError: another shape, or no samples.
    """
    if array.shape == shape[1:] and shape[0] == 1:
        array = array[None]
    if array.ndim != len(shape) or array.shape[1:] != shape[1:]:
        wanted = f"(samples, {', '.join(str(n) for n in shape[1:])})" if shape[1:] else "(samples,)"
        raise ShapeError(f"{where} takes an array of shape {wanted}, got {array.shape}")
    if not len(array):
        raise ShapeError(f"{where} got no samples: its array has shape {array.shape}")
    return array


def frac_bits_of(tensor: Tensor) -> IntArray:
    """Fraction bits of each element: an array of one number, or one that broadcasts to the tensor by numpy's rules."""
    scales = tensor.scales
    if scales is None:
        return np.array(tensor.frac_bits, dtype=np.int64)
    bits = tensor.frac_bits + np.array(scales.exponents, dtype=np.int64)
    return bits.reshape(-1, *(1 for _ in range(-1 - scales.axis)))


def saturated(x: Array, tensor: Tensor) -> tuple[IntArray, int]:
    """As `quantize` with `saturate`, and how many of the values became the nearest bound."""
    integers = _nearest(x, tensor)[2]
    outside = (integers < tensor.lo) | (integers > tensor.hi)
    return np.clip(integers, np.int64(tensor.lo), np.int64(tensor.hi)), int(outside.sum())


def quantize(x: Array, tensor: Tensor, *, saturate: bool = False) -> IntArray:
    """The integers nearest to `x * 2**frac_bits`, ties to even.

    Args:
        x: real numbers; float, integer or boolean dtype. Any shape, or, for an input with scales, one that ends in the
            tensor's sizes from their axis on.
        tensor: gives the Q-format and the bounds.
        saturate: values beyond the bounds become the nearest bound, instead of an error.

    Raises:
        InvalidInputError: a dtype that does not hold real numbers; also as ShapeError.
        NotFiniteError: NaN or infinity (also where `saturate` is set).
        InputRangeError: a value whose integer lies outside the tensor's bounds.
    """
    if saturate:
        return np.clip(_nearest(x, tensor)[2], np.int64(tensor.lo), np.int64(tensor.hi))
    reals, scaled, integers = _nearest(x, tensor)
    outside = (integers < tensor.lo) | (integers > tensor.hi)
    if outside.any():
        bits = frac_bits_of(tensor)
        worst = np.unravel_index(np.argmax(np.where(outside, np.abs(scaled), -1.0)), reals.shape)
        unit = float(np.ldexp(1.0, -np.broadcast_to(bits, reals.shape)[worst]))
        there = f" at index {_index(worst, reals.shape, tensor)}" if bits.ndim else ""
        # Whole numbers may choose rows of a table, which calibration data does not make longer.
        remedy = "Rescale the data" if bits.any() else "Correct numbers that choose rows of a table"
        raise InputRangeError(
            f"{tensor.label!r} takes values from {tensor.lo * unit:.6g} to {tensor.hi * unit:.6g}{there}: "
            f"{_places(outside, tensor)} outside, the farthest of which is {float(reals[worst]):.6g}. {remedy}, or "
            "compile with calibration data that covers it; or let such values become the nearest bound, to prove and "
            "to verify: saturate=True (--saturate)"
        )
    return integers


def _nearest(x: Array, tensor: Tensor) -> tuple[FloatArray, FloatArray, IntArray]:
    """The values in float64, and the whole numbers nearest to `x * 2**frac_bits`, in float64 and as integers.

    The integers have at most `MAX_MAGNITUDE`, which lies beyond every bound.

    Raises:
        InvalidInputError, NotFiniteError: see `quantize`.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise InvalidInputError(f"{tensor.label!r}: an array of dtype {array.dtype} does not hold real numbers")
    reals = array.astype(np.float64)
    finite = np.isfinite(reals)
    if not finite.all():
        raise NotFiniteError(f"{tensor.label!r}: {_places(~finite, tensor)} NaN or infinite; remove or replace them")
    bits = frac_bits_of(tensor)
    if bits.ndim > reals.ndim or (bits.ndim and reals.shape[-bits.ndim] != len(bits)):
        raise ShapeError(f"{tensor.label!r} has scales for {len(bits)} features; got an array of shape {reals.shape}")
    # A product with a power of two is rounded as `ldexp` rounds, and takes a fraction of the time.
    with np.errstate(over="ignore", under="ignore"):
        scaled = np.rint(reals * np.ldexp(1.0, bits))
    # Clipped before the conversion, and compared after it: float64 cannot tell large integers apart.
    integers = np.clip(scaled, -MAX_MAGNITUDE, MAX_MAGNITUDE).astype(np.int64)
    return reals, scaled, integers


def dequantize(integers: IntArray, tensor: Tensor) -> FloatArray:
    """The real numbers `integers / 2**frac_bits`; exact where the integers are below 2**53 in magnitude.

    The integers of an input with scales end in the tensor's sizes, from the axis of the scales on.
    """
    return np.ldexp(np.asarray(integers).astype(np.float64), -frac_bits_of(tensor))


def _places(mask: BoolArray, tensor: Tensor) -> str:
    """How many elements of the mask are set, and where the first one is."""
    count = int(mask.sum())
    first = _index(np.argwhere(mask)[0], mask.shape, tensor)
    return f"{count:,} of {mask.size:,} values (the first at index {first}) {'is' if count == 1 else 'are'}"


def _index(place: Iterable[Any], shape: tuple[int, ...], tensor: Tensor) -> tuple[int, ...]:
    """Where an element is in an array of samples; of runs, each of which is a tensor, the first two axes are one."""
    index = tuple(int(i) for i in place)
    if tensor.shape and shape[1:] == tensor.shape:
        return (index[0] * tensor.shape[0] + index[1], *index[2:])
    return index
