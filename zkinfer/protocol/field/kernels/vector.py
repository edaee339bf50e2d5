"""Packed float64 arithmetic in numba: eight numbers at a time, said explicitly.

LLVM turns a loop into packed instructions only where it can show that no store meets a later load. With the many
arrays of a transform or of an extension product it gives up. So the kernels say what they mean: `load` reads LANES
consecutive numbers into a `Vector`, `store` writes them, and `+`, `-`, `*` and `fma` act lane by lane. A float64 beside
a Vector counts as eight equal lanes. The same arithmetic, written once, serves Vectors and single float64 numbers.

LLVM maps a Vector to one 512-bit register, two of 256 bits or four of 128 bits, as the processor has. `fma` is one
instruction wherever the processor has it; elsewhere it is a library call, slow and just as exact.

Reads and writes are not checked against the array's end: the kernels' Python wrappers check shapes first.
"""

import operator
import sys
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import lower_builtin, models, register_model

from zkinfer.jit.compiling import device, intrinsic

LANES = 8
_DOUBLE = ir.DoubleType()
_PACKED = ir.VectorType(_DOUBLE, LANES)


class Vector(types.Type):  # type: ignore[misc]
    """The numba type of LANES float64 numbers in a register."""

    def __init__(self) -> None:
        super().__init__(name="zkinfer_vector")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, frontend_type: Vector) -> None:
        super().__init__(manager, frontend_type, _PACKED)


VECTOR = Vector()


