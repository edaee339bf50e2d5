"""Making a native proof: execute, commit, reduce, open, prove the pads."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from zkinfer.backend import ProofSize
from zkinfer.circuit.samples import batch_of, stacked_shape
from zkinfer.errors import BudgetError, InvalidInputError, ProvingError
from zkinfer.execution.tables import AppliedTable
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.proof import OutputTensor, PrivateTensor, Proof, check_claimed
from zkinfer.files.statement import Shown, Statement
from zkinfer.native.allocator import keep_freed_memory
from zkinfer.native.codewords import kept_codeword_bytes
from zkinfer.native.proof_sizes import COSTS
from zkinfer.native.reduction_witness import NativeReductionWitness
from zkinfer.native.witness import trace
from zkinfer.protocol import security
from zkinfer.protocol.channel import Writer
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.native_proof.encoding import Header, NativeProof, encode, hidden_values
from zkinfer.protocol.native_proof.protocol import PADS, Commitments, ProofWires, run_proof, soundness
from zkinfer.protocol.native_proof.shape import Shape, shape_of
from zkinfer.protocol.pads.params import PadParameters
from zkinfer.protocol.pads.prover import CommittedPads, commit_pads
from zkinfer.protocol.pcs.copies import ONLY, Link, Place
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.prover import CommittedMatrix, MatrixWitness, OpenableMatrix, commit
from zkinfer.protocol.pcs.search import search
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.reduction.plan import INPUTS, WITNESS, Plan, make_plan
from zkinfer.protocol.reduction.weight_ranges import AnyPlan
from zkinfer.timings import phase
from zkinfer.typing import Array, Floats, IntArray

if TYPE_CHECKING:
    from zkinfer.native.keys import NativeKeys


ERROR_BITS = 131
"""Of each of two openings: together half of what 128 bits of security allow."""

LOOKUP_ERROR_BITS = 132

MAX_LOG_COLUMNS = 18
"""Of the prover's own matrices: longer rows, which might be fewer bytes, would be more work than verifiers accept."""


@lru_cache(maxsize=64)
def header_for(plan: AnyPlan, proof_size: ProofSize = "balanced") -> Header:
    """The prover's choice of sizes for proofs of a plan."""
    parameters = own_parameters(sum(layout.cells for layout in plan.layouts[INPUTS:]), proof_size)
    grinding = 0
    if plan.instances:
        terms = [security.logup("lookups", i.lookups, i.rows.filled, i.columns) for i in plan.instances]
        bits = -math.log2(math.fsum(term.error for term in terms))
        grinding = max(0, math.ceil(LOOKUP_ERROR_BITS - bits))
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


def own_parameters(cells: int, proof_size: ProofSize) -> OpeningParameters:
    """How the prover's own matrices are opened, of so many cells together."""
    return search(
        max(cells, 1), 1, error_bits=ERROR_BITS, max_log_columns=MAX_LOG_COLUMNS, cost=COSTS[proof_size]
    ).parameters


@dataclass(frozen=True)
class CommittedRun:
    """A run, executed and committed: what is left to do is to prove.

    Attributes:
        header: sizes.
        roots: of the matrices of private inputs, private outputs and witness; empty where there is none.
    """

    plan: AnyPlan
    values: dict[int, Array]
    stacks: tuple[Floats, ...]
    blocks: list[list[Floats]]
    counts: list[Floats]
    header: Header
    shape: Shape
    matrices: list[CommittedMatrix]
    roots: tuple[bytes, bytes, bytes]

    kept_bytes: ClassVar[int | None] = None
    """As of `pcs.prover.commit`, for what is committed for the proof."""

    @property
    def publics(self) -> dict[int, Array]:
        """The statement's integers, as `reduce_statement` takes them."""
        assert isinstance(self.plan, Plan)
        return public_values(self.plan, self.values)

    def answers(self, weights: OpenableMatrix) -> NativeReductionWitness:
        """What makes the reduction a prover."""
        stacks = [weights.data.reshape(-1), *self.stacks]
        return NativeReductionWitness(self.plan, self.values, stacks, self.blocks, self.counts, weights.veil)


def commit_run(
    plan: Plan,
    values: dict[int, Array],
    tables: Sequence[AppliedTable],
    weights: OpeningParameters,
    randomness: Randomness | None = None,
    log_copies: int = 0,
    proof_size: ProofSize = "balanced",
) -> CommittedRun:
    """Commit to the witness of an executed run.

    Args:
        values: of the program, by number, as `Executor.run` keeps them.
        tables: of the program.
        weights: how their matrix is opened.
        log_copies: it has 2^log_copies copies.
        proof_size: by which the sizes of the run's own matrices are chosen.
    """
    header = header_for(plan, proof_size)
    code = header.opening.code
    shape = shape_of(plan, weights.code, header, log_copies)
    with phase("witness"):
        witness = trace(plan, values, tables, code.log_columns)
    matrices, roots = commit_stacks(witness.stacks, shape, code, randomness, kept_codeword_bytes())
    return CommittedRun(plan, values, witness.stacks, witness.blocks, witness.counts, header, shape, matrices, roots)


