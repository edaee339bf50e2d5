"""The proof about the pads: docs/protocol/sumcheck-and-lookup.md, section 4."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from zkinfer.errors import InvalidProofError
from zkinfer.protocol.field.params import GENERATOR, P
from zkinfer.protocol.field.scalar import (
    ZERO,
    Ext,
    ext_add,
    ext_dot,
    ext_mul,
    ext_neg,
    ext_scale,
    ext_sub,
    inv,
    root_of_unity,
)
from zkinfer.verifier.reference.channel import Channel
from zkinfer.verifier.reference.elements import ELEMENT_BYTES, FIELD_SIZE, ByteReader, decode_elements, evaluate, total
from zkinfer.verifier.reference.merkle import read_columns


@dataclass(frozen=True)
class PadSizes:
    """Sizes of the proof about the pads.

    Attributes:
        log_dimension: a word has k = 2^log_dimension coefficients.
        log_length: a codeword has n = 2^log_length symbols, one in each column.
        queries: t columns are drawn.
    """

    log_dimension: int = 8
    log_length: int = 13
    queries: int = 154

    @property
    def dimension(self) -> int:
        """Coefficients of a word: k."""
        return 1 << self.log_dimension

    @property
    def length(self) -> int:
        """Columns: n."""
        return 1 << self.log_length

    @property
    def data(self) -> int:
        """Cells in a word: l = k - t."""
        return self.dimension - self.queries

    @property
    def mask_pieces(self) -> int:
        """Words that the mask of a test is cut into: s."""
        return 1 + math.ceil((self.dimension - 1) / self.data)

    @property
    def coefficients(self) -> tuple[int, int, int]:
        """How many the polynomials u, v and q have."""
        return self.dimension, 2 * self.dimension - 1, 2 * self.dimension - 1

    @property
    def error(self) -> float:
        """The largest probability that constraints that do not hold are accepted."""
        n, k = self.length, self.dimension
        e, d = (n - k) // 2, max(2 * k - 1, (self.mask_pieces - 1) * self.data + k)
        return float((n + 2) / FIELD_SIZE + (max(n - e - 1, d - 1 + e) / n) ** self.queries)


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
    products = [pair for pair in channel.variables if pair is not None]
    pad_words = -(-(len(channel.variables) - len(products)) // sizes.data)
    h = -(-len(products) // sizes.data)
    data_words = pad_words + 3 * h
    words = data_words + 1 + 2 * sizes.mask_pieces

    # Step 1: the weights of all cells in the linear test.
    combination = transcript.challenge_exts("pads combination", words - 1)
    linear = transcript.challenge_exts("pads linear", len(channel.constraints))
    copies = transcript.challenge_exts("pads factors", 2 * len(products))
    ys = transcript.challenge_exts("pads products", h)
    first_factor, second_factor = (pad_words * sizes.data, (pad_words + h) * sizes.data)
    weights, right_side = _cell_weights(channel, (first_factor, second_factor), linear, copies)

    # Steps 2 and 3: three polynomials, then columns.
    sent = [reader.elements(size) for size in sizes.coefficients]
    u, v, q = sent
    transcript.absorb_ext("pads polynomials", [c for polynomial in sent for c in polynomial])
    drawn = sorted(set(transcript.challenge_indices("pads queries", sizes.length, sizes.queries)))
    columns = read_columns(reader, root, sizes.log_length, drawn, ELEMENT_BYTES * words)
    reader.finish()

    # Step 4: the linear constraints hold, and every cell of a product is the product.
    coset = [GENERATOR * pow(root_of_unity(sizes.dimension), c, P) % P for c in range(sizes.data)]
    if total(evaluate(v, z) for z in coset) != right_side:
        raise InvalidProofError("the pads do not satisfy the linear constraints")
    if any(evaluate(q, z) != ZERO for z in coset):
        raise InvalidProofError("a cell is not the product that it stands for")

    # Step 5: the three polynomials are those that the words give.
    generator = root_of_unity(sizes.length)
    for j, column in zip(drawn, columns, strict=True):
        x, word = pow(generator, j, P), decode_elements(column)
        data, mask, pieces = word[:data_words], word[data_words], word[data_words + 1 :]
        at_u = ext_add(mask, ext_dot(combination, [*data, *pieces]))
        tested = ext_dot(_word_weights(weights, data_words, coset, sizes, x), data)
        at_v = ext_add(_assembled(pieces[: sizes.mask_pieces], x, sizes), tested)
        one, two, three = (data[pad_words + i * h :][:h] for i in range(3))
        wrong = [ext_sub(ext_mul(a, b), c) for a, b, c in zip(one, two, three, strict=True)]
        at_q = ext_add(_assembled(pieces[sizes.mask_pieces :], x, sizes), ext_dot(ys, wrong))
        if (at_u, at_v, at_q) != (evaluate(u, x), evaluate(v, x), evaluate(q, x)):
            raise InvalidProofError("the polynomials about the pads are not those of the columns")


def _cell_weights(
    channel: Channel, factors_from: tuple[int, int], linear: Sequence[Ext], copies: Sequence[Ext]
) -> tuple[dict[int, Ext], Ext]:
    """The weights of cells in the linear test, by their places in the words, and what the weighed cells add up to.

    Args:
        factors_from: the places of the first cell of the first factors, and of that of the second factors.
        linear: a challenge for each constraint of the channel.
        copies: a challenge for each first factor, then for each second one: it equals the variable it stands for.
    """
    products = [pair for pair in channel.variables if pair is not None]
    first, second = factors_from
    pads, made = count(0), count(2 * second - first)
    places = [next(pads if pair is None else made) for pair in channel.variables]
    weights: dict[int, Ext] = {}

    def add(place: int, weight: Ext) -> None:
        weights[place] = ext_add(weights.get(place, ZERO), weight)

    right_side = ZERO
    for r, form in zip(linear, channel.constraints, strict=True):
        right_side = ext_sub(right_side, ext_mul(r, form.constant))
        for variable, coefficient in form.coefficients.items():
            add(places[variable], ext_mul(r, coefficient))
    for which, start in enumerate(factors_from):
        for i, pair in enumerate(products):
            r = copies[which * len(products) + i]
            add(start + i, r)
            add(places[pair[which]], ext_neg(r))
    return weights, right_side


def _assembled(pieces: Sequence[Ext], x: int, sizes: PadSizes) -> Ext:
    """sum over i of x^(i l) * pieces[i]: a mask at x, from its pieces there."""
    return total(ext_scale(piece, pow(x, i * sizes.data, P)) for i, piece in enumerate(pieces))


def _word_weights(weights: dict[int, Ext], words: int, coset: Sequence[int], sizes: PadSizes, x: int) -> list[Ext]:
    """A_w(x) for each word w, by Lagrange's formula: the points of the coset are the roots of X^k - g^k."""
    k = sizes.dimension
    g = pow(GENERATOR, k, P)
    common = (pow(x, k, P) - g) * inv(k * g % P) % P
    basis = [common * z % P * inv((x - z) % P) % P for z in coset]
    result = [ZERO] * words
    for place, weight in weights.items():
        word, c = divmod(place, sizes.data)
        result[word] = ext_add(result[word], ext_scale(weight, basis[c]))
    return result
