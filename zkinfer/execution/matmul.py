"""Matrix products of small integers: int8 or int16 in, int32 out, modulo 2^32.

Every processor multiplies sixteen-bit numbers faster than it multiplies float32: a product of pairs of int16 with one
sum is a single instruction (pmaddwd, and vpdpwssd where it also adds to an accumulator). So the product of activations
with weights runs at up to twice the speed of a float32 product, and the weights stay as narrow as they are.

The right factor is packed once. Columns are grouped into panels, and a panel holds, for each pair of rows, the pairs of
all its columns side by side: the lanes of its registers. One block of the result, up to six rows by one panel, stays in
registers while the pairs of the inner axis go by. A pair of the left factor is read as one number and repeated over the
lanes. Panels have 64 columns, and the last ones 16, on processors with 32 registers of 512 bits, which hold 24 of sums.
On others all have 16: with AVX2, whose 16 registers have 256 bits, 12 hold sums.

All of it is plain vector code of LLVM, exact and the same on every processor; its speed depends on which instructions
there are, and the panels on which registers.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numpy.lib.stride_tricks import as_strided

from zkinfer.jit.compiling import device, intrinsic, kernel, processor_features
from zkinfer.jit.pair_products import INT32, lane_numbers, pair_sums, spread
from zkinfer.jit.threads import split
from zkinfer.typing import Array, IntArray

LANES = 16
WIDE = (4 if "+avx512f" in processor_features() else 1) * LANES
"""Columns of a panel; the last columns are in panels of LANES."""
BLOCK = 48
"""Rows that are multiplied with a panel while it is near."""
SHORTEST_COPY = 8
"""Contiguous elements that are copied as a piece; fewer are gathered one by one."""
GRAIN = 1 << 22
"""Multiplications below which another thread does not pay."""

_INT1, _INT64 = ir.IntType(1), ir.IntType(64)
_ROW = ir.VectorType(INT32, LANES)
_PAIRS = ir.VectorType(INT32, 2 * LANES)


def _store_first(builder: ir.IRBuilder, row: ir.Value, pointer: ir.Value, count: ir.Value) -> None:
    """Writes the first `count` lanes."""
    mask = builder.icmp_signed("<", lane_numbers(range(LANES)), spread(builder, builder.trunc(count, INT32), LANES))
    kind = ir.FunctionType(ir.VoidType(), [_ROW, _ROW.as_pointer(), INT32, ir.VectorType(_INT1, LANES)])
    store = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}i32.p0")
    builder.call(store, [row, builder.bitcast(pointer, _ROW.as_pointer()), ir.Constant(INT32, 4), mask])


def _block(rows: int, vectors: int) -> Any:
    """Generates the product of so many rows with a panel of so many registers; the sums stay in registers."""

    @intrinsic
    def block(
        typingctx: Any, x: Any, at: Any, stride: Any,
        panels: Any, first: Any, pairs: Any, base: Any, column: Any,
        out: Any, to: Any, width: Any, columns: Any,
    ) -> Any:  # fmt: skip
        """out[to + width r + c] = base[column + c] + sum over k < 2 pairs of x[at + stride r + k] * panel[k, c].

        For c < columns. The panel starts at panels[first]. All arrays are contiguous; `pairs` is at least 1.
        """

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
            def pointer(array: int, kind: ir.Type, offset: ir.Value) -> ir.Value:
                structure = cgutils.create_struct_proxy(signature.args[array])(context, builder, value=values[array])
                return builder.bitcast(builder.gep(structure.data, [offset]), kind.as_pointer())

            _, at, stride, _, first, pairs, _, column, _, to, width, columns = values
            left_bits, right_bits = x.dtype.bitwidth, panels.dtype.bitwidth
            starts = [builder.add(at, builder.mul(stride, _INT64(r))) for r in range(rows)]
            lines = [pointer(0, ir.IntType(2 * left_bits), start) for start in starts]
            panel = pointer(3, ir.VectorType(ir.IntType(right_bits), 2 * LANES), first)
            begin = pointer(6, _ROW, column)
            bases = [builder.load(builder.gep(begin, [_INT64(v)]), align=4) for v in range(vectors)]

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
                pair = spread(builder, builder.load(builder.gep(line, [k]), align=left_bits // 8), LANES)
                left = builder.sext(builder.bitcast(pair, ir.VectorType(ir.IntType(left_bits), 2 * LANES)), _PAIRS)
                totals.append([builder.add(s, pair_sums(builder, left, r)) for s, r in zip(row, rights, strict=True)])
            following = builder.add(k, _INT64(1))
            builder.cbranch(builder.icmp_signed("<", following, pairs), loop, after)
            k.add_incoming(_INT64(0), before)
            k.add_incoming(following, loop)
            for row, sums_of_row in zip(totals, sums, strict=True):
                for total, s, base_vector in zip(row, sums_of_row, bases, strict=True):
                    s.add_incoming(base_vector, before)
                    s.add_incoming(total, loop)

            builder.position_at_end(after)
            for r, row in enumerate(totals):
                line = pointer(8, INT32, builder.add(to, builder.mul(width, _INT64(r))))
                for v, total in enumerate(row):
                    remaining = builder.sub(columns, _INT64(LANES * v))
                    _store_first(builder, total, builder.gep(line, [_INT64(LANES * v)]), remaining)
            return context.get_dummy_value()

        number = types.int64
        arguments = (x, number, number, panels, number, number, base, number, out, number, number, number)
        return types.void(*arguments), generate

    return block


_wide_6, _wide_2, _wide_1 = (_block(rows, WIDE // LANES) for rows in (6, 2, 1))
_slim_6, _slim_2, _slim_1 = (_block(rows, 1) for rows in (6, 2, 1))


def _panels(columns: int) -> tuple[int, int]:
    """How many panels of WIDE and of LANES columns; less than LANES of all columns are empty."""
    wide = (columns + LANES - 1) // WIDE
    return wide, max(0, (columns - wide * WIDE + LANES - 1) // LANES)


_panels_in_kernels = device(_panels)


@device
def _tile(
    x: Any, at: int, stride: int,
    panels: Any, panel: int, pairs: int, base: Any, out: Any, row: int, rows: int, columns: int,
) -> None:  # fmt: skip
    """Multiplies some rows of x with one panel: `rows` rows of the result, from `row` on.

    out[columns (row + i) + c] = base[c] + sum over k of x[at + stride i + k] * right[k, c], for i < rows and the
    columns c of the panel.
    """
    wide, _ = _panels_in_kernels(columns)
    i = 0
    if panel < wide:
        column = panel * WIDE
        first, left, to = column * 2 * pairs, columns - column, row * columns + column
        while i + 6 <= rows:
            _wide_6(x, at, stride, panels, first, pairs, base, column, out, to + i * columns, columns, left)
            i, at = i + 6, at + 6 * stride
        while i + 2 <= rows:
            _wide_2(x, at, stride, panels, first, pairs, base, column, out, to + i * columns, columns, left)
            i, at = i + 2, at + 2 * stride
        if i < rows:
            _wide_1(x, at, stride, panels, first, pairs, base, column, out, to + i * columns, columns, left)
    else:
        column = wide * WIDE + (panel - wide) * LANES
        first, left, to = column * 2 * pairs, columns - column, row * columns + column
        while i + 6 <= rows:
            _slim_6(x, at, stride, panels, first, pairs, base, column, out, to + i * columns, columns, left)
            i, at = i + 6, at + 6 * stride
        while i + 2 <= rows:
            _slim_2(x, at, stride, panels, first, pairs, base, column, out, to + i * columns, columns, left)
            i, at = i + 2, at + 2 * stride
        if i < rows:
            _slim_1(x, at, stride, panels, first, pairs, base, column, out, to + i * columns, columns, left)


@kernel
def _product_kernel(
    x: Any, rows: int, panels: Any, pairs: int, base: Any, out: Any, columns: int, start: int, stop: int
) -> None:
    """Tiles start to stop of out[r, c] = base[c] + sum over k of x[r, k] * right[k, c].

    A tile is BLOCK rows by a panel; the tiles of one panel follow one another, so that the panel stays in the cache.
    """
    blocks = (rows + BLOCK - 1) // BLOCK
    for tile in range(start, stop):
        row = tile % blocks * BLOCK
        at, count = row * 2 * pairs, min(BLOCK, rows - row)
        _tile(x, at, 2 * pairs, panels, tile // blocks, pairs, base, out, row, count, columns)


@kernel
def _gathered_kernel(
    memory: Any, apart: int, lines: Any, inner: Any, length: int, offset: int, shift: int,
    panels: Any, base: Any, out: Any, columns: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Rows start to stop of out[r, c] = base[c] + sum over k of gathered[r, k] * right[k, c].

    BLOCK rows at a time are gathered, and multiplied with all panels.
    Row r is found in memory[apart (r // n) + lines[r % n] + inner[k] + j] for all k and all j < length, where n is the
    number of lines. Of what is found, less the offset, bits `shift` to shift + 15 count, as `multiply_gathered` says.
    """
    size = inner.size * length
    pairs = (size + 1) // 2
    block = np.zeros(BLOCK * 2 * pairs, dtype=np.int16)
    wide, slim = _panels_in_kernels(columns)
    run, line = start // lines.size, start % lines.size
    for row in range(start, stop, BLOCK):
        rows = min(BLOCK, stop - row)
        for i in range(rows):
            source, target = memory[run * apart + lines[line] :], block[i * 2 * pairs : (i + 1) * 2 * pairs]
            line += 1
            if line == lines.size:
                run, line = run + 1, 0
            if length == 1:
                for k in range(inner.size):
                    target[k] = (np.int64(source[np.uint64(inner[k])]) - offset) >> shift
            else:
                for k in range(inner.size):
                    piece, place = source[inner[k] : inner[k] + length], target[k * length : (k + 1) * length]
                    for j in range(length):
                        place[j] = (np.int64(piece[j]) - offset) >> shift
        for panel in range(wide + slim):
            _tile(block, 0, 2 * pairs, panels, panel, pairs, base, out, row, rows, columns)


