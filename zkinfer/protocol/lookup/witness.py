"""What makes a lookup argument's protocol a prover: trees of fractions, and the values at the leaves.

The numba kernels implement both (`prover`, `trees`), and so does plain Python among the tests, which hold
the kernels against it.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from zkinfer.errors import ProvingError
from zkinfer.protocol.field.scalar import ZERO, Ext, ext_inv
from zkinfer.protocol.sumcheck.params import Point
from zkinfer.protocol.sumcheck.witness import Rounds

Fraction: TypeAlias = tuple[Ext, Ext]
"""Numerator and denominator."""


class ZeroDenominatorError(ProvingError):
    """A denominator vanished, which happens with probability below 2^-100. New commitments give new challenges."""


class FractionTree(Protocol):
    """A binary tree of fractions, each node the sum of its children, between its root and its leaves."""

    @property
    def root(self) -> Fraction:
        """The sum of all leaves."""

    def rounds(self, depth: int, point: Point, lambda_: Ext) -> Rounds:
        """The sumcheck of the layer of 2^depth nodes: p0 q1 + p1 q0 + lambda q0 q1 of their children, weighed by eq.

        Factors in order: p0, p1, q0, q1. Layers are asked for from the root down, each once.
        """

    def bind(self, child: Ext) -> None:
        """After the sumcheck of a layer: joins the claims about both children of its nodes by this challenge."""


class LookupWitness(Protocol):
    """The entries and multiplicities of a lookup argument."""

    def trees(self, alpha: Ext, gamma: Ext) -> Sequence[FractionTree]:
        """The trees of the instance's stacks, in order: of entries, then that of the rows."""

    def block_values(self, number: int, point: Point) -> list[Ext]:
        """For each column of a block the value of its multilinear extension."""

    def multiplicity_value(self, table: int, point: Point) -> Ext:
        """The value of the multilinear extension of a table's multiplicities."""


def roots(trees: Sequence[FractionTree]) -> list[Ext]:
    """Numerators and denominators of all roots: the first message.

    Raises:
        ZeroDenominatorError: alpha is a fingerprint.
    """
    if any(tree.root[1] == ZERO for tree in trees):
        raise ZeroDenominatorError("alpha is the fingerprint of an entry or row: commit again with fresh randomness")
    return [element for tree in trees for element in tree.root]


def inverses(trees: Sequence[FractionTree]) -> list[Ext]:
    """The inverses of the roots' denominators: the second message."""
    return [ext_inv(tree.root[1]) for tree in trees]
