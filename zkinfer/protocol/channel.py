"""The channel between prover and verifier: a protocol is one function, and a channel says which side runs it.

Every message is a list of extension elements. Plain, the elements themselves are absorbed and sent. Padded, each is
sent minus a pad, a uniformly random element that the prover committed to beforehand; what travels is then uniformly
random whatever it hides, and the verifier knows each element only as an affine form over the pads: a public constant
plus one unknown (Frigo and shelat 2024, "Anonymous credentials from ECDSA", ePrint 2024/2010).

Both sides therefore compute with affine forms and never branch on one. A check of the protocol becomes a linear
constraint over the pads and over products of pads, collected in `PadConstraints`. In the plain form all forms are
constants and each check is decided on the spot. Padded messages are accepted by nothing until a proof about the
committed pads shows that the constraints hold.

A protocol calls `exchange(label, count, make)` for each message. The prover's channel calls `make`, subtracts pads and
writes; the verifier's channel reads; the dry channel returns zeros and tells what a proof will consist of before there
is one. All three then do the same, on the same affine forms.
"""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError, ProvingError
from zkinfer.protocol.field.encoding import BASE_BYTES, EXT_BYTES, decode_array, decode_ext, encode_array, encode_ext
from zkinfer.protocol.field.scalar import (
    ONE,
    ZERO,
    Ext,
    ext_add,
    ext_dot,
    ext_mul,
    ext_neg,
    ext_sub_each,
)
from zkinfer.protocol.security import SoundnessTerm
from zkinfer.protocol.transcript import NONCE_BYTES, Transcript
from zkinfer.typing import IntArray

NO_WITNESS = "a prover's channel needs the witness of the protocol that it runs"

Make: TypeAlias = Callable[[], Sequence[Ext]] | None
"""Computes the elements of a message; only a prover has it."""


@dataclass(frozen=True)
class AffineForm:
    """constant + sum of coefficient * variable: what both sides know of an element.

    Attributes:
        constant: the public part.
        variables: coefficients by variable number, in the order of `PadConstraints.variables`; empty when all is
            public.
    """

    constant: Ext
    variables: Mapping[int, Ext] = field(default_factory=dict)

    def __add__(self, other: "AffineForm") -> "AffineForm":
        if not other.variables:
            return AffineForm(ext_add(self.constant, other.constant), self.variables)
        return combination((self, other), (ONE, ONE))

    def __sub__(self, other: "AffineForm") -> "AffineForm":
        return combination((self, other), (ONE, MINUS_ONE))

    def scale(self, factor: Ext) -> "AffineForm":
        """factor * self, for a public factor."""
        return self if factor == ONE else combination((self,), (factor,))


ZERO_FORM = AffineForm(ZERO)
MINUS_ONE = ext_neg(ONE)


def difference(form: AffineForm, others: Sequence[AffineForm]) -> AffineForm:
    """form minus all of the others."""
    return combination((form, *others), (ONE, *[MINUS_ONE] * len(others))) if others else form


def combination(forms: Sequence[AffineForm], coefficients: Sequence[Ext]) -> AffineForm:
    """sum of coefficients[i] * forms[i].

    Sums of many forms are made here and not one by one, which would copy what is summed so far every time.

    Raises:
        ValueError: not as many coefficients as forms.
    """
    variables: dict[int, Ext] = {}
    for form, factor in zip(forms, coefficients, strict=True):
        if factor == ONE and not variables:
            variables = dict(form.variables)
            continue
        for variable, coefficient in form.variables.items():
            # Most forms are one pad with coefficient one.
            product = factor if coefficient == ONE else ext_mul(factor, coefficient)
            known = variables.get(variable)
            variables[variable] = product if known is None else ext_add(known, product)
    return AffineForm(ext_dot(coefficients, [form.constant for form in forms]), variables)


@dataclass(frozen=True)
class LinearConstraint:
    """`form` is zero. `check` names the check of the protocol that it stands for."""

    check: str
    form: AffineForm


Variables: TypeAlias = Sequence[tuple[int, int] | None]
"""For each variable None, which is the next pad, or (a, b), the product of two variables before it."""


