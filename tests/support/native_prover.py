"""A prover of the native argument for tests: with sizes that are quick and worth nothing, and with room for lies.

A prover that lies is honest but for one thing, and consistent with it afterwards. Its messages being padded, the
verifier refuses with one and the same check whatever the lie: the pads do not satisfy the linear constraints. Which
constraint it is, the prover knows; `Attempt.failing` has its name.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from support.channels import LyingChannel

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Program
from zkinfer.execution.tables import AppliedTable
from zkinfer.native import witness as witness_module
from zkinfer.native.prove import RunWitness, public_values
from zkinfer.native.reduction_witness import NativeReductionWitness
from zkinfer.native.witness import Witness, trace
from zkinfer.protocol.channel import PadConstraints, Writer
from zkinfer.protocol.field.scalar import ZERO, Ext, ext_add, ext_mul
from zkinfer.protocol.native_proof import protocol
from zkinfer.protocol.native_proof.encoding import Header, NativeProof, decode, encode
from zkinfer.protocol.native_proof.protocol import Commitments, ProofWires, run_proof
from zkinfer.protocol.native_proof.shape import Shape, make_shape
from zkinfer.protocol.pads.params import PadParameters
from zkinfer.protocol.pads.prover import commit_pads
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.prover import CommittedMatrix, MatrixWitness, OpenableMatrix, commit
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.reduction import opening as opening_module
from zkinfer.protocol.reduction.layout import weight_matrix
from zkinfer.protocol.reduction.plan import INPUTS, WITNESS, Plan, make_plan
from zkinfer.protocol.security import Security
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray
from zkinfer.verifier import native

DIGEST = b"statement of a test".ljust(32, b".")


SMALL_PADS = PadParameters(error_bits=4, query_grinding=0)


@dataclass(frozen=True)
class Sizes:
    """Sizes of everything in a proof."""

    weights: OpeningParameters
    header: Header
    pads: PadParameters


def small(log_columns: int = 2) -> Sizes:
    """Sizes with rows of 2^log_columns cells."""
    length = max(5, log_columns + 2)
    code = Code(log_columns, 5, length)
    return Sizes(OpeningParameters(code, 3, 0, 0), Header(log_columns, 5, length, 3, 0, 0, 0), SMALL_PADS)


SMALL = small()


@dataclass(frozen=True, eq=False)
class Case:
    """A true statement, and what proves it.

    Attributes:
        plan: of the program.
        weights: contents of its weights.
        values: every value of the program, by number.
        matrix: the committed weights.
    """

    plan: Plan
    weights: Sequence[IntArray]
    values: Mapping[int, IntArray]
    sizes: Sizes
    matrix: CommittedMatrix

    @property
    def publics(self) -> dict[int, IntArray]:
        """The statement's integers."""
        return public_values(self.plan, dict(self.values))


def commit_weights(
    program: Program, weights: Sequence[IntArray], sizes: Sizes = SMALL, randomness: Randomness | None = None
) -> CommittedMatrix:
    """The matrix of weights, to be opened once."""
    code = sizes.weights.code
    return commit(code, weight_matrix(program, weights, code.log_columns), 0, randomness)


def make_case(
    program: Program,
    weights: Sequence[IntArray],
    inputs: Sequence[IntArray],
    private_inputs: tuple[bool, ...] = (),
    private_outputs: tuple[bool, ...] = (),
    sizes: Sizes = SMALL,
) -> Case:
    """The case of a program run on inputs of shape (runs, ...)."""
    plan = make_plan(program, len(inputs[0]), private_inputs, private_outputs)
    values = dict(enumerate(evaluate(program, weights, inputs)))
    return Case(plan, weights, values, sizes, commit_weights(program, weights, sizes))


