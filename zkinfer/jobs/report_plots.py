"""The pictures of a job's report, as PNG files in memory."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from zkinfer.typing import FloatArray

BLUE, ORANGE, GREY = "#1f5fa8", "#d9731a", "#8a8f98"
DPI = 110
MANY = 400
"""Batches that are still drawn one by one as points."""


def batches_png(first: Sequence[int], values: Sequence[float], what: str, unit: str) -> bytes:
    """One value a batch, over the items of the job, with the median."""
    figure, axes = _figure(what)
    marker = {"marker": "o", "markersize": 4} if len(first) <= MANY else {"marker": ",", "markersize": 1}
    axes.plot(first, values, linestyle="none", color=BLUE, **marker)
    median = float(np.median(values))
    axes.axhline(median, color=ORANGE, linewidth=1.2, label=f"median {median:.4g}")
    axes.set_ylim(0, 1.1 * max(values) or 1.0)
    axes.set_xlabel("first item of the batch")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def accuracy_png(in_float: FloatArray, proven: FloatArray, name: str) -> bytes:
    """Outputs of the float model against the proven ones."""
    figure, axes = _figure(f"{name}: proven against float", height=4.2)
    low, high = min(in_float.min(), proven.min()), max(in_float.max(), proven.max())
    axes.plot([low, high], [low, high], color=GREY, linewidth=1, label="equal")
    axes.scatter(in_float, proven, s=8, color=BLUE, alpha=0.35, linewidth=0)
    axes.set_xlabel("float model")
    axes.set_ylabel("proven")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def _figure(title: str, height: float = 3.0) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
