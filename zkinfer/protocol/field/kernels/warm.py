"""Calls every kernel once, on little data: see `zkinfer.protocol.field.warmup`."""

import numpy as np

from zkinfer.protocol.field import kernels
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.field.kernels.arrays import GRAIN
from zkinfer.protocol.field.kernels.ntt import SHORT
from zkinfer.protocol.field.scalar import ONE


def call_everything() -> None:
    base = kernels.from_ints(list(range(1, 17)))
    ext = np.stack([base, base, base])
    kernels.is_balanced(kernels.from_ints(np.arange(4)))
    for operation in (kernels.add, kernels.sub, kernels.mul):
        operation(base, base)
    kernels.ext_mul(ext, ext)
    kernels.ext_scale(ext, base)
    kernels.fold(ext, ONE)
    kernels.fold(base, ONE)
    kernels.mle(ext, [ONE] * 4)
    kernels.eq_table([ONE] * (GRAIN.bit_length() + 1))
    kernels.mle(base, [ONE] * 4)
    kernels.add_outer(np.zeros((3, 16)), ext[:, :2].copy(), ext[:, :8].copy())
    kernels.dot(base, base)
    kernels.ext_dot(ext, ext)
    kernels.ext_base_dot(ext, base)
    kernels.batch_inv(base)
    kernels.ext_batch_inv(ext)
    for dtype in (np.int8, np.int16, np.float64):
        matrix = np.ones((2, 8), dtype=dtype)
        kernels.row_combination(matrix, [ONE, ONE])
        if matrix.dtype != np.float64:
            kernels.column_combination(matrix, ext[:, :8].copy())
        # Files mapped into memory are read-only, which to numba is another type.
        matrix.flags.writeable = False
        kernels.row_combination(matrix, [ONE, ONE])
    for length in (16, SHORT):
        codeword = kernels.rs_encode(base, length)
        kernels.intt(codeword)
    kernels.write_columns(ext, np.empty((16, 3 * BASE_BYTES), dtype=np.uint8), 0)
