"""How many items a proof should cover, where the user does not say.

A proof has a cost of its own and a cost for each item, so larger batches are cheaper an item, by less and less. The
first batches of a job try sizes: `FIRST`, then twice as many as long as that makes an item cheaper by `WORTHWHILE`. The
last size that was worth it is that of all others. No batch is larger than `LARGEST`, nor than memory allows, nor
smaller than the budget of the keys demands.
"""

import os

from zkinfer.backend import find_backend
from zkinfer.circuit.program import Program
from zkinfer.circuit.samples import batch_of, elements_per_run
from zkinfer.counts import counted
from zkinfer.errors import BudgetError
from zkinfer.memory_limits import memory_limit

FIRST = 16
LARGEST = 1024
WORTHWHILE = 0.1
BYTES_PER_ELEMENT = 64
"""Above what the native prover takes at its peak for one more element of a run's tensors, 46 when measured."""

SHARE_OF_MEMORY = 0.5
SPARE = 0.05
"""Of the proofs that a job needs, how many more are kept for attempts that fail."""


class Sizing:
    """Sizes of batches, multiples of the circuit's batch.

    Args:
        fixed: the user's choice; None for an automatic one.
        program: of the keys.
        backend: of the keys.
        workers: how many batches are proven at once.
        items: how many are left to be divided into batches.
        proofs: how many the keys may still make.

    Raises:
        BudgetError: the keys cannot make as many proofs as the job needs.
    """

    def __init__(
        self, fixed: int | None, program: Program, backend: str, *, workers: int, items: int, proofs: int
    ) -> None:
        self._best: dict[int, float] = {}
        unit = batch_of(program)
        most = find_backend(backend).limits.runs
        largest = max(LARGEST, unit) // unit * unit
        if most is not None:
            largest = min(largest, most * unit)
        if fixed is None:
            memory = SHARE_OF_MEMORY * available_memory() / workers
            runs = max(1, int(memory / (BYTES_PER_ELEMENT * elements_per_run(program))))
            largest = min(largest, runs * unit)
        self.largest = largest if fixed is None else fixed
        needed = -(-items // self.largest)
        if needed > proofs:
            raise BudgetError(
                f"{counted(items, 'item')} in batches of {self.largest:,} take {counted(needed, 'proof')}, and these "
                f"keys can make {proofs:,} "
                "more: make keys for more proofs (zkinfer setup --proofs), rotate them, or choose larger batches"
            )
        affordable = max(1, int(proofs / (1 + SPARE)))
        least = -(-items // affordable) if items else 1
        whole = -(-max(FIRST, least) // unit) * unit  # rounded up to whole runs
        self.smallest = self.largest if fixed is not None else min(self.largest, whole)

    def record(self, items: int, seconds: float) -> None:
        """A batch of that size took so long."""
        cost = seconds / items
        self._best[items] = min(self._best.get(items, cost), cost)

    @property
    def size(self) -> int:
        """The size of the next batch."""
        return self._next()[0]

    @property
    def settled(self) -> bool:
        """Whether enough batches were proven to choose it."""
        return self._next()[1]

    def _next(self) -> tuple[int, bool]:
        size, best = self.smallest, self._best
        while size < self.largest:
            larger = min(2 * size, self.largest)
            if size not in best:
                return size, False
            if larger in best and best[larger] > (1 - WORTHWHILE) * best[size]:
                return size, True
            size = larger
        return size, True


def available_memory() -> int:
    """Bytes that programs may still take, and this process at most: as in a container, it may be allowed less."""
    try:
        import psutil
    except ModuleNotFoundError:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    else:
        available = int(psutil.virtual_memory().available)
    return min(available, memory_limit())
