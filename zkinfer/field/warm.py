"""Calls every kernel once, on little data: see `zkinfer.field.warmup`."""

import numpy as np

from zkinfer.field import fast
from zkinfer.field.encoding import BASE_BYTES
from zkinfer.field.ntt import SHORT
from zkinfer.field.slow import ONE


def call_everything() -> None:
    base = fast.from_ints(list(range(1, 17)))
    ext = np.stack([base, base, base])
    fast.is_balanced(fast.from_ints(np.arange(4)))
    for operation in (fast.add, fast.sub, fast.mul):
        operation(base, base)
    fast.ext_mul(ext, ext)
    fast.ext_scale(ext, base)
    fast.fold(ext, ONE)
    fast.fold(base, ONE)
    fast.mle(ext, [ONE] * 4)
    fast.dot(base, base)
    fast.ext_dot(ext, ext)
    fast.ext_base_dot(ext, base)
    fast.batch_inv(base)
    fast.ext_batch_inv(ext)
    for dtype in (np.int8, np.int16, np.float64):
        matrix = np.ones((2, 8), dtype=dtype)
        fast.row_combination(matrix, [ONE, ONE])
        # Files mapped into memory are read-only, which to numba is another type.
        matrix.flags.writeable = False
        fast.row_combination(matrix, [ONE, ONE])
    for length in (16, SHORT):
        codeword = fast.rs_encode(base, length)
        fast.intt(codeword)
    fast.write_columns(ext, np.empty((16, 3 * BASE_BYTES), dtype=np.uint8), 0)
