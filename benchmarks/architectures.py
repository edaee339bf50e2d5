"""The common architectures, exported from torch at small sizes: how close their circuits are, and one proof of each.

    python benchmarks/architectures.py [PATTERN ...] [--no-proofs] [--markdown FILE]

Names or shell patterns of networks, such as `BERT` or `*block`, narrow the run down. A second table has what happens to
a transformer one of whose channels is far larger than the others. The exit status is 1 if a network does not compile,
or is further from float than a cosine similarity of 0.999.
"""

import argparse
import fnmatch
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from measure import Stopwatch, markdown_table, provenance
from networks import NETWORKS, SAMPLES, Network, with_outlier
from rich.console import Console
from rich.table import Table

import zkinfer as zk
from zkinfer.circuit.program import Lookup
from zkinfer.compiler.lowering.precision import NATIVE, Precision
from zkinfer.errors import ZkinferError
from zkinfer.verifier import verify

CALIBRATION = slice(0, 2 * SAMPLES // 3)
HELD_OUT = slice(2 * SAMPLES // 3, SAMPLES)
MIN_COSINE = 0.999

OUTLIER_FACTORS = (1, 50)
OUTLIER_SETTINGS = (
    *((6, ranges) for ranges in ("full", "mse", "99.99%")),
    *((8, ranges) for ranges in ("full", "mse", "99.99%")),
    (12, "full"),
    (16, "full"),
)
"""Bits of activations and weights, and what is kept of the ranges that calibration saw."""


@dataclass(frozen=True)
class Row:
    """One network; all of it text, for tables.

    Attributes:
        network: its name, and the class of the error where it is refused.
        weights, nodes, elements: numbers of weights, nodes, and elements looked up.
        cosine, error, range_share, top: of the outputs on held-out inputs: cosine similarity to float, largest error,
            that error over the outputs' range, same answer classes.
        saturated: inner elements that saturate there.
        compile, setup, prove, verify: processor seconds of all threads; the first exports too, the others are empty
            without proofs.
        proof: kB.
    """

    network: str
    weights: str = ""
    nodes: str = ""
    elements: str = ""
    cosine: str = ""
    error: str = ""
    range_share: str = ""
    top: str = ""
    saturated: str = ""
    compile: str = ""
    setup: str = ""
    prove: str = ""
    verify: str = ""
    proof: str = ""

    @property
    def good(self) -> bool:
        """Whether it compiled and is as close as it has to be."""
        return bool(self.cosine) and float(self.cosine) >= MIN_COSINE

    def cells(self) -> list[str]:
        """The attributes in order, as under `HEADER`."""
        return [getattr(self, field.name) for field in fields(self)]


HEADER = (
    "network",
    "weights",
    "nodes",
    "looked up",
    "cosine",
    "largest error",
    "of range",
    "same answer",
    "saturated",
    "compile s",
    "setup s",
    "prove s",
    "verify s",
    "proof kB",
)
OUTLIER_HEADER = (
    "activation and weight bits",
    "ranges",
    *(f"channel x {factor}: {h}" for factor in OUTLIER_FACTORS for h in ("cosine", "largest error")),
)


def measure(name: str, network: Network, *, proofs: bool) -> Row:
    """Export, compile and compare a network, and prove and verify one inference of it."""
    inputs = network.inputs()
    watch = Stopwatch()
    try:
        circuit = zk.compile(zk.export(network.module(), inputs[:1]), inputs[CALIBRATION])
    except ZkinferError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return Row(f"{name}: {type(error).__name__}")
    compiled = watch.processor
    report = circuit.report(inputs[HELD_OUT])
    output = report.outputs[0]
    lookups = [node for node in circuit.program.nodes if isinstance(node, Lookup)]
    figures = (
        f"{sum(weight.size for weight in circuit.weights):,}",
        f"{len(circuit.program.nodes)}",
        f"{sum(node.out.size for node in lookups):,}",
        f"{output.cosine:.7f}",
        f"{output.max_error:.2g}",
        f"{output.relative_error:.2%}",
        "" if output.agreement is None else f"{output.agreement:.1%}",
        str(sum(layer.saturated for layer in report.layers)),
        f"{compiled:.1f}",
    )
    return Row(name, *figures, *(prove(circuit, inputs[HELD_OUT][:1]) if proofs else ()))


def prove(circuit: zk.Circuit, x: np.ndarray) -> tuple[str, ...]:
    """Processor seconds of making keys, proving one inference and verifying it, and the proof's size in kB."""
    watch = Stopwatch()
    keys = zk.setup(circuit)
    made = watch.processor
    proof = zk.prove(keys, x, saturate=True)
    proven = watch.processor
    verify(proof, keys.commitment, inputs=x, saturate=True)
    seconds = (made, proven - made, watch.processor - proven)
    return (*(f"{s:.1f}" for s in seconds), f"{len(proof.to_bytes()) / 1000:,.0f}")


def outliers() -> list[list[str]]:
    """The BERT-like network with one large channel, in several formats; rows under `OUTLIER_HEADER`."""
    network = NETWORKS["BERT"]
    inputs = network.inputs()
    models = [zk.export(with_outlier(network.module(), factor), inputs[:1]) for factor in OUTLIER_FACTORS]
    rows = []
    for bits, ranges in OUTLIER_SETTINGS:
        precision = Precision(bits, bits, NATIVE.max_table_entries, ranges)
        outputs = [
            zk.compile(model, inputs[CALIBRATION], precision=precision).report(inputs[HELD_OUT]).outputs[0]
            for model in models
        ]
        rows.append([str(bits), ranges, *(cell for o in outputs for cell in (f"{o.cosine:.7f}", f"{o.max_error:.2g}"))])
    return rows


def show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in the terminal."""
    table = Table()
    for name in header:
        table.add_column(name, justify="left" if name == "network" else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=180).print(table)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN")
    parser.add_argument("--no-proofs", action="store_true", help="compile and compare only")
    parser.add_argument("--markdown", type=Path, help="write the tables here too")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # the exporter's
    if not arguments.no_proofs:
        measure("warm-up", NETWORKS["MLP"], proofs=True)
    rows = []
    for name, network in NETWORKS.items():
        if any(fnmatch.fnmatch(name, pattern) for pattern in arguments.patterns):
            rows.append(measure(name, network, proofs=not arguments.no_proofs))
            print(*rows[-1].cells(), sep=" | ", flush=True)
    tables = ((HEADER, [row.cells() for row in rows]), (OUTLIER_HEADER, outliers()))
    for header, cells in tables:
        show(header, cells)
    if arguments.markdown:
        parts = [provenance("python benchmarks/architectures.py") + "\n", *(markdown_table(*table) for table in tables)]
        arguments.markdown.write_text("\n".join(parts))
    return int(not all(row.good for row in rows))


if __name__ == "__main__":
    sys.exit(main())
