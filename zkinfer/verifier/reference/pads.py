"""The proof about the pads: docs/protocol/sumcheck-and-lookup.md, section 4."""

from dataclasses import dataclass

from zkinfer.errors import InvalidProofError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ext_add, ext_mul, ext_sub, root_of_unity
from zkinfer.verifier.reference.channel import Channel
from zkinfer.verifier.reference.elements import ELEMENT_BYTES, FIELD_SIZE, ByteReader, decode_elements, evaluate, total
from zkinfer.verifier.reference.merkle import read_columns

NONCE_BYTES = 8
UNGROUND_LENGTH = 15


@dataclass(frozen=True)
class PadSizes:
    """How hard the proof about the pads is checked, and the sizes that follow.

    Attributes:
        error_bits: drawn columns miss a wrong word with probability 2^-error_bits.
        grinding: bits of work before they are drawn.
    """

    error_bits: int = 132
    grinding: int = 8

    def log_length(self, variables: int) -> int:
        """A codeword has n = 2^log_length symbols, one in each column."""
        log_length = 0
        while 1 << log_length < 4 * (variables + 2 * self.error_bits):
            log_length += 1
        return log_length

    def queries(self, variables: int) -> int:
        """Columns that are drawn: t."""
        n, t = 1 << self.log_length(variables), 1
        while self._agreeing(variables, t) ** t * 2 ** (self.error_bits - self.grinding) > n**t:
            t += 1
        return t

    def _agreeing(self, variables: int, t: int) -> int:
        """Places in which a wrong word agrees with the columns, at most: A."""
        n, k = 1 << self.log_length(variables), variables + 1 + t
        return n - (n - k) // 2 - 1

    def point_grinding(self, variables: int) -> int:
        """Bits of work before the point."""
        return max(0, self.log_length(variables) - UNGROUND_LENGTH)

    def errors(self, variables: int) -> list[float]:
        """The probabilities that constraints that do not hold are accepted, step by step."""
        n, t = 1 << self.log_length(variables), self.queries(variables)
        return [
            1 / FIELD_SIZE,
            n / FIELD_SIZE / 2 ** self.point_grinding(variables),
            (self._agreeing(variables, t) / n) ** t / 2**self.grinding,
        ]


PADS = PadSizes()


def verify_pads(channel: Channel, sizes: PadSizes, root: bytes, proof: bytes) -> None:
    """Check that the committed pads satisfy all constraints of a padded channel.

    Args:
        channel: after its last message and the openings.
        sizes: of the proof.
        root: of the pads' tree, which the transcript has absorbed before the first message.
        proof: the prover's bytes.

    Raises:
        VerificationError: a check fails.
    """
    transcript, reader = channel.transcript, ByteReader(proof, "the proof about the pads")
    count = len(channel.variables)
    log_length, t = sizes.log_length(count), sizes.queries(count)
    products = [(number, pair) for number, pair in enumerate(channel.variables) if pair is not None]

    # Step 1: a coefficient for each constraint.
    linear = transcript.challenge_exts("pads linear", len(channel.constraints))
    of_products = transcript.challenge_exts("pads products", len(products))

    # Steps 2 to 5: the line, the point, the word, columns.
    start, slope = reader.elements(2)
    transcript.absorb_ext("pads line", [start, slope])
    _check_work(channel, reader, "pads point grinding", sizes.point_grinding(count))
    point = transcript.challenge_ext("pads point")
    word = reader.elements(count + 1 + t)
    transcript.absorb_ext("pads word", word)
    _check_work(channel, reader, "pads query grinding", sizes.grinding)
    drawn = sorted(set(transcript.challenge_indices("pads queries", 1 << log_length, t)))
    columns = read_columns(reader, root, log_length, drawn, 2 * ELEMENT_BYTES)
    reader.finish()

    # Step 6: the word satisfies the constraints, as far as a point of a line can.
    violations = word[count]
    for r, form in zip(linear, channel.constraints, strict=True):
        at_point = total(ext_mul(coefficient, word[variable]) for variable, coefficient in form.coefficients.items())
        constant = ext_mul(point, form.constant)
        violations = ext_add(violations, ext_mul(r, ext_mul(point, ext_add(at_point, constant))))
    for chi, (number, (a, b)) in zip(of_products, products, strict=True):
        wrong = ext_sub(ext_mul(word[a], word[b]), ext_mul(point, word[number]))
        violations = ext_add(violations, ext_mul(chi, wrong))
    if violations != ext_add(start, ext_mul(point, slope)):
        raise InvalidProofError("the pads do not satisfy the constraints")

    # Step 7: it is a word of the line that the columns commit to.
    generator = root_of_unity(1 << log_length)
    for j, column in zip(drawn, columns, strict=True):
        first, second = decode_elements(column)
        if evaluate(word, pow(generator, j, P)) != ext_add(second, ext_mul(point, first)):
            raise InvalidProofError("the word about the pads is not that of the columns")


def _check_work(channel: Channel, reader: ByteReader, label: str, bits: int) -> None:
    channel.transcript.check_grind(label, bits, int.from_bytes(reader.take(NONCE_BYTES), "little"))
