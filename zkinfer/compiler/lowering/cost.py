"""The cost of a program's lookups for the native prover, in cells that it commits to."""

from collections.abc import Callable

import msgspec

from zkinfer.circuit.limbs import limb_bits
from zkinfer.circuit.program import Lookup, Program

UNIT = "cells"


class ProgramCost(msgspec.Struct, frozen=True):
    """The cost of a program's lookups.

    Attributes:
        tensors: for each label of a looked-up tensor, its elements and the limbs of their remainders.
        tables: rows of all tables, and of all ranges in which limbs are looked up; each is counted once.
    """

    tensors: dict[str, int]
    tables: int

    @property
    def total(self) -> int:
        """The cost of the whole program."""
        return sum(self.tensors.values()) + self.tables


CostFunction = Callable[[Program], ProgramCost]


def program_cost(program: Program, runs: int = 1) -> ProgramCost:
    """The cells of a program's lookups: `elements * (1 + limbs)`, plus the rows of tables and ranges.

    Everything else that a proof commits to, inputs and weights, does not depend on formats.

    Args:
        program: the program that is proven.
        runs: how many runs of it one proof covers; they share tables.
    """
    tensors: dict[str, int] = {}
    tables: set[int] = set()
    ranges: set[int] = set()
    for node in program.nodes:
        if isinstance(node, Lookup):
            elements = node.out.size * runs
            limbs = limb_bits(node.shift, elements)
            tensors[node.out.label] = tensors.get(node.out.label, 0) + elements * (1 + len(limbs))
            tables.add(node.table)
            ranges.update(limbs)
    rows = sum(len(program.tables[table].values) for table in tables) + sum(1 << bits for bits in ranges)
    return ProgramCost(tensors, rows)
