"""Whether committed cells satisfy what a native proof shows, cell by cell: docs/protocol/reduction.md, section 9.

A verifier never sees the cells. Here they are in the open, so that thousands of witnesses can be judged in the time
that a few proofs take. The reference verifier's plan says where each value lies, and every value is computed in
integers modulo P by the definitions.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.program import Delay, Einsum, View, rounding_half
from zkinfer.circuit.steps import apply_steps
from zkinfer.protocol.field.params import P
from zkinfer.verifier.reference.plan import OUTPUTS, WITNESS, LookupSite, Plan

ENTRIES, SOURCES, COUNTS, RESULTS = "entries", "sources", "counts", "results"
"""What can be wrong: an entry is in no row of its table; an output that is its own index does not make up the source; a
row is counted wrongly; an output of the program is not the stated one."""

Elements = npt.NDArray[np.object_]
"""Of F: integers from 0 to P - 1."""


class WitnessJudge:
    """Judges witnesses of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._offsets = [
            [[matrix.offset(v, n) for n in range(len(boxes))] for v, boxes in enumerate(matrix.vectors)]
            for matrix in plan.matrices
        ]
        tables = plan.lookups.tables if plan.lookups else ()
        self._rows = [[tuple(v % P for v in row) for row in zip(*t.columns, strict=True)] for t in tables]

    def objections(self, stacks: Sequence[npt.NDArray[Any]], publics: Mapping[int, npt.NDArray[Any]]) -> set[str]:
        """What is wrong with a witness; nothing if the statement is shown.

        Args:
            stacks: the cells of the matrices: weights, private inputs, private outputs, witness.
            publics: the statement's integers: inputs by their value's number, outputs numbered behind all values.
        """
        plan, program = self.plan, self.plan.program
        # What a Delay names later is committed.
        values = {v: self._tensor(stacks, *place, plan.shape(v)) for v, place in plan.committed.items()}
        for value in range(program.num_values):
            if value in plan.committed:
                continue
            if value < len(program.inputs):
                values[value] = publics[value].astype(object) % P
            else:
                values[value] = self._computed(value, values)
        found = set()
        hidden = 0
        for i, value in enumerate(program.outputs):
            if plan.private_outputs[i]:
                stated = self._tensor(stacks, OUTPUTS, hidden, plan.shape(value))
                hidden += 1
            else:
                stated = publics[program.num_values + i].astype(object) % P
            if (values[value] != stated).any():
                found.add(RESULTS)
        return found | self._lookups(stacks, values)

    def _tensor(self, stacks: Sequence[npt.NDArray[Any]], matrix: int, vector: int, shape: tuple[int, ...]) -> Elements:
        flat = np.empty(shape, object).reshape(-1)
        for number, box in enumerate(self.plan.matrices[matrix].vectors[vector]):
            for place, element in zip(box.places, self._box(stacks, matrix, vector, number), strict=True):
                if place is not None:
                    flat[place] = element
        return flat.reshape(shape)

    def _box(self, stacks: Sequence[npt.NDArray[Any]], matrix: int, vector: int, number: int) -> Elements:
        offset = self._offsets[matrix][vector][number]
        size = 1 << self.plan.matrices[matrix].vectors[vector][number].variables
        return np.array([int(cell) % P for cell in stacks[matrix][offset : offset + size]], object)

    def _computed(self, value: int, values: Mapping[int, Elements]) -> Elements:
        """An Einsum's, a View's or a Delay's result, run by run."""
        node, runs = self.plan.node(value), self.plan.shape(value)[0]

        def one(run: int) -> Elements:
            def of(v: int) -> Elements:
                return _elements(values[v][min(run, len(values[v]) - 1)])

            match node:
                case Einsum(subscripts=subscripts, operands=operands):
                    return _contraction(subscripts, [of(v) for v in operands])
                case View(terms=terms, offset=offset):
                    moved = [t.coefficient * _elements(apply_steps(t.steps, of(t.source))) for t in terms]
                    return _elements(sum(moved) + offset)
                case Delay(initial=initial, source=source):
                    return np.concatenate([of(initial), of(source)[:-1]])
            raise AssertionError(node)

        return _elements(np.stack([one(run) for run in range(runs)]) % P)

    def _lookups(self, stacks: Sequence[npt.NDArray[Any]], values: Mapping[int, Elements]) -> set[str]:
        plan = self.plan
        found: set[str] = set()
        if plan.lookups is None:
            return found
        counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in self._rows]
        for site in plan.sites:
            for number, blocks in enumerate(site.blocks):
                index, output, *limbs = self._entries(stacks, values, site, number)
                if site.one_column and (index != output).any():
                    found.add(SOURCES)
                first = (output,) if site.one_column else (index, output)
                for block, columns in zip(blocks, [first, *((limb,) for limb in limbs)], strict=True):
                    counts[plan.lookups.blocks[block][0]].update(zip(*columns, strict=True))
        for rows, vector, counted in zip(self._rows, plan.multiplicities, counts, strict=True):
            if not set(rows) >= set(counted):
                found.add(ENTRIES)
            # The last row fills the table up, and what it is looked up may be counted at any of its places.
            multiplicities = self._box(stacks, WITNESS, vector, 0)
            claimed: Counter[tuple[int, ...]] = Counter()
            for row, multiplicity in zip(
                rows + rows[-1:] * (len(multiplicities) - len(rows)), multiplicities, strict=True
            ):
                claimed[row] += multiplicity
            if any((claimed[row] - counted[row]) % P for row in set(rows)):
                found.add(COUNTS)
        return found

    def _entries(
        self, stacks: Sequence[npt.NDArray[Any]], values: Mapping[int, Elements], site: LookupSite, number: int
    ) -> list[Elements]:
        """One box of a site: indices, which nobody commits to, outputs, and the limbs of the remainders."""
        output = self._box(stacks, site.matrix, site.vector, number)
        if site.source is None:
            return [output, output]
        limbs = [self._box(stacks, WITNESS, vector, number) for _, vector in site.limbs]
        source = values[site.source].reshape(-1)
        places = site.boxes[number].places
        read = np.array([site.padding if place is None else source[place] for place in places], object)
        rest, at = read + rounding_half(site.shift), 0
        for (bits, _), limb in zip(site.limbs, limbs, strict=True):
            rest, at = rest - (limb << at), at + bits
        return [rest * pow(1 << site.shift, -1, P) % P, output, *limbs]


def _elements(array: npt.ArrayLike) -> Elements:
    """In Python's integers, which never overflow."""
    return np.asarray(np.frompyfunc(int, 1, 1)(array), object)


def _contraction(subscripts: str, operands: Sequence[Elements]) -> Elements:
    """An Einsum by its definition: products over all letters, summed over those that the result lacks."""
    left, out = subscripts.split("->")
    letters = out + "".join(dict.fromkeys(c for c in left if c not in out + ","))
    product: Any = 1
    for names, operand in zip(left.split(","), operands, strict=True):
        ordered = operand.transpose([names.index(c) for c in letters if c in names])
        product = product * np.expand_dims(ordered, [i for i, c in enumerate(letters) if c not in names])
    return _elements(product.sum(axis=tuple(range(len(out), len(letters)))))