def commit_stacks(
    stacks: Sequence[Floats], shape: Shape, code: Code, randomness: Randomness | None, kept_bytes: int | None = None
) -> tuple[list[CommittedMatrix], tuple[bytes, bytes, bytes]]:
    """Commit to the cells of private inputs, private outputs and witness.

    Returns:
        The matrices that there are, and all roots, empty where there is no matrix.
    """
    matrices, roots = [], []
    for matrix, stack in zip(range(INPUTS, WITNESS + 1), stacks, strict=True):
        masks = shape.witness_groups + 1 if matrix == WITNESS and shape.witness_groups else 0
        if not len(stack) and not masks:
            roots.append(b"")
            continue
        with phase("commitment"):
            matrices.append(commit(code, stack.reshape(-1, code.columns), masks, randomness, kept_bytes=kept_bytes))
        roots.append(matrices[-1].commitment.root)
    return matrices, (roots[0], roots[1], roots[2])


def prove_run(
    run: CommittedRun,
    statement: bytes,
    weights: OpenableMatrix,
    parameters: OpeningParameters,
    randomness: Randomness | None = None,
    place: Place = ONLY,
    link: Link | None = None,
) -> bytes:
    """Prove a committed run.

    Args:
        run: what `commit_run` gave; to be used once.
        statement: the digest of the statement, which binds `run.roots`.
        weights: the matrix of weights.
        parameters: of its opening.
        place, link: where there are several copies, of this one and of all.

    Returns:
        The bytes of the proof.

    Raises:
        ProvingError: the weights' matrix was opened before; or the proof would be less than 128 bits secure.
    """
    header, shape = run.header, run.shape
    groups = shape.weight_groups, shape.witness_groups
    sizes = PADS.sizes(len(shape.variables))
    bits = soundness(shape.terms, parameters, header.opening, groups, sizes).bits
    if bits < security.DEFAULT_BITS:
        raise ProvingError(f"a proof of this size would be {bits:.1f} bits secure, not {security.DEFAULT_BITS}")
    proof = run_committed(run, run.publics, statement, weights, parameters, PADS, randomness, place, link)
    return encode(proof)


def run_committed(
    run: CommittedRun,
    publics: Mapping[int, Array],
    statement: bytes,
    weights: OpenableMatrix,
    parameters: OpeningParameters,
    pads_checked: PadParameters,
    randomness: Randomness | None = None,
    place: Place = ONLY,
    link: Link | None = None,
) -> NativeProof:
    """Run the proof's protocol as its prover; arguments and errors as for `prove_run`.

    Args:
        publics: the statement's integers, as `reduce_statement` takes them.
        pads_checked: how hard the proof about the pads is checked.
    """
    with phase("pads"):
        pads = commit_pads(run.shape.variables, pads_checked, randomness)
    groups = 0 if weights.commitment.masks else run.shape.weight_groups
    masks = _masks(parameters, groups, randomness, run.kept_bytes)
    commitments = Commitments(run.header, run.roots, masks[0].commitment.root if masks else b"", pads.root, place)
    witness = RunWitness(
        pads.pads,
        run.answers(weights),
        MatrixWitness(parameters, [weights, *masks]),
        MatrixWitness(run.header.opening, run.matrices),
        pads,
    )
    sent = [Writer() for _ in range(5)]
    run_proof(
        run.plan,
        publics,
        statement,
        weights.commitment,
        parameters,
        commitments,
        ProofWires(*sent),
        witness,
        pads=pads_checked,
        own_bits=-math.inf,
        link=link,
    )
    nonce, message, opened, others, about_pads = (writer.written for writer in sent)
    number = int.from_bytes(nonce, "little")
    roots = run.roots, commitments.masks, pads.root
    parts = message, opened, others, about_pads
    return NativeProof(run.header, *roots, number, *parts, place.number, place.branch)


@dataclass(frozen=True)
class RunWitness:
    """One witness for each part of the proof; implements `native_proof.protocol.ProofWitness`."""

    pads: Sequence[Ext]
    reduction: NativeReductionWitness
    weights: MatrixWitness
    witness: MatrixWitness
    pads_proof: CommittedPads


