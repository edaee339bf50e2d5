"""The rounds of an instance that has factors in the base field: the first on these, the others in the extension."""

import numpy as np

from zkinfer.jit.threads import split
from zkinfer.protocol.field.kernels.arrays import GRAIN, balance_ext, balance_int, ext_from_ints
from zkinfer.protocol.field.kernels.vector import LANES
from zkinfer.protocol.field.scalar import Ext, ext_sub
from zkinfer.protocol.sumcheck import base_kernels
from zkinfer.protocol.sumcheck.params import Instance, Monomial, Point, Polynomial
from zkinfer.protocol.sumcheck.rounds import (
    FEW_PLACES,
    EqTables,
    add_parts,
    all_products,
    interpolate,
    kernel_rounds,
    weigh_nothing,
)
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.witness import Joinable, Rounds


class BaseRounds:
    """An instance whose tables are partly in the base field.

    Args:
        instance: what is summed.
        tables: the factors' values; read until the first challenge is bound, and let go of then.
        point: for weights eq(point, x), or None for weight 1.
    """

    def __init__(self, instance: Instance, tables: FactorTables, point: Point | None) -> None:
        self._instance, self._tables, self._point = instance, tables, point
        self._rest: Rounds | None = None

    def sums(self) -> Polynomial:
        """The sum over the places left, weighed by eq of them, as a polynomial in the next variable."""
        if self._rest is not None:
            return self._rest.sums()
        rest = self._tables.variables - 1
        places = weigh_nothing(rest) if self._point is None else EqTables(self._point[1:]).arguments(rest)
        half, block = 1 << rest, places[-1]
        buffer, grain = (self._tables.flat, self._tables.stride), max(1, FEW_PLACES // block)
        weights = (half, self._point is not None, *places)
        if all_products(self._instance):
            parts = split(base_kernels.first_product_sums, half // block, grain, *buffer, *self._products(), *weights)
            at0, square, at1 = add_parts(parts)
            return [at0, ext_sub(ext_sub(at1, at0), square), square]
        arguments = (*buffer, *self._terms(), self._instance.degree, *weights)
        return interpolate(add_parts(split(base_kernels.first_sums, half // block, grain, *arguments)))

    def _products(self) -> tuple[object, ...]:
        """The terms as the kernel of products of two takes them."""
        base, rows = self._tables.base, self._tables.rows
        terms = [sorted(term.factors, key=lambda k: k not in base) for term in self._instance.terms]
        places = np.array([[rows[k] for k in factors] for factors in terms], dtype=np.int64)
        return places, np.array([sum(k not in base for k in factors) for factors in terms], dtype=np.int64)

    def _terms(self) -> tuple[object, ...]:
        """The terms as the kernel takes them: those in the base field first."""
        base, rows, degree = self._tables.base, self._tables.rows, self._instance.degree
        terms = sorted(self._instance.terms, key=lambda term: not self._is_scalar(term))
        base_rows = np.full((len(terms), degree), -1, dtype=np.int64)
        ext_rows = base_rows.copy()
        for i, term in enumerate(terms):
            inside = [rows[k] for k in term.factors if k in base]
            outside = [rows[k] for k in term.factors if k not in base]
            base_rows[i, : len(inside)], ext_rows[i, : len(outside)] = inside, outside
        coefficients = [term.coefficient for term in terms]
        scales = np.array([balance_int(c[0]) if _in_base_field(c) else 1.0 for c in coefficients])
        return base_rows, ext_rows, scales, ext_from_ints(coefficients), sum(map(self._is_scalar, terms))

    def _is_scalar(self, term: Monomial) -> bool:
        return _in_base_field(term.coefficient) and self._tables.base.issuperset(term.factors)

    def bind(self, challenge: Ext) -> None:
        """Sets that variable. After the first round: makes the tables of the extension."""
        if self._rest is not None:
            self._rest.bind(challenge)
            return
        tables = self._tables
        bound = FactorTables(tables.factors, tables.variables - 1)
        half = 1 << bound.variables
        arguments = (tables.flat, tables.stride, np.array(tables.rows), half, *balance_ext(challenge))
        split(base_kernels.first_fold, -(-half // LANES), GRAIN // LANES, *arguments, bound.flat, bound.stride)
        self._rest = kernel_rounds(self._instance, bound, None if self._point is None else self._point[1:])
        self._tables = bound

    def values(self) -> list[Ext]:
        """After the last round, the values of the factors."""
        if self._rest is not None:
            return self._rest.values()
        return self._tables.values_at(0)

    def joinable(self) -> tuple[Joinable, Ext] | None:
        """See `witness.Rounds`."""
        return None if self._rest is None else self._rest.joinable()


def _in_base_field(element: Ext) -> bool:
    return element[1:] == (0, 0)
