"""Small programs with hand-picked numbers: `mlp`, `everything`, which uses every kind of node, and `sums_of_sums`."""

from dataclasses import dataclass

import numpy as np

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.program import Einsum, Lookup, Node, Program, Tensor, Term, View
from zkinfer.circuit.steps import Expand, Pad, Reshape, Windows
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import validate
from zkinfer.typing import IntArray


@dataclass(frozen=True)
class Example:
    """A program, its weights and one input."""

    program: Program
    weights: tuple[IntArray, ...]
    x: IntArray


def relu_table(lo: int, hi: int, top: int) -> Table:
    return Table("relu", lo, tuple(min(top, max(0, i)) for i in range(lo, hi + 1)))


def mlp(seed: int = 0) -> Example:
    """3 -> 4 -> 2: a contraction, a bias, a rounding ReLU table, a contraction."""
    rng = np.random.default_rng(seed)
    hidden, bias, last = rng.integers(-7, 8, (4, 3)), rng.integers(-20, 21, (4,)), rng.integers(-7, 8, (2, 4))
    program = Program(
        1,
        (Tensor("x", (1, 3), 3, -15, 15),),
        (Tensor("hidden", (4, 3), 3, -7, 7), Tensor("bias", (4,), 6, -20, 20), Tensor("last", (2, 4), 3, -7, 7)),
        (relu_table(-64, 64, 31),),
        (
            Einsum(Tensor("product", (1, 4), 6, -383, 383), "bi,oi->bo", (0, 1)),
            View(
                Tensor("sum", (1, 4), 6, -447, 447),
                (Term(4, 1, ()), Term(2, 1, (Reshape((1, 4)), Expand((1, 4))))),
            ),
            Lookup(Tensor("relu", (1, 4), 3, 0, 31), 5, 0, 3),
            Einsum(Tensor("y", (1, 2), 6, -895, 895), "bi,oi->bo", (6, 3)),
        ),
        (7,),
    )
    return _checked(Example(program, (hidden, bias, last), rng.integers(-15, 16, (1, 3))))


def everything(seed: int = 0) -> Example:
    """Every kind of node: windows and padding, products, sums, an unshifted table, two outputs, a batch of two."""
    rng = np.random.default_rng(seed)
    kernel = rng.integers(-3, 4, (2, 3))
    x = Tensor("x", (2, 5), 2, -4, 4)
    square = Table("square", -4, tuple(i * i for i in range(-4, 5)))
    program = Program(
        1,
        (x, Tensor("gate", (2, 2), 0, 0, 3)),
        (Tensor("kernel", (2, 3), 1, -3, 3),),
        (square, relu_table(-40, 40, 15)),
        (
            View(Tensor("windows", (2, 3, 3), 2, -4, 4), (Term(0, 1, (Pad((0, 1), (0, 1)), Windows(1, 3, 2, 1))),)),
            Einsum(Tensor("conv", (2, 2, 3), 3, -39, 39), "bpk,ok->bop", (3, 2)),
            Lookup(Tensor("relu", (2, 2, 3), 2, 0, 15), 4, 1, 1),
            Einsum(Tensor("gated", (2, 2, 3), 2, 0, 47), "bop,bo->bop", (5, 1)),
            Einsum(Tensor("pooled", (2, 2), 2, 0, 159), "bop->bo", (6,)),
            Lookup(Tensor("squares", (2, 5), 4, 0, 16), 0, 0, 0),
            View(Tensor("shifted", (2, 5), 4, -63, -7), (Term(8, -3, ()),), -7),
        ),
        (7, 9),
    )
    return _checked(Example(program, (kernel,), rng.integers(-4, 5, (2, 5))))


def _checked(example: Example) -> Example:
    validate(example.program)
    check_bounds(example.program, example.weights)
    return example


def sums_of_sums(count: int) -> Example:
    """A chain of so many sums, each of which a product reads too: what is asked of one is asked of all before it."""
    nodes: list[Node] = []
    for i in range(count):
        bound = i + 2
        before = 0 if i == 0 else i + 1
        nodes.append(View(Tensor(f"sum {i}", (2,), 0, -bound, bound), (Term(before, 1, ()), Term(1, 1, ()))))
    nodes += [Einsum(Tensor(f"product {i}", (2,), 0, -i - 2, i + 2), "a,a->a", (2 + i, 1)) for i in range(count)]
    most = sum(i + 2 for i in range(count))
    terms = tuple(Term(2 + count + i, 1, ()) for i in range(count))
    nodes.append(View(Tensor("y", (2,), 0, -most, most), terms))
    one = Tensor("x", (2,), 0, -1, 1), Tensor("w", (2,), 0, -1, 1)
    return Example(
        Program(1, one[:1], one[1:], (), tuple(nodes), (2 + 2 * count,)), (np.array([1, -1]),), np.array([1, -1])
    )
