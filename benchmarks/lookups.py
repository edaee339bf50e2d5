"""What is looked up and committed to for an element of a softmax, a normalization, a GELU, and for whole networks.

    python benchmarks/lookups.py [PATTERN ...] [--gpt2 POSITIONS ...] [--markdown FILE]

Names or shell patterns of networks, such as `BERT`, narrow the second and the third table down. Nothing is proven: all
is known once a circuit is compiled. A cell is one element that a prover commits to: the result of a lookup, a limb of
its remainder, or how often a row of a table is looked up. All lookups of a program share its tables and the ranges of
limbs. With `--gpt2`, the third table has GPT-2 small's shape as well: of its twelve layers one and two are compiled,
and each of the others is counted like the second.
"""

import argparse
import fnmatch
import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import gpt2
import numpy as np
import numpy.typing as npt
import torch
from architectures import CALIBRATION, show
from measure import markdown_table, provenance
from networks import NETWORKS, SAMPLES, SEED, randomized
from torch import Tensor, nn
from torch.nn import functional

import zkinfer as zk
from zkinfer.circuit.program import Lookup, Program
from zkinfer.protocol.reduction.plan import WITNESS, make_plan

HEADS, POSITIONS, WIDTH = 4, 16, 64

OPERATOR_HEADER = ("operator", "elements", "looked up", "limbs", "cells of an element", "tables", "rows of all tables")
MAXIMA = "maxima of rows"
KINDS = {
    "positions of tokens": ("digit", "equal"),
    "means and sizes of rows": ("quotient", "power of two", "rsqrt", "sqrt"),
    MAXIMA: ("relu",),
    "exponentials": ("exp",),
    "sums of exponentials": ("/ max",),
    "activation functions": ("erf", "tanh", "sigmoid"),
    "clamps of wide sums": ("excess",),
}
"""For each kind of lookup, parts of the names of its tables. All others rescale what these names say."""

EMBEDDINGS, SCORES, SHARES, NORMALIZED, RESCALED = (
    *("embeddings held", "scores rescaled", "shares rescaled", "normalized rows rescaled", "other tensors rescaled"),
)
LAYERS = 12
"""Of GPT-2 small."""

NETWORK_HEADER = ("network", "nodes", "looked up", "limbs", "tables", "rows of all tables", "cells")


class Attention(nn.Module):
    """Scores, softmax and weighted sums of given queries, keys and values, side by side in one input."""

    def __init__(self, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = x.unbind(1)
        return functional.scaled_dot_product_attention(queries, keys, values, is_causal=self.causal)


@dataclass(frozen=True)
class Operator:
    """A small model that has one operator of interest.

    Attributes:
        make: the model.
        shape: of one input.
        elements: of the operator, in one inference.
    """

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    elements: int


_SCORES = ((3, HEADS, POSITIONS, WIDTH // HEADS), HEADS * POSITIONS**2)
_ROWS = (POSITIONS, WIDTH)

OPERATORS = {
    "softmax of scores": Operator(lambda: Attention(causal=False), *_SCORES),
    "softmax of causal scores": Operator(lambda: Attention(causal=True), *_SCORES),
    "layer normalization": Operator(
        lambda: nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)), _ROWS, math.prod(_ROWS)
    ),
    "GELU": Operator(
        lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)), _ROWS, math.prod(_ROWS)
    ),
}


@dataclass(frozen=True)
class Count:
    """What a proof of one inference looks up.

    Attributes:
        looked_up: elements of lookups.
        limbs: of their remainders.
        tables: different ones, ranges of limbs included.
        rows: of all tables, each filled up to a power of two.
        cells: committed, without inputs and outputs.
    """

    looked_up: int
    limbs: int
    tables: int
    rows: int
    cells: int

    @staticmethod
    def of(program: Program) -> "Count":
        """Of a program in which something is looked up."""
        plan = make_plan(program, 1)
        assert plan.instance is not None
        looked_up = sum(node.out.size for node in program.nodes if isinstance(node, Lookup))
        rows = plan.instance.rows.filled
        limbs = sum(math.prod(site.cut.shape) * len(site.limbs) for site in plan.sites)
        return Count(looked_up, limbs, len(plan.instance.tables), rows, plan.layouts[WITNESS].cells)


