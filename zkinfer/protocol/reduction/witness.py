"""What makes the reduction's protocol a prover: answers computed from the values of the program."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.lookup.witness import LookupWitness
from zkinfer.protocol.reduction.claims import BlockSum
from zkinfer.protocol.reduction.contraction import Contraction
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.reduction.gather import Gathering
from zkinfer.protocol.sumcheck.params import Batch
from zkinfer.protocol.sumcheck.witness import SumcheckWitness
from zkinfer.typing import IntArray


class ReductionWitness(Protocol):
    """An executed and committed run."""

    def lookups(self, number: int = 0) -> LookupWitness:
        """Entries and multiplicities of a lookup argument, of which only a proof about weights has several."""

    def gather_sumcheck(self, batch: Batch, gatherings: Sequence[Gathering]) -> SumcheckWitness:
        """The weights of gathered boxes, and the values that they are boxes of."""

    def evaluation(self, value: int, functional: Functional) -> Ext:
        """The value of a functional of a value of the program."""

    def public_evaluation(self, functional: Functional, array: IntArray) -> Ext:
        """What `functional.evaluate` gives."""

    def contracted(self, contractions: Sequence[Contraction]) -> list[Ext]:
        """The sums of contractions."""

    def contraction_sumcheck(self, batch: Batch, contractions: Sequence[Contraction]) -> SumcheckWitness:
        """The tables of contractions, which are then used up."""

    def weighted_cells(self, sums: Sequence[Sequence[BlockSum]]) -> list[Ext]:
        """The values of sums of sums over blocks."""

    def block_sums(self, sums: Sequence[BlockSum]) -> list[Ext]:
        """The values of sums over blocks."""

    def block_sumcheck(self, batch: Batch, sums: Sequence[BlockSum]) -> SumcheckWitness:
        """The cells of blocks and their weights."""

    def column_sumcheck(
        self, matrices: Sequence[int], log_columns: int, batch: Batch, rows: Sequence[IntArray]
    ) -> SumcheckWitness:
        """Combinations of the rows of these matrices, one after another, by vectors of shape (3, rows)."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Measures, or shows, a part of the proof."""