def _splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The value in every lane; a packed value as it is."""
    if isinstance(value.type, ir.VectorType):
        return value
    undefined = ir.Constant(_PACKED, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once: packed if one of the three is a Vector, else of single float64 numbers."""
    operands = (a, b, c)
    if not all(isinstance(o, Vector | types.Float | types.Integer) for o in operands):
        return None
    packed = VECTOR in operands

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        if not packed:
            return builder.fma(*values)
        kind = ir.FunctionType(_PACKED, [_PACKED] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f64")
        return builder.call(function, [_splat(builder, v) for v in values])

    arguments = [o if isinstance(o, Vector) else types.float64 for o in operands]
    return (VECTOR if packed else types.float64)(*arguments), generate


def _define_operator(function: Any, instruction: str, signatures: list[Any]) -> None:
    """Teaches numba a lane-by-lane operator; single numbers among the operands are spread over the lanes."""

    class Template(ConcreteTemplate):  # type: ignore[misc]
        cases = signatures

    infer_global(function)(Template)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        return getattr(builder, instruction)(*(_splat(builder, v) for v in values))

    for signature in signatures:
        lower_builtin(function, *signature.args)(generate)


_BINARY = [VECTOR(VECTOR, VECTOR), VECTOR(VECTOR, types.float64), VECTOR(types.float64, VECTOR)]
_define_operator(operator.add, "fadd", _BINARY)
_define_operator(operator.sub, "fsub", _BINARY)
_define_operator(operator.mul, "fmul", _BINARY)
_define_operator(operator.neg, "fneg", [VECTOR(VECTOR)])


def _pointer(context: Any, builder: ir.IRBuilder, array: Any, value: ir.Value, index: ir.Value) -> ir.Value:
    data = cgutils.create_struct_proxy(array)(context, builder, value=value).data
    return builder.gep(data, [index])


def _is_line(array: types.Type) -> bool:
    """Whether it is a contiguous array of one dimension, of float64 or of signed integers."""
    number = isinstance(array, types.Array) and (array.dtype == types.float64 or array.dtype in types.signed_domain)
    return number and array.ndim == 1 and array.layout == "C"


@intrinsic
def load(typingctx: Any, array: Any, index: Any, like: Any) -> Any:
    """As many numbers from array[index] on as `like` holds: LANES if it is a Vector, one if it is a float64.

    The array is contiguous and holds float64 or signed integers; the result is float64 either way.
    """
    if not (_is_line(array) and isinstance(index, types.Integer)):
        return None
    packed = isinstance(like, Vector)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        start = context.cast(builder, values[1], index, types.intp)
        pointer = _pointer(context, builder, array, values[0], start)
        if packed:
            kind = ir.VectorType(context.get_data_type(array.dtype), LANES)
            pointer = builder.bitcast(pointer, kind.as_pointer())
        loaded = builder.load(pointer, align=array.dtype.bitwidth // 8)
        if array.dtype == types.float64:
            return loaded
        return builder.sitofp(loaded, _PACKED if packed else _DOUBLE)

    return (VECTOR if packed else types.float64)(array, index, like), generate


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Writes the numbers that `value` holds, LANES or one, to a contiguous float64 array from array[index] on."""
    if not (_is_line(array) and array.dtype == types.float64 and isinstance(index, types.Integer)):
        return None
    packed = isinstance(value, Vector)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        start = context.cast(builder, values[1], index, types.intp)
        pointer = _pointer(context, builder, array, values[0], start)
        if packed:
            pointer = builder.bitcast(pointer, _PACKED.as_pointer())
        builder.store(values[2], pointer, align=8)
        return context.get_dummy_value()

    return types.void(array, index, VECTOR if packed else types.float64), generate


@intrinsic
def prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    """Has the line of array[index], which may be behind the array's end, brought to the second-level cache.

    Processors foresee reads along a dozen lines at once, and not more.
    """
    if not (_is_line(array) and isinstance(index, types.Integer)):
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        start = context.cast(builder, values[1], index, types.intp)
        octets, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [octets, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        pointer = builder.bitcast(_pointer(context, builder, array, values[0], start), octets)
        builder.call(function, [pointer, number(0), number(2), number(1)])  # to read, of medium locality, data
        return context.get_dummy_value()

    return types.void(array, index), generate


@intrinsic
def store_octets(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Writes the eight bytes of an int64, lowest first, to a contiguous uint8 array from array[index] on."""
    line = isinstance(array, types.Array) and array.dtype == types.uint8 and array.ndim == 1 and array.layout == "C"
    if not (line and isinstance(index, types.Integer) and value == types.int64):
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        start = context.cast(builder, values[1], index, types.intp)
        pointer = _pointer(context, builder, array, values[0], start)
        octets = values[2]
        if sys.byteorder == "big":
            octets = builder.bswap(octets)
        builder.store(octets, builder.bitcast(pointer, octets.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@intrinsic
def splat(typingctx: Any, a: Any) -> Any:
    """A Vector with the number a in every lane."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        return _splat(builder, values[0])

    return VECTOR(types.float64), generate


@intrinsic
def transpose(typingctx: Any, rows: Any) -> Any:
    """LANES Vectors as the rows of a square; the result is the tuple of its columns."""
    if not (isinstance(rows, types.UniTuple) and rows.count == LANES and rows.dtype == VECTOR):
        return None

    def shuffle(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes))

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        lines = cgutils.unpack_tuple(builder, values[0], LANES)
        # Recursively: exchange the off-diagonal blocks of size 1, 2 and 4.
        for size in (1, 2, 4):
            upper = [lane if not lane & size else LANES + (lane ^ size) for lane in range(LANES)]
            lower = [lane | size if not lane & size else LANES + lane for lane in range(LANES)]
            for i in (i for i in range(LANES) if not i & size):
                a, b = lines[i], lines[i | size]
                lines[i], lines[i | size] = shuffle(builder, a, b, upper), shuffle(builder, a, b, lower)
        return context.make_tuple(builder, rows, lines)

    return rows(rows), generate


@device
def floats(count: Any) -> Any:
    """Memory for so many numbers. In kernels numpy's own functions are compiled once for each count that is a constant;
    a part is compiled once."""
    return np.empty(count)


@device
def zeros(count: Any) -> Any:
    """So many zeros."""
    out = np.empty(count)
    for i in range(count):
        out[i] = 0.0
    return out


@device
def copy(source: Any, start: Any, target: Any, at: Any, count: Any) -> None:
    """Copies `count` elements. Assigning one slice to another would also compile numba's error for slices of different
    lengths, with all that it needs of strings: two seconds on a machine's first use."""
    for i in range(count):
        target[at + i] = source[start + i]
