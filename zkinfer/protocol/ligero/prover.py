"""The prover's side of the proof about the pads: committing to them, and the witness. Needs numba."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.channel import PadConstraints, Variables
from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.encoding import encode_array
from zkinfer.protocol.field.params import DEGREE, GENERATOR, P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.ligero.pads import Coefficients, PadParameters, Tableau, layout, polynomial_values
from zkinfer.protocol.merkle.paths import SALT_BYTES
from zkinfer.protocol.merkle.tree import build_tree, prove_leaves
from zkinfer.protocol.randomness import Randomness
from zkinfer.typing import ByteArray, Floats, IntArray


@dataclass(frozen=True)
class CommittedPads:
    """Pads, their words, and the tree over the columns, for one proof; implements `protocol.PadsWitness`.

    Attributes:
        tableau: where variables lie.
        pads: what to give to the `ProverChannel`.
        codewords: balanced, shape (3 words, n): the coordinates of the first word, then of the second, ...
        leaves, nodes: the Merkle tree.
    """

    tableau: Tableau
    pads: list[Ext]
    codewords: Floats
    leaves: ByteArray
    nodes: ByteArray

    @property
    def root(self) -> bytes:
        """The commitment."""
        root: bytes = self.nodes[1].tobytes()
        return root

    def check(self, constraints: PadConstraints) -> None:
        """Refuses constraints that the committed pads do not satisfy.

        Raises:
            InvalidInputError: the constraints have other variables than were committed.
            InvalidProofError: the constraints do not hold.
        """
        if tuple(constraints.variables) != self.tableau.variables:
            raise InvalidInputError("the constraints have other variables than those that were committed")
        constraints.check(constraints.expand(self.pads))

    def polynomials(self, drawn: Coefficients) -> bytes:
        """The three polynomials' coefficients, lowest first, one after another."""
        tableau, parameters = self.tableau, self.tableau.parameters
        # All three polynomials have fewer than 2k coefficients: their values at 2k points give them.
        m = 2 * parameters.dimension
        columns = kernels.to_ints(self.codewords[:, :: _step(parameters)]).reshape(tableau.words, DEGREE, m)
        weights = kernels.from_ints(interpolate(parameters, drawn.weights).reshape(-1, parameters.dimension))
        weight_values = kernels.to_ints(kernels.rs_encode(weights, m)).reshape(tableau.data_words, DEGREE, m)
        values = polynomial_values(tableau, drawn, columns, weight_values, _evaluation_points(parameters))
        coefficients = kernels.to_ints(kernels.intt(kernels.from_ints(values.reshape(-1, m)))).reshape(values.shape)
        sizes = (parameters.dimension, parameters.product_size, parameters.product_size)
        return b"".join(
            encode_array(np.ascontiguousarray(polynomial[:, :size].T)).tobytes()
            for polynomial, size in zip(coefficients, sizes, strict=True)
        )

    def columns(self, indices: Sequence[int]) -> bytes:
        """Salted columns of all words."""
        return self.leaves[indices].tobytes()

    def paths(self, indices: Sequence[int]) -> bytes:
        """The Merkle paths of these columns."""
        return prove_leaves(self.nodes, indices)


def commit_pads(variables: Variables, parameters: PadParameters, randomness: Randomness | None = None) -> CommittedPads:
    """Draws pads, fills the tableau and commits to it.

    Args:
        variables: of the constraints that the protocol will leave; a dry run tells them.
        parameters: sizes.
        randomness: where pads, masks and salts come from; fresh by default.
    """
    source = randomness or Randomness()
    tableau = layout(variables, parameters)
    pads = modular.to_exts(source.elements(DEGREE, len(variables) - len(tableau.products)))
    contents = PadConstraints(list(variables)).expand(pads)
    words = np.concatenate([_data_words(tableau, contents, source), _masks(parameters, source)])
    codewords = kernels.rs_encode(kernels.from_ints(words.reshape(-1, parameters.dimension)), parameters.length)
    leaves = np.empty((parameters.length, tableau.leaf_bytes), dtype=np.uint8)
    leaves[:, :SALT_BYTES] = source.octets(SALT_BYTES * parameters.length).reshape(-1, SALT_BYTES)
    kernels.write_columns(codewords, leaves, SALT_BYTES)
    return CommittedPads(tableau, pads, codewords, leaves, build_tree(leaves))


