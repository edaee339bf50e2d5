"""The prover's side of folding: the vectors, element by element. Needs numba."""

from collections.abc import Sequence

import numpy as np

from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.params import DEGREE, NONRESIDUE, P
from zkinfer.protocol.field.scalar import ONE, Ext, ext_powers
from zkinfer.protocol.merkle.columns import SaltedColumns
from zkinfer.protocol.merkle.tree import build_tree, prove_leaves
from zkinfer.protocol.pcs.levels import Level
from zkinfer.protocol.sumcheck.rounds import ProductRounds
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.timings import phase
from zkinfer.typing import ByteArray, Floats, IntArray


class FoldedVectors:
    """Vectors, and functionals of them, that are folded together; implements `folding.FoldingWitness`.

    Args:
        vectors: balanced, shape (vectors, 3, elements).
    """

    def __init__(self, vectors: Floats) -> None:
        count, _, elements = vectors.shape
        self._outer, self._inner = (count - 1).bit_length(), (elements - 1).bit_length()
        blocks = np.zeros((DEGREE, 1 << self._outer, 1 << self._inner))
        blocks[:, :count, :elements] = vectors.transpose(1, 0, 2)
        self._vector: Floats = blocks.reshape(DEGREE, -1)
        self._weights: Floats = np.zeros_like(self._vector)
        self._trees: list[tuple[ByteArray | SaltedColumns, ByteArray]] = []
        self._rounds: ProductRounds | None = None
        self._point: list[Ext] = []

    def commit(self, level: Level) -> bytes:
        """Commits to the vector that is left, which is this level's; its root."""
        self._finish_folds()
        with phase("encoding"):
            rows = self._vector.reshape(DEGREE, -1, level.columns)[:, list(level.rows)].transpose(1, 0, 2)
            codewords = kernels.rs_encode(np.ascontiguousarray(rows).reshape(-1, level.columns), level.length)
        leaves = SaltedColumns(codewords, np.empty((level.length, 0), dtype=np.uint8))
        with phase("tree"):
            self._trees.append((leaves, build_tree(leaves)))
        root: bytes = self._trees[-1][1][1].tobytes()
        return root

    def add_values(
        self, coefficients: Sequence[Ext], indices: Sequence[int], log_length: int, batch: Ext = ONE
    ) -> None:
        """sum over vectors e and indices j of batch^e coefficients[j] * (vector e as a polynomial, at w^indices[j])."""
        self._finish_folds()
        with phase("functionals"):
            sparse = np.zeros((DEGREE, 1 << log_length))
            sparse[:, indices] = kernels.ext_from_ints(coefficients)
            self._add_to_all(np.ascontiguousarray(kernels.ntt(sparse)[:, : 1 << self._inner]), batch)

    def add_spare(self, start: int, coefficient: Ext, point: Sequence[Ext], batch: Ext) -> None:
        """coefficient * sum over vectors e of batch^e * (the extension of its elements from `start` on, there)."""
        with phase("functionals"):
            weights = kernels.eq_table(point, coefficient)
            weights[:, :start] = 0
            self._add_to_all(weights, batch)

    def _add_to_all(self, weights: Floats, batch: Ext) -> None:
        """Adds batch^e times these weights to those of each vector e."""
        powers = kernels.ext_from_ints(ext_powers(batch, self._weights.shape[1] >> self._inner))
        kernels.add_outer(self._weights, powers, weights)

    def add_extension(self, vector: int, coefficient: Ext, point: Sequence[Ext]) -> None:
        """coefficient * (the multilinear extension of the first 2^len(point) elements of a vector, at the point)."""
        start = vector << self._inner
        part = slice(start, start + (1 << len(point)))
        with phase("functionals"):
            kernels.add_outer(self._weights[:, part], kernels.ext_from_ints([coefficient]), kernels.eq_table(point))

    def extension(self, vector: int, point: Sequence[Ext]) -> Ext:
        """The multilinear extension of the first 2^len(point) elements of a vector, there."""
        start = vector << self._inner
        return kernels.mle(self._vector[:, start : start + (1 << len(point))], point)

    def round_polynomial(self) -> IntArray:
        """The round's polynomial: coefficients of X^0 and X^2, shape (2, 3)."""
        with phase(f"rounds of level {len(self._trees)}"):
            if self._rounds is None:
                self._rounds = ProductRounds(FactorTables.of([self._vector, self._weights]), None)
            at0, _, square = self._rounds.sums()
        return np.array([at0, square], dtype=np.int64)

    def fold(self, r: Ext) -> None:
        """Sets the first variable that is left."""
        assert self._rounds is not None
        with phase(f"rounds of level {len(self._trees)}"):
            self._rounds.bind(r)
        self._point.append(r)

    def vector(self) -> IntArray:
        """The vector that is left, shape (elements, 3), canonical."""
        self._finish_folds()
        return np.ascontiguousarray(kernels.to_ints(self._vector).T)

    def columns(self, number: int, indices: Sequence[int]) -> bytes:
        """Columns of the matrix of a level, by its number."""
        with phase("columns and paths"):
            return self._trees[number][0][indices].tobytes()

    def paths(self, number: int, indices: Sequence[int]) -> bytes:
        """The Merkle paths of these columns."""
        with phase("columns and paths"):
            return prove_leaves(self._trees[number][1], indices)

    def _finish_folds(self) -> None:
        """Folds vector and functionals by all challenges at once, in which sumcheck rounds went ahead."""
        if not self._point:
            return
        with phase("folds"):
            by = modular.eq_table(self._point)
            shifted = [by, _times_u(by), _times_u(_times_u(by))]
            coefficients = kernels.from_ints(np.concatenate(shifted, axis=1))
            self._vector = _combined(self._vector, coefficients)
            self._weights = _combined(self._weights, coefficients)
            self._inner = self._vector.shape[1].bit_length() - 1
            self._point, self._rounds = [], None


def _times_u(values: IntArray) -> IntArray:
    return np.stack([values[2] * NONRESIDUE % P, values[0], values[1]])


def _combined(vector: Floats, coefficients: Floats) -> Floats:
    """The parts of a vector, each times its coefficient: shape (3, elements of a part)."""
    return kernels.row_combination(vector.reshape(coefficients.shape[1], -1), coefficients)