def _masks(
    parameters: OpeningParameters, groups: int, randomness: Randomness | None, kept_bytes: int | None
) -> list[CommittedMatrix]:
    """The masks of the weights' opening, in a matrix of their own, since they serve one proof alone."""
    if not groups:
        return []
    with phase("masks of the weights"):
        none = np.zeros((0, parameters.code.columns))
        return [commit(parameters.code, none, groups + 1, randomness, kept_bytes=kept_bytes)]


def public_values(plan: Plan, values: Mapping[int, Array]) -> dict[int, Array]:
    """The public inputs and outputs as `reduce` takes them."""
    publics = {v: values[v] for v, private in enumerate(plan.private_inputs) if not private}
    for position, (value, private) in enumerate(zip(plan.program.outputs, plan.private_outputs, strict=True)):
        if not private:
            shape = (plan.runs, *plan.program.tensor(value).shape)
            publics[plan.program.num_values + position] = np.broadcast_to(values[value], shape)
    return publics


def prove(
    keys: "NativeKeys",
    inputs: Sequence[IntArray],
    context: bytes,
    *,
    private_inputs: bool = False,
    private_outputs: bool = False,
) -> Proof:
    """A proof that the committed model maps these inputs to the outputs it carries; arguments as for `Keys.prove`.

    Raises:
        ShapeError, InputRangeError: the inputs do not fit the program.
        InvalidInputError: the context is too long, or there is no run.
        BudgetError: the keys have made all their proofs.
        WrongKeyError: a file of the keys is damaged.
        ProvingError: the statement cannot be proven with 128 bits of security.
    """
    keep_freed_memory()
    program, key = keys.program, keys.commitment.key_as(NativeVerifyingKey)
    if not inputs or not len(inputs[0]):
        raise InvalidInputError("a proof covers one run at least: hand in inputs")
    if not keys.proofs_left:
        raise BudgetError(
            f"these keys have made all their {keys.budget:,} proofs: one more would begin to show the weights; "
            "make new keys with setup, and publish their commitment; a rotation would have taken one proof of these"
        )
    runs = len(inputs[0])
    plan = make_plan(program, runs, (private_inputs,) * len(program.inputs), (private_outputs,) * len(program.outputs))
    if not private_outputs:
        check_claimed(runs * sum(tensor.size for tensor in program.output_tensors))
    with phase("execution"):
        values = {number: array for number, array in enumerate(keys.executor.run(inputs)) if array is not None}
        values |= dict(enumerate(inputs))
    tables, copies = keys.executor.tables, key.log_copies
    run = commit_run(plan, values, tables, key.opening, log_copies=copies, proof_size=keys.proof_size)
    with phase("statement"):
        statement = _statement(keys, plan, run, context)
        digest = statement.digest()
    with phase("copy of the weights"):
        opened = keys.matrix.take()
    link = key.copies.link()
    with keys.matrix.proving_from(opened.place.number):
        data = prove_run(run, digest, opened.matrix, key.opening, place=opened.place, link=link)
    batch = batch_of(program)
    hidden: tuple[PrivateTensor | None, ...] = ()
    if private_inputs:
        root = hidden_values(run.header, run.roots[0])
        hidden = tuple(PrivateTensor(stacked_shape(t.shape, batch, runs), root) for t in program.inputs)
    outputs: list[OutputTensor | PrivateTensor] = []
    with phase("outputs"):
        for tensor, shown in zip(program.output_tensors, statement.outputs, strict=True):
            shape = stacked_shape(tensor.shape, batch, runs)
            if isinstance(shown, bytes):
                outputs.append(PrivateTensor(shape, shown))
            else:
                outputs.append(OutputTensor.of(shown.reshape(shape), tensor.frac_bits))
    return Proof("native", keys.commitment.digest, tuple(outputs), data, hidden, b"".join(statement.parts()))


def _statement(keys: "NativeKeys", plan: Plan, run: CommittedRun, context: bytes) -> Statement:
    """What is proven: public values as they are, hidden ones by the commitment to their matrix."""

    def shown(value: int, private: bool, root: bytes) -> Shown:
        if private:
            return hidden_values(run.header, root)
        array = run.values[value].astype(np.int64)
        return np.ascontiguousarray(np.broadcast_to(array, (plan.runs, *array.shape[1:])))

    inputs = tuple(shown(value, private, run.roots[0]) for value, private in enumerate(plan.private_inputs))
    outputs = tuple(
        shown(value, private, run.roots[1])
        for value, private in zip(plan.program.outputs, plan.private_outputs, strict=True)
    )
    return Statement(keys.commitment, plan.runs, inputs, outputs, context)
