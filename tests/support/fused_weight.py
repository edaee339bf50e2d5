"""A weight that is several matrices in one, as the one for queries, keys and values is."""

from fractions import Fraction

import numpy as np

from zkinfer.circuit.steps import Slice
from zkinfer.circuit.table import Table
from zkinfer.compiler.lowering.builder import Builder, Built, Summand


def fused_weight() -> Built:
    """Of a product with 8 columns, the second to the fifth are looked up.

    The claim on the weight, of 8 rows of 4, is an eq table within each row. The factors of the rows are one too, but
    moved by one row, which is none.
    """
    rng, builder = np.random.default_rng(7), Builder()
    x = builder.input("x", (2, 4), 2, -8, 8)
    whole = builder.einsum("whole", "ab,cb->ac", x, builder.weight("w", rng.integers(-5, 6, (8, 4)), 1))
    part = builder.combine("part", [Summand(whole, Fraction(1), (Slice(1, 1, 4, 1),))])
    bounds = part.tensor.lo, part.tensor.hi
    table = Table("any", bounds[0], tuple(i * i % 11 - 5 for i in range(bounds[0], bounds[1] + 1)))
    return builder.finish([builder.lookup("out", part, table, 0, 2)])