def kinds(program: Program) -> Counter[str]:
    """Cells of each kind of lookup, of results and limbs; those of tables are under no kind."""
    lookups = [node for node in program.nodes if isinstance(node, Lookup)]
    names = {node: program.tables[node.table].name for node in lookups}
    softmaxes = {node.out.label for node in lookups if "exp" in names[node]}
    rows = {node.out.label.removesuffix("/mantissa") for node in lookups if "rsqrt" in names[node]}

    def kind(node: Lookup) -> str:
        for found, parts in KINDS.items():
            if any(part in names[node] for part in parts) and (found != MAXIMA or node.out.label in softmaxes):
                return found
        if names[node] == "held":
            return EMBEDDINGS
        if node.out.label in softmaxes:
            return SHARES if program.tables[node.table].lo == 0 else SCORES
        return NORMALIZED if node.out.label in rows else RESCALED

    cells: Counter[str] = Counter()
    limbs = {site.value: len(site.limbs) for site in make_plan(program, 1).sites}
    for value, node in enumerate(program.nodes, len(program.inputs) + len(program.weights)):
        if isinstance(node, Lookup):
            cells[kind(node)] += node.out.size * (1 + limbs[value])
    return cells


def gpt2_kinds(positions: int) -> Counter[str]:
    """As `kinds`, of GPT-2 small's shape."""
    inputs = gpt2.inputs(gpt2.CALIBRATION, positions)
    counts = []
    for layers in (1, 2):
        torch.manual_seed(SEED)
        model = zk.export(randomized(gpt2.GPT2Small(layers, positions).eval()), inputs[:1])
        counts.append(kinds(zk.compile(model, inputs).program))
    first, second = counts
    return Counter({name: first[name] + (LAYERS - 1) * (second[name] - first[name]) for name in second})


def kind_rows(columns: Sequence[Counter[str]]) -> list[list[str]]:
    """Cells of each kind, and their share of all that are no rows of tables."""
    totals = [count.total() for count in columns]
    found = [
        name for name in (*KINDS, EMBEDDINGS, NORMALIZED, SCORES, SHARES, RESCALED) if any(c[name] for c in columns)
    ]
    shown = [
        [f"{c[name]:,} ({c[name] / total:.0%})" for c, total in zip(columns, totals, strict=True)] for name in found
    ]
    return [*([name, *cells] for name, cells in zip(found, shown, strict=True)), ["all", *(f"{t:,}" for t in totals)]]


def compiled(module: nn.Module, inputs: npt.NDArray[np.generic]) -> Program:
    """The program of a module, calibrated on two thirds of the inputs."""
    return zk.compile(zk.export(module, inputs[:1]), inputs[CALIBRATION]).program


def operator_row(name: str, operator: Operator) -> list[str]:
    """Under `OPERATOR_HEADER`, of random normal inputs."""
    torch.manual_seed(SEED)
    inputs = np.random.default_rng(SEED).normal(size=(SAMPLES, *operator.shape)).astype(np.float32)
    count = Count.of(compiled(operator.make().eval(), inputs))
    each = [number / operator.elements for number in (count.looked_up, count.limbs, count.looked_up + count.limbs)]
    return [name, f"{operator.elements:,}", *(f"{x:.2f}" for x in each), str(count.tables), f"{count.rows:,}"]


def network_row(name: str, program: Program) -> list[str]:
    """Under `NETWORK_HEADER`."""
    count = Count.of(program)
    numbers = (len(program.nodes), count.looked_up, count.limbs, count.tables, count.rows, count.cells)
    return [name, *(f"{number:,}" for number in numbers)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN")
    parser.add_argument("--gpt2", type=int, nargs="+", default=[], metavar="POSITIONS")
    parser.add_argument("--markdown", type=Path, help="write the tables here too")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # the exporter's
    chosen = [name for name in NETWORKS if any(fnmatch.fnmatch(name, pattern) for pattern in options.patterns)]
    programs = {name: compiled(NETWORKS[name].module(), NETWORKS[name].inputs()) for name in chosen}
    columns = {name: kinds(program) for name, program in programs.items()}
    columns |= {f"GPT-2 small, {positions}": gpt2_kinds(positions) for positions in options.gpt2}
    tables = (
        (OPERATOR_HEADER, [operator_row(*item) for item in OPERATORS.items()]),
        (NETWORK_HEADER, [network_row(*item) for item in programs.items()]),
        (("cells of", *columns), kind_rows(list(columns.values()))),
    )
    for header, rows in tables:
        show(header, rows)
    if options.markdown:
        parts = [provenance("python benchmarks/lookups.py") + "\n", *(markdown_table(*table) for table in tables)]
        options.markdown.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
