"""The channel between prover and verifier: one protocol, its messages plain or padded.

Every message is a list of extension elements. Plain, the elements themselves are absorbed and sent. Padded, each is
sent minus a pad, a uniformly random element that the prover committed to beforehand; what travels is then uniformly
random whatever it hides, and the verifier knows each element only as an affine form over the pads: public constant
plus one unknown (Frigo and shelat 2024, "Anonymous credentials from ECDSA").

The verifier therefore computes with affine forms and never branches on one. What it would check becomes a linear
constraint over the pads and over products of pads, collected in `PadConstraints`. In the plain form all values are
constants and each check is decided on the spot. Padded messages are accepted by nothing until a proof about the
committed pads shows that the constraints hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError
from zkinfer.protocol.field.encoding import EXT_BYTES, decode_ext, encode_ext
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul, ext_neg, ext_sub


class Challenger(Protocol):
    """What a channel needs of a transcript."""

    def absorb(self, label: str, data: bytes) -> None: ...

    def challenge_ext(self, label: str) -> Ext: ...


@dataclass(frozen=True)
class AffineForm:
    """constant + sum of coefficient * cell: what the verifier knows of an element.

    Attributes:
        constant: the public part.
        cells: coefficients by cell number, the order of `PadConstraints.cells`; empty when all is public.
    """

    constant: Ext
    cells: Mapping[int, Ext] = field(default_factory=dict)

    def __add__(self, other: "AffineForm") -> "AffineForm":
        if not other.cells:
            return AffineForm(ext_add(self.constant, other.constant), self.cells)
        cells = dict(self.cells)
        _add_cells(cells, other.cells)
        return AffineForm(ext_add(self.constant, other.constant), cells)

    def __sub__(self, other: "AffineForm") -> "AffineForm":
        return self + AffineForm(ext_neg(other.constant), {cell: ext_neg(c) for cell, c in other.cells.items()})

    def scale(self, factor: Ext) -> "AffineForm":
        """factor * self, for a public factor."""
        if factor == ONE:
            return self
        return AffineForm(ext_mul(factor, self.constant), _scaled_cells(self.cells, factor))


ZERO_FORM = AffineForm(ZERO)


def combination(values: Sequence[AffineForm], coefficients: Sequence[Ext]) -> AffineForm:
    """sum of coefficients[i] * values[i].

    Raises:
        ValueError: not as many coefficients as values.
    """
    constant, cells = ZERO, dict[int, Ext]()
    for value, coefficient in zip(values, coefficients, strict=True):
        constant = ext_add(constant, ext_mul(coefficient, value.constant))
        _add_cells(cells, _scaled_cells(value.cells, coefficient))
    return AffineForm(constant, cells)


def _add_cells(cells: dict[int, Ext], others: Mapping[int, Ext]) -> None:
    """Adds coefficients to those of a form."""
    for cell, coefficient in others.items():
        cells[cell] = ext_add(cells[cell], coefficient) if cell in cells else coefficient


def _scaled_cells(cells: Mapping[int, Ext], factor: Ext) -> dict[int, Ext]:
    """Coefficients times a factor; that of a pad just received is one."""
    return {cell: factor if c == ONE else ext_mul(factor, c) for cell, c in cells.items()}


@dataclass(frozen=True)
class LinearConstraint:
    """`value` is zero. `check` names the check of the protocol that it stands for."""

    check: str
    value: AffineForm


@dataclass
class PadConstraints:
    """All that is left to prove of padded messages.

    Attributes:
        cells: for each cell None, which is the next pad, or (a, b), the product of two cells before it.
        linear: affine forms over the cells that must be zero.

    The cells and which of them a constraint touches depend on the protocol's parameters alone, the coefficients also
    on the messages and challenges.
    """

    cells: list[tuple[int, int] | None] = field(default_factory=list)
    linear: list[LinearConstraint] = field(default_factory=list)

    @property
    def pads(self) -> int:
        """The number of pads: one for each element sent."""
        return sum(cell is None for cell in self.cells)

    def expand(self, pads: Sequence[Ext]) -> list[Ext]:
        """The contents of all cells.

        Raises:
            InvalidInputError: the wrong number of pads.
        """
        if len(pads) != self.pads:
            raise InvalidInputError(f"{self.pads} pads are needed, not {len(pads)}")
        remaining = iter(pads)
        contents: list[Ext] = []
        for cell in self.cells:
            contents.append(next(remaining) if cell is None else ext_mul(contents[cell[0]], contents[cell[1]]))
        return contents

    def check(self, contents: Sequence[Ext]) -> None:
        """Checks the constraints against the contents of all cells, products included.

        This is for the prover, who knows the pads, and for tests: it proves nothing to a verifier.

        Raises:
            InvalidInputError: the wrong number of contents.
            InvalidProofError: a constraint does not hold; the message names the first.
        """
        if len(contents) != len(self.cells):
            raise InvalidInputError(f"there are {len(self.cells)} cells, not {len(contents)}")
        for index, cell in enumerate(self.cells):
            if cell is not None and contents[index] != ext_mul(contents[cell[0]], contents[cell[1]]):
                raise InvalidProofError(f"cell {index} is not the product of cells {cell[0]} and {cell[1]}")
        for constraint in self.linear:
            total = constraint.value.constant
            for index, coefficient in constraint.value.cells.items():
                total = ext_add(total, ext_mul(coefficient, contents[index]))
            if total != ZERO:
                raise InvalidProofError(f"the check {constraint.check!r} fails")


class ProverChannel:
    """The prover's end: absorbs and collects what is sent.

    Args:
        transcript: shared with the rest of the proof.
        pads: None for plain messages; otherwise uniformly random elements, committed before the first message, used
            once, as many as will be sent.
    """

    def __init__(self, transcript: Challenger, pads: Sequence[Ext] | None = None) -> None:
        self._transcript = transcript
        self._pads = None if pads is None else list(pads)
        self._sent = 0
        self._parts: list[bytes] = []

    def absorb(self, label: str, data: bytes) -> None:
        """Binds public data that both sides know and nobody sends."""
        self._transcript.absorb(label, data)

    def send(self, label: str, values: Sequence[Ext]) -> None:
        """Sends elements.

        Raises:
            InvalidInputError: padded, and the pads are used up.
        """
        if self._pads is not None:
            pads = self._pads[self._sent : self._sent + len(values)]
            if len(pads) < len(values):
                raise InvalidInputError(f"only {len(self._pads)} pads were committed: too few for what is sent")
            values = [ext_sub(value, pad) for value, pad in zip(values, pads, strict=True)]
        self._sent += len(values)
        data = encode_ext(values)
        self._transcript.absorb(label, data)
        self._parts.append(data)

    def reserve(self, count: int) -> list[Ext]:
        """Pads for elements that travel by another way than this channel, in the order of the verifier's `reserve`.

        Raises:
            InvalidInputError: the messages are plain, or the pads are used up.
        """
        if self._pads is None or self._sent + count > len(self._pads):
            raise InvalidInputError(f"there are not {count} pads left to reserve")
        self._sent += count
        return self._pads[self._sent - count : self._sent]

    def challenge(self, label: str) -> Ext:
        """A challenge that depends on everything absorbed and sent so far."""
        return self._transcript.challenge_ext(label)

    @property
    def message(self) -> bytes:
        """All that was sent."""
        return b"".join(self._parts)


class VerifierChannel:
    """The verifier's end: reads a message whose every size the verifier knows.

    Args:
        transcript: in the state in which the prover's was.
        message: what the prover's channel sent.
        padded: whether the statement asks for padded messages; the verifier's own decision, never the proof's.
    """

    def __init__(self, transcript: Challenger, message: bytes, *, padded: bool = False) -> None:
        self._transcript = transcript
        self._message = message
        self._offset = 0
        self._padded = padded
        self._constraints = PadConstraints()
        self._products: dict[tuple[int, int], int] = {}

    def absorb(self, label: str, data: bytes) -> None:
        """Binds public data that both sides know and nobody sends."""
        self._transcript.absorb(label, data)

    def receive(self, label: str, count: int) -> list[AffineForm]:
        """The next `count` elements.

        Raises:
            MalformedProofError: the message ends before, or an element is not canonical.
        """
        end = self._offset + count * EXT_BYTES
        if end > len(self._message):
            raise MalformedProofError(f"the message ends at byte {len(self._message)}, within {label!r}")
        data = self._message[self._offset : end]
        elements = decode_ext(data, count)
        self._offset = end
        self._transcript.absorb(label, data)
        return [AffineForm(element, self._new_pad()) for element in elements]

    def extend(self, message: bytes) -> None:
        """Appends to the message: for a message that is still being made."""
        self._message += message

    def reserve(self, count: int) -> list[AffineForm]:
        """The pads of elements that travel by another way than this channel.

        Raises:
            InvalidInputError: the messages are plain.
        """
        if not self._padded:
            raise InvalidInputError("plain messages have no pads")
        return [AffineForm(ZERO, self._new_pad()) for _ in range(count)]

    def _new_pad(self) -> dict[int, Ext]:
        if not self._padded:
            return {}
        self._constraints.cells.append(None)
        return {len(self._constraints.cells) - 1: ONE}

    def challenge(self, label: str) -> Ext:
        """A challenge that depends on everything absorbed and received so far."""
        return self._transcript.challenge_ext(label)

    def multiply(self, a: AffineForm, b: AffineForm) -> AffineForm:
        """The product; in the padded form each product of two cells becomes a cell of its own."""
        result = AffineForm(ZERO, a.scale(b.constant).cells) + b.scale(a.constant)
        for i, x in a.cells.items():
            for j, y in b.cells.items():
                result = result + AffineForm(ZERO, {self._product_cell(min(i, j), max(i, j)): ext_mul(x, y)})
        return result

    def _product_cell(self, i: int, j: int) -> int:
        if (i, j) not in self._products:
            self._products[i, j] = len(self._constraints.cells)
            self._constraints.cells.append((i, j))
        return self._products[i, j]

    def require_zero(self, check: str, value: AffineForm) -> None:
        """Plain: checks that the value is zero. Padded: records that it must be.

        Raises:
            InvalidProofError: plain, and it is not.
        """
        if self._padded:
            self._constraints.linear.append(LinearConstraint(check, value))
        elif value.constant != ZERO:
            raise InvalidProofError(f"the check {check!r} fails")

    def finish(self) -> None:
        """Ends a plain verification: nothing may be left of the message.

        Raises:
            MalformedProofError: bytes are left over.
            InvalidProofError: the messages are padded, so that nothing is proven before the constraints are.
        """
        if self._padded:
            raise InvalidProofError("padded messages prove nothing without a proof about their pads")
        self._require_end()

    def constraints(self) -> PadConstraints:
        """Ends a padded verification: what a proof about the pads must show.

        Raises:
            MalformedProofError: bytes are left over.
            InvalidInputError: the messages are plain.
        """
        if not self._padded:
            raise InvalidInputError("plain messages leave no constraints: end with finish()")
        self._require_end()
        return self._constraints

    def _require_end(self) -> None:
        if self._offset != len(self._message):
            raise MalformedProofError(f"{len(self._message) - self._offset} bytes follow the last message")
