"""The prover's end of the reduction: computes and sends, and keeps a mirror of the verifier's end.

Every step is first a message, made from the witness, and then what the verifier does with it, on a channel that
replays the challenges. So prover and verifier run one reduction, and the prover ends with the constraints on its pads.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from zkinfer.errors import InvalidInputError
from zkinfer.native.tensors import contract_rows, outer_table, side_table
from zkinfer.native.timings import phase
from zkinfer.protocol.channel import AffineForm, Challenger, ProverChannel, VerifierChannel
from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul
from zkinfer.protocol.lookup import prover as lookup_prover
from zkinfer.protocol.lookup.params import LookupClaims, LookupInstance
from zkinfer.protocol.reduction.box_functional import BoxFunctional
from zkinfer.protocol.reduction.contraction import Contraction
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.reduction.party import BlockSum, VerifierParty
from zkinfer.protocol.sumcheck import prover as sumcheck_prover
from zkinfer.protocol.sumcheck.params import Batch, Claim
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.typing import Array, Floats

ROW_VARIABLES = 12
"""A sum over a box is taken along rows of so many variables first, which reads small integers as they are."""


class _Recorder:
    """A transcript that notes its challenges."""

    def __init__(self, transcript: Challenger) -> None:
        self._transcript = transcript
        self.challenges: list[tuple[str, Ext]] = []

    def absorb(self, label: str, data: bytes) -> None:
        self._transcript.absorb(label, data)

    def challenge_ext(self, label: str) -> Ext:
        self.challenges.append((label, self._transcript.challenge_ext(label)))
        return self.challenges[-1][1]


class _Replay:
    """Gives the noted challenges again; what is absorbed was absorbed before."""

    def __init__(self, recorder: _Recorder) -> None:
        self._recorder = recorder
        self._next = 0

    def absorb(self, label: str, data: bytes) -> None:
        pass

    def challenge_ext(self, label: str) -> Ext:
        known, challenge = self._recorder.challenges[self._next]
        if known != label:
            raise InvalidInputError(f"the mirror asks for {label!r}, the prover drew {known!r}")
        self._next += 1
        return challenge


class ProverParty(VerifierParty):
    """The prover's end.

    Args:
        transcript: has absorbed statement and commitments.
        pads: committed; as many as a dry run needs.
        values: of the program, by number, those that claims can be about: shape (runs or 1, ...), integers.
        stacks: for each matrix its cells, as integers or balanced field elements.
        blocks, counts: what `lookup.prover.prove` takes.
        lookup_grinding: bits of work done before the lookup argument.
    """

    def __init__(
        self,
        transcript: Challenger,
        pads: Sequence[Ext],
        values: Mapping[int, Array],
        stacks: Sequence[Array],
        blocks: Sequence[Sequence[Floats]],
        counts: Sequence[Floats],
        lookup_grinding: int,
    ) -> None:
        recorder = _Recorder(transcript)
        self.sender = ProverChannel(recorder, pads)
        super().__init__(VerifierChannel(_Replay(recorder), b"", padded=True), lookup_grinding)
        self._values, self._stacks, self._blocks, self._counts = values, stacks, blocks, counts
        self._mirrored = 0
        self._tables: dict[Contraction, tuple[Floats, Floats]] = {}

    def _mirror(self) -> None:
        message = self.sender.message
        self.channel.extend(message[self._mirrored :])
        self._mirrored = len(message)

    def challenge(self, label: str, combined: int = 2) -> Ext:
        self.sender.challenge(label)
        return super().challenge(label, combined)

    def lookup(self, instance: LookupInstance) -> LookupClaims[AffineForm]:
        with phase("lookups"):
            lookup_prover.prove(instance, self._blocks, self._counts, self.sender)
        self._mirror()
        return super().lookup(instance)

    def evaluations(self, label: str, functionals: Sequence[tuple[int, Functional]]) -> list[AffineForm]:
        self.sender.send(label, [evaluate(f, self._values[value]) for value, f in functionals])
        self._mirror()
        return super().evaluations(label, functionals)

    def sums(self, label: str, sums: Sequence[Sequence[BlockSum]]) -> list[AffineForm]:
        with phase("sums of parts"):
            found = [self._sum(parts) for parts in sums]
        self.sender.send(label, found)
        self._mirror()
        return super().sums(label, sums)

    def summands(self, contractions: Sequence[Contraction]) -> list[AffineForm]:
        with phase("contractions"):
            sums = [_product_sum(*self._sides(one)) for one in contractions]
        self.sender.send("summands", sums)
        self._mirror()
        return super().summands(contractions)

    def _sides(self, contraction: Contraction) -> tuple[Floats, Floats]:
        """A' and B', made once: a claim of several parts needs them before their sumcheck."""
        if contraction not in self._tables:
            left = side_table(contraction, contraction.left, self._values[contraction.left.value], scaled=True)
            right = side_table(contraction, contraction.right, self._values[contraction.right.value], scaled=False)
            self._tables[contraction] = (left, right)
        return self._tables[contraction]

    def contractions(
        self, batch: Batch, contractions: Sequence[Contraction], claims: Sequence[AffineForm]
    ) -> list[Claim[AffineForm]]:
        with phase("contractions"):
            tables = [FactorTables.of(self._sides(one)) for one in contractions]
            self._tables.clear()
            sumcheck_prover.prove(batch, tables, self.sender)
        self._mirror()
        return super().contractions(batch, contractions, claims)

    def unit_sums(
        self, batch: Batch, sums: Sequence[BlockSum], claims: Sequence[AffineForm]
    ) -> list[Claim[AffineForm]]:
        with phase("committed cells"):
            tables = []
            for one in sums:
                table = FactorTables(2, one.unit.variables, base={0})
                cells = self._stacks[one.matrix][one.unit.cells]
                table.factor(0)[: len(cells)] = cells
                table.factor(0)[len(cells) :] = 0.0
                table.factor(1)[:] = 0.0
                for coefficient, part in one.parts:
                    start = part.offset - one.unit.start
                    at = table.factor(1)[:, start : start + (1 << part.variables)]
                    at[:] = kernels.add(at, weights_of(part, coefficient))
                tables.append(table)
            sumcheck_prover.prove(batch, tables, self.sender)
        self._mirror()
        return super().unit_sums(batch, sums, claims)

    def _sum(self, sums: Sequence[BlockSum]) -> Ext:
        total = ZERO
        for one in sums:
            for coefficient, part in one.parts:
                cells = self._stacks[one.matrix][part.offset : part.offset + (1 << part.variables)]
                total = ext_add(total, ext_mul(coefficient, evaluate_part(part, cells)))
        return total


def weights_of(part: BoxFunctional, coefficient: Ext) -> Floats:
    """coefficient * the weights on the box, balanced, shape (3, 2^variables)."""
    scale = ext_mul(part.scale, coefficient)
    if part.known is not None:
        return kernels.eq_table(part.known, scale)
    first, *others = part.vectors
    return outer_table([modular.ext_mul(first, modular.from_exts([scale])), *others])


def evaluate_part(part: BoxFunctional, cells: Array) -> Ext:
    """The sum over the box of weight * cell; cells are int8, int16 or balanced float64, shape (2^variables,)."""
    found = part.by_rows(min(part.variables, ROW_VARIABLES))
    if found is None:
        return kernels.ext_base_dot(weights_of(part, ONE), np.asarray(cells, dtype=np.float64))
    rows, point = found
    if rows.shape[1] == 1:
        return ext_mul(modular.to_exts(rows)[0], kernels.mle(np.asarray(cells, dtype=np.float64), point))
    combined = kernels.row_combination(cells.reshape(rows.shape[1], -1), kernels.from_ints(rows))
    return kernels.ext_dot(combined, kernels.eq_table(point, ONE))


def _product_sum(left: Floats, right: Floats) -> Ext:
    """sum of left * right; either may be of base elements."""
    if left.ndim == right.ndim == 2:
        return kernels.ext_dot(left, right)
    if left.ndim == right.ndim == 1:
        return int(kernels.dot(left, right)) % P, 0, 0
    return kernels.ext_base_dot(left, right) if left.ndim == 2 else kernels.ext_base_dot(right, left)


def evaluate(functional: Functional, array: Array) -> Ext:
    """The value of a functional on a tensor of integers."""
    if not functional.factors:
        return ext_mul(functional.scale, (int(array) % P, 0, 0))
    *heads, last = [factor.reshape(DEGREE, -1) for factor in functional.factors]
    if not heads:
        return ext_mul(
            functional.scale, kernels.ext_base_dot(kernels.from_ints(last), kernels.from_ints(array.reshape(-1)))
        )
    rows = kernels.to_ints(outer_table(heads))
    left = contract_rows(array.reshape(rows.shape[1], -1), rows)
    return ext_mul(functional.scale, modular.ext_dot(left, last))
