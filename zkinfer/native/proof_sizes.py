"""What a byte of a proof is worth, for each choice of its size: the sizes of all openings follow from it."""

from zkinfer.backend import ProofSize
from zkinfer.protocol.pcs.search import Cost

COSTS: dict[ProofSize, Cost] = {"balanced": Cost(), "small": Cost(proof_byte=16_000)}
"""By `docs/benchmarks/bytes.md`, a higher price saves little more, and takes more than about twice the time."""
