"""What a sumcheck proves: instances, batches of them, and the claims that are left.

An instance over n variables claims that

    sum over x in {0, 1}^n of  weight(x) * sum over terms of  coefficient * prod of f_k(x), k in the term,

has a certain value; every f_k is a multilinear polynomial and weight(x) is 1, or eq(point, x). Variables are numbered
from the most significant bit of the index into a table of values, as everywhere in `zkinfer.protocol.field`.

A batch runs several instances, of any numbers of variables, with one message a round. The last variables of all
instances coincide: an instance of n_i variables ends at the last n_i coordinates of the batch's point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.channel import AffineForm
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, eq, ext_scale

Point: TypeAlias = tuple[Ext, ...]
Polynomial: TypeAlias = list[Ext]
"""Coefficients, the constant one first."""

MAX_VARIABLES = 40
"""More than any table that fits in a machine; bounds what a hostile description can ask for."""

HALF: Ext = ((P + 1) // 2, 0, 0)


@dataclass(frozen=True)
class Claim:
    """Multilinear polynomials have these values at this point."""

    point: Point
    values: tuple[AffineForm, ...]


@dataclass(frozen=True)
class Monomial:
    """coefficient * prod of f_k, k in `factors`; an index may repeat (squares)."""

    coefficient: Ext
    factors: tuple[int, ...]


@dataclass(frozen=True)
class Instance:
    """One sum of products.

    Attributes:
        variables: n, the number of variables of every factor.
        factors: how many multilinear polynomials f_0, f_1, ... there are.
        terms: what is summed; each term names a factor at least, and each factor is in a term.
        point: n coordinates for the weight eq(point, x), or None for weight 1. In a batch that has a point itself,
            None: the batch's point weighs all.
    """

    variables: int
    factors: int
    terms: tuple[Monomial, ...]
    point: Point | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.variables <= MAX_VARIABLES:
            raise InvalidInputError(f"a sumcheck has 0 to {MAX_VARIABLES} variables, not {self.variables}")
        if not self.terms or any(not t.factors for t in self.terms):
            raise InvalidInputError("a sumcheck needs terms, and every term a factor")
        if {k for t in self.terms for k in t.factors} != set(range(self.factors)):
            raise InvalidInputError(f"the terms must name the factors 0 .. {self.factors - 1}, each at least once")
        if self.point is not None and len(self.point) != self.variables:
            raise InvalidInputError(f"{self.variables} variables, but a point of {len(self.point)} coordinates")

    @property
    def degree(self) -> int:
        """The largest number of factors in a term."""
        return max(len(t.factors) for t in self.terms)


@dataclass(frozen=True)
class Batch:
    """Instances that share rounds.

    Attributes:
        instances: one or more.
        point: when given, instance i is weighed by eq of the last n_i coordinates of it, and round messages leave the
            eq factor out (Gruen 2024): their degree is that of the terms.
    """

    instances: tuple[Instance, ...]
    point: Point | None = None

    def __post_init__(self) -> None:
        if not self.instances:
            raise InvalidInputError("a batch needs an instance")
        if self.point is not None:
            if len(self.point) != self.variables:
                raise InvalidInputError(f"{self.variables} variables, but a point of {len(self.point)} coordinates")
            if any(i.point is not None for i in self.instances):
                raise InvalidInputError("the batch has a point: its instances cannot have their own")

    @cached_property
    def variables(self) -> int:
        """The number of rounds: that of the largest instance's variables."""
        return max(i.variables for i in self.instances)

    @cached_property
    def degree(self) -> int:
        """The degree of every round's polynomial, and the number of elements in its message."""
        return max(i.degree + (i.point is not None) for i in self.instances)

    def weight(self, index: int) -> Ext:
        """The weight w of round `index`: its polynomial g satisfies (1 - w) g(0) + w g(1) = target.

        A plain sum is 2^n times the sum weighed by eq at the point (1/2, ..., 1/2), so its weights are halves.
        """
        return HALF if self.point is None else self.point[index]

    def weight_point(self, instance: Instance) -> Point | None:
        """The point whose eq weighs the instance's terms; None for weight 1."""
        return instance.point if self.point is None else self.suffix(instance, self.point)

    def suffix(self, instance: Instance, point: Sequence[Ext]) -> Point:
        """The coordinates of a point of the batch that belong to an instance: its last ones."""
        return tuple(point[len(point) - instance.variables :])

    def final_scale(self, instance: Instance, point: Sequence[Ext]) -> Ext:
        """What multiplies the instance's terms, evaluated at the end of `point`, in the last check."""
        if self.point is not None:
            return ONE
        own = ONE if instance.point is None else eq(instance.point, self.suffix(instance, point))
        return ext_scale(own, pow(2, instance.variables, P))

    @property
    def message_elements(self) -> int:
        """Extension elements that the prover sends in all."""
        return self.variables * self.degree + sum(i.factors for i in self.instances)
