"""The rounds of one instance, computed by kernels: what the fast provers are made of.

A round costs one pass over the tables: binding the last challenge is left to the next round's pass.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zkinfer.jit.threads import split
from zkinfer.protocol.field.kernels.arrays import balance_ext, ext_from_ints
from zkinfer.protocol.field.kernels.fold import add_outer
from zkinfer.protocol.field.kernels.vector import LANES
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import (
    ONE,
    ZERO,
    Ext,
    ext_base_dot,
    ext_dot,
    ext_inv,
    ext_mul,
    ext_polynomial,
    ext_sub,
    quadratic,
)
from zkinfer.protocol.sumcheck import kernels
from zkinfer.protocol.sumcheck.kernels import LOW_VARIABLES
from zkinfer.protocol.sumcheck.params import Instance, Point, Polynomial
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.witness import Joinable, Rounds, multiply
from zkinfer.typing import Floats

FEW_PLACES = 1 << 14
"""Places below which another thread does not pay."""

FILLED_PLACES = 1 << 12
"""Places that are filled together, so few that they are still in the second-level cache when they are summed."""


_BALANCED_ZERO = balance_ext(ZERO)


class EqTables:
    """eq of all suffixes of a point: `low` within a block of at most 2^LOW_VARIABLES places, `high` block by block."""

    def __init__(self, point: Point) -> None:
        self.low = _suffixes(point[max(0, len(point) - LOW_VARIABLES) :])
        self.high = _suffixes(point[: max(0, len(point) - LOW_VARIABLES)])

    def arguments(self, rest: int) -> tuple[Floats, int, Floats, int, int]:
        """What kernels weigh 2^rest places with: low, where in it, high, where in it, places in a block."""
        inside = min(LOW_VARIABLES, rest)
        return self.low, 1 << inside, self.high, 1 << (rest - inside), 1 << inside


def _suffixes(point: Point) -> Floats:
    out = np.zeros((3, (2 << len(point)) + LANES))
    kernels.eq_suffixes(ext_from_ints(point), out)
    return out


_NONE = np.zeros((3, 1))


def weigh_nothing(rest: int) -> tuple[Floats, int, Floats, int, int]:
    """The same for weight 1: the number of places in a block, and what is not looked at."""
    return _NONE, 0, _NONE, 0, 1 << min(LOW_VARIABLES, rest)


def add_parts(parts: Sequence[Floats]) -> list[Ext]:
    """The extension elements whose coordinates several calls of a kernel returned, added up."""
    sums = [sum(map(int, numbers)) % P for numbers in zip(*(part.tolist() for part in parts), strict=True)]
    return [(sums[i], sums[i + 1], sums[i + 2]) for i in range(0, len(sums), DEGREE)]


def _filling(
    fill: Callable[[int, int], None], half: int, block: int, kernel: Callable[..., Floats]
) -> Callable[..., list[Floats]]:
    """Calls the kernel of a round over 2 half values for a few places at a time, after having `fill` write these."""

    def run(*arguments: Any) -> list[Floats]:
        *others, start, stop = arguments
        step, found = max(1, FILLED_PLACES // block), []
        for first in range(start, stop, step):
            last = min(first + step, stop)
            for base in (0, half):
                fill(base + first * block, base + last * block)
            found.append(kernel(*others, first, last))
        return found

    return run


class _KernelRounds:
    """What both kinds of instance share: the tables, the challenge that is not bound yet, the split into blocks."""

    def __init__(self, tables: FactorTables, point: Point | None) -> None:
        self._tables = tables
        self._point = point
        self._eq = None if point is None else EqTables(point)
        self._rest = tables.variables
        self._challenge: Ext | None = None
        self._fill: Callable[[int, int], None] | None = None

    def _run(self, kernel: Callable[..., Floats], *arguments: object) -> list[Ext]:
        """Calls a kernel for the next round and adds up what it returns."""
        self._rest -= 1
        weights = weigh_nothing(self._rest) if self._eq is None else self._eq.arguments(self._rest)
        challenge = _BALANCED_ZERO if self._challenge is None else balance_ext(self._challenge)
        half, folding, weighted = 1 << self._rest, self._challenge is not None, self._eq is not None
        buffer, block = (self._tables.flat, self._tables.stride), weights[-1]
        grain = max(1, FEW_PLACES // block)
        given = (*buffer, *arguments, half, folding, *challenge, weighted, *weights)
        if self._fill is None:
            return add_parts(split(kernel, half // block, grain, *given))
        filling, self._fill = _filling(self._fill, half, block, kernel), None
        return add_parts([part for parts in split(filling, half // block, grain, *given) for part in parts])

    def bind(self, challenge: Ext) -> None:
        """Sets the variable of the round that `sums` was for."""
        self._challenge = challenge

    def values(self) -> list[Ext]:
        """The values of the factors."""
        tables = self._tables
        if self._challenge is not None:
            kernels.fold_last(tables.flat, tables.stride, tables.factors, *balance_ext(self._challenge))
            self._challenge = None
        return tables.values_at(0)


class ProductRounds(_KernelRounds):
    """Sum over the terms of the product of two factors: 0 and 1, 2 and 3, ...

    Args:
        tables: the factors' values; overwritten.
        point: for weights eq(point, x), or None for weight 1.
        target: the sum, if it is known: saves computing the first polynomial at 1.
        mix: if given, factor 0 stands for factor 0 plus `mix` times factor 3; added in the first round's pass.
        fill: if given, writes the factors' values at places start .. stop - 1, in whole blocks; there is a round to
            come, and it is called in that round, for one part of the places after another.
    """

    def __init__(
        self,
        tables: FactorTables,
        point: Point | None,
        target: Ext | None = None,
        mix: Ext | None = None,
        fill: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(tables, point)
        self._fill = fill
        self._target = target
        self._mix = mix
        self._polynomial: Polynomial = []

    def sums(self) -> Polynomial:
        """target = w0 g(0) + w1 g(1), with weights 1 and 1 or those of eq, gives g(1) unless w1 = 0."""
        here = None if self._point is None else self._point[len(self._point) - self._rest]
        known = self._target is not None and here != ZERO
        mixing, by = self._mix is not None, _BALANCED_ZERO if self._mix is None else balance_ext(self._mix)
        at0, square, at1 = self._run(kernels.product_sums, self._tables.factors // 2, not known, mixing, *by)
        self._mix = None
        if self._target is not None and known:
            self._polynomial = quadratic(at0, square, self._target, here)
        else:
            self._polynomial = [at0, ext_sub(ext_sub(at1, at0), square), square]
        return self._polynomial

    def bind(self, challenge: Ext) -> None:
        super().bind(challenge)
        self._target = ext_polynomial(self._polynomial, challenge)

    def joinable(self) -> tuple[Joinable, Ext] | None:
        return (self, ONE) if self._challenge is not None and self._fill is None else None

    def joined(self, parts: Sequence[tuple[Joinable, Ext]]) -> "JoinedRounds":
        return JoinedRounds([(part, factor) for part, factor in parts if isinstance(part, ProductRounds)])


class JoinedRounds(ProductRounds):
    """Several sums of products of two as one, each times a factor, by which the first of every two is multiplied.

    Args:
        parts: with one challenge left to bind, the same, and the same weights; and their factors, not zero.
    """

    def __init__(self, parts: Sequence[tuple[ProductRounds, Ext]]) -> None:
        like = parts[0][0]
        size = 2 << like._rest
        tables = FactorTables(sum(part._tables.factors for part, _ in parts), like._rest + 1)
        targets, at = [], 0
        for part, factor in parts:
            assert (part._rest, part._challenge) == (like._rest, like._challenge), "instances end together"
            assert part._target is not None, "a challenge was bound"
            targets.append(part._target)
            for k in range(part._tables.factors):
                values, table = part._tables.factor(k)[:, :size], tables.factor(at + k)
                if k % 2 or factor == ONE:
                    table[:] = values
                else:
                    table[:] = 0.0
                    add_outer(table, ext_from_ints([factor]), values)
            at += part._tables.factors
        super().__init__(tables, None, ext_dot(targets, [factor for _, factor in parts]))
        self._point, self._eq = like._point, like._eq
        self._rest, self._challenge = like._rest, like._challenge
        self._parts = parts

    def finish(self) -> None:
        """After the last round: writes every part's values to its tables."""
        left = self.values()
        for part, factor in self._parts:
            inverse = ext_inv(factor)
            for k in range(part._tables.factors):
                value, left = left[0], left[1:]
                part._tables.factor(k)[:, 0] = balance_ext(value if k % 2 else ext_mul(inverse, value))
            part._rest, part._challenge = 0, None
            if isinstance(part, JoinedRounds):
                part.finish()


