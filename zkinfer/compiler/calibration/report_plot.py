"""The plot of a report: the error of each tensor, and the outputs in fixed point against float."""

import io
import os
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from zkinfer.compiler.calibration.layer_report import LayerReport, share_text
from zkinfer.errors import InvalidInputError
from zkinfer.files.artifact import write_atomically
from zkinfer.files.location import Location

MAX_ROWS = 40
"""How many tensors are drawn: those with the largest error relative to their range."""

MAX_LABEL = 34

BLUE, ORANGE, GREY, DARK = "#1f5fa8", "#d9731a", "#8a8f98", "#4a4f58"


def plot(
    path: str | os.PathLike[str],
    headline: str,
    layers: Sequence[LayerReport],
    outputs: Sequence[LayerReport],
    float_outputs: Sequence[float],
    fixed_outputs: Sequence[float],
) -> None:
    """Write the plot; see `Report.plot` and `draw`."""
    figure, picture = draw(headline, layers, outputs, float_outputs, fixed_outputs), io.BytesIO()
    try:
        figure.savefig(picture, dpi=130, format=Location(path).suffix[1:] or None)
    except ValueError as error:
        raise InvalidInputError(f"{path}: {error}") from None
    write_atomically(path, picture.getvalue())


def draw(
    headline: str,
    layers: Sequence[LayerReport],
    outputs: Sequence[LayerReport],
    float_outputs: Sequence[float],
    fixed_outputs: Sequence[float],
) -> Figure:
    """The figure: the error of each tensor on the left, the outputs in fixed point against float on the right.

    Args:
        headline: stands above both.
        layers: inputs and inner tensors, in order of execution; at most `MAX_ROWS` tensors are drawn.
        outputs: the model's outputs.
        float_outputs, fixed_outputs: elements of the outputs.
    """
    # The layers with the largest error relative to their range, in order of execution.
    by_error = sorted(range(len(layers)), key=lambda i: layers[i].relative_error, reverse=True)
    drawn = [layers[i] for i in sorted(by_error[: max(MAX_ROWS - len(outputs), 0)])]
    labels = [_label(row, row.op) for row in drawn] + [_label(row, f"output, {row.op}") for row in outputs]
    figure = Figure(figsize=(13, max(4.8, 1.9 + 0.27 * len(labels))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_errors(left, [*drawn, *outputs], labels, len(layers) + len(outputs))
    _draw_outputs(right, outputs, float_outputs, fixed_outputs)
    figure.suptitle(headline, fontsize=13, fontweight="bold")
    return figure


def _label(row: LayerReport, kind: str) -> str:
    name = row.name if len(row.name) <= MAX_LABEL else "..." + row.name[3 - MAX_LABEL :]
    return f"{name}  ({kind})"


def _draw_errors(axes: Any, rows: Sequence[LayerReport], labels: list[str], total: int) -> None:
    """Errors as shares of each tensor's range, so that tensors of different magnitudes can be compared."""
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
                remark, (where, place), xytext=(8, 0), textcoords="offset points", va="center", fontsize=8, color=DARK
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


def _draw_outputs(
    axes: Any, outputs: Sequence[LayerReport], float_outputs: Sequence[float], fixed_outputs: Sequence[float]
) -> None:
    low = min(*float_outputs, *fixed_outputs)
    high = max(*float_outputs, *fixed_outputs)
    axes.plot([low, high], [low, high], color=GREY, linewidth=1, zorder=1, label="equal")
    axes.scatter(float_outputs, fixed_outputs, s=9, color=BLUE, alpha=0.35, linewidth=0, zorder=2)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("float model")
    axes.set_ylabel("circuit (fixed point)")
    axes.grid(alpha=0.3)
    worst = max(outputs, key=lambda row: row.relative_error)
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
