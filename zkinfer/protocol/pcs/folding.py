"""The opening of combinations of rows without sending them: one text for prover and verifier.

Claim: linear functionals of some vectors over K, which are fixed by the root of a matrix that holds them, add up to a
target.

Messages, level by level: two coefficients of the polynomial of each round of a sumcheck over the variables that number
the matrix's rows; the root of the fold, which is the next level's vector, or, from the last level, the fold itself;
work; columns of the level's matrix, with their Merkle paths.

Checks: columns are committed. A column, folded as the rows were, is a symbol of the fold's codeword: of the next level
this is claimed together with what the sumcheck leaves; the last fold is encoded and compared, and meets the target.

Nothing here is hidden, and nothing has to be: the vectors are functions of what a simulator draws at random.
docs/protocol/transcript-and-commitment.md, sections 2 to 4, has the argument.

Source: Novakovic and Angeris 2025 ("Ligerito", ePrint 2025/1187).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from zkinfer.errors import InvalidProofError
from zkinfer.protocol.channel import Channel, Wire, exchange_work
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.encoding import decode_array
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_dot, ext_mul, ext_powers, ext_sub, root_of_unity
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, check_leaves, sibling_count
from zkinfer.protocol.pcs.functionals import TensorSum
from zkinfer.protocol.pcs.levels import Level
from zkinfer.typing import IntArray


class Functionals(Protocol):
    """A sum of linear functionals of the vector of a level: known by terms, or, to a prover, element by element."""

    def add_values(
        self, coefficients: Sequence[Ext], indices: Sequence[int], log_length: int, batch: Ext = ONE
    ) -> None:
        """sum over vectors e and indices j of batch^e coefficients[j] * (vector e as a polynomial, at w^indices[j])."""

    def add_extension(self, vector: int, coefficient: Ext, point: Sequence[Ext]) -> None:
        """coefficient * (the multilinear extension of the first 2^len(point) elements of a vector, at the point)."""

    def add_spare(self, start: int, coefficient: Ext, point: Sequence[Ext], batch: Ext) -> None:
        """coefficient * sum over vectors e of batch^e * (the extension of its elements from `start` on, at the point).

        Elements before `start` count as zero. The point has as many coordinates as number a vector's elements.
        """

    def fold(self, r: Ext) -> None:
        """Sets the first variable that is left."""


class FoldingWitness(Functionals, Protocol):
    """The vectors, as the prover needs them: the functionals on them too."""

    def commit(self, level: Level) -> bytes:
        """Commits to the vector that is left, which is this level's; its root."""

    def extension(self, vector: int, point: Sequence[Ext]) -> Ext:
        """The multilinear extension of the first 2^len(point) elements of a vector; before the first round."""

    def round_polynomial(self) -> IntArray:
        """The round's polynomial: coefficients of X^0 and X^2, shape (2, 3)."""

    def vector(self) -> IntArray:
        """The vector that is left, shape (elements, 3), canonical."""

    def columns(self, number: int, indices: Sequence[int]) -> bytes:
        """Columns of the matrix of a level, by its number."""

    def paths(self, number: int, indices: Sequence[int]) -> bytes:
        """The Merkle paths of these columns."""


