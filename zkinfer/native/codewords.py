"""How many bytes of codewords a proof keeps from committing until columns are opened.

To make the opened symbols of those again that are not kept took an eighth of the time of a proof of GPT-2 small's shape
with 128 positions.
"""

from functools import cache

from zkinfer.jit.threads import available_processors, get_threads
from zkinfer.memory_limits import memory_limit
from zkinfer.protocol.pcs.prover import KEPT_BYTES

SHARE = 8
"""Codewords may take one part in so many of a process's memory."""


def kept_codeword_bytes() -> int:
    """For one matrix; never less than what `pcs.prover.commit` keeps by itself.

    A process with some of the machine's processors, as the workers of a job have, takes as much of its memory.
    """
    threads, processors = get_threads(), available_processors()
    return max(KEPT_BYTES, _limit() * min(threads, processors) // processors // SHARE)


@cache
def _limit() -> int:
    return memory_limit()
