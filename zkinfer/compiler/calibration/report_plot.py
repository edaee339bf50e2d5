"""The picture of a report: where the error comes from, and what it does to the answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from zkinfer.compiler.calibration.report import LayerReport, Report, share_text
from zkinfer.errors import InvalidInputError, ResourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ROWS = 40
"""Of a longer model, so many tensors with the largest error of their range are drawn."""

MAX_LABEL = 34

BLUE, ORANGE, GREY, DARK = "#1f5fa8", "#d9731a", "#8a8f98", "#4a4f58"


def plot(report: Report, path: Path) -> None:
    """Write the picture; see `Report.plot`."""
    figure = draw(report)
    try:
        figure.savefig(path, dpi=130)
    except ValueError as error:
        raise InvalidInputError(f"{path}: {error}") from None
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror or error}") from error


def draw(report: Report) -> Figure:
    """The figure: error of each tensor on the left, outputs in fixed point against float on the right."""
    layers = _drawn_layers(report)
    rows = [*layers, *report.outputs]
    labels = [_label(row, row.op) for row in layers] + [_label(row, f"output, {row.op}") for row in report.outputs]
    figure = Figure(figsize=(13, max(4.8, 1.9 + 0.27 * len(rows))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_errors(left, rows, labels, len(report.layers) + len(report.outputs))
    _draw_outputs(right, report)
    figure.suptitle(_headline(report), fontsize=13, fontweight="bold")
    return figure


def _headline(report: Report) -> str:
    return "   |   ".join((f"Fixed point against float, {report.samples} samples", *report.answers()))


def _drawn_layers(report: Report) -> list[LayerReport]:
    """The layers with the largest error of their range, in order of execution, as many as there is space for."""
    space = max(MAX_ROWS - len(report.outputs), 0)
    by_error = sorted(range(len(report.layers)), key=lambda i: report.layers[i].relative_error, reverse=True)
    return [report.layers[i] for i in sorted(by_error[:space])]


def _label(row: LayerReport, kind: str) -> str:
    name = row.name if len(row.name) <= MAX_LABEL else "..." + row.name[3 - MAX_LABEL :]
    return f"{name}  ({kind})"


def _draw_errors(axes: Any, rows: "Sequence[LayerReport]", labels: list[str], total: int) -> None:
    """Relative to each tensor's range, so that tensors of different sizes compare."""
    ranges = [row.hi - row.lo or abs(row.hi) or 1.0 for row in rows]
    steps = [row.step / size for row, size in zip(rows, ranges, strict=True)]
    largest = [row.max_error / size for row, size in zip(rows, ranges, strict=True)]
    means = [row.mean_error / size for row, size in zip(rows, ranges, strict=True)]
    places = [place for place, row in enumerate(rows) if row.max_error]
    means, largest = [means[place] for place in places], [largest[place] for place in places]
    axes.hlines(places, means, largest, color=BLUE, linewidth=3, alpha=0.35)
    axes.scatter(means, places, color=BLUE, s=36, zorder=3, label="mean error")
    axes.scatter(largest, places, color=BLUE, s=90, marker="|", linewidth=2, zorder=3, label="largest error")
    axes.scatter(
        steps, range(len(rows)), color=ORANGE, s=170, marker="|", linewidth=2, zorder=2, label="one step of its format"
    )
    for place, row in enumerate(rows):
        remark = f"{share_text(row.saturated_share)} saturated" if row.saturated else "" if row.max_error else "exact"
        if remark:
            where = max(row.max_error / ranges[place], steps[place])
            axes.annotate(
                remark,
                (where, place),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=DARK,
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", which="major", alpha=0.3)
    axes.set_xlabel("error, as a share of the tensor's range")
    shown = "" if total == len(rows) else f" ({len(rows)} worst of {total})"
    axes.set_title(f"Where the error comes from{shown}, in order of execution", fontsize=11)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_outputs(axes: Any, report: Report) -> None:
    low = min(*report.float_outputs, *report.fixed_outputs)
    high = max(*report.float_outputs, *report.fixed_outputs)
    axes.plot([low, high], [low, high], color=GREY, linewidth=1, zorder=1, label="equal")
    axes.scatter(report.float_outputs, report.fixed_outputs, s=9, color=BLUE, alpha=0.35, linewidth=0, zorder=2)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("float model")
    axes.set_ylabel("circuit (fixed point)")
    axes.grid(alpha=0.3)
    worst = max(report.outputs, key=lambda row: row.relative_error)
    share = share_text(worst.relative_error)
    axes.set_title("Outputs", fontsize=11)
    axes.text(
        0.03,
        0.97,
        f"largest error {worst.max_error:.3g}\n= {share} of the range\ncosine {worst.cosine:.6f}",
        transform=axes.transAxes,
        va="top",
        fontsize=9,
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": GREY, "alpha": 0.9},
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
