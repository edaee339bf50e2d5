"""LLVM code for sums of products of pairs of 16-bit numbers: a single instruction, pmaddwd, on every processor.

Where it may also add to an accumulator (vpdpwssd), LLVM takes that one by itself.
"""

from collections.abc import Iterable

from llvmlite import ir  # type: ignore[import-untyped]

INT32 = ir.IntType(32)


def lane_numbers(values: Iterable[int]) -> ir.Constant:
    """A constant of 32-bit numbers, one a lane: what shuffles take."""
    numbers = list(values)
    return ir.Constant(ir.VectorType(INT32, len(numbers)), numbers)


def spread(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """A number in every lane."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(INT32, 0))
    return builder.shuffle_vector(first, undefined, lane_numbers([0] * lanes))


def pair_sums(builder: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """In lane i the sum of products 2 i and 2 i + 1 of 32-bit numbers that were lengthened from 16 bits or fewer."""
    products = builder.mul(left, right)
    count = products.type.count
    undefined = ir.Constant(products.type, ir.Undefined)
    even, odd = (builder.shuffle_vector(products, undefined, lane_numbers(range(k, count, 2))) for k in (0, 1))
    return builder.add(even, odd)
