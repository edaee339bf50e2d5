"""Making a native proof: execute, commit, reduce, open, prove the pads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from zkinfer import security
from zkinfer.backends.sumcheck.party import ProverParty
from zkinfer.backends.sumcheck.witness import trace
from zkinfer.circuit.evaluate import evaluate
from zkinfer.errors import ProvingError
from zkinfer.pcs.params import OpeningParameters
from zkinfer.pcs.prover import CommittedMatrix, Opener, commit, open_padded_claims
from zkinfer.pcs.randomness import Randomness
from zkinfer.pcs.search import search
from zkinfer.reduction import argument
from zkinfer.reduction.argument import DOMAIN, OPENING_CHECK, PADS, Header, NativeProof
from zkinfer.reduction.party import Group, row_claims, settle
from zkinfer.reduction.plan import INPUTS, WITNESS, Plan, make_plan
from zkinfer.sumcheck.pads_prover import commit_pads, prove_pads
from zkinfer.transcript import Transcript

ERROR_BITS = 131
"""Of each of two openings: together half of what 128 bits of security allow."""

LOOKUP_ERROR_BITS = 132


@lru_cache(maxsize=64)
def header_for(plan: Plan) -> Header:
    """The prover's choice of sizes for proofs of a plan."""
    cells = sum(layout.cells for layout in plan.layouts[INPUTS:])
    parameters = search(max(cells, 1), 2, error_bits=ERROR_BITS).parameters
    grinding = 0
    if plan.instance is not None:
        instance = plan.instance
        term = security.logup("lookups", instance.entries.filled, instance.rows.filled, instance.columns)
        grinding = max(0, math.ceil(LOOKUP_ERROR_BITS - term.bits))
    code = parameters.code
    return Header(
        code.log_columns,
        code.blinding,
        code.log_length,
        parameters.queries,
        parameters.query_grinding,
        parameters.weight_grinding,
        grinding,
    )


@dataclass(frozen=True)
class Committed:
    """A run, executed and committed: what is left to do is to prove.

    Attributes:
        header: sizes.
        roots: of the matrices of private inputs, private outputs and witness; empty where there is none.
    """

    plan: Plan
    values: dict[int, npt.NDArray[Any]]
    stacks: tuple[npt.NDArray[np.float64], ...]
    blocks: list[list[npt.NDArray[np.float64]]]
    counts: list[npt.NDArray[np.float64]]
    header: Header
    shape: argument.Shape
    matrices: list[CommittedMatrix]
    roots: tuple[bytes, bytes, bytes]


def commit_run(
    plan: Plan, values: dict[int, npt.NDArray[Any]], weights: OpeningParameters, randomness: Randomness | None = None
) -> Committed:
    """Commit to the witness of an executed run."""
    header = header_for(plan)
    code = header.opening.code
    shape = argument.shape_of(plan, weights.code, code)
    witness = trace(plan, values, code.log_columns)
    matrices, roots = [], []
    for matrix, stack in zip(range(INPUTS, WITNESS + 1), witness.stacks, strict=True):
        masks = shape.witness_groups + 1 if matrix == WITNESS and shape.witness_groups else 0
        if not len(stack) and not masks:
            roots.append(b"")
            continue
        matrices.append(commit(code, stack.reshape(-1, code.columns), masks, randomness))
        roots.append(matrices[-1].commitment.root)
    return Committed(
        plan, values, witness.stacks, witness.blocks, witness.counts, header, shape, matrices, (roots[0], roots[1], roots[2])
    )


def prove_run(
    run: Committed, statement: bytes, weights: Opener, parameters: OpeningParameters, randomness: Randomness | None = None
) -> bytes:
    """Prove a committed run.

    Args:
        run: what `commit_run` gave; to be used once.
        statement: the digest of the statement, which binds `run.roots`.
        weights: the matrix of weights.
        parameters: of its opening.

    Returns:
        The bytes of the proof.

    Raises:
        BudgetError: the weights' matrix has no opening left.
        ProvingError: the proof would be less than 128 bits secure.
    """
    plan, header, shape = run.plan, run.header, run.shape
    found = argument.soundness(
        [*shape.terms], parameters, header.opening, (shape.weight_groups, shape.witness_groups)
    )
    pads = commit_pads(shape.cells, PADS, randomness)
    masks = commit(parameters.code, np.zeros((0, parameters.code.columns)), shape.weight_groups + 1, randomness)
    publics = public_values(plan, run.values)
    transcript = Transcript(DOMAIN)
    argument.begin(transcript, statement, header, run.roots, masks.commitment.root, pads.root)
    nonce = transcript.grind("lookup grinding", header.lookup_grinding)
    stacks = [weights.data.reshape(-1), *run.stacks]
    party = ProverParty(transcript, pads.pads, run.values, stacks, run.blocks, run.counts, header.lookup_grinding)
    openings = argument.reduce_to_openings(plan, publics, party, (parameters.code, header.opening.code))
    weight_bytes = _open(party, parameters, [weights, masks], openings.weights, transcript)
    witness_bytes = _open(party, header.opening, run.matrices, openings.witness, transcript)
    about = prove_pads(pads, party.channel.constraints(), transcript)
    return argument.encode(
        NativeProof(
            header,
            run.roots,
            masks.commitment.root,
            pads.root,
            nonce,
            party.sender.message,
            weight_bytes,
            witness_bytes,
            about,
        )
    )


def _open(
    party: ProverParty,
    parameters: OpeningParameters,
    matrices: Sequence[Opener],
    groups: Sequence[Group],
    transcript: Transcript,
) -> bytes:
    if not groups:
        return b""
    pads = party.sender.reserve(len(groups))
    opening, residuals = open_padded_claims(parameters, matrices, row_claims(groups), transcript, pads)
    settle(party.channel, OPENING_CHECK, groups, residuals, party.channel.reserve(len(groups)))
    return opening


def public_values(plan: Plan, values: dict[int, npt.NDArray[Any]]) -> dict[int, npt.NDArray[Any]]:
    """The public inputs and outputs as `reduce` takes them."""
    publics = {v: values[v] for v, private in enumerate(plan.private_inputs) if not private}
    for position, (value, private) in enumerate(zip(plan.program.outputs, plan.private_outputs, strict=True)):
        if not private:
            publics[plan.program.num_values + position] = values[value]
    return publics
