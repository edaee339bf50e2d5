"""The fast field: the operations of `slow`, under the same names, on arrays of float64 numbers. Needs numba.

Base vectors have shape (n,), extension vectors (3, n), entries are balanced (see `arrays`). Points and challenges are
tuples of canonical integers as in `slow`, and so are single results.
"""

from zkinfer.jit.threads import get_threads, set_threads, threads
from zkinfer.protocol.field.kernels.arrays import (
    add,
    balance_ext,
    balance_int,
    ext_from_ints,
    ext_mul,
    ext_scale,
    ext_to_ints,
    from_ints,
    is_balanced,
    mul,
    neg,
    sub,
    to_ints,
)
from zkinfer.protocol.field.kernels.combine import column_combination, dot, ext_base_dot, ext_dot, row_combination
from zkinfer.protocol.field.kernels.fold import add_outer, eq_table, fold, mle
from zkinfer.protocol.field.kernels.inverse import batch_inv, ext_batch_inv
from zkinfer.protocol.field.kernels.ntt import intt, ntt, rs_encode, rs_symbols
from zkinfer.protocol.field.kernels.packing import write_columns

__all__ = [
    "add", "add_outer", "balance_ext", "balance_int", "batch_inv", "column_combination", "dot", "eq_table",
    "ext_base_dot", "ext_batch_inv", "ext_dot", "ext_from_ints", "ext_mul", "ext_scale", "ext_to_ints", "fold",
    "from_ints", "get_threads", "intt", "is_balanced", "mle", "mul", "neg", "ntt", "row_combination", "rs_encode",
    "rs_symbols", "set_threads", "sub", "threads", "to_ints", "write_columns",
]  # fmt: skip
