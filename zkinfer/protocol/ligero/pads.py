"""Sizes of the proof that committed pads satisfy the constraints of padded messages, and what is drawn in it.

This is Ligero (Ames, Hazay, Ishai and Venkitasubramaniam 2017) over the extension field K, on a tableau about as small
as the number of messages; `protocol` has the messages and checks.

Words. A word is a polynomial over K of degree below k. Its first `data` values on the coset GENERATOR * (k-th roots of
unity) are data, the other `queries` ones random; its codeword is its values at the n-th roots of unity, none of which
is in the coset. Words in order: the pads; the first factors of all products of two variables, the second factors, the
products, in as many words each; the masks. Column j of all codewords, salted, is leaf j of a Merkle tree.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.channel import PadConstraints, Variables
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.encoding import EXT_BYTES
from zkinfer.protocol.field.params import DEGREE, GENERATOR, P
from zkinfer.protocol.field.scalar import ZERO, Ext, ext_mul, ext_sub, root_of_unity
from zkinfer.protocol.merkle.paths import SALT_BYTES
from zkinfer.protocol.security import SoundnessTerm
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

FIELD_SIZE: int = P**DEGREE


@dataclass(frozen=True)
class PadParameters:
    """Sizes of the proof.

    Attributes:
        log_dimension: k = 2^log_dimension coefficients in a word.
        log_length: n = 2^log_length symbols in a codeword.
        queries: t columns are opened, and t values of every word are random.
    """

    log_dimension: int = 8
    log_length: int = 13
    queries: int = 154

    def __post_init__(self) -> None:
        if not 2 <= self.log_dimension <= self.log_length - 2 or self.log_length > 20:
            raise InvalidInputError(f"{self}: a codeword needs at least four times a word's symbols, at most 2^20")
        if not 1 <= self.queries < self.dimension:
            raise InvalidInputError(f"{self}: a word needs room for data beside {self.queries} random values")

    @property
    def dimension(self) -> int:
        """k, the number of coefficients of a word."""
        return 1 << self.log_dimension

    @property
    def length(self) -> int:
        """n, the number of columns."""
        return 1 << self.log_length

    @property
    def data(self) -> int:
        """Variables in a word."""
        return self.dimension - self.queries

    @property
    def product_size(self) -> int:
        """Coefficients of the product of two words."""
        return 2 * self.dimension - 1

    @property
    def shift(self) -> int:
        """A mask of a product is the sum of words times X^0, X^shift, X^(2 shift), ...; see `mask_pieces`."""
        return self.dimension - self.queries

    @property
    def mask_pieces(self) -> int:
        """Words that such a mask is made of, enough for its degree: neighbours overlap in `queries` coefficients."""
        return 1 + math.ceil((self.product_size - self.dimension) / self.shift)

    @cached_property
    def points(self) -> IntArray:
        """The n-th roots of unity: where codewords are evaluated."""
        return modular.powers(np.array([root_of_unity(self.length)]), self.length)[:, 0]

    @cached_property
    def coset(self) -> IntArray:
        """Where words have their values; the first `data` of these are the data points."""
        roots = modular.powers(np.array([root_of_unity(self.dimension)]), self.dimension)[:, 0]
        return modular.mul(roots, np.array(GENERATOR))

    @cached_property
    def interpolation(self) -> IntArray:
        """The matrix, shape (k, k), that takes a row of values on the coset to coefficients."""
        k = self.dimension
        roots = modular.powers(np.array([pow(root_of_unity(k), -1, P)]), k)[:, 0]
        inverse_points = modular.mul(roots, np.array(pow(GENERATOR, -1, P)))
        return modular.mul(modular.powers(inverse_points, k).T, np.array(pow(k, -1, P)))

    @property
    def error(self) -> float:
        """The probability that a false claim is accepted; the terms are derived in docs/protocol.

        Within the unique decoding radius e = floor((n - k) / 2): a combination of words that are far from codewords is
        close with probability n / |K|; weights of a violated constraint cancel with probability 1 / |K|, in each of two
        tests; all queries miss a wrong polynomial with probability (max(n - e - 1, d + e) / n)^t, where d bounds the
        degree of both what is sent and what the committed words give, masks made of dishonest pieces included.
        """
        n, k = self.length, self.dimension
        e = (n - k) // 2
        degree = max(self.product_size, (self.mask_pieces - 1) * self.shift + k) - 1
        missed = max(n - e - 1, degree + e) / n
        return (n + 2) / FIELD_SIZE + math.pow(missed, self.queries)


@dataclass(frozen=True)
class Tableau:
    """Where variables lie among the words.

    Attributes:
        parameters: sizes.
        variables: those of the constraints: None for a pad, (a, b) for the product of two earlier variables.
    """

    parameters: PadParameters
    variables: tuple[tuple[int, int] | None, ...]

    @cached_property
    def products(self) -> list[tuple[int, int]]:
        """The pairs of variables that are multiplied."""
        return [variable for variable in self.variables if variable is not None]

    @cached_property
    def pad_words(self) -> int:
        """Words of pads."""
        return -(-(len(self.variables) - len(self.products)) // self.parameters.data)

    @cached_property
    def product_words(self) -> int:
        """Words of products, and as many of first and of second factors."""
        return -(-len(self.products) // self.parameters.data)

    @property
    def data_words(self) -> int:
        """Words that hold variables or factors."""
        return self.pad_words + 3 * self.product_words

    @property
    def words(self) -> int:
        """All words: data, the mask of the combination, the pieces of two masks of products."""
        return self.data_words + 1 + 2 * self.parameters.mask_pieces

    @cached_property
    def places(self) -> IntArray:
        """For each variable its place: word * data + position in the word."""
        is_pad = np.array([variable is None for variable in self.variables], dtype=bool)
        first_product = (self.pad_words + 2 * self.product_words) * self.parameters.data
        return np.where(is_pad, np.cumsum(is_pad), first_product + np.cumsum(~is_pad)) - 1

    def factor_place(self, index: int, which: int) -> int:
        """The place of the first (0) or second (1) factor of a product."""
        return (self.pad_words + which * self.product_words) * self.parameters.data + index

    @property
    def leaf_bytes(self) -> int:
        """Bytes of a leaf: salt and column."""
        return SALT_BYTES + EXT_BYTES * self.words


@dataclass(frozen=True)
class Coefficients:
    """What the verifier draws after the commitment.

    Attributes:
        combination: one for each word but the mask of the combination.
        weights: what the second test multiplies the words' values on the coset with, shape (data words, 3, k); 0 where
            words are random.
        right_side: what that must add up to.
        products: one for each word of products.
    """

    combination: list[Ext]
    weights: IntArray
    right_side: Ext
    products: list[Ext]


def draw_coefficients(tableau: Tableau, constraints: PadConstraints, transcript: Transcript) -> Coefficients:
    """Draws all coefficients and combines the linear constraints with theirs."""
    combination = transcript.challenge_exts("pads combination", tableau.words - 1)
    linear = transcript.challenge_exts("pads linear", len(constraints.linear))
    copies = transcript.challenge_exts("pads factors", 2 * len(tableau.products))
    products = transcript.challenge_exts("pads products", tableau.product_words)
    right_side = ZERO
    for r, constraint in zip(linear, constraints.linear, strict=True):
        right_side = ext_sub(right_side, ext_mul(r, constraint.form.constant))
    parameters, shape = tableau.parameters, (DEGREE, tableau.data_words, tableau.parameters.data)
    places, terms = _weight_terms(tableau, constraints, modular.from_exts(linear), modular.from_exts(copies))
    table = modular.scatter_add(terms, 1, places, math.prod(shape[1:])).reshape(shape)
    weights = np.pad(table, ((0, 0), (0, 0), (0, parameters.queries))).transpose(1, 0, 2)
    return Coefficients(combination, weights, right_side, products)


def _weight_terms(
    tableau: Tableau, constraints: PadConstraints, linear: IntArray, copies: IntArray
) -> tuple[IntArray, IntArray]:
    """Places, which may repeat, and what each adds to the weight there, an extension vector.

    A linear constraint adds its coefficients, times its own; a factor's adds its own where the factor lies, and
    subtracts it where the variable does.
    """
    forms = [constraint.form.variables for constraint in constraints.linear]
    variables = np.array([variable for form in forms for variable in form], dtype=np.int64)
    coefficients = modular.from_exts([coefficient for form in forms for coefficient in form.values()])
    drawn = linear.repeat(np.array([len(form) for form in forms], dtype=np.int64), axis=1)
    factors = np.array([pair[which] for which in (0, 1) for pair in tableau.products], dtype=np.int64)
    factor_places = [tableau.factor_place(i, which) for which in (0, 1) for i in range(len(tableau.products))]
    places = [tableau.places[variables], np.array(factor_places, dtype=np.int64), tableau.places[factors]]
    terms = [modular.ext_mul(drawn, coefficients), copies, (P - copies) % P]
    return np.concatenate(places), np.concatenate(terms, axis=1)


def interpolate(parameters: PadParameters, values: IntArray) -> IntArray:
    """The coefficients of polynomials from their values on the coset; both of shape (..., k)."""
    return modular.matmul(values.reshape(-1, parameters.dimension), parameters.interpolation).reshape(values.shape)


def evaluate(polynomials: IntArray, points: IntArray) -> IntArray:
    """Values, shape (m, 3, t), of polynomials over K, shape (m, 3, degree + 1), at t base points."""
    count, coordinates, size = polynomials.shape
    return modular.evaluate(polynomials.reshape(-1, size), points).reshape(count, coordinates, len(points))


def layout(variables: Variables, parameters: PadParameters) -> Tableau:
    """The tableau for the variables of some constraints."""
    return Tableau(parameters, tuple(variables))


def polynomial_values(
    tableau: Tableau, drawn: Coefficients, columns: IntArray, weights: IntArray, points: IntArray
) -> IntArray:
    """What the three polynomials must be at some points, given all words there.

    Args:
        columns: shape (words, 3, t).
        weights: the polynomials of degree below k that have `drawn.weights` as values, shape (data words, 3, t).
        points: t base points.

    Returns:
        Shape (3, 3, t).
    """
    parameters, first = tableau.parameters, tableau.data_words
    words = columns.transpose(1, 0, 2)
    others = modular.ext_mul(np.delete(words, first, axis=1), modular.from_exts(drawn.combination)[:, :, None])
    masks = columns[first + 1 :].reshape(2, parameters.mask_pieces, DEGREE, len(points))
    linear, product = (_assemble(parameters, pieces, points) for pieces in masks)
    weighted = modular.ext_mul(words[:, :first], weights.transpose(1, 0, 2))
    x, y, z = (words[:, tableau.pad_words + i * tableau.product_words :][:, : tableau.product_words] for i in range(3))
    differences = (modular.ext_mul(x, y) - z) % P
    combined = modular.ext_mul(differences, modular.from_exts(drawn.products)[:, :, None])
    pairs = ((columns[first], others), (linear, weighted), (product, combined))
    return np.stack([(start + modular.sum_axis(terms, 1)[:, 0]) % P for start, terms in pairs])


def _assemble(parameters: PadParameters, pieces: IntArray, points: IntArray) -> IntArray:
    """sum over i of X^(i shift) * piece i, at the points."""
    step = modular.powers(points, parameters.shift + 1)[-1]
    total, power = np.zeros_like(pieces[0]), np.ones_like(points)
    for piece in pieces:
        total = (total + modular.mul(piece, power)) % P
        power = modular.mul(power, step)
    assembled: IntArray = total
    return assembled


def soundness(parameters: PadParameters) -> SoundnessTerm:
    """The proof about the pads of a padded channel accepts a constraint that does not hold.

    Derived in `PadParameters.error`, and in docs/protocol/sumcheck-and-lookup.md, section 4: the proximity of a
    combination, the weights of two tests, and the queries, within the unique decoding radius.
    """
    return SoundnessTerm("proof about the pads", parameters.error)
