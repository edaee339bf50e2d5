"""The cost of a program's lookups for the native prover, in cells that it commits to."""

from collections import Counter
from collections.abc import Callable

import msgspec

from zkinfer.circuit.limbs import limb_cuts
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
    lookups = [node for node in program.nodes if isinstance(node, Lookup)]
    elements: Counter[int] = Counter()
    for node in lookups:
        elements[node.shift] += node.out.size * runs
    limbs = limb_cuts(elements)
    tensors: Counter[str] = Counter()
    for node in lookups:
        tensors[node.out.label] += node.out.size * runs * (1 + len(limbs[node.shift]))
    tables = {node.table for node in lookups}
    ranges = {bits for cut in limbs.values() for bits in cut}
    rows = sum(len(program.tables[table].values) for table in tables) + sum(1 << bits for bits in ranges)
    return ProgramCost(dict(tensors), rows)