@dataclass
class PadConstraints:
    """All that is left to prove of padded messages.

    Attributes:
        variables: for each variable None, which is the next pad, or (a, b), the product of two variables before it.
        linear: affine forms over the variables that must be zero.

    The variables, and which of them a constraint touches, depend on the protocol's parameters alone; the coefficients
    also depend on the messages and challenges.
    """

    variables: list[tuple[int, int] | None] = field(default_factory=list)
    linear: list[LinearConstraint] = field(default_factory=list)

    @property
    def pads(self) -> int:
        """The number of pads: one for each element sent."""
        return sum(variable is None for variable in self.variables)

    def expand(self, pads: Sequence[Ext]) -> list[Ext]:
        """The contents of all variables.

        Raises:
            InvalidInputError: the wrong number of pads.
        """
        if len(pads) != self.pads:
            raise InvalidInputError(f"{self.pads} pads are needed, not {len(pads)}")
        remaining = iter(pads)
        contents: list[Ext] = []
        for variable in self.variables:
            contents.append(
                next(remaining) if variable is None else ext_mul(contents[variable[0]], contents[variable[1]])
            )
        return contents

    def check(self, contents: Sequence[Ext]) -> None:
        """Checks the constraints against the contents of all variables, products included.

        This is for the prover, who knows the pads, and for tests: it proves nothing to a verifier.

        Raises:
            InvalidInputError: the wrong number of contents.
            InvalidProofError: a constraint does not hold; the message names the first.
        """
        if len(contents) != len(self.variables):
            raise InvalidInputError(f"there are {counted(len(self.variables), 'variable')}, not {len(contents):,}")
        for index, variable in enumerate(self.variables):
            if variable is not None and contents[index] != ext_mul(contents[variable[0]], contents[variable[1]]):
                a, b = variable
                raise InvalidProofError(f"variable {index} is not the product of variables {a} and {b}")
        for constraint in self.linear:
            variables = constraint.form.variables
            total = ext_dot(list(variables.values()), [contents[variable] for variable in variables])
            if ext_add(constraint.form.constant, total) != ZERO:
                raise InvalidProofError(f"the check {constraint.check!r} fails")


class Wire(Protocol):
    """One side's end of a sequence of bytes; both sides know the size of every piece.

    Attributes:
        reads: it is the verifier's end: what comes from it was made by the other side, and has to be checked.
    """

    reads: bool

    def exchange(self, count: int, make: Callable[[], bytes] | None) -> bytes:
        """The next `count` bytes: made and written, or read."""

    def finish(self) -> None:
        """Ends the sequence: nothing may be left.

        Raises:
            MalformedProofError: bytes are left over.
        """


class Writer:
    """The prover's end of a wire: collects what is made.

    Attributes:
        written: all pieces so far.
    """

    reads = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def exchange(self, count: int, make: Callable[[], bytes] | None) -> bytes:
        if make is None:
            raise InvalidInputError(NO_WITNESS)
        piece = make()
        if len(piece) != count:
            raise InvalidInputError(f"the protocol sends {counted(count, 'byte')} here, not {len(piece):,}")
        self._parts.append(piece)
        return piece

    def finish(self) -> None:
        """Nothing is left to write."""

    @property
    def written(self) -> bytes:
        return b"".join(self._parts)


class Reader:
    """The verifier's end of a wire: takes a proof apart, from the front.

    Args:
        data: what the prover's end wrote.
        name: of these bytes, for errors.
    """

    reads = True

    def __init__(self, data: bytes, name: str = "message") -> None:
        self._data = data
        self._name = name
        self._offset = 0

    def exchange(self, count: int, make: Callable[[], bytes] | None) -> bytes:
        """The next bytes; `make` is a prover's and is not called.

        Raises:
            MalformedProofError: the bytes end before.
        """
        end = self._offset + count
        if end > len(self._data):
            raise MalformedProofError(f"the {self._name} ends at byte {len(self._data)}, before byte {end}")
        piece = self._data[self._offset : end]
        self._offset = end
        return piece

    def finish(self) -> None:
        if self._offset != len(self._data):
            raise MalformedProofError(f"{len(self._data) - self._offset:,} bytes follow the end of the {self._name}")


class ZeroWire:
    """The end of a wire in a dry run: every piece is zeros, and nothing is kept."""

    reads = False

    def exchange(self, count: int, make: Callable[[], bytes] | None) -> bytes:
        return bytes(count)

    def finish(self) -> None:
        """Nothing is left."""


