"""A functional of an Einsum's result as one sum of products of two factors, and back.

Claim: sum over all letters of U[out] * A[letters of A] * B[letters of B] = v. Letters of one operand alone are
contracted with it; over the letters that are left, shared by both,

    sum over s of A'[s] * B'[s] = v,

which a sumcheck reduces, every shared letter padded with zeros to a power of two, to A'(r) and B'(r). With e_l the eq
table of the part of r that belongs to letter l, these are functionals of A and of B again. Contracting before the
sumcheck makes the prover's work linear in the operands (Thaler 2013, "Time-optimal interactive proofs for circuit
evaluation", Section 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zkinfer.circuit.program import Einsum
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.scalar import ONE, Ext, ext_mul
from zkinfer.protocol.reduction.factors import monic
from zkinfer.protocol.reduction.functional import Functional, arrange, scaled, split
from zkinfer.protocol.reduction.plan import Plan
from zkinfer.protocol.reduction.shared import Shared
from zkinfer.protocol.sumcheck.params import Instance, Monomial, Point
from zkinfer.typing import IntArray

Factor = tuple[str, IntArray]
"""Letters, and weights with one axis a letter behind the coordinates: shape (3, sizes of the letters)."""

RUNS, ONCE = "R", "O"
"""The letter of the axis of runs, and that of the axis of the one run of what is made of weights only."""

PRODUCT = (Monomial(ONE, (0, 1)),)


@dataclass(frozen=True)
class Side:
    """An operand's side of a contraction.

    Attributes:
        letters: of the operand's axes, that of runs first.
        factors: what it is multiplied with before all letters that are not shared are summed.
    """

    letters: str
    factors: tuple[Factor, ...]


@dataclass(frozen=True, eq=False)
class ContractionSides:
    """Both sides of a contraction, which equal Einsums have in common.

    Attributes:
        left, right: A' is `scale` times what `left` gives, and may have letters that A lacks.
        shared: the letters that are left, in the order of the sumcheck's variables.
        sizes: of all letters.
        scale: a factor of A'.
    """

    left: Side
    right: Side
    shared: str
    sizes: dict[str, int]
    scale: Ext

    @cached_property
    def bits(self) -> tuple[int, ...]:
        """Variables of each shared letter."""
        return tuple((self.sizes[letter] - 1).bit_length() for letter in self.shared)

    @property
    def padded(self) -> tuple[int, ...]:
        """Sizes of the shared letters, each a power of two."""
        return tuple(1 << bits for bits in self.bits)

    @property
    def instance(self) -> Instance:
        """The sumcheck of A' B'."""
        return Instance(sum(self.bits), 2, PRODUCT)

    def functionals(self, point: Point) -> tuple[Functional, Functional]:
        """What A'(point) and B'(point) are of A and of B, the scale being that of the sides."""
        ends = np.cumsum((0, *self.bits))
        tables = {
            letter: modular.eq_table(point[start:end])[:, : self.sizes[letter]]
            for letter, start, end in zip(self.shared, ends[:-1], ends[1:], strict=True)
        }
        return self._functional(self.left, tables, self.scale), self._functional(self.right, tables, ONE)

    def _functional(self, side: Side, tables: dict[str, IntArray], scale: Ext) -> Functional:
        """The side's factors times the eq tables, letters that the operand lacks summed."""
        parts, unused = [], dict(tables)
        for letters, weights in side.factors:
            for letter in letters:
                if letter in unused:
                    axis = letters.index(letter) + 1
                    spread = [3] + [1] * (weights.ndim - 1)
                    spread[axis] = -1
                    weights = multiply(weights, unused.pop(letter).reshape(spread))
            for letter in letters:
                if letter not in side.letters:
                    axis = letters.index(letter) + 1
                    weights = modular.sum_axis(weights, axis).squeeze(axis)
                    letters = letters.replace(letter, "")
            if letters:
                parts.append((letters, weights))
            else:
                scale = modular.to_exts(modular.ext_mul(weights.reshape(3, 1), modular.from_exts([scale])))[0]
        covered = {letter for letters, _ in parts for letter in letters}
        parts += [(c, unused.get(c, ones(self.sizes[c]))) for c in side.letters if c not in covered]
        shape = tuple(self.sizes[letter] for letter in side.letters)
        return arrange(shape, side.letters, parts, scale)