class Folding:
    """The levels of one opening, of one side.

    Args:
        levels: their sizes, one at least.
        channel, wire: of this side.
        witness: of the prover's side.
    """

    def __init__(
        self, levels: Sequence[Level], channel: Channel, wire: Wire, witness: FoldingWitness | None = None
    ) -> None:
        self._levels, self._channel, self._wire, self._witness = levels, channel, wire, witness
        outer = (levels[0].blocks - 1).bit_length()
        self._tensors = TensorSum(outer, levels[0].variables - outer)
        self.functionals: Functionals = witness or self._tensors
        self._root = self._exchange_root(levels[0])

    def run(self, target: Ext) -> None:
        """Show, or check, that the functionals, all added before, have values that add up to the target.

        Args:
            target: to a prover it does not matter.

        Raises:
            MalformedProofError: the bytes are not messages of these sizes.
            InvalidProofError: a check fails.
        """
        transcript, wire, witness = self._channel.transcript, self._wire, self._witness
        for number, level in enumerate(self._levels):
            point: list[Ext] = []
            for _ in range(level.folds):
                make = None if witness is None else witness.round_polynomial
                sent = self._channel.exchange_array("fold round", (2, DEGREE), make, wire)
                exchange_work(transcript, wire, "fold grinding", level.fold_grinding)
                r = transcript.challenge_ext("fold point")
                target = _polynomial_at(sent, target, r)
                self.functionals.fold(r)
                point.append(r)
            root, last = self._root, number == len(self._levels) - 1
            if last:
                make_vector = None if witness is None else witness.vector
                vector = self._channel.exchange_array("last fold", (level.columns, DEGREE), make_vector, wire)
            else:
                self._root = self._exchange_root(self._levels[number + 1])
            exchange_work(transcript, wire, "level grinding", level.query_grinding)
            indices = sorted(set(transcript.challenge_indices("level queries", level.length, level.queries)))
            values = self._exchange_columns(number, root, indices, point)
            if not last:
                powers = ext_powers(transcript.challenge_ext("level batch"), len(indices) + 1)[1:]
                self.functionals.add_values(powers, indices, level.log_length)
                target = ext_add(target, ext_dot(powers, modular.to_exts(values())) if wire.reads else ZERO)
            elif wire.reads:
                left = np.ascontiguousarray(vector.T)
                _check_codeword(level, left, indices, values())
                _check_target(left, self._tensors, target)

    def _exchange_root(self, level: Level) -> bytes:
        witness = self._witness
        self._channel.absorb("level", b"".join(size.to_bytes(8, "little") for size in level.sizes))
        root = self._wire.exchange(DIGEST_BYTES, None if witness is None else partial(witness.commit, level))
        self._channel.absorb("level root", root)
        return root

    def _exchange_columns(
        self, number: int, root: bytes, indices: Sequence[int], point: Sequence[Ext]
    ) -> Callable[[], IntArray]:
        """Columns with their paths; the result, for a verifier, checks them and folds each: shape (3, indices)."""
        level, witness, wire = self._levels[number], self._witness, self._wire
        siblings = DIGEST_BYTES * sibling_count(level.log_length, indices)
        make_columns = None if witness is None else partial(witness.columns, number, indices)
        make_paths = None if witness is None else partial(witness.paths, number, indices)
        columns = wire.exchange(level.leaf_bytes * len(indices), make_columns)
        paths = wire.exchange(siblings, make_paths)

        def folded() -> IntArray:
            size = level.leaf_bytes
            leaves = [columns[size * i : size * (i + 1)] for i in range(len(indices))]
            check_leaves(root, level.log_length, indices, leaves, paths)
            symbols = decode_array(columns, (len(indices), len(level.rows), DEGREE)).transpose(2, 0, 1)
            return modular.ext_matvec(symbols, modular.eq_table(point)[:, list(level.rows)])

        return folded


def _check_codeword(level: Level, vector: IntArray, indices: Sequence[int], values: IntArray) -> None:
    """The last fold, encoded, is what the columns fold to."""
    root = root_of_unity(level.length)
    points = np.array([pow(root, j, P) for j in indices], dtype=np.int64)
    if (modular.evaluate(vector, points) != values).any():
        raise InvalidProofError("the last fold does not agree with the committed columns")


def _check_target(vector: IntArray, functionals: TensorSum, target: Ext) -> None:
    if modular.ext_dot(vector, functionals.table()) != target:
        raise InvalidProofError("the last fold does not have the claimed values")


def _polynomial_at(sent: IntArray, target: Ext, r: Ext) -> Ext:
    """The value at r of the polynomial whose values at 0 and 1 add up to the target."""
    at0, square = modular.to_exts(np.ascontiguousarray(sent.T))
    line = ext_sub(ext_sub(ext_sub(target, at0), at0), square)
    return ext_add(at0, ext_mul(r, ext_add(line, ext_mul(r, square))))