@dataclass(frozen=True)
class Lie:
    """What a prover does otherwise than the honest one.

    Attributes:
        execution: changes the values of the program, of which everything else is made.
        witness: changes committed cells and columns of lookups; multiplicities are counted afterwards, of what is in
            the tables.
        counts: changes the multiplicities, or cells of vectors that are looked up no more.
        publics: changes the statement's integers.
        send: gets the number of a message, its label and elements, and returns what is sent.
        pads: gets the committed pads, and returns what the messages are padded with.
        weights: replaces the opener of the weights.
    """

    execution: Callable[[dict[int, IntArray]], None] = lambda values: None
    witness: Callable[[Witness], None] = lambda witness: None
    counts: Callable[[Witness], None] = lambda witness: None
    publics: Callable[[dict[int, IntArray]], None] = lambda publics: None
    send: Callable[[int, str, list[Ext]], Sequence[Ext]] = lambda number, label, values: values
    pads: Callable[[list[Ext]], list[Ext]] = lambda pads: pads
    weights: OpenableMatrix | None = None


HONEST = Lie()


@dataclass(frozen=True)
class Attempt:
    """A proof, what it is held against, and the names of the checks that it does not pass.

    Attributes:
        labels: of the messages, in order, and how many elements each has.
    """

    proof: NativeProof
    publics: dict[int, IntArray]
    failing: set[str]
    labels: list[tuple[str, int]] = field(default_factory=list)


def fresh(case: Case) -> CommittedMatrix:
    """The case's matrix of weights, not opened yet: each attempt opens it anew."""
    m = case.matrix
    return CommittedMatrix(m.code, m.commitment, m.data, m.blinding, m.masks, m.leaves, m.nodes)


Roots = tuple[bytes, bytes, bytes]


def prove(
    case: Case,
    lie: Lie = HONEST,
    digest: Callable[[Roots], bytes] = lambda roots: DIGEST,
    randomness: Randomness | None = None,
) -> Attempt:
    """A proof by a prover with one lie.

    Args:
        digest: of the statement, given the roots of hidden values.
        randomness: the prover's; by default fresh.
    """
    plan, sizes, header = case.plan, case.sizes, case.sizes.header
    opening = header.opening
    shape = _shape(plan, sizes.weights.code, header, opening_module.DIRECT_CELLS)
    values = {number: array.copy() for number, array in case.values.items()}
    lie.execution(values)
    publics = {number: array.copy() for number, array in public_values(plan, values).items()}
    lie.publics(publics)
    witness = lying_witness(plan, values, header.log_columns, lie)
    matrices, roots = _commit(shape, opening.code, witness, randomness)
    pads = commit_pads(shape.variables, sizes.pads, randomness)
    masks, mask_root = [], b""
    if shape.weight_groups:
        zero_rows = np.zeros((0, sizes.weights.code.columns))
        masks = [commit(sizes.weights.code, zero_rows, shape.weight_groups + 1, randomness)]
        mask_root = masks[0].commitment.root
    weights = lie.weights or fresh(case)
    stacks = [weights.data.reshape(-1), *witness.stacks]
    side = RunWitness(
        lie.pads(pads.pads),
        NativeReductionWitness(plan, values, stacks, witness.blocks, witness.counts),
        MatrixWitness(sizes.weights, [weights, *masks]),
        MatrixWitness(opening, matrices),
        pads,
    )
    sent = [Writer() for _ in range(5)]
    channels: list[LyingChannel] = []

    def lying_channel(transcript: Transcript, wire: Writer, own_pads: Sequence[Ext]) -> LyingChannel:
        channels.append(LyingChannel(transcript, wire, own_pads, lie.send))
        return channels[-1]

    commitments = Commitments(header, roots, mask_root, pads.root)
    with mock.patch.object(PadConstraints, "check"), mock.patch.object(protocol, "ProverChannel", lying_channel):
        run_proof(
            plan,
            publics,
            digest(roots),
            weights.commitment,
            sizes.weights,
            commitments,
            ProofWires(*sent),
            side,
            pads=sizes.pads,
            own_bits=-math.inf,
        )
    (channel,) = channels
    nonce, message, opened, others, about_pads = (writer.written for writer in sent)
    parts = message, opened, others, about_pads
    proof = NativeProof(header, roots, mask_root, pads.root, int.from_bytes(nonce, "little"), *parts)
    return Attempt(proof, publics, violated(channel.constraints(), pads.pads), channel.labels)


