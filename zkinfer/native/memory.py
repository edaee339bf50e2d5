"""Whether a proof, or keys, fit into the memory that there is: said before any work is done for them."""

from functools import lru_cache

from rich.filesize import decimal

from zkinfer.backend import ProofSize
from zkinfer.circuit.program import Program
from zkinfer.circuit.samples import batch_of
from zkinfer.errors import ResourceError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.memory_limits import OVERESTIMATED, memory_limit
from zkinfer.native.cost import memory_bytes
from zkinfer.native.prove import header_for
from zkinfer.protocol.pcs.params import Code
from zkinfer.protocol.reduction.plan import Plan, make_plan

KEYS = 4.0
"""Bytes of memory that making keys takes for a weight beside the weights, at least: the trees of lookups and their
entries, 32 bytes for each of an eighth of the weights."""


def require_memory(
    commitment: Commitment,
    runs: int,
    *,
    private_inputs: bool,
    private_outputs: bool,
    proof_size: ProofSize = "balanced",
) -> None:
    """Refuse a proof that surely does not fit.

    Raises:
        ResourceError: says what is needed, what there is, and how many inferences would fit.
        ProvingError: the program cannot be proven for so many runs.
    """
    program, weights = commitment.program, commitment.key_as(NativeVerifyingKey).opening.code
    inputs, outputs = (private_inputs,) * len(program.inputs), (private_outputs,) * len(program.outputs)
    needed, present = _needed(make_plan(program, runs, inputs, outputs), weights, proof_size), memory_limit()
    if needed <= OVERESTIMATED * present:
        return
    fitting = runs // 2
    while fitting and _needed(make_plan(program, fitting, inputs, outputs), weights, proof_size) > present:
        fitting //= 2
    batch = batch_of(program)
    advice = (
        f"prove {fitting * batch:,} at once, or fewer"
        if fitting
        else f"compile for shorter inputs or a smaller batch, or prove on a machine with {decimal(needed)} or more"
    )
    raise ResourceError(
        f"a proof of so many inferences ({runs * batch:,}) takes about {decimal(needed)} of memory, and this process "
        f"may have {decimal(present)}: {advice}"
    )


def require_memory_for_keys(program: Program) -> None:
    """Refuse to make keys that surely do not fit.

    Raises:
        ResourceError: says what is needed and what there is.
    """
    weights = sum(tensor.size for tensor in program.weights)
    needed, present = int(KEYS * weights), memory_limit()
    if needed > OVERESTIMATED * present:
        raise ResourceError(
            f"keys for {weights:,} weights take about {decimal(needed)} of memory to make, and this process may have "
            f"{decimal(present)}: make them on a machine with {decimal(needed)} or more"
        )


@lru_cache(maxsize=64)
def _needed(plan: Plan, weights: Code, proof_size: ProofSize) -> int:
    """Bytes that proving takes, the execution not counted."""
    return memory_bytes(plan, header_for(plan, proof_size), weights, 0)
