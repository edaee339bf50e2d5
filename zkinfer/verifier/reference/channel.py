"""The channel, plain or padded: docs/protocol/sumcheck-and-lookup.md, section 1."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from zkinfer.errors import InvalidProofError
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference.elements import FIELD_SIZE, MINUS_ONE, ByteReader


@dataclass(frozen=True)
class AffineForm:
    """What the verifier knows of an element: constant + sum of coefficient * variable.

    Attributes:
        constant: the public part.
        coefficients: by the number of the variable; empty for an element that is public.
    """

    constant: Ext = ZERO
    coefficients: dict[int, Ext] = field(default_factory=dict)

    def __add__(self, other: "AffineForm") -> "AffineForm":
        return sum_of([self, other])

    def __sub__(self, other: "AffineForm") -> "AffineForm":
        return self + other.scaled(MINUS_ONE)

    def scaled(self, factor: Ext) -> "AffineForm":
        """factor * self, for a public factor."""
        scaled = {variable: ext_mul(factor, c) for variable, c in self.coefficients.items()}
        return AffineForm(ext_mul(factor, self.constant), scaled)


def sum_of(forms: Iterable[AffineForm]) -> AffineForm:
    """The sum of forms."""
    constant, coefficients = ZERO, dict[int, Ext]()
    for form in forms:
        constant = ext_add(constant, form.constant)
        for variable, coefficient in form.coefficients.items():
            coefficients[variable] = ext_add(coefficients.get(variable, ZERO), coefficient)
    return AffineForm(constant, coefficients)


class Channel:
    """Reads the prover's message, draws challenges, and keeps what is left to prove.

    Args:
        transcript: that both sides continue with.
        message: elements one after another: as they are, or each less a pad that the prover has committed to.
        padded: whether pads were subtracted.

    Attributes:
        variables: one entry for each variable of the affine forms: None for a pad; for a product of two variables
            their numbers, the smaller one first. Empty if the channel is plain.
        constraints: forms that the pads have to make zero. Empty if the channel is plain.
        error: the sum of the probabilities with which the challenges that were drawn with a degree make a false claim
            true.
    """

    def __init__(self, transcript: Transcript, message: bytes, *, padded: bool = True) -> None:
        self.transcript, self.padded = transcript, padded
        self.variables: list[tuple[int, int] | None] = []
        self.constraints: list[AffineForm] = []
        self.error = 0.0
        self._message = ByteReader(message, "the message")
        self._products: dict[tuple[int, int], int] = {}

    def draw(self, label: str, degree: int = 0) -> Ext:
        """A challenge.

        Args:
            degree: a false claim becomes true with probability at most degree / |K|. Zero where the caller counts the
                probability elsewhere.
        """
        self.error += degree / FIELD_SIZE
        return self.transcript.challenge_ext(label)

    def receive(self, label: str, count: int) -> list[AffineForm]:
        """The next elements of the message.

        Raises:
            MalformedProofError: the message ends before them, or they are not canonical.
        """
        sent = self._message.elements(count)
        self.transcript.absorb_ext(label, sent)
        return self.with_pads(sent)

    def with_pads(self, sent: list[Ext]) -> list[AffineForm]:
        """What is known of elements that were sent in any way: on a padded channel each is less its own new pad."""
        if not self.padded:
            return [AffineForm(element) for element in sent]
        first = len(self.variables)
        self.variables += [None] * len(sent)
        return [AffineForm(element, {first + i: ONE}) for i, element in enumerate(sent)]

    def multiply(self, a: AffineForm, b: AffineForm) -> AffineForm:
        """The product of two forms; every product of two variables that occurs is a variable itself."""
        result = a.scaled(b.constant) + AffineForm(ZERO, b.coefficients).scaled(a.constant)
        for i, x in a.coefficients.items():
            for j, y in b.coefficients.items():
                result += AffineForm(ZERO, {self._product(i, j): ext_mul(x, y)})
        return result

    def _product(self, i: int, j: int) -> int:
        pair = (min(i, j), max(i, j))
        if pair not in self._products:
            self._products[pair] = len(self.variables)
            self.variables.append(pair)
        return self._products[pair]

    def require_zero(self, form: AffineForm) -> None:
        """Plain: check that the form is zero. Padded: leave this to the proof about the pads.

        Raises:
            InvalidProofError: it is not zero.
        """
        if self.padded:
            self.constraints.append(form)
        elif form.constant != ZERO:
            raise InvalidProofError("a check of the message fails")

    def finish(self) -> None:
        """Check that the whole message was read.

        Raises:
            MalformedProofError: bytes are left.
        """
        self._message.finish()
