"""A small model for tests of proofs: two layers, a clamp between them, a rescaling behind them."""

import numpy as np

from zkinfer.circuit.program import Einsum, Lookup, Program, Tensor
from zkinfer.circuit.table import Table

X, W, V, SUMS, HIDDEN, LOGITS, ANSWER = range(7)
"""The values of the program: answer = rescale(V clamp(W x))."""

CLAMP = Table("clamp", -25, tuple(min(max(i, 0), 12) for i in range(-25, 26)))
RESCALE = Table("rescale", -45, tuple(range(-45, 46)))
PROGRAM = Program(
    1,
    (Tensor("x", (5,), 0, -8, 8),),
    (Tensor("W", (3, 5), 0, -5, 5), Tensor("V", (2, 3), 0, -5, 5)),
    (CLAMP, RESCALE),
    (
        Einsum(Tensor("sums", (3,), 0, -200, 200), "a,ba->b", (X, W)),
        Lookup(Tensor("hidden", (3,), 0, 0, 12), SUMS, 0, 3),
        Einsum(Tensor("logits", (2,), 0, -180, 180), "b,cb->c", (HIDDEN, V)),
        Lookup(Tensor("answer", (2,), 0, -45, 45), LOGITS, 1, 2),
    ),
    (ANSWER, LOGITS),
)
RUNS = 5
RNG = np.random.default_rng(1)
WEIGHTS = [RNG.integers(-5, 6, (3, 5)), RNG.integers(-5, 6, (2, 3))]
INPUT = RNG.integers(-8, 9, (RUNS, 5))