@lru_cache(maxsize=64)
def _shape(plan: Plan, weights: Code, header: Header, direct_cells: int) -> Shape:
    """As `shape_of`, where tests change what is opened directly."""
    return make_shape(plan, weights, header)


def lying_witness(plan: Plan, values: Mapping[int, IntArray], log_columns: int, lie: Lie) -> Witness:
    """What a prover with this lie commits to, of an execution that it has changed already."""
    tables = [AppliedTable(table) for table in plan.program.tables]
    with mock.patch.object(witness_module, "count", count_known):
        witness = trace(plan, values, tables, log_columns)
    lie.witness(witness)
    if plan.instance is not None:
        recount(plan, witness)
    lie.counts(witness)
    return witness


def count_known(values: npt.NDArray[np.float64], start: int, counts: npt.NDArray[np.float64]) -> None:
    """As the honest `count`, except that it leaves out what is in no row."""
    rows = values.astype(np.int64) - start
    np.add.at(counts, rows[(rows >= 0) & (rows < len(counts))], 1)


def recount(plan: Plan, witness: Witness) -> None:
    """The multiplicities that the columns of the lookups have now."""
    assert plan.instance is not None
    for number, (table, counts) in enumerate(zip(plan.instance.tables, witness.counts, strict=True)):
        counts[:] = 0.0
        for block, columns in zip(plan.instance.blocks, witness.blocks, strict=True):
            if block.table == number:
                count_known(columns[0], plan.starts[number], counts[: table.rows])
        (offset,) = plan.layouts[WITNESS].offsets[plan.multiplicities[number]]
        witness.stacks[-1][offset : offset + len(counts)] = counts


def _commit(
    shape: Shape, code: Code, witness: Witness, randomness: Randomness | None
) -> tuple[list[CommittedMatrix], Roots]:
    matrices, roots = [], []
    for number, stack in zip(range(INPUTS, WITNESS + 1), witness.stacks, strict=True):
        masks = shape.witness_groups + 1 if number == WITNESS and shape.witness_groups else 0
        if len(stack) or masks:
            matrices.append(commit(code, stack.reshape(-1, code.columns), masks, randomness))
        roots.append(matrices[-1].commitment.root if len(stack) or masks else b"")
    return matrices, (roots[0], roots[1], roots[2])


def violated(constraints: PadConstraints, pads: Sequence[Ext]) -> set[str]:
    """The names of the linear constraints that these pads do not satisfy."""
    contents = constraints.expand(pads)
    names = set()
    for constraint in constraints.linear:
        total = constraint.form.constant
        for variable, coefficient in constraint.form.variables.items():
            total = ext_add(total, ext_mul(coefficient, contents[variable]))
        if total != ZERO:
            names.add(constraint.check)
    return names


@contextmanager
def small_verifier(sizes: Sizes) -> Iterator[None]:
    """The verifier with pads of these sizes; the others are in the commitment and in the header, however weak."""
    with mock.patch.object(native, "PADS", sizes.pads), mock.patch.object(native, "OWN_BITS", -math.inf):
        yield


def verify(case: Case, proof: NativeProof, publics: Mapping[int, IntArray] | None = None, **other: Any) -> Security:
    """What the verifier says of a proof of the case.

    Args:
        publics: the statement's integers; by default the true ones.
        other: other arguments of `verify_run` than the case's own.
    """
    arguments: dict[str, Any] = {
        "statement": DIGEST,
        "weights": case.matrix.commitment,
        "parameters": case.sizes.weights,
        **other,
    }
    decoded = decode(encode(proof))
    with small_verifier(case.sizes):
        return native.verify_run(
            plan=arguments.pop("plan", case.plan),
            publics=case.publics if publics is None else publics,
            proof=decoded,
            **arguments,
        )
