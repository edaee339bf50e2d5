"""A program evaluated element by element in Python integers, by the definitions of its nodes."""

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from support.steps import by_definition

from zkinfer.circuit.program import Delay, Einsum, Lookup, Program, View, rounding_half
from zkinfer.circuit.steps import Step
from zkinfer.typing import IntArray


def evaluate_by_definition(program: Program, weights: Sequence[IntArray], inputs: Sequence[IntArray]) -> list[IntArray]:
    """Every value of one run, by the definitions, in Python integers."""
    values: list[npt.NDArray[np.object_]] = [np.array(a).astype(object) for a in (*inputs, *weights)]
    for node in program.nodes:
        match node:
            case Einsum(subscripts=subscripts, operands=operands):
                values.append(_einsum(subscripts, [values[v] for v in operands]))
            case View(terms=terms, offset=offset):
                moved = [t.coefficient * functools.reduce(_moved, t.steps, values[t.source]) for t in terms]
                values.append(sum(moved[1:], moved[0]) + offset)
            case Lookup(source=source, table=table, shift=shift):
                entries = program.tables[table]
                index = [(int(x) + rounding_half(shift)) // 2**shift for x in values[source].ravel()]
                looked_up = [entries.values[i - entries.lo] for i in index]
                values.append(np.array(looked_up, dtype=object).reshape(node.out.shape))
            case Delay():
                raise AssertionError("the definitions of recurrences are those of the unrolled program")
    return [np.array(value.tolist(), dtype=np.int64).reshape(value.shape) for value in values]


def _moved(array: npt.NDArray[np.object_], step: Step) -> npt.NDArray[np.object_]:
    return by_definition(step, array)


def _einsum(subscripts: str, operands: Sequence[npt.NDArray[np.object_]]) -> npt.NDArray[np.object_]:
    left, out = subscripts.split("->")
    letters = left.split(",")
    sizes = {c: n for names, a in zip(letters, operands, strict=True) for c, n in zip(names, a.shape, strict=True)}
    result = np.zeros([sizes[c] for c in out], dtype=object)
    for index in itertools.product(*(range(n) for n in sizes.values())):
        at = dict(zip(sizes, index, strict=True))
        product = 1
        for names, array in zip(letters, operands, strict=True):
            product *= int(array[tuple(at[c] for c in names)])
        result[tuple(at[c] for c in out)] += product
    return result
