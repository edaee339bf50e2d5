"""Matrix products of small integers: int8 or int16 in, int32 out, modulo 2^32.

Every processor multiplies sixteen-bit numbers faster than it multiplies float32: a product of pairs of int16 with one
sum is a single instruction (pmaddwd, and vpdpwssd where it also adds to an accumulator). So the product of activations
with weights runs at up to twice the speed of a float32 product, and the weights stay as narrow as they are.

The right factor is packed once. Columns are grouped into panels of 64 (the last ones of 16), and a panel holds, for
each pair of rows, the pairs of all its columns side by side: the lanes of one register. One block of the result, up to
six rows by one panel, stays in registers while the pairs of the inner axis go by. A pair of the left factor is read as
one number and repeated over the lanes.

All of it is plain vector code of LLVM, exact and the same on every processor; only its speed depends on which
instructions there are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from zkinfer.field.compiling import device, intrinsic, kernel
from zkinfer.field.threads import split

Array = npt.NDArray[Any]

LANES = 16
WIDE = 4 * LANES
"""Columns of a panel; the last columns are in panels of LANES."""
BLOCK = 48
"""Rows that are multiplied with a panel while it is near."""
GRAIN = 1 << 22
"""Multiplications below which another thread does not pay."""

_INT1, _INT32, _INT64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_ROW = ir.VectorType(_INT32, LANES)
_PAIRS = ir.VectorType(_INT32, 2 * LANES)


def _lanes(values: Iterable[int]) -> ir.Constant:
    numbers = list(values)
    return ir.Constant(ir.VectorType(_INT32, len(numbers)), numbers)


def _spread(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """A number in every lane."""
    undefined = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, undefined, _lanes([0] * LANES))


def _store_first(builder: ir.IRBuilder, row: ir.Value, pointer: ir.Value, count: ir.Value) -> None:
    """Writes the first `count` lanes."""
    mask = builder.icmp_signed("<", _lanes(range(LANES)), _spread(builder, builder.trunc(count, _INT32)))
    kind = ir.FunctionType(ir.VoidType(), [_ROW, _ROW.as_pointer(), _INT32, ir.VectorType(_INT1, LANES)])
    store = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}i32.p0")
    builder.call(store, [row, builder.bitcast(pointer, _ROW.as_pointer()), ir.Constant(_INT32, 4), mask])


def _pair_sums(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """In lane i the sum of products 2 i and 2 i + 1: what LLVM knows as one instruction."""
    products = builder.mul(left, right)
    undefined = ir.Constant(_PAIRS, ir.Undefined)
    even, odd = (builder.shuffle_vector(products, undefined, _lanes(range(k, 2 * LANES, 2))) for k in (0, 1))
    return builder.add(even, odd)


def _block(rows: int, vectors: int) -> Any:
    """Generates the product of so many rows with a panel of so many registers; the sums stay in registers."""

    @intrinsic
    def block(
        typingctx: Any,
        x: Any,
        at: Any,
        stride: Any,
        panels: Any,
        first: Any,
        pairs: Any,
        out: Any,
        to: Any,
        width: Any,
        columns: Any,
    ) -> Any:
        """out[to + width r + c] = sum over k < 2 pairs of x[at + stride r + k] * panel[k, c], for c < columns.

        The panel starts at panels[first]. All arrays are contiguous; `pairs` is at least 1.
        """

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
            def pointer(array: int, kind: ir.Type, offset: ir.Value) -> ir.Value:
                structure = cgutils.create_struct_proxy(signature.args[array])(context, builder, value=values[array])
                return builder.bitcast(builder.gep(structure.data, [offset]), kind.as_pointer())

            _, at, stride, _, first, pairs, _, to, width, columns = values
            left_bits, right_bits = x.dtype.bitwidth, panels.dtype.bitwidth
            starts = [builder.add(at, builder.mul(stride, _INT64(r))) for r in range(rows)]
            lines = [pointer(0, ir.IntType(2 * left_bits), start) for start in starts]
            panel = pointer(3, ir.VectorType(ir.IntType(right_bits), 2 * LANES), first)

            before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(_INT64)
            sums = [[builder.phi(_ROW) for _ in range(vectors)] for _ in range(rows)]
            register = builder.gep(panel, [builder.mul(k, _INT64(vectors))])
            rights = [
                builder.sext(builder.load(builder.gep(register, [_INT64(v)]), align=right_bits // 8), _PAIRS)
                for v in range(vectors)
            ]
            totals = []
            for line, row in zip(lines, sums, strict=True):
                pair = _spread(builder, builder.load(builder.gep(line, [k]), align=left_bits // 8))
                left = builder.sext(builder.bitcast(pair, ir.VectorType(ir.IntType(left_bits), 2 * LANES)), _PAIRS)
                totals.append([builder.add(s, _pair_sums(builder, left, r)) for s, r in zip(row, rights, strict=True)])
            following = builder.add(k, _INT64(1))
            builder.cbranch(builder.icmp_signed("<", following, pairs), loop, after)
            k.add_incoming(_INT64(0), before)
            k.add_incoming(following, loop)
            for s, total in zip(chain.from_iterable(sums), chain.from_iterable(totals), strict=True):
                s.add_incoming(_ROW([0] * LANES), before)
                s.add_incoming(total, loop)

            builder.position_at_end(after)
            for r, row in enumerate(totals):
                line = pointer(6, _INT32, builder.add(to, builder.mul(width, _INT64(r))))
                for v, total in enumerate(row):
                    remaining = builder.sub(columns, _INT64(LANES * v))
                    _store_first(builder, total, builder.gep(line, [_INT64(LANES * v)]), remaining)
            return context.get_dummy_value()

        number = types.int64
        return types.void(x, number, number, panels, number, number, out, number, number, number), generate

    return block


_wide_6, _wide_2, _wide_1 = (_block(rows, WIDE // LANES) for rows in (6, 2, 1))
_slim_6, _slim_2, _slim_1 = (_block(rows, 1) for rows in (6, 2, 1))


@device
def _panels(columns: int) -> tuple[int, int]:
    """How many panels of WIDE and of LANES columns; less than LANES of all columns are empty."""
    wide = (columns + LANES - 1) // WIDE
    return wide, max(0, (columns - wide * WIDE + LANES - 1) // LANES)


@kernel
def _product_kernel(
    x: Any, stride: int, rows: int, panels: Any, pairs: int, out: Any, columns: int, start: int, stop: int
) -> None:
    """Some of the tiles that make up the product; a tile is BLOCK rows by a panel, those of one panel follow another.

    A register holds as many columns as are left, or all; `first` is where a panel starts in `panels`.
    """
    wide, _ = _panels(columns)
    blocks = (rows + BLOCK - 1) // BLOCK
    for tile in range(start, stop):
        panel, block = tile // blocks, tile % blocks
        i, end = block * BLOCK, min(rows, (block + 1) * BLOCK)
        if panel < wide:
            first, column = panel * WIDE * 2 * pairs, panel * WIDE
            left = columns - column
            while i + 6 <= end:
                _wide_6(x, i * stride, stride, panels, first, pairs, out, i * columns + column, columns, left)
                i += 6
            while i + 2 <= end:
                _wide_2(x, i * stride, stride, panels, first, pairs, out, i * columns + column, columns, left)
                i += 2
            if i < end:
                _wide_1(x, i * stride, stride, panels, first, pairs, out, i * columns + column, columns, left)
        else:
            column = wide * WIDE + (panel - wide) * LANES
            first, left = column * 2 * pairs, columns - column
            while i + 6 <= end:
                _slim_6(x, i * stride, stride, panels, first, pairs, out, i * columns + column, columns, left)
                i += 6
            while i + 2 <= end:
                _slim_2(x, i * stride, stride, panels, first, pairs, out, i * columns + column, columns, left)
                i += 2
            if i < end:
                _slim_1(x, i * stride, stride, panels, first, pairs, out, i * columns + column, columns, left)


@dataclass(frozen=True, eq=False)
class Packed:
    """A right factor of shape (inner, columns), packed in panels; entries int8 or int16.

    Attributes:
        inner: rows of the factor.
        columns: its columns.
        panels: flat; see the top of the file. Of an odd inner axis the last pair ends with a zero.
    """

    inner: int
    columns: int
    panels: Array

    @staticmethod
    def of(matrix: Array) -> "Packed":
        """Packs an int8 or int16 array of shape (inner, columns), neither of them 0."""
        inner, columns = matrix.shape
        pairs = -(-inner // 2)
        wide, slim = _panels(columns)
        padded = np.zeros((2 * pairs, wide * WIDE + slim * LANES), dtype=matrix.dtype)
        padded[:inner, :columns] = matrix
        parts = [
            part.reshape(pairs, 2, count, size).transpose(2, 0, 3, 1).reshape(-1)
            for part, count, size in ((padded[:, : wide * WIDE], wide, WIDE), (padded[:, wide * WIDE :], slim, LANES))
        ]
        return Packed(inner, columns, np.concatenate(parts))


def multiply(x: Array, right: Packed, out: Array) -> None:
    """out = x @ right modulo 2^32, in the range of int32.

    Args:
        x: int8 or int16 array of shape (rows, inner).
        right: the packed right factor.
        out: contiguous int32 array of shape (rows, right.columns), written whole.
    """
    if x.shape[1] % 2:
        x = np.concatenate([x, np.zeros((len(x), 1), dtype=x.dtype)], axis=1)
    rows, inner = x.shape
    wide, slim = _panels(right.columns)
    tiles = (wide + slim) * -(-rows // BLOCK)
    if tiles:
        grain = max(1, GRAIN * tiles // (rows * inner * right.columns))
        line = np.ascontiguousarray(x).reshape(-1)
        columns = right.columns
        split(_product_kernel, tiles, grain, line, inner, rows, right.panels, inner // 2, out.reshape(-1), columns)
