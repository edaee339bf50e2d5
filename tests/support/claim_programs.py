"""Programs whose proofs make linear claims of every kind that the reduction tells apart."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from zkinfer.circuit.bounds import lookup_indices
from zkinfer.circuit.steps import Reshape, Slice, Transpose
from zkinfer.circuit.table import Table
from zkinfer.compiler.lowering.builder import Builder, Built, ProgramValue, Summand


def rescaling(source: ProgramValue, shift: int, kind: str) -> Table:
    """A table over what a value reaches, of each kind that a proof tells apart."""
    lo, hi = lookup_indices((source.tensor.lo, source.tensor.hi), shift)
    rows = range(lo, hi + 1)
    values = {"identity": rows, "relu": (max(i, 0) for i in rows), "any": (i * i * 7 % 13 - 6 for i in rows)}
    return Table(kind, lo, tuple(values[kind]))


def attention(kind: str = "any") -> Built:
    """Products of two computed values, with a lookup whose remainder has several limbs between them."""
    rng, builder = np.random.default_rng(2), Builder()
    x = builder.input("x", (3, 2), 2, -8, 8)
    w = [builder.weight(f"w{i}", rng.integers(-5, 6, (2, 2)), 1) for i in range(3)]
    q, k, v = (builder.einsum(name, "ab,cb->ac", x, u) for name, u in zip("qkv", w, strict=True))
    scores = builder.einsum("scores", "ab,cb->ac", q, k)
    weights = builder.lookup("weights", scores, rescaling(scores, 11, kind), 11, 2)
    return builder.finish([builder.einsum("out", "ac,cd->ad", weights, v)])


def reshaped() -> Built:
    """A functional of an einsum's result that is not a product over its axes."""
    rng, builder = np.random.default_rng(3), Builder()
    x = builder.input("x", (2, 3), 2, -8, 8)
    y = builder.einsum("y", "ab,cb->ac", x, builder.weight("w", rng.integers(-5, 6, (6, 3)), 1))
    z = builder.combine("z", [Summand(y, Fraction(1), (Reshape((3, 4)),))])
    return builder.finish(
        [builder.einsum("out", "ab,cb->ac", z, builder.weight("u", rng.integers(-5, 6, (3, 4)), 1)), y]
    )


def odd_sizes() -> Built:
    """More boxes than are kept apart, so that axes are flattened."""
    rng, builder = np.random.default_rng(4), Builder()
    x = builder.input("x", (7, 7, 3), 2, -8, 8)
    y = builder.einsum("y", "abc,abc->abc", x, builder.weight("w", rng.integers(-5, 6, (7, 7, 3)), 1))
    return builder.finish([builder.lookup("out", y, rescaling(y, 3, "relu"), 3, 2)])


def constants() -> Built:
    """Values made of weights alone, in every kind of node, and among the outputs."""
    rng, builder = np.random.default_rng(5), Builder()
    x = builder.input("x", (2, 3), 2, -8, 8)
    w = builder.weight("w", rng.integers(-5, 6, (3, 3)), 1)
    square = builder.einsum("square", "ab,bc->ac", w, w)
    looked_up = builder.lookup("looked up", square, rescaling(square, 2, "any"), 2, 1)
    turned = builder.combine("turned", [Summand(looked_up, Fraction(-2), (Transpose((1, 0)),))], offset=Fraction(1))
    return builder.finish([builder.einsum("out", "ab,bc->ac", x, turned), turned, looked_up])


def sums() -> Built:
    """Letters of one operand alone, an operand twice, sums over everything, an output twice, an input as an output."""
    rng, builder = np.random.default_rng(6), Builder()
    x, y = (builder.input(name, (2, 3), 2, -8, 8) for name in "xy")
    w = builder.weight("w", rng.integers(-5, 6, (3, 5)), 1)
    products = builder.einsum("products", "ab,cb->ac", x, x)
    summed = builder.einsum("summed", "ab,bc->a", x, w)
    outer = builder.einsum("outer", "a,bc->cab", summed, y)
    everything = builder.einsum("everything", "cab->", outer)
    return builder.finish([products, everything, outer, outer, x])


def read_again() -> Built:
    """Products of products, each read again further up, so that claims on values of several heights wait at once."""
    rng, builder = np.random.default_rng(8), Builder()
    x = builder.input("x", (2, 3), 2, -3, 3)
    w = builder.weight("w", rng.integers(-3, 4, (2, 3)), 1)
    first = builder.einsum("first", "ab,ab->ab", x, w)
    second = builder.einsum("second", "ab,ab->ab", first, x)
    third = builder.einsum("third", "ab,cb->ac", second, first)
    fourth = builder.einsum("fourth", "ac,cb->ab", third, second)
    return builder.finish([fourth, builder.lookup("out", first, rescaling(first, 2, "relu"), 2, 1)])


def fused_weight() -> Built:
    """A weight that is several matrices in one, as the one for queries, keys and values is.

    Of a product with 8 columns, the second to the fifth are looked up.

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


PROGRAMS: dict[str, Callable[[], Built]] = {
    "attention": attention,
    "attention, range": lambda: attention("identity"),
    "attention, pieces": lambda: attention("relu"),
    "reshaped": reshaped,
    "odd sizes": odd_sizes,
    "constants": constants,
    "sums": sums,
    "read again": read_again,
}
