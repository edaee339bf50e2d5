"""How many bytes of codewords a proof keeps from committing until columns are opened.

To encode those again that are not kept took a seventh of the time of a proof of GPT-2 small's shape with 128 positions.
"""

from functools import cache

from zkinfer.memory_limits import memory_limit
from zkinfer.protocol.pcs.prover import KEPT_BYTES

SHARE = 8
"""Codewords may take one part in so many of the memory that this process may have."""


@cache
def kept_codeword_bytes() -> int:
    """For one matrix; never less than what `pcs.prover.commit` keeps by itself."""
    return max(KEPT_BYTES, memory_limit() // SHARE)
