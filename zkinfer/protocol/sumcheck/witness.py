"""What makes a sumcheck's protocol a prover: the instances' rounds, and the message that they add up to.

`Rounds` is one instance between its first round and its last. The numba kernels implement it (`rounds`, `base_rounds`),
and so does plain Python among the tests, which hold the kernels against it.
"""

from collections.abc import Sequence
from typing import Protocol

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, eq, ext_add, ext_add_scaled, ext_mul, ext_scale_each, ext_sub
from zkinfer.protocol.sumcheck.params import Batch, Instance, Polynomial


class Rounds(Protocol):
    """One instance, and the challenges bound so far."""

    def sums(self) -> Polynomial:
        """The sum over the places left, weighed by eq of them, as a polynomial in the next variable."""

    def bind(self, challenge: Ext) -> None:
        """Sets that variable."""

    def values(self) -> list[Ext]:
        """After the last round, the values of the factors."""


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

    def round_polynomial(self, coefficients: Sequence[Ext], point: Sequence[Ext]) -> Polynomial:
        """The next round's message: the polynomial of the batch without its constant coefficient."""
        message = [ZERO] * (self._batch.degree + 1)
        for coefficient, instance, rounds in zip(coefficients, self._batch.instances, self._rounds, strict=True):
            if self._is_active(instance):
                share = _share(self._batch, instance, point, rounds.sums())
                message = ext_add_scaled(message, coefficient, share)
        return message[1:]

    def bind(self, challenge: Ext) -> None:
        """Sets the variable of the round in every instance that has it."""
        for instance, rounds in zip(self._batch.instances, self._rounds, strict=True):
            if self._is_active(instance):
                rounds.bind(challenge)
        self._bound += 1

    def values(self, number: int) -> list[Ext]:
        """After the last round, the values of an instance's factors."""
        return self._rounds[number].values()

    def _is_active(self, instance: Instance) -> bool:
        """Whether the instance has a variable in the next round: instances end together."""
        return self._bound >= self._batch.variables - instance.variables


def _share(batch: Batch, instance: Instance, point: Sequence[Ext], sums: Polynomial) -> Polynomial:
    """What an instance adds to the round's polynomial, from its sum without the weight of what is bound."""
    if batch.point is not None:
        return sums
    bound = len(point) - (batch.variables - instance.variables)
    doublings: Ext = (2 ** (bound + 1) % P, 0, 0)
    if instance.point is None:
        return ext_scale_each(sums, doublings)
    prefix = eq(instance.point[:bound], point[len(point) - bound :])
    here = instance.point[bound]
    line = [ext_sub(ONE, here), ext_sub(ext_add(here, here), ONE)]
    return ext_scale_each(multiply(sums, line), ext_mul(prefix, doublings))


def multiply(a: Polynomial, b: Polynomial) -> Polynomial:
    """The product of two polynomials."""
    product = [ZERO] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] = ext_add(product[i + j], ext_mul(x, y))
    return product
