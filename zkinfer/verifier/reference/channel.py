"""Padded messages and sumcheck: docs/protocol/sumcheck-and-lookup.md, sections 1 and 2."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from zkinfer.errors import MalformedProofError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import (
    ONE,
    ZERO,
    Ext,
    ext_add,
    ext_inv,
    ext_mul,
    ext_neg,
    ext_pow,
    ext_scale,
    ext_sub,
)
from zkinfer.protocol.transcript import Transcript

Point = tuple[Ext, ...]
Product = tuple[Ext, tuple[int, ...]]
"""A term of a sumcheck: coefficient, and the factors that are multiplied."""

ELEMENT_BYTES = 21
HALF = ext_inv((2, 0, 0))


def integer(value: int) -> Ext:
    """An integer as an element."""
    return (value % P, 0, 0)


def decode(data: bytes) -> list[Ext]:
    """Extension elements from their canonical bytes.

    Raises:
        MalformedProofError: an integer is not below P. The caller has seen to the length.
    """
    numbers = decode_base(data)
    return [(numbers[i], numbers[i + 1], numbers[i + 2]) for i in range(0, len(numbers), 3)]


def decode_base(data: bytes) -> list[int]:
    """Base elements from their canonical bytes.

    Raises:
        MalformedProofError: as for `decode`.
    """
    numbers = [int.from_bytes(data[i : i + 7], "little") for i in range(0, len(data), 7)]
    if any(n >= P for n in numbers):
        raise MalformedProofError("an element of the field is not canonical")
    return numbers


def total(elements: Iterable[Ext]) -> Ext:
    """Their sum."""
    a = b = c = 0
    for x, y, z in elements:
        a, b, c = a + x, b + y, c + z
    return (a % P, b % P, c % P)


@dataclass(frozen=True)
class Form:
    """What the verifier knows of an element: constant + sum of coefficient * cell."""

    constant: Ext = ZERO
    cells: dict[int, Ext] = field(default_factory=dict)


def combine(*parts: tuple[Ext, Form]) -> Form:
    """The sum of coefficient * form."""
    constant = ZERO
    cells: dict[int, Ext] = {}
    for coefficient, form in parts:
        constant = ext_add(constant, ext_mul(coefficient, form.constant))
        for cell, value in form.cells.items():
            cells[cell] = ext_add(cells.get(cell, ZERO), ext_mul(coefficient, value))
    return Form(constant, cells)


MINUS = ext_neg(ONE)


class Channel:
    """Reads the padded message, and collects what is left to prove about the pads.

    Attributes:
        cells: for each cell None, a pad, or the numbers of the two cells whose product it is.
        constraints: forms that must be zero.
    """

    def __init__(self, transcript: Transcript, message: bytes) -> None:
        self.transcript = transcript
        self.cells: list[tuple[int, int] | None] = []
        self.constraints: list[Form] = []
        self._message = message
        self._known_products: dict[tuple[int, int], int] = {}

    def draw(self, label: str) -> Ext:
        return self.transcript.challenge_ext(label)

    def receive(self, label: str, count: int) -> list[Form]:
        """The next elements: as sent, plus a pad each."""
        data, self._message = self._message[: ELEMENT_BYTES * count], self._message[ELEMENT_BYTES * count :]
        if len(data) != ELEMENT_BYTES * count:
            raise MalformedProofError(f"the message ends within {label!r}")
        elements = decode(data)
        self.transcript.absorb(label, data)
        return [Form(element, pad.cells) for element, pad in zip(elements, self.reserve(count), strict=True)]

    def reserve(self, count: int) -> list[Form]:
        """The next pads, for elements that travel elsewhere."""
        first = len(self.cells)
        self.cells += [None] * count
        return [Form(ZERO, {cell: ONE}) for cell in range(first, first + count)]

    def multiply(self, a: Form, b: Form) -> Form:
        """The product; every product of two cells is a cell."""
        result = combine((b.constant, a), (a.constant, Form(ZERO, b.cells)))
        for i, x in a.cells.items():
            for j, y in b.cells.items():
                result = combine((ONE, result), (ext_mul(x, y), Form(ZERO, {self._product(i, j): ONE})))
        return result

    def _product(self, i: int, j: int) -> int:
        pair = (min(i, j), max(i, j))
        if pair not in self._known_products:
            self._known_products[pair] = len(self.cells)
            self.cells.append(pair)
        return self._known_products[pair]

    def require_zero(self, form: Form) -> None:
        self.constraints.append(form)

    def finish(self) -> None:
        if self._message:
            raise MalformedProofError("bytes follow the last message")


def sumcheck(
    channel: Channel,
    instances: Sequence[tuple[int, Sequence[Product]]],
    claims: Sequence[Form],
    point: Point | None = None,
) -> list[tuple[Point, list[Form]]]:
    """A batch of sumchecks.

    Args:
        instances: for each its number of variables, and its terms.
        claims: for each its sum.
        point: weighs every instance by eq at its last coordinates; without, the weights are 1.

    Returns:
        For each instance the end of the point, and what its factors are claimed to be there.
    """
    b = channel.draw("sumcheck batch") if len(instances) > 1 else ONE
    shares = [ext_pow(b, i) for i in range(len(instances))]
    target = combine(*zip(shares, claims, strict=True))
    degree = max(len(factors) for _, terms in instances for _, factors in terms)
    r: list[Ext] = []
    for j in range(max(n for n, _ in instances)):
        coefficients = channel.receive("sumcheck round", degree)
        r.append(channel.draw("sumcheck point"))
        w = HALF if point is None else point[j]
        powers = [ext_sub(ext_pow(r[-1], k), w) for k in range(1, degree + 1)]
        target = combine((ONE, target), *zip(powers, coefficients, strict=True))
    results = []
    for share, (n, terms) in zip(shares, instances, strict=True):
        values = channel.receive("sumcheck evaluations", 1 + max(max(factors) for _, factors in terms))
        scale = ext_scale(share, pow(2, n, P)) if point is None else share
        for coefficient, factors in terms:
            product = values[factors[0]]
            for k in factors[1:]:
                product = channel.multiply(product, values[k])
            target = combine((ONE, target), (ext_neg(ext_mul(scale, coefficient)), product))
        results.append((tuple(r[len(r) - n :]), values))
    channel.require_zero(target)
    return results
