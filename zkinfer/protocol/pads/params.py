"""Sizes of the proof that committed pads satisfy the constraints of padded messages, and what is drawn in it.

Words. A word is a polynomial over K of degree below k, given by its coefficients; its codeword is its values at the
n-th roots of unity. The first word holds the contents of all variables, then a mask, then t random elements. The second
word is uniformly random. Column j of both codewords, salted, is leaf j of a Merkle tree. `protocol` has the messages.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.channel import PadConstraints
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.encoding import EXT_BYTES
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import ZERO, Ext, ext_add, ext_mul, ext_sub, root_of_unity
from zkinfer.protocol.merkle.paths import SALT_BYTES
from zkinfer.protocol.pcs.soundness import agreement
from zkinfer.protocol.security import FIELD_SIZE, SoundnessTerm, ground
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

WORDS = 2
LEAF_BYTES = SALT_BYTES + WORDS * EXT_BYTES

UNGROUND_LENGTH = 15
"""log2 of the codewords that need no work before the point. Each bit doubles n / |K|, and one of work holds it."""


@dataclass(frozen=True)
class PadParameters:
    """How hard the proof is checked.

    Attributes:
        error_bits: all drawn columns miss a wrong word with probability 2^-error_bits at most, work counted.
        query_grinding: bits of work before columns are drawn.

    Raises:
        InvalidInputError: there is no room for any query.
    """

    error_bits: int = 132
    query_grinding: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.query_grinding < self.error_bits or not 4 <= self.error_bits <= 256:
            raise InvalidInputError(f"{self}: from 4 to 256 bits, of which less are work")

    def sizes(self, variables: int) -> "PadSizes":
        """The sizes for so many variables."""
        return _sizes(self, variables)


@dataclass(frozen=True)
class PadSizes:
    """Sizes of the proof; `PadParameters.sizes` makes them.

    Attributes:
        variables: whose contents are committed to.
        log_length: n = 2^log_length symbols in a codeword.
        queries: t columns are drawn, and t elements of a word are random.
        query_grinding: bits of work before.
    """

    variables: int
    log_length: int
    queries: int
    query_grinding: int

    @property
    def dimension(self) -> int:
        """k, the elements of a word: contents, mask and random ones."""
        return self.variables + 1 + self.queries

    @property
    def length(self) -> int:
        """n, the number of columns."""
        return 1 << self.log_length

    @property
    def point_grinding(self) -> int:
        """Bits of work before the point."""
        return max(0, self.log_length - UNGROUND_LENGTH)

    @cached_property
    def points(self) -> IntArray:
        """The n-th roots of unity: where codewords have their values."""
        return modular.powers(np.array([root_of_unity(self.length)]), self.length)[:, 0]


@lru_cache(maxsize=256)
def _sizes(parameters: PadParameters, variables: int) -> PadSizes:
    """The rate is 1/4 at most; then columns take about as many bytes as at the best one. Integers alone decide."""
    log_length = (4 * (variables + 2 * parameters.error_bits) - 1).bit_length()
    n, needed = 1 << log_length, parameters.error_bits - parameters.query_grinding
    queries = needed
    while True:
        k = variables + 1 + queries
        missed = n - (n - k) // 2 - 1
        if missed**queries << needed <= n**queries:
            return PadSizes(variables, log_length, queries, parameters.query_grinding)
        queries += 1


@dataclass(frozen=True)
class Coefficients:
    """What the verifier draws after the commitment, and what it multiplies.

    Attributes:
        linear: for each variable its weight in the sum of all linear constraints, shape (3, variables).
        right_side: what the weighed variables must add up to.
        products: one for each product, shape (3, products).
        pairs: for each product the numbers of its variable and of both factors, shape (3, products).
    """

    linear: IntArray
    right_side: Ext
    products: IntArray
    pairs: IntArray

    def check_value(self, word: IntArray, point: Ext) -> Ext:
        """The check polynomial, of degree 2 in the point: with word = second + point * first it is a line if all holds.

        Args:
            word: shape (3, at least variables + 1).
        """
        count = self.linear.shape[1]
        sums = ext_sub(modular.ext_dot(word[:, :count], self.linear), ext_mul(point, self.right_side))
        result, first, second = (word[:, places] for places in self.pairs)
        scaled = modular.ext_mul(result, modular.from_exts([point]))
        errors = modular.ext_dot((modular.ext_mul(first, second) - scaled) % P, self.products)
        mask: Ext = (int(word[0, count]), int(word[1, count]), int(word[2, count]))
        return ext_add(ext_add(ext_mul(point, sums), errors), mask)


def draw_coefficients(constraints: PadConstraints, transcript: Transcript) -> Coefficients:
    """Draws a coefficient for each linear constraint and for each product, and adds up the linear constraints."""
    drawn = transcript.challenge_exts("pads linear", len(constraints.linear))
    pairs = [(number, *pair) for number, pair in enumerate(constraints.variables) if pair is not None]
    products = transcript.challenge_exts("pads products", len(pairs))
    right_side = ZERO
    for r, constraint in zip(drawn, constraints.linear, strict=True):
        right_side = ext_sub(right_side, ext_mul(r, constraint.form.constant))
    forms = [constraint.form.variables for constraint in constraints.linear]
    places = np.array([variable for form in forms for variable in form], dtype=np.int64)
    coefficients = modular.from_exts([coefficient for form in forms for coefficient in form.values()])
    repeated = modular.from_exts(drawn).repeat(np.array([len(form) for form in forms], dtype=np.int64), axis=1)
    terms = modular.ext_mul(repeated, coefficients)
    linear = modular.scatter_add(terms, 1, places, len(constraints.variables))
    numbers = np.array(pairs, dtype=np.int64).reshape(-1, 3).T
    return Coefficients(linear.reshape(DEGREE, -1), right_side, modular.from_exts(products), numbers)


def soundness(sizes: PadSizes) -> tuple[SoundnessTerm, ...]:
    """The proof about the pads of a padded channel accepts a constraint that does not hold.

    Let e = floor((n - k) / 2). Close: outside of some choice of at most e columns both words are codewords; these are
    unique. If a constraint is violated by the first one, the square of the point has the drawn combination of the
    violations as its coefficient in the check polynomial, which is zero with probability 1 / |K|. If it is not, the
    polynomial is the line that was sent at no more than 2 points. At any other point the word that is sent is not that
    of the codewords: it agrees with them in at most k - 1 places, and with the columns in those and e more.
    Far: not close. Then second + point * first is within e columns of a codeword for at most n points (Ben-Sasson,
    Carmon, Ishai, Kopparty, Saraf 2020, Theorem 4.1), and else what is sent agrees with it in at most n - e - 1 places.
    """
    missed = agreement(sizes.dimension, sizes.length) ** sizes.queries
    return (
        SoundnessTerm("pads: constraints", 1 / FIELD_SIZE),
        ground(SoundnessTerm("pads: point", sizes.length / FIELD_SIZE), sizes.point_grinding),
        ground(SoundnessTerm("pads: queries", missed), sizes.query_grinding),
    )