class TermRounds(_KernelRounds):
    """Any sum of products: the polynomial is computed at 0, 1, ..., degree, and interpolated."""

    def __init__(self, instance: Instance, tables: FactorTables, point: Point | None) -> None:
        super().__init__(tables, point)
        self._places = np.full((len(instance.terms), instance.degree), -1, dtype=np.int64)
        for row, term in zip(self._places, instance.terms, strict=True):
            row[: len(term.factors)] = term.factors
        self._coefficients = ext_from_ints([term.coefficient for term in instance.terms])

    def sums(self) -> Polynomial:
        """The interpolated polynomial."""
        return interpolate(self._run(kernels.term_sums, self._tables.factors, self._places, self._coefficients))

    def joinable(self) -> tuple[Joinable, Ext] | None:
        return None


def kernel_rounds(instance: Instance, tables: FactorTables, point: Point | None) -> Rounds:
    """The kernels that fit an instance, all of whose factors are in the extension; the point is that of its weight."""
    in_order = [k for term in instance.terms for k in term.factors] == list(range(instance.factors))
    if in_order and all_products(instance):
        return ProductRounds(tables, point)
    return TermRounds(instance, tables, point)


def all_products(instance: Instance) -> bool:
    """Whether every term is just a product of two factors."""
    return all(len(term.factors) == 2 and term.coefficient == ONE for term in instance.terms)


def interpolate(values: Sequence[Ext]) -> Polynomial:
    """The polynomial of least degree with these values at 0, 1, ..."""
    lines = zip(*(_lagrange(k, len(values)) for k in range(len(values))), strict=True)
    return [ext_base_dot(values, line) for line in lines]


@functools.cache
def _lagrange(k: int, count: int) -> tuple[int, ...]:
    """The coefficients of the polynomial that is 1 at k and 0 at the other integers in [0, count)."""
    polynomial = [ONE]
    for j in range(count):
        if j != k:
            scale = pow(k - j, -1, P)
            polynomial = multiply(polynomial, [(-j * scale % P, 0, 0), (scale, 0, 0)])
    return tuple(c[0] for c in polynomial)