def exchange_work(transcript: Transcript, wire: Wire, label: str, bits: int) -> None:
    """Proof of work: the prover searches a nonce and sends it, and both sides check and bind it.

    Raises:
        MalformedProofError: the bytes end before the nonce.
        InvalidProofError: the nonce does not show the work.
    """
    sent = wire.exchange(NONCE_BYTES, lambda: transcript.solve(label, bits).to_bytes(NONCE_BYTES, "little"))
    transcript.check_grind(label, bits, int.from_bytes(sent, "little"))


class Channel(ABC):
    """One side's end of a protocol's messages.

    Args:
        transcript: in the same state on both sides.
        wire: where messages travel.
        padded: whether elements are sent minus pads. The statement says so, never the proof.

    Attributes:
        terms: of the soundness of what was run so far.
        places: how many places the sumchecks of each name ran over; what estimates of cost need.
    """

    def __init__(self, transcript: Transcript, wire: Wire, *, padded: bool) -> None:
        self.transcript = transcript
        self.terms: list[SoundnessTerm] = []
        self.places: Counter[str] = Counter()
        self._wire = wire
        self._padded = padded
        self._constraints = PadConstraints()
        self._products: dict[tuple[int, int], int] = {}

    @abstractmethod
    def _transfer(self, wire: Wire, count: int, make: Make) -> tuple[bytes, list[Ext]]:
        """The bytes of a message as they travel, and the elements that they encode."""

    def exchange(self, label: str, count: int, make: Make = None, wire: Wire | None = None) -> list[AffineForm]:
        """A message of `count` elements, absorbed by the transcript.

        Args:
            label: names the message in the transcript.
            count: known to both sides before the message.
            make: computes the elements; only the prover's channel calls it.
            wire: where the message travels, if not with the channel's other messages.

        Raises:
            MalformedProofError: the message ends before, or an element is not canonical.
            InvalidInputError: the prover has no pads left, or makes another number of elements.
        """
        data, elements = self._transfer(wire or self._wire, count, make)
        self.transcript.absorb(label, data)
        if not self._padded:
            return [AffineForm(element) for element in elements]
        first = self._new_pads(count)
        return [AffineForm(element, {number: ONE}) for number, element in enumerate(elements, first)]

    @abstractmethod
    def exchange_array(
        self, label: str, shape: tuple[int, ...], make: Callable[[], IntArray] | None, wire: Wire
    ) -> IntArray:
        """A message of base field elements that are public as they are: canonical, of this shape.

        Raises:
            MalformedProofError: the message ends before, or an element is not canonical.
        """

    def absorb(self, label: str, *pieces: bytes) -> None:
        """Binds public data that both sides know and nobody sends."""
        self.transcript.absorb(label, *pieces)

    def challenge(self, label: str) -> Ext:
        """A challenge that depends on everything absorbed and exchanged so far."""
        return self.transcript.challenge_ext(label)

    def note(self, *terms: SoundnessTerm) -> None:
        """Records how what is being run can fail."""
        self.terms.extend(terms)

    def multiply(self, a: AffineForm, b: AffineForm) -> AffineForm:
        """The product; in the padded form each product of two variables becomes a variable of its own."""
        products: dict[int, Ext] = {}
        for i, x in a.variables.items():
            for j, y in b.variables.items():
                variable = self._product(min(i, j), max(i, j))
                product = y if x == ONE else x if y == ONE else ext_mul(x, y)
                products[variable] = ext_add(products[variable], product) if variable in products else product
        linear = AffineForm(ZERO, a.variables), b, AffineForm(ZERO, products)
        return combination(linear, (b.constant, a.constant, ONE))

    def require_zero(self, check: str, form: AffineForm) -> None:
        """Plain: checks that the form is zero. Padded: records that it must be.

        Raises:
            InvalidProofError: plain, and it is not.
        """
        if self._padded:
            self._constraints.linear.append(LinearConstraint(check, form))
        elif form.constant != ZERO:
            raise InvalidProofError(f"the check {check!r} fails")

    def finish(self) -> None:
        """Ends a plain protocol: nothing may be left of the message.

        Raises:
            MalformedProofError: bytes are left over.
            InvalidProofError: the messages are padded, so that nothing is proven before the constraints are.
        """
        if self._padded:
            raise InvalidProofError("padded messages prove nothing without a proof about their pads")
        self._wire.finish()

    def constraints(self) -> PadConstraints:
        """Ends a padded protocol: what a proof about the pads must show.

        Raises:
            MalformedProofError: bytes are left over.
            InvalidInputError: the messages are plain.
        """
        if not self._padded:
            raise InvalidInputError("plain messages leave no constraints: end with finish()")
        self._wire.finish()
        return self._constraints

    def _new_pads(self, count: int) -> int:
        """Adds so many variables; the number of the first."""
        first = len(self._constraints.variables)
        self._constraints.variables += [None] * count
        return first

    def _product(self, i: int, j: int) -> int:
        if (i, j) not in self._products:
            self._products[i, j] = len(self._constraints.variables)
            self._constraints.variables.append((i, j))
        return self._products[i, j]


