"""What a byte of a proof is worth, for each choice of its size: the sizes of all openings follow from it."""

from zkinfer.backend import ProofSize
from zkinfer.protocol.pcs.search import Cost

COSTS: dict[ProofSize, Cost] = {"balanced": Cost(), "small": Cost(proof_byte=8_000)}
"""By `docs/benchmarks/bytes.md`: at a higher price proofs of wide blocks take more than about twice the time."""
