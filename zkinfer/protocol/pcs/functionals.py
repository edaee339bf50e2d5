"""Linear functionals of the vectors of a level, as the verifier knows them: sums of products of bits' factors.

A term is coefficient * sum over x of V(x) * product over the bits x_k of x of its factor for that bit. Every functional
here is of this kind: the value of a row's codeword at w^j, where the factors of a bit are 1 and a power of w^j, and the
multilinear extension at a point. To fold a variable replaces two factors by one number.
"""

from collections.abc import Callable, Sequence

import numpy as np

from zkinfer.protocol.field import modular
from zkinfer.protocol.field.params import DEGREE, NONRESIDUE, P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_mul, ext_sub, root_of_unity
from zkinfer.typing import IntArray


class TensorSum:
    """A sum of such terms over `outer` bits, which number a vector, and `inner` bits of an element's number in it.

    Attributes:
        coefficients: shape (3, terms).
        factors: of bits 0 and 1 for each variable that is left, first variable first: shape (3, terms, variables, 2).
    """

    def __init__(self, outer: int, inner: int) -> None:
        self._outer, self._inner = outer, inner
        self.coefficients: IntArray = np.zeros((DEGREE, 0), dtype=np.int64)
        self.factors: IntArray = np.zeros((DEGREE, 0, outer + inner, 2), dtype=np.int64)

    def add_values(
        self, coefficients: Sequence[Ext], indices: Sequence[int], log_length: int, batch: Ext = ONE
    ) -> None:
        """sum over vectors e and indices j of batch^e coefficients[j] * (vector e as a polynomial, at w^indices[j])."""
        root = root_of_unity(1 << log_length)
        bases = np.array([pow(root, j, P) for j in indices], dtype=np.int64)
        factors = np.zeros((DEGREE, len(indices), self._outer + self._inner, 2), dtype=np.int64)
        factors[0, :, :, 0] = 1
        for variable in reversed(range(self._outer, self._outer + self._inner)):
            factors[0, :, variable, 1] = bases
            bases = modular.mul(bases, bases)
        for variable in reversed(range(self._outer)):
            factors[:, :, variable, 1] = np.array(batch)[:, None]
            batch = ext_mul(batch, batch)
        self._append(modular.from_exts(coefficients), factors)

    def add_extension(self, vector: int, coefficient: Ext, point: Sequence[Ext]) -> None:
        """coefficient * (the multilinear extension of the first 2^len(point) elements of a vector, at the point)."""
        outer = [vector >> bit & 1 for bit in reversed(range(self._outer))]
        known = [*outer, *[0] * (self._inner - len(point))]
        bits: list[tuple[Ext, Ext]] = [(ZERO, ONE) if bit else (ONE, ZERO) for bit in known]
        bits += [(ext_sub(ONE, z), z) for z in point]
        factors = np.array(bits, dtype=np.int64).transpose(2, 0, 1)
        self._append(modular.from_exts([coefficient]), factors[:, None])

    def add_spare(self, start: int, coefficient: Ext, point: Sequence[Ext], batch: Ext) -> None:
        """coefficient * sum over vectors e of batch^e * (the extension of its elements from `start` on, at the point).

        An element from `start` on has the first bits of start - 1, then a bit 1 for a bit 0, then any bits: a term for
        each such bit.
        """
        either = [(ext_sub(ONE, z), z) for z in point]
        of_vectors: list[tuple[Ext, Ext]] = []
        for _ in range(self._outer):
            of_vectors.insert(0, (ONE, batch))
            batch = ext_mul(batch, batch)
        last = [start - 1 >> bit & 1 for bit in reversed(range(self._inner))]
        equal = [(ZERO, one) if bit else (zero, ZERO) for bit, (zero, one) in zip(last, either, strict=True)]
        for place, bit in enumerate(last):
            if not bit:
                bits = [*of_vectors, *equal[:place], (ZERO, point[place]), *either[place + 1 :]]
                factors = np.array(bits, dtype=np.int64).transpose(2, 0, 1)
                self._append(modular.from_exts([coefficient]), factors[:, None])

    def _append(self, coefficients: IntArray, factors: IntArray) -> None:
        self.coefficients = np.concatenate([self.coefficients, coefficients], axis=1)
        self.factors = np.concatenate([self.factors, factors], axis=1)

    def fold(self, r: Ext) -> None:
        """Sets the first variable that is left."""
        low, high = self.factors[:, :, 0, 0], self.factors[:, :, 0, 1]
        factor = (low + modular.ext_mul((high - low) % P, modular.from_exts([r]))) % P
        self.coefficients = modular.ext_mul(self.coefficients, factor)
        self.factors = self.factors[:, :, 1:]
        if self._outer:
            self._outer -= 1
        else:
            self._inner -= 1

    def table(self) -> IntArray:
        """The weight of each element of the vector that is left: shape (3, 2^variables)."""
        # Most terms are values, whose factors are in F.
        base = ~self.factors[1:].any(axis=(0, 2, 3))
        total = _table_over_base(self.coefficients[:, base], self.factors[0, base])
        if not base.all():
            total = (total + _table(self.coefficients[:, ~base], self.factors[:, ~base])) % P
        return total


def _table_over_base(coefficients: IntArray, factors: IntArray) -> IntArray:
    """`TensorSum.table` for terms whose factors, shape (terms, variables, 2), are in F."""
    terms, variables = factors.shape[:2]
    half = variables // 2
    left = modular.mul(_expanded(factors[:, :half], modular.mul), coefficients[:, :, None])
    rows = left.transpose(0, 2, 1).reshape(DEGREE << half, terms)
    return modular.matmul(rows, _expanded(factors[:, half:], modular.mul)).reshape(DEGREE, -1)


def _table(coefficients: IntArray, factors: IntArray) -> IntArray:
    """The same for factors in K, shape (3, terms, variables, 2)."""
    half = factors.shape[2] // 2
    left = modular.ext_mul(_expanded(factors[:, :, :half], modular.ext_mul), coefficients[:, :, None])
    right = _expanded(factors[:, :, half:], modular.ext_mul)
    products = [_ext_matmul(left, right[k], k) for k in range(DEGREE)]
    total: IntArray = sum(products[1:], products[0]) % P
    return total.reshape(DEGREE, -1)


def _expanded(factors: IntArray, multiply: Callable[[IntArray, IntArray], IntArray]) -> IntArray:
    """For each term the products of its factors, for all values of their bits: shape (..., terms, 2^variables)."""
    *axes, variables, _ = factors.shape
    table = np.zeros((*axes, 1), dtype=np.int64)
    (table if len(axes) == 1 else table[0])[...] = 1
    for variable in range(variables):
        table = multiply(table[..., None], factors[..., None, variable, :]).reshape(*axes, 2 << variable)
    return table


def _ext_matmul(left: IntArray, right: IntArray, power: int) -> IntArray:
    """u^power * left^T right, for left of shape (3, terms, m), and right of shape (terms, n) in F: (3, m, n)."""
    rows = left.transpose(0, 2, 1).reshape(-1, left.shape[1])
    product = modular.matmul(rows, right).reshape(DEGREE, left.shape[2], right.shape[1])
    for _ in range(power):
        product = np.stack([product[2] * NONRESIDUE % P, product[0], product[1]])
    return product