def _data_words(tableau: Tableau, contents: Sequence[Ext], source: Randomness) -> IntArray:
    """The words that hold variables and factors, random where they hold no data."""
    parameters = tableau.parameters
    elements = modular.from_exts(contents)
    values = np.zeros((DEGREE, tableau.data_words * parameters.data), dtype=np.int64)
    values[:, tableau.places] = elements
    for which in (0, 1):
        start = tableau.factor_place(0, which)
        factors = [pair[which] for pair in tableau.products]
        values[:, start : start + len(factors)] = elements[:, factors]
    data = values.reshape(DEGREE, tableau.data_words, parameters.data).transpose(1, 0, 2)
    blinding = source.elements(tableau.data_words * DEGREE, parameters.queries)
    return interpolate(parameters, np.concatenate([data, blinding.reshape(*data.shape[:2], -1)], axis=2))


def interpolate(parameters: PadParameters, values: IntArray) -> IntArray:
    """The same as `pads.interpolate`: on the coset, a polynomial has the values of another at the roots of unity."""
    k = parameters.dimension
    stretched = kernels.to_ints(kernels.intt(kernels.from_ints(values.reshape(-1, k))))
    return modular.mul(stretched, _scales(parameters)).reshape(values.shape)


@lru_cache(maxsize=16)
def _scales(parameters: PadParameters) -> IntArray:
    """GENERATOR^-j for j < k."""
    return modular.powers(np.array([pow(GENERATOR, -1, P)]), parameters.dimension)[:, 0]


def _masks(parameters: PadParameters, source: Randomness) -> IntArray:
    """The mask of the combination, and the pieces of the masks of both other tests."""
    combination = source.elements(DEGREE, parameters.dimension)[None]
    linear = source.elements(DEGREE, parameters.product_size)
    total = modular.sum_axis(modular.mul(linear, _power_sums(parameters)), 1)[:, 0]
    linear[:, 0] = (linear[:, 0] - modular.mul(total, np.array(pow(parameters.data, -1, P)))) % P
    product = _vanishing_multiple(parameters, source.elements(DEGREE, parameters.product_size - parameters.data))
    pieces = [_pieces(parameters, mask, source) for mask in (linear, product)]
    return np.concatenate([combination, *pieces])


@lru_cache(maxsize=16)
def _power_sums(parameters: PadParameters) -> IntArray:
    """For each j < product_size the sum of the j-th powers of the data points."""
    powers = modular.powers(parameters.coset[: parameters.data], parameters.product_size)
    return modular.sum_axis(powers, 1)[:, 0]


def _vanishing_multiple(parameters: PadParameters, polynomials: IntArray) -> IntArray:
    """The products with the polynomial whose zeros are the data points, of degree below product_size."""
    values = kernels.rs_encode(kernels.from_ints(polynomials), 2 * parameters.dimension)
    products = kernels.mul(values, np.tile(_vanishing(parameters), (len(values), 1)))
    return kernels.to_ints(kernels.intt(products))[:, : parameters.product_size]


@lru_cache(maxsize=16)
def _vanishing(parameters: PadParameters) -> Floats:
    """The values at the 2k-th roots of unity of the polynomial whose zeros are the data points."""
    points = _evaluation_points(parameters)
    values = np.ones_like(points)
    for zero in parameters.coset[: parameters.data]:
        values = modular.mul(values, (points - zero) % P)
    return kernels.from_ints(values)


def _evaluation_points(parameters: PadParameters) -> IntArray:
    """The 2k-th roots of unity: a polynomial of fewer than 2k coefficients has its values there."""
    return parameters.points[:: _step(parameters)]


def _step(parameters: PadParameters) -> int:
    """How far evaluation points are apart among the columns."""
    return parameters.length // (2 * parameters.dimension)


def _pieces(parameters: PadParameters, mask: IntArray, source: Randomness) -> IntArray:
    """Words whose sum, each times its power of X^shift, is the mask: random but for that.

    The mask is cut into blocks of `shift` coefficients. Between neighbours a random polynomial h of `queries`
    coefficients is moved: - X^shift h below, + h above. At any `queries` points all h have independent uniform
    values, hence so have all pieces but the first.
    """
    count, shift, k = parameters.mask_pieces, parameters.shift, parameters.dimension
    pieces = np.zeros((count, DEGREE, k), dtype=np.int64)
    for i in range(count):
        block = mask[:, i * shift : (i + 1) * shift if i < count - 1 else None]
        pieces[i, :, : block.shape[1]] = block
    for i in range(count - 1):
        h = source.elements(DEGREE, parameters.queries)
        pieces[i, :, shift:] = (pieces[i, :, shift:] - h) % P
        pieces[i + 1, :, : parameters.queries] = (pieces[i + 1, :, : parameters.queries] + h) % P
    return pieces
