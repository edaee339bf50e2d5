"""Inverses of many elements for the price of a few multiplications each (Montgomery's trick), over lanes.

Blocks of BLOCK elements are held as STEPS rows of CHAINS lanes. Down the rows each lane multiplies up its prefix
products, one inversion by Fermat's theorem serves all lanes of the block, and up the rows each element's inverse is
the running inverse times the prefix before it. The CHAINS lanes are independent of each other, which hides the
latency of one multiplication after the other.
"""

from typing import Any

import numpy as np

from zkinfer.errors import InvalidInputError
from zkinfer.jit.compiling import device, kernel
from zkinfer.jit.threads import split
from zkinfer.protocol.field.kernels.arithmetic import mul, mul_lazy, reduce, sum_of_products
from zkinfer.protocol.field.kernels.arrays import GRAIN, base_line, ext_lines
from zkinfer.protocol.field.kernels.vector import LANES, copy, floats, load, splat, store
from zkinfer.protocol.field.params import P
from zkinfer.typing import Floats

CHAINS = 4 * LANES
STEPS = 64
BLOCK = CHAINS * STEPS
_EXPONENT = P - 2


def batch_inv(values: Floats) -> Floats:
    """The inverses of the elements of a base vector.

    Raises:
        InvalidInputError: an element is zero.
    """
    out = np.empty_like(values)
    _check(split(_base_kernel, values.size, GRAIN, base_line(values), out))
    return out


def ext_batch_inv(values: Floats) -> Floats:
    """The inverses of the elements of an extension vector (3, n).

    Raises:
        InvalidInputError: an element is zero.
    """
    out = np.empty_like(values, order="C")
    _check(split(_ext_kernel, values.shape[1], GRAIN, *ext_lines(values), *out))
    return out


def _check(nonzero: list[bool]) -> None:
    if not all(nonzero):
        raise InvalidInputError("zero has no inverse")


@device
def _invert(a: float) -> float:
    """a^(P - 2), balanced: the inverse of a nonzero balanced a; 0 for 0."""
    result = 1.0
    square = a
    exponent = _EXPONENT
    while exponent:
        if exponent & 1:
            result = mul(result, square)
        square = mul(square, square)
        exponent >>= 1
    return result


@device
def _invert_block(block: Any, prefix: Any) -> bool:
    """Replaces the BLOCK balanced elements by their inverses; False, and nothing useful, if one of them is zero.

    All products have one balanced factor and one below 0.77 P, so results of mul_lazy stay below 0.64 P.
    """
    zero = splat(0.0)
    one = splat(1.0)
    p0, p1, p2, p3 = one, one, one, one
    for i in range(0, BLOCK, CHAINS):
        store(prefix, i, p0)
        store(prefix, i + LANES, p1)
        store(prefix, i + 2 * LANES, p2)
        store(prefix, i + 3 * LANES, p3)
        p0 = mul_lazy(p0, load(block, i, zero))
        p1 = mul_lazy(p1, load(block, i + LANES, zero))
        p2 = mul_lazy(p2, load(block, i + 2 * LANES, zero))
        p3 = mul_lazy(p3, load(block, i + 3 * LANES, zero))
    lanes = floats(CHAINS)
    store(lanes, 0, reduce(p0))
    store(lanes, LANES, reduce(p1))
    store(lanes, 2 * LANES, reduce(p2))
    store(lanes, 3 * LANES, reduce(p3))
    before = floats(CHAINS)
    total = 1.0
    for k in range(CHAINS):
        before[k] = total
        total = mul(total, lanes[k])
    if total == 0.0:
        return False
    inverse = _invert(total)
    for k in range(CHAINS - 1, -1, -1):
        lane = lanes[k]
        lanes[k] = mul(inverse, before[k])
        inverse = mul(inverse, lane)
    p0, p1 = load(lanes, 0, zero), load(lanes, LANES, zero)
    p2, p3 = load(lanes, 2 * LANES, zero), load(lanes, 3 * LANES, zero)
    for i in range(BLOCK - CHAINS, -1, -CHAINS):
        x0, x1 = load(block, i, zero), load(block, i + LANES, zero)
        x2, x3 = load(block, i + 2 * LANES, zero), load(block, i + 3 * LANES, zero)
        store(block, i, mul(p0, load(prefix, i, zero)))
        store(block, i + LANES, mul(p1, load(prefix, i + LANES, zero)))
        store(block, i + 2 * LANES, mul(p2, load(prefix, i + 2 * LANES, zero)))
        store(block, i + 3 * LANES, mul(p3, load(prefix, i + 3 * LANES, zero)))
        p0, p1, p2, p3 = mul_lazy(p0, x0), mul_lazy(p1, x1), mul_lazy(p2, x2), mul_lazy(p3, x3)
    return True


@kernel
def _base_kernel(values: Any, out: Any, start: int, stop: int) -> bool:
    block, prefix = floats(BLOCK), floats(BLOCK)
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        copy(values, first, block, 0, count)
        block[count:] = 1.0
        if not _invert_block(block, prefix):
            return False
        copy(block, 0, out, first, count)
    return True


@device
def _cofactors(a0: Any, a1: Any, a2: Any) -> Any:
    """The element c with a c = norm of a, as in slow.ext_inv; for balanced a no sum exceeds 0.75 P^2."""
    c0 = sum_of_products(0.0, a0, a0, a1 + a1, -a2, 0.0, 0.0)
    c1 = sum_of_products(0.0, a2 + a2, a2, a0, -a1, 0.0, 0.0)
    c2 = sum_of_products(0.0, a1, a1, a0, -a2, 0.0, 0.0)
    return c0, c1, c2


@kernel
def _ext_kernel(a0: Any, a1: Any, a2: Any, out0: Any, out1: Any, out2: Any, start: int, stop: int) -> bool:
    norms, prefix = floats(BLOCK), floats(BLOCK)
    e0, e1, e2 = floats(BLOCK), floats(BLOCK), floats(BLOCK)
    f0, f1, f2 = floats(BLOCK), floats(BLOCK), floats(BLOCK)
    zero = splat(0.0)
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        copy(a0, first, e0, 0, count)
        copy(a1, first, e1, 0, count)
        copy(a2, first, e2, 0, count)
        e0[count:], e1[count:], e2[count:] = 1.0, 0.0, 0.0
        for i in range(0, BLOCK, LANES):
            x0, x1, x2 = load(e0, i, zero), load(e1, i, zero), load(e2, i, zero)
            c0, c1, c2 = _cofactors(x0, x1, x2)
            store(f0, i, c0)
            store(f1, i, c1)
            store(f2, i, c2)
            store(norms, i, sum_of_products(0.0, x0, c0, x2 + x2, c1, x1 + x1, c2))
        if not _invert_block(norms, prefix):
            return False
        for i in range(0, BLOCK, LANES):
            scale = load(norms, i, zero)
            store(e0, i, mul(load(f0, i, zero), scale))
            store(e1, i, mul(load(f1, i, zero), scale))
            store(e2, i, mul(load(f2, i, zero), scale))
        copy(e0, 0, out0, first, count)
        copy(e1, 0, out1, first, count)
        copy(e2, 0, out2, first, count)
    return True
