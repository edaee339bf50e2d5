"""The prover's side of the proof about the pads: committing to them, and the witness. Needs numba."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.channel import PadConstraints, Variables
from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.encoding import encode_array, encode_ext
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_sub
from zkinfer.protocol.merkle.paths import SALT_BYTES
from zkinfer.protocol.merkle.tree import build_tree, prove_leaves
from zkinfer.protocol.pads.params import LEAF_BYTES, WORDS, Coefficients, PadParameters, PadSizes
from zkinfer.protocol.pads.protocol import joined
from zkinfer.protocol.randomness import Randomness
from zkinfer.typing import ByteArray, IntArray


@dataclass(frozen=True)
class CommittedPads:
    """Pads, the two words, and the tree over their columns, for one proof; implements `protocol.PadsWitness`.

    Attributes:
        sizes: of the proof.
        variables: whose contents are committed to.
        pads: what to give to the `ProverChannel`.
        words: canonical, shape (2, 3, dimension).
        leaves, nodes: the Merkle tree.
    """

    sizes: PadSizes
    variables: tuple[tuple[int, int] | None, ...]
    pads: list[Ext]
    words: IntArray
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
        if tuple(constraints.variables) != self.variables:
            raise InvalidInputError("the constraints have other variables than those that were committed")
        constraints.check(constraints.expand(self.pads))

    def line(self, drawn: Coefficients) -> bytes:
        """The check polynomial's coefficients, from its values at 0 and 1."""
        start, end = (drawn.check_value(joined(self.words, at), at) for at in (ZERO, ONE))
        return encode_ext([start, ext_sub(end, start)])

    def word(self, point: Ext) -> bytes:
        """The second word plus the point times the first."""
        return encode_array(np.ascontiguousarray(joined(self.words, point).T)).tobytes()

    def columns(self, indices: Sequence[int]) -> bytes:
        """Salted columns of both words."""
        return self.leaves[indices].tobytes()

    def paths(self, indices: Sequence[int]) -> bytes:
        """The Merkle paths of these columns."""
        return prove_leaves(self.nodes, indices)


def commit_pads(variables: Variables, parameters: PadParameters, randomness: Randomness | None = None) -> CommittedPads:
    """Draws pads and a second word, and commits to both words.

    Args:
        variables: of the constraints that the protocol will leave; a dry run tells them.
        parameters: of the proof.
        randomness: where pads, words and salts come from; fresh by default.
    """
    source = randomness or Randomness()
    sizes = parameters.sizes(len(variables))
    pads = modular.to_exts(source.elements(DEGREE, sum(variable is None for variable in variables)))
    contents = modular.from_exts(PadConstraints(list(variables)).expand(pads))
    first = np.concatenate([contents, source.elements(DEGREE, sizes.dimension - len(variables))], axis=1)
    words = np.stack([first, source.elements(DEGREE, sizes.dimension)])
    codewords = kernels.rs_encode(kernels.from_ints(words.reshape(WORDS * DEGREE, -1)), sizes.length)
    leaves = np.empty((sizes.length, LEAF_BYTES), dtype=np.uint8)
    leaves[:, :SALT_BYTES] = source.octets(SALT_BYTES * sizes.length).reshape(-1, SALT_BYTES)
    kernels.write_columns(codewords, leaves, SALT_BYTES)
    return CommittedPads(sizes, tuple(variables), pads, words, leaves, build_tree(leaves))