@dataclass(frozen=True, eq=False)
class Packed:
    """A right factor of shape (inner, columns), packed in panels; entries int8 or int16.

    Attributes:
        inner: rows of the factor.
        columns: its columns.
        offset: what is subtracted from left factors before they are multiplied.
        panels: flat; see the top of the file. Of an odd inner axis the last pair ends with a zero.
        base: what is added to each column, modulo 2^32; int32, as long as all panels are wide.
    """

    inner: int
    columns: int
    offset: int
    panels: Array
    base: Array

    @staticmethod
    def of(matrix: Array, offset: int = 0, *, restores: bool = True) -> "Packed":
        """Packs an int8 or int16 array of shape (inner, columns), neither of them 0.

        With an offset, what it takes from each column is added again by `base`, if `restores` says so.
        """
        inner, columns = matrix.shape
        pairs = -(-inner // 2)
        wide, slim = _panels(columns)
        middle = min(columns, wide * WIDE)
        panels = np.zeros(2 * pairs * (wide * WIDE + slim * LANES), dtype=matrix.dtype)
        start = 2 * pairs * wide * WIDE
        _pack(matrix[:, :middle], panels[:start].reshape(wide, pairs, WIDE, 2))
        _pack(matrix[:, middle:], panels[start:].reshape(slim, pairs, LANES, 2))
        base = np.zeros(wide * WIDE + slim * LANES, dtype=np.int32)
        if offset and restores:
            base[:columns] = (matrix.sum(axis=0, dtype=np.int64) * offset).astype(np.int32)
        return Packed(inner, columns, offset, panels, base)


def _pack(matrix: Array, panels: Array) -> None:
    """Write a matrix into panels of shape (count, pairs, size, 2), in place; what it does not fill stays."""
    inner, columns = matrix.shape
    size, rows = panels.shape[2], panels.transpose(1, 3, 0, 2)
    whole, even = columns // size, inner // 2
    for start, stop, to in ((0, whole * size, rows[:, :, :whole]), (whole * size, columns, rows[:, :, whole:])):
        width = size if stop == whole * size else columns - start
        if start == stop:
            continue
        part = matrix[:, start:stop]
        to[:even, :, :, :width] = part[: 2 * even].reshape(even, 2, (stop - start) // width, width)
        if inner % 2:
            to[even, 0, :, :width] = part[-1].reshape((stop - start) // width, width)


def multiply(x: Array, right: Packed, out: Array) -> None:
    """out = x @ right modulo 2^32, in the range of int32.

    Args:
        x: contiguous int8 or int16 array of shape (rows, inner); inner is even.
        right: the packed right factor, without an offset.
        out: contiguous int32 array of shape (rows, right.columns), written whole.
    """
    rows, inner = x.shape
    # Once, and not for every panel: lengthening takes more instructions than there are products to hide it behind.
    x = x.astype(np.int16, copy=False)
    tiles = sum(_panels(right.columns)) * -(-rows // BLOCK)
    if tiles:
        grain = max(1, GRAIN * tiles // (rows * inner * right.columns))
        line, to = x.reshape(-1), out.reshape(-1)
        split(_product_kernel, tiles, grain, line, rows, right.panels, inner // 2, right.base, to, right.columns)


def multiply_gathered(x: Array, row_axes: int, right: Packed, out: Array, *, high: bool = False) -> None:
    """As `multiply`, of rows that are not contiguous in memory, or overlap as those of windows do, or are not int16.

    An element y, `right.offset` less than that of x, is low + 2^16 high with low from -2^15 to 2^15 - 1. The low parts
    are multiplied, which are all of y where that fits int16; or else the high parts.

    Args:
        x: integer array of any strides, the first not negative; its first `row_axes` axes, one at least, count the
            rows, in order, and the others are the inner axis, of any length.
        right, out: as for `multiply`; with any offset.
        high: multiply the high parts, which must fit int16.
    """
    if not x.size:
        return
    strides = tuple(stride // x.itemsize for stride in x.strides)
    extent = 1 + sum((n - 1) * abs(stride) for n, stride in zip(x.shape, strides, strict=True))
    lowest = x[tuple(slice(None, None, -1 if stride < 0 else None) for stride in strides)]
    memory = as_strided(lowest, (extent,), (x.itemsize,), writeable=False)
    lines = _offsets(x.shape[1:row_axes], strides[1:row_axes])
    sizes, steps, length = x.shape[row_axes:], strides[row_axes:], 1
    if steps[-1:] == (1,) and sizes[-1] >= SHORTEST_COPY:
        sizes, steps, length = sizes[:-1], steps[:-1], sizes[-1]
    # Half of 2^16 more makes a high part what is left after a low part of either sign; a low part is what int16 keeps.
    offset, shift = (right.offset - (1 << 15), 16) if high else (right.offset, 0)
    gathered = (memory, strides[0], lines, _offsets(sizes, steps), length, offset, shift)
    grain = BLOCK * -(-GRAIN // (BLOCK * right.inner * right.columns))
    rows, to = len(x) * lines.size, out.reshape(-1)
    split(_gathered_kernel, rows, grain, *gathered, right.panels, right.base, to, right.columns)


@lru_cache(maxsize=256)
def _offsets(sizes: tuple[int, ...], strides: tuple[int, ...]) -> IntArray:
    """How far behind the first in memory the elements of an array of these sizes lie, in order."""
    offsets = np.zeros(1, dtype=np.int64)
    for size, stride in zip(sizes, strides, strict=True):
        offsets = (offsets[:, None] + stride * np.arange(size)).reshape(-1)
    return np.asarray(offsets - offsets.min())