@dataclass(frozen=True, eq=False)
class Contraction:
    """One functional of one Einsum's result.

    Attributes:
        operands: the values A and B.
        sides: what A' and B' are of them.
        scale: a factor of A', beside that of the sides.
    """

    operands: tuple[int, int]
    sides: ContractionSides
    scale: Ext

    @property
    def instance(self) -> Instance:
        """The sumcheck of A' B'."""
        return self.sides.instance

    def functionals(self, point: Point, shared: Shared) -> tuple[Functional, Functional]:
        """What A'(point) and B'(point) are of A and of B."""
        on_left, on_right = shared.of(ContractionSides.functionals, self.sides, point)
        return scaled(on_left, self.scale), on_right


def ones(size: int) -> IntArray:
    """The weights of a plain sum over an axis."""
    weights = np.zeros((3, size), dtype=np.int64)
    weights[0] = 1
    return weights


def multiply(a: IntArray, b: IntArray) -> IntArray:
    """Products of extension elements, with broadcasting of the axes behind the coordinates."""
    return modular.ext_mul(a, b)


def contract(plan: Plan, node: Einsum, functional: Functional, shared: Shared) -> Contraction:
    """The contraction of an Einsum of two operands for a functional of its result."""
    a, b = node.operands
    sides = shared.of(sides_of, shared.form(functional), node.subscripts, plan.shape(a), plan.shape(b))
    return Contraction((a, b), sides, functional.scale)


def sides_of(functional: Functional, subscripts: str, a: tuple[int, ...], b: tuple[int, ...]) -> ContractionSides:
    """The sides of a contraction.

    Args:
        functional: of the result.
        subscripts: of the Einsum.
        a, b: the shapes of the operands, axes of runs first.
    """
    left, _, out = subscripts.partition("->")
    first, _, second = left.partition(",")
    runs = functional.shape[0]
    letters_a, letters_b = ((RUNS if s[0] == runs else ONCE) + names for s, names in ((a, first), (b, second)))
    sizes = dict(zip(letters_a, a, strict=True)) | dict(zip(letters_b, b, strict=True))
    factors = named_factors(RUNS + out, split(functional))

    common = set(letters_a) & set(letters_b)
    mixed = [f for f in factors if not (set(f[0]) <= set(letters_a) - common or set(f[0]) <= set(letters_b) - common)]
    shared = common | {letter for letters, _ in mixed for letter in letters if letter in letters_b}
    on_b = [f for f in factors if set(f[0]) <= set(letters_b) - common]
    on_a = tuple(f for f in factors if all(f is not g for g in on_b))
    order = "".join(letter for letter in letters_b if letter in shared)
    monic_b, scale = _monic(on_b, functional.scale)
    return ContractionSides(Side(letters_a, on_a), Side(letters_b, monic_b), order, sizes, scale)


def _monic(factors: Sequence[Factor], scale: Ext) -> tuple[tuple[Factor, ...], Ext]:
    """The factors with one as their first nonzero entry: how A' and B' share a scale must not depend on the factors."""
    result = []
    for letters, weights in factors:
        normal = monic(weights)
        if normal is not None:
            weights, lead = normal
            scale = ext_mul(scale, lead)
        result.append((letters, weights))
    return tuple(result), scale


def named_factors(letters: str, functional: Functional) -> list[Factor]:
    """The factors of a functional under the letters of its axes."""
    factors, axis = [], 0
    for weights in functional.factors:
        count = weights.ndim - 1
        factors.append((letters[axis : axis + count], weights))
        axis += count
    return factors


def expand_single(functional: Functional, subscripts: str, shape: tuple[int, ...]) -> Functional:
    """The functional of the operand of an Einsum of one operand: sums over letters have weight 1.

    Args:
        functional: of the result.
        subscripts: of the Einsum.
        shape: of the operand, its axis of runs first.
    """
    names, _, out = subscripts.partition("->")
    parts: list[Factor] = named_factors(RUNS + out, functional)
    letters = RUNS + names
    parts += [(c, ones(n)) for c, n in zip(letters, shape, strict=True) if c not in RUNS + out]
    return arrange(shape, letters, parts, functional.scale)
