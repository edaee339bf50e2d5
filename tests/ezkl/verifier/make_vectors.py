"""Make the golden vectors in `data/`: three small programs, their commitments and proofs.

    python tests/ezkl/verifier/make_vectors.py

Needs the ezkl extra. Run it when the formats or the pinned ezkl change on purpose, never to make a test pass: the
vectors are what notices that old proofs no longer verify.

* dense: a matrix, a bias, a shifted lookup: a linear layer with its activation.
* product: a contraction of two values, neither of them a constant, two inputs and two outputs.
* columns: more weights than one column holds, so that two points commit to them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zkinfer.circuit.bounds import lookup_indices, node_interval, round_outward, weight_interval
from zkinfer.circuit.program import PROGRAM_VERSION, Einsum, Lookup, Node, Program, Tensor, Term, View
from zkinfer.circuit.steps import Expand, Reshape
from zkinfer.circuit.table import Table
from zkinfer.ezkl.prove import prove
from zkinfer.ezkl.setup import setup
from zkinfer.typing import IntArray

DATA = Path(__file__).parent / "data"
CONTEXT = b"golden vector"


@dataclass
class Model:
    """A program, its weights, and the integer inputs that are proven."""

    program: Program
    weights: list[IntArray]
    inputs: list[IntArray]


def build(
    inputs: list[Tensor], weights: list[IntArray], tables: list[Table], nodes: list[Node], outputs: tuple[int, ...]
) -> Program:
    """The program with every node's bounds filled in by interval analysis."""
    formats = tuple(Tensor(f"w{i}", w.shape, 0, *round_outward(weight_interval(w))) for i, w in enumerate(weights))
    intervals = [(t.lo, t.hi) for t in inputs] + [(t.lo, t.hi) for t in formats]
    program = Program(PROGRAM_VERSION, tuple(inputs), formats, tuple(tables), (), outputs)
    for node in nodes:
        lo, hi = round_outward(node_interval(program, node, intervals, weights))
        intervals.append((lo, hi))
        out = Tensor(node.out.label, node.out.shape, node.out.frac_bits, lo, hi)
        bounded = type(node)(out, *(getattr(node, name) for name in node.__struct_fields__[1:]))
        program = Program(
            PROGRAM_VERSION, program.inputs, program.weights, program.tables, (*program.nodes, bounded), outputs
        )
    return program


def unbounded(label: str, shape: tuple[int, ...], frac_bits: int = 0) -> Tensor:
    """A node's result before its bounds are known."""
    return Tensor(label, shape, frac_bits, 0, 0)


def dense() -> Model:
    """y = relu((x W + b) / 2**3), clipped at 40."""
    rng = np.random.default_rng(1)
    x = Tensor("x", (1, 6), 3, -15, 15)
    w, b = rng.integers(-7, 8, (6, 4)), rng.integers(-60, 60, (4,))
    reach = 15 * int(np.abs(w).sum(axis=0).max()) + 60
    lo, hi = lookup_indices((-2 * reach, 2 * reach), 3)
    table = Table("relu", lo, tuple(min(max(i, 0), 40) for i in range(lo, hi + 1)))
    nodes: list[Node] = [
        Einsum(unbounded("matmul", (1, 4), 6), "bi,io->bo", (0, 1)),
        View(unbounded("sum", (1, 4), 6), (Term(3, 1, ()), Term(2, 1, (Reshape((1, 4)),)))),
        Lookup(unbounded("y", (1, 4), 3), 4, 0, 3),
    ]
    return Model(build([x], [w, b], [table], nodes, (5,)), [w, b], [rng.integers(-15, 16, (1, 6))])


def product() -> Model:
    """Scores of two inputs against each other, scaled by a weight: private times private."""
    rng = np.random.default_rng(2)
    q, k = Tensor("q", (2, 3, 2), 2, -7, 7), Tensor("k", (2, 3, 2), 2, -7, 7)
    w = rng.integers(-3, 4, (2,))
    nodes: list[Node] = [
        Einsum(unbounded("scaled", (2, 3, 2), 2), "bid,d->bid", (0, 2)),
        Einsum(unbounded("scores", (2, 3, 3), 4), "bid,bjd->bij", (3, 1)),
        View(unbounded("shifted", (2, 3, 3), 4), (Term(4, 2, ()),), 5),
    ]
    return Model(
        build([q, k], [w], [], nodes, (4, 5)), [w], [rng.integers(-7, 8, (2, 3, 2)), rng.integers(-7, 8, (2, 3, 2))]
    )


def columns() -> Model:
    """A matrix of 600 weights in columns of 250."""
    rng = np.random.default_rng(3)
    x = Tensor("x", (20,), 0, -3, 3)
    w = rng.integers(-9, 10, (20, 30))
    nodes: list[Node] = [
        Einsum(unbounded("y", (30,)), "i,io->o", (0, 1)),
        View(unbounded("twice", (30,)), (Term(2, 1, (Expand((30,)),)), Term(2, 1, ()))),
    ]
    return Model(build([x], [w], [], nodes, (3,)), [w], [rng.integers(-3, 4, (20,))])


MODELS = {"dense": dense, "product": product, "columns": columns}


def main() -> None:
    """Write a commitment, a proof and the inputs of each model."""
    DATA.mkdir(exist_ok=True)
    for name, model in MODELS.items():
        made = model()
        keys = setup(made.program, made.weights, proofs=2, seed=bytes(32))
        proof = prove(keys, made.inputs, CONTEXT)
        keys.commitment.save(DATA / f"{name}.zkc")
        proof.save(DATA / f"{name}.proof")
        inputs = [
            np.ldexp(x.astype(float), -t.frac_bits).tolist()
            for x, t in zip(made.inputs, made.program.inputs, strict=True)
        ]
        text = {"inputs": inputs, "context": CONTEXT.hex(), "fingerprint": keys.commitment.fingerprint}
        (DATA / f"{name}.json").write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
