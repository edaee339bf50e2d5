"""What makes a sumcheck's protocol a prover: the instances' rounds, and the message that they add up to.

`Rounds` is one instance between its first round and its last. The numba kernels implement it (`rounds`, `base_rounds`),
and so does plain Python among the tests, which hold the kernels against it.

Where few values are left, a round costs what calling a kernel costs. All instances of a batch end together, so they
have as many values left: from there on those that allow it are rounds of one sum, a call for all.
"""

from collections.abc import Sequence
from typing import Protocol

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, eq, ext_add, ext_add_scaled, ext_mul, ext_scale_each, ext_sub
from zkinfer.protocol.sumcheck.params import Batch, Instance, Polynomial

JOINED_VARIABLES = 12
"""Instances are joined where so many variables are left, or fewer."""


class Rounds(Protocol):
    """One instance, and the challenges bound so far."""

    def sums(self) -> Polynomial:
        """The sum over the places left, weighed by eq of them, as a polynomial in the next variable."""

    def bind(self, challenge: Ext) -> None:
        """Sets that variable."""

    def values(self) -> list[Ext]:
        """After the last round, the values of the factors."""

    def joinable(self) -> "tuple[Joinable, Ext] | None":
        """What the rounds that are left are a multiple of, constant coefficients aside, and the multiple.

        None if they cannot be joined with others, or not yet.
        """


class Joinable(Rounds, Protocol):
    """Rounds that can be joined with others of as many variables and the same weights."""

    def joined(self, parts: "Sequence[tuple[Joinable, Ext]]") -> "Joined":
        """The sum of parts, this one among them, each times a factor that is not zero."""


class Joined(Joinable, Protocol):
    """Several rounds in one."""

    def finish(self) -> None:
        """After the last round: every part has its values."""


class SumcheckWitness:
    """The rounds of all instances of a batch.

    Args:
        batch: what is summed.
        rounds: for each instance, before its first round.

    Raises:
        InvalidInputError: not one for each instance.
    """

    def __init__(self, batch: Batch, rounds: Sequence[Rounds]) -> None:
        if len(rounds) != len(batch.instances):
            raise InvalidInputError(f"{len(batch.instances)} instances need as many rounds, not {len(rounds)}")
        self._batch = batch
        self._rounds = rounds
        self._bound = 0
        self._joined: Joined | None = None
        self._parts: set[int] = set()

    def round_polynomial(self, coefficients: Sequence[Ext], point: Sequence[Ext]) -> Polynomial:
        """The next round's message: the polynomial of the batch without its constant coefficient."""
        self._join(coefficients)
        message = [ZERO] * (self._batch.degree + 1)
        if self._joined is not None:
            scale = ONE if self._batch.point is not None else _power_of_two(self._bound + 1 - self._batch.variables)
            message = ext_add_scaled(message, scale, self._joined.sums())
        for number in self._alone():
            instance = self._batch.instances[number]
            share = _share(self._batch, instance, point, self._rounds[number].sums())
            message = ext_add_scaled(message, coefficients[number], share)
        return message[1:]

    def bind(self, challenge: Ext) -> None:
        """Sets the variable of the round in every instance that has it."""
        if self._joined is not None:
            self._joined.bind(challenge)
        for number in self._alone():
            self._rounds[number].bind(challenge)
        self._bound += 1

    def values(self, number: int) -> list[Ext]:
        """After the last round, the values of an instance's factors."""
        if self._joined is not None:
            self._joined.finish()
            self._joined = None
        return self._rounds[number].values()

    def _alone(self) -> list[int]:
        """The instances that have a variable in the next round and are not joined."""
        instances = enumerate(self._batch.instances)
        return [number for number, one in instances if self._is_active(one) and number not in self._parts]

    def _join(self, coefficients: Sequence[Ext]) -> None:
        """Joins what can be joined.

        A part's factor is the instance's coefficient and, where nothing is weighed by eq, what `_share` multiplies
        with, but for a power of two that all have in common.
        """
        if self._batch.variables - self._bound > JOINED_VARIABLES:
            return
        parts: list[tuple[Joinable, Ext]] = [] if self._joined is None else [(self._joined, ONE)]
        numbers: list[int] = []
        for number in self._alone():
            instance = self._batch.instances[number]
            joinable = None if instance.point is not None else self._rounds[number].joinable()
            if joinable is None:
                continue
            factor = ext_mul(coefficients[number], joinable[1])
            if self._batch.point is None:
                factor = ext_mul(factor, _power_of_two(instance.variables))
            if factor != ZERO:
                parts.append((joinable[0], factor))
                numbers.append(number)
        if numbers and len(parts) > 1:
            self._joined = parts[0][0].joined(parts)
            self._parts.update(numbers)

    def _is_active(self, instance: Instance) -> bool:
        """Whether the instance has a variable in the next round: instances end together."""
        return self._bound >= self._batch.variables - instance.variables


def _share(batch: Batch, instance: Instance, point: Sequence[Ext], sums: Polynomial) -> Polynomial:
    """What an instance adds to the round's polynomial, from its sum without the weight of what is bound."""
    if batch.point is not None:
        return sums
    bound = len(point) - (batch.variables - instance.variables)
    doublings = _power_of_two(bound + 1)
    if instance.point is None:
        return ext_scale_each(sums, doublings)
    prefix = eq(instance.point[:bound], point[len(point) - bound :])
    here = instance.point[bound]
    line = [ext_sub(ONE, here), ext_sub(ext_add(here, here), ONE)]
    return ext_scale_each(multiply(sums, line), ext_mul(prefix, doublings))


def _power_of_two(exponent: int) -> Ext:
    """Of any exponent, negative ones too."""
    return pow(2, exponent, P), 0, 0


def multiply(a: Polynomial, b: Polynomial) -> Polynomial:
    """The product of two polynomials."""
    product = [ZERO] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] = ext_add(product[i + j], ext_mul(x, y))
    return product
