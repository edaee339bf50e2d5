"""The prover of the proof about the pads; see `pads`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zkinfer.errors import InvalidInputError
from zkinfer.field import fast
from zkinfer.field.encoding import encode_array
from zkinfer.field.params import DEGREE, P
from zkinfer.field.slow import Ext
from zkinfer.pcs import modular
from zkinfer.pcs.merkle_prover import ByteArray, build_tree, prove_leaves
from zkinfer.pcs.modular import IntArray
from zkinfer.pcs.params import SALT_BYTES
from zkinfer.pcs.randomness import Randomness
from zkinfer.sumcheck.channel import PadConstraints
from zkinfer.sumcheck.pads import (
    Cells,
    PadParameters,
    Tableau,
    draw_coefficients,
    interpolate,
    layout,
    polynomial_values,
)
from zkinfer.transcript import Transcript


@dataclass(frozen=True)
class CommittedPads:
    """Pads, their words, and the tree over the columns. To be used for one proof, then thrown away.

    Attributes:
        tableau: where cells lie.
        pads: what to give to the `ProverChannel`.
        codewords: shape (words, 3, n).
        leaves, nodes: the Merkle tree.
    """

    tableau: Tableau
    pads: list[Ext]
    codewords: IntArray
    leaves: ByteArray
    nodes: ByteArray

    @property
    def root(self) -> bytes:
        """The commitment."""
        root: bytes = self.nodes[1].tobytes()
        return root


def commit_pads(cells: Cells, parameters: PadParameters, randomness: Randomness | None = None) -> CommittedPads:
    """Draws pads, fills the tableau and commits to it.

    Args:
        cells: what `pads.cells_of` gives for the protocol.
        parameters: sizes.
        randomness: where pads, masks and salts come from; fresh by default.
    """
    source = randomness or Randomness()
    tableau = layout(cells, parameters)
    pads = modular.to_exts(source.elements(DEGREE, len(cells) - len(tableau.products)))
    contents = PadConstraints(list(cells)).expand(pads)
    words = np.concatenate([_data_words(tableau, contents, source), _masks(parameters, source)])
    codewords = fast.to_ints(fast.rs_encode(fast.from_ints(words).reshape(-1, parameters.dimension), parameters.length))
    codewords = codewords.reshape(tableau.words, DEGREE, parameters.length)
    salts = source.octets(SALT_BYTES * parameters.length).reshape(parameters.length, SALT_BYTES)
    columns = encode_array(np.ascontiguousarray(codewords.transpose(2, 0, 1).reshape(parameters.length, -1)))
    leaves = np.ascontiguousarray(np.concatenate([salts, columns], axis=1))
    return CommittedPads(tableau, pads, codewords, leaves, build_tree(leaves))


def _data_words(tableau: Tableau, contents: Sequence[Ext], source: Randomness) -> IntArray:
    """The words that hold cells and factors, random where they hold no data."""
    parameters = tableau.parameters
    values = np.zeros((tableau.data_words * parameters.data, DEGREE), dtype=np.int64)
    for place, content in zip(tableau.places, contents, strict=True):
        values[place] = content
    for index, pair in enumerate(tableau.products):
        for which in (0, 1):
            values[tableau.factor_place(index, which)] = contents[pair[which]]
    data = values.reshape(tableau.data_words, parameters.data, DEGREE).transpose(0, 2, 1)
    blinding = source.elements(tableau.data_words * DEGREE, parameters.queries)
    return interpolate(parameters, np.concatenate([data, blinding.reshape(*data.shape[:2], -1)], axis=2))


def _masks(parameters: PadParameters, source: Randomness) -> IntArray:
    """The mask of the combination, and the pieces of the masks of both other tests."""
    combination = source.elements(DEGREE, parameters.dimension)[None]
    linear = source.elements(DEGREE, parameters.product_size)
    data_points = parameters.coset[: parameters.data]
    total = modular.evaluate(linear, data_points).sum(axis=1) % P
    linear[:, 0] = (linear[:, 0] - modular.mul(total, np.array(pow(parameters.data, -1, P)))) % P
    free = source.elements(DEGREE, parameters.product_size - parameters.data)
    product = _vanishing_multiple(free, data_points)
    pieces = [_pieces(parameters, mask, source) for mask in (linear, product)]
    return np.concatenate([combination, *pieces])


def _vanishing_multiple(polynomial: IntArray, points: IntArray) -> IntArray:
    """The product with the polynomial whose zeros are the points."""
    result = polynomial
    for point in points:
        shifted = np.pad(result, ((0, 0), (1, 0)))
        shifted[:, :-1] = (shifted[:, :-1] - modular.mul(result, np.array(int(point)))) % P
        result = shifted
    return result


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


def prove_pads(committed: CommittedPads, constraints: PadConstraints, transcript: Transcript) -> bytes:
    """The proof that the committed pads satisfy the constraints.

    Args:
        committed: whose pads the channel used.
        constraints: what the verifier of the padded messages is left with.
        transcript: in the state after the last padded message.

    Raises:
        InvalidInputError: the constraints have other cells than were committed.
        InvalidProofError: the constraints do not hold.
    """
    tableau = committed.tableau
    if tuple(constraints.cells) != tableau.cells:
        raise InvalidInputError("the constraints have other cells than those that were committed")
    constraints.check(constraints.expand(committed.pads))
    parameters = tableau.parameters
    drawn = draw_coefficients(tableau, constraints, transcript)
    # All three polynomials have fewer than 2k coefficients: their values at 2k points give them.
    step = parameters.length // (2 * parameters.dimension)
    points = parameters.points[::step]
    values = polynomial_values(tableau, drawn, committed.codewords[:, :, ::step], points)
    m = len(points)
    coefficients = fast.to_ints(fast.intt(fast.from_ints(values).reshape(-1, m))).reshape(values.shape)
    sizes = (parameters.dimension, parameters.product_size, parameters.product_size)
    head = b"".join(
        encode_array(np.ascontiguousarray(polynomial[:, :size].T)).tobytes()
        for polynomial, size in zip(coefficients, sizes, strict=True)
    )
    transcript.absorb("pads polynomials", head)
    indices = sorted(set(transcript.challenge_indices("pads queries", parameters.length, parameters.queries)))
    return head + committed.leaves[indices].tobytes() + prove_leaves(committed.nodes, indices)
