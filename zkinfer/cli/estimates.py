"""Estimates, for people."""

from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.table import Table

from zkinfer.cli.console import facts, out
from zkinfer.durations import duration

if TYPE_CHECKING:
    from zkinfer.ezkl.estimate import Estimate
    from zkinfer.native.estimate import NativeEstimate


def show_estimate(cost: "NativeEstimate | Estimate") -> None:
    """Whichever backend it is for."""
    from zkinfer.native.estimate import NativeEstimate

    if isinstance(cost, NativeEstimate):
        _show_native(cost)
    else:
        _show_ezkl(cost)


def _show_native(cost: "NativeEstimate") -> None:
    layers = Table(title="Lookups of one proof", title_justify="left")
    layers.add_column("layer", overflow="fold")
    for name in ("elements", "entries", "table", "rows"):
        layers.add_column(name, justify="right")
    for layer in cost.layers:
        layers.add_row(layer.label, f"{layer.elements:,}", f"{layer.entries:,}", layer.table, f"{layer.table_rows:,}")
    out.print(layers)
    rows = [
        ("runs in one proof", f"{cost.runs:,}"),
        ("prove", duration(cost.prove_seconds)),
        ("memory", decimal(cost.memory_bytes)),
        ("proof", decimal(cost.proof_bytes)),
        ("keys on disk", decimal(cost.disk_bytes)),
        ("security", f"{cost.security_bits:.1f} bits"),
    ]
    out.print(facts("Estimate, native backend, for two cores like those of docs/benchmarks.md", rows))


def _show_ezkl(cost: "Estimate") -> None:
    rows = [
        ("rows", f"2^{cost.logrows}: the reference string has to be for k = {cost.logrows}"),
        ("cells", f"{cost.cells:,}"),
        ("setup", duration(cost.setup_seconds)),
        ("prove", duration(cost.prove_seconds)),
        ("memory", decimal(cost.memory_bytes)),
        ("disk", decimal(cost.disk_bytes)),
    ]
    out.print(facts("Estimate, ezkl, for one core; within a factor of about two", rows))
