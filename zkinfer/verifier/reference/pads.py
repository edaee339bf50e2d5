"""The proof about the pads: docs/protocol/sumcheck-and-lookup.md, section 4."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice

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
from zkinfer.verifier.reference.channel import Channel, decode, total
from zkinfer.verifier.reference.openings import SALT_BYTES, Reader, evaluate, read_leaves


@dataclass(frozen=True)
class PadSizes:
    """2^log_dimension coefficients of a word (k), 2^log_length columns (n), and queries (t)."""

    log_dimension: int = 8
    log_length: int = 13
    queries: int = 154

    @property
    def dimension(self) -> int:
        return 1 << self.log_dimension

    @property
    def length(self) -> int:
        return 1 << self.log_length

    @property
    def data(self) -> int:
        """Cells in a word: l."""
        return self.dimension - self.queries

    @property
    def pieces(self) -> int:
        """Of the mask of a product: s."""
        return 1 + math.ceil((self.dimension - 1) / self.data)

    @property
    def coefficients(self) -> tuple[int, int, int]:
        """Of the three polynomials."""
        return self.dimension, 2 * self.dimension - 1, 2 * self.dimension - 1

    @property
    def error(self) -> float:
        """The probability that constraints that do not hold are accepted."""
        n, k = self.length, self.dimension
        e, d = (n - k) // 2, max(2 * k - 1, (self.pieces - 1) * self.data + k)
        return float((n + 2) / P**3 + (max(n - e - 1, d - 1 + e) / n) ** self.queries)


PADS = PadSizes()


def verify_pads(channel: Channel, sizes: PadSizes, root: bytes, proof: bytes) -> None:
    """Check that the committed pads satisfy all constraints of the channel.

    Raises:
        VerificationError: a check fails.
    """
    transcript, reader = channel.transcript, Reader(proof)
    products = [cell for cell in channel.cells if cell is not None]
    pad_words = -(-(len(channel.cells) - len(products)) // sizes.data)
    h = -(-len(products) // sizes.data)
    data_words = pad_words + 3 * h
    words = data_words + 1 + 2 * sizes.pieces

    combination = transcript.challenge_exts("pads combination", words - 1)
    linear = transcript.challenge_exts("pads linear", len(channel.constraints))
    factors = transcript.challenge_exts("pads factors", 2 * len(products))
    ys = transcript.challenge_exts("pads products", h)
    first = pad_words * sizes.data
    weights, right_side = _weights(channel, (first, first + h * sizes.data), linear, factors)

    head = reader.take(21 * sum(sizes.coefficients))
    elements = iter(decode(head))
    u, v, q = (list(islice(elements, size)) for size in sizes.coefficients)
    transcript.absorb("pads polynomials", head)
    drawn = sorted(set(transcript.challenge_indices("pads queries", sizes.length, sizes.queries)))
    columns = read_leaves(reader, root, sizes.log_length, drawn, SALT_BYTES + 21 * words)
    reader.finish()

    coset = [GENERATOR * pow(root_of_unity(sizes.dimension), c, P) % P for c in range(sizes.data)]
    if total(evaluate(v, z) for z in coset) != right_side:
        raise InvalidProofError("the pads do not satisfy the linear constraints")
    if any(evaluate(q, z) != ZERO for z in coset):
        raise InvalidProofError("a cell is not the product that it stands for")

    generator = root_of_unity(sizes.length)
    for j, leaf in zip(drawn, columns, strict=True):
        x, word = pow(generator, j, P), decode(leaf[SALT_BYTES:])
        data, mask, pieces = word[:data_words], word[data_words], word[data_words + 1 :]
        at_u = ext_add(mask, ext_dot(combination, [*data, *pieces]))
        tested = ext_dot(_weights_at(weights, data_words, coset, sizes, x), data)
        at_v = ext_add(_mask(pieces[: sizes.pieces], x, sizes), tested)
        one, two, three = (data[pad_words + i * h :][:h] for i in range(3))
        wrong = [ext_sub(ext_mul(a, b), c) for a, b, c in zip(one, two, three, strict=True)]
        at_q = ext_add(_mask(pieces[sizes.pieces :], x, sizes), ext_dot(ys, wrong))
        if (at_u, at_v, at_q) != (evaluate(u, x), evaluate(v, x), evaluate(q, x)):
            raise InvalidProofError("the polynomials about the pads are not those of the columns")


def _weights(
    channel: Channel, first: tuple[int, int], linear: Sequence[Ext], factors: Sequence[Ext]
) -> tuple[dict[int, Ext], Ext]:
    """What the linear test multiplies cells with, by their places, and what they must add up to.

    Args:
        first: the places of the first of the first factors, and of the first of the second factors.
        linear, factors: as drawn.
    """
    products = [cell for cell in channel.cells if cell is not None]
    pads, made = count(0), count(2 * first[1] - first[0])
    places = [next(pads if cell is None else made) for cell in channel.cells]
    weights: dict[int, Ext] = {}

    def add(place: int, weight: Ext) -> None:
        weights[place] = ext_add(weights.get(place, ZERO), weight)

    right_side = ZERO
    for r, form in zip(linear, channel.constraints, strict=True):
        right_side = ext_sub(right_side, ext_mul(r, form.constant))
        for cell, coefficient in form.cells.items():
            add(places[cell], ext_mul(r, coefficient))
    for which, start in enumerate(first):
        for i, pair in enumerate(products):
            r = factors[which * len(products) + i]
            add(start + i, r)
            add(places[pair[which]], ext_neg(r))
    return weights, right_side


def _mask(pieces: Sequence[Ext], x: int, sizes: PadSizes) -> Ext:
    """sum of X^(i l) m_i at x."""
    return total(ext_scale(piece, pow(x, i * sizes.data, P)) for i, piece in enumerate(pieces))


def _weights_at(weights: dict[int, Ext], words: int, coset: Sequence[int], sizes: PadSizes, x: int) -> list[Ext]:
    """A_w(x) for each word: by Lagrange's formula for the coset, whose points are the roots of X^k - g^k."""
    k = sizes.dimension
    g = pow(GENERATOR, k, P)
    common = (pow(x, k, P) - g) * inv(k * g % P) % P
    basis = [common * z % P * inv((x - z) % P) % P for z in coset]
    result = [ZERO] * words
    for place, weight in weights.items():
        word, c = divmod(place, sizes.data)
        result[word] = ext_add(result[word], ext_scale(weight, basis[c]))
    return result