class ProverChannel(Channel):
    """The prover's end: makes, pads, absorbs and writes.

    Args:
        transcript: shared with the rest of the proof.
        wire: where messages are written.
        pads: None for plain messages; otherwise uniformly random elements, committed before the first message, used
            once, as many as will be sent.
    """

    def __init__(self, transcript: Transcript, wire: Wire, pads: Sequence[Ext] | None = None) -> None:
        super().__init__(transcript, wire, padded=pads is not None)
        self._pads = list(pads or ())
        self._sent = 0

    def _transfer(self, wire: Wire, count: int, make: Make) -> tuple[bytes, list[Ext]]:
        if make is None:
            raise InvalidInputError(NO_WITNESS)
        values = list(make())
        if len(values) != count:
            raise InvalidInputError(f"the protocol sends {counted(count, 'element')} here, not {len(values):,}")
        if self._padded:
            pads = self._pads[self._sent : self._sent + count]
            if len(pads) < count:
                raise InvalidInputError(f"only {len(self._pads)} pads were committed: too few for what is sent")
            values = ext_sub_each(values, pads)
        self._sent += count
        return wire.exchange(count * EXT_BYTES, lambda: encode_ext(values)), values

    def exchange_array(
        self, label: str, shape: tuple[int, ...], make: Callable[[], IntArray] | None, wire: Wire
    ) -> IntArray:
        if make is None:
            raise InvalidInputError(NO_WITNESS)
        array = make()
        data = wire.exchange(math.prod(shape) * BASE_BYTES, lambda: encode_array(array).tobytes())
        self.transcript.absorb(label, data)
        return array.reshape(shape)

    def require_zero(self, check: str, form: AffineForm) -> None:
        """As for every channel, but a plain check that fails means that the prover was given a false statement.

        Raises:
            ProvingError: plain, and the form is not zero.
        """
        try:
            super().require_zero(check, form)
        except InvalidProofError as error:
            raise ProvingError(f"what is to be proven is false: {error}") from None


class VerifierChannel(Channel):
    """The verifier's end: reads a message whose every size the verifier knows.

    Args:
        transcript: in the state in which the prover's was.
        wire: where messages are read.
        padded: whether the statement asks for padded messages; the verifier's own decision, never the proof's.
    """

    def __init__(self, transcript: Transcript, wire: Wire, *, padded: bool = False) -> None:
        super().__init__(transcript, wire, padded=padded)

    def _transfer(self, wire: Wire, count: int, make: Make) -> tuple[bytes, list[Ext]]:
        data = wire.exchange(count * EXT_BYTES, None)
        return data, decode_ext(data, count)

    def exchange_array(
        self, label: str, shape: tuple[int, ...], make: Callable[[], IntArray] | None, wire: Wire
    ) -> IntArray:
        data = wire.exchange(math.prod(shape) * BASE_BYTES, None)
        array = decode_array(data, shape)
        self.transcript.absorb(label, data)
        return array


class DryChannel(Channel):
    """Neither end: every element is zero. Tells the constraints' variables and the soundness before there is a proof.

    Neither depends on what is sent, with overwhelming probability over the challenges.
    """

    def __init__(self) -> None:
        super().__init__(Transcript(b"dry run"), ZeroWire(), padded=True)

    def _transfer(self, wire: Wire, count: int, make: Make) -> tuple[bytes, list[Ext]]:
        return bytes(count * EXT_BYTES), [ZERO] * count

    def exchange_array(
        self, label: str, shape: tuple[int, ...], make: Callable[[], IntArray] | None, wire: Wire
    ) -> IntArray:
        return np.zeros(shape, dtype=np.int64)

    def reserve(self, count: int) -> None:
        """Adds the pads of elements that openings send, which a dry run leaves out."""
        self._new_pads(count)
