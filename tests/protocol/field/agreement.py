"""Run as a program: compares fast operations with Python integers on random and extreme elements.

Prints the number of operations compared, and the width of the registers that packed multiply-adds use (ymm, zmm, or
none). Exits with an error on the first disagreement.
"""

import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[3]))

from numba import njit

from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.kernels.arithmetic import mul_lazy
from zkinfer.protocol.field.kernels.vector import load, splat, store
from zkinfer.protocol.field.params import P

COUNT = 1 << 18
EXTREMES = np.array([0, 1, P - 1, P // 2, P // 2 + 1, 2, P - 2])


def elements(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Canonical elements as Python integers; every eighth is extreme."""
    values = rng.integers(0, P, shape)
    extreme = rng.integers(0, 8, shape) == 0
    return np.where(extreme, rng.choice(EXTREMES, shape), values).astype(object)


def expect(result: np.ndarray, expected: np.ndarray) -> None:
    """The fast result is balanced and has the expected canonical integers."""
    assert kernels.is_balanced(result)
    assert np.array_equal(kernels.to_ints(result), (expected % P).astype(np.int64))


def ext_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            a[0] * b[0] + 2 * (a[1] * b[2] + a[2] * b[1]),
            a[0] * b[1] + a[1] * b[0] + 2 * a[2] * b[2],
            a[0] * b[2] + a[1] * b[1] + a[2] * b[0],
        ]
    )


def main() -> None:
    rng = np.random.default_rng(50)
    a, b = elements(rng, 3, COUNT), elements(rng, 3, COUNT)
    fa, fb = kernels.from_ints(a.astype(np.int64)), kernels.from_ints(b.astype(np.int64))
    compared = 0
    expect(kernels.add(fa, fb), a + b)
    expect(kernels.sub(fa, fb), a - b)
    expect(kernels.mul(fa, fb), a * b)
    compared += 9 * COUNT
    expect(kernels.ext_mul(fa, fb), ext_product(a, b))
    expect(kernels.ext_scale(fa, fb[0]), a * b[0])
    compared += 2 * COUNT
    for r in elements(rng, 4, 3).tolist():
        lo, hi = a[:, : COUNT // 2], a[:, COUNT // 2 :]
        expect(kernels.fold(fa, tuple(r)), lo + ext_product(np.array(r, dtype=object)[:, None], hi - lo))
        compared += COUNT // 2
    nonzero = np.where(a[0] == 0, 1, a[0])
    inverses = kernels.batch_inv(kernels.from_ints(nonzero.astype(np.int64)))
    expect(kernels.mul(inverses, kernels.from_ints(nonzero.astype(np.int64))), np.ones_like(nonzero))
    compared += COUNT
    n = 1 << 12
    transformed = kernels.ntt(fa[:, :n].copy())
    expect(transformed, np.array([scalar.ntt([int(v) for v in row]) for row in a[:, :n]], dtype=object))
    weights = rng.integers(-128, 128, (64, n)).astype(np.int8)
    combined = kernels.row_combination(weights, fa[:, :64].copy())
    expect(combined, a[:, :64] @ weights.astype(object))

    def packed(x: np.ndarray, y: np.ndarray) -> None:
        zero = splat(0.0)
        store(x, 0, mul_lazy(load(x, 0, zero), load(y, 0, zero)))

    compiled = njit(packed)
    compiled(fa[0].copy(), fb[0].copy())
    (assembly,) = compiled.inspect_asm().values()
    registers = {f"{r}mm" for r in re.findall(r"\bvfn?m(?:add|sub)\w+pd\b.*?%?([yz])mm", assembly)}
    print(compared, registers.pop() if registers else "none")


if __name__ == "__main__":
    main()
