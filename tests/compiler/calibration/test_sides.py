"""The values nearest to the thresholds of comparisons."""

import numpy as np
import onnx_ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.model_comparison import build

from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.lowering.thresholds import STRICT
from zkinfer.compiler.onnx.load import load_model
from zkinfer.typing import Array


def _model(operator: str, thresholds: Array, batch: int = 1) -> onnx_ir.Model:
    body = f"c = {operator}(x, t)\ny = Cast<to=1>(c)"
    return load_model(build(body, {"x": (batch, 2)}, {"t": thresholds}), batch=batch)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=1, max_size=30), st.sampled_from([*STRICT]))
def test_the_nearest_values_on_both_sides_and_how_often_they_occur(rows: list[tuple[int, int]], operator: str) -> None:
    x, thresholds = np.array(rows, dtype=np.float32), np.array([0.0, 2.5], dtype=np.float32)
    sides = calibrate(_model(operator, thresholds), x).sides["c"]
    assert sides.thresholds.tolist() == [thresholds.tolist()]
    for j, t in enumerate(thresholds):
        lower = x[:, j] < t if STRICT[operator] else x[:, j] <= t
        below, above = x[lower, j], x[~lower, j]
        assert sides.below[0, j] == below.max(initial=-np.inf)
        assert sides.above[0, j] == above.min(initial=np.inf)
        if below.size:
            assert sides.at_below[0, j] == (below == below.max()).sum()
        if above.size:
            assert sides.at_above[0, j] == (above == above.min()).sum()


def test_parts_and_batches_make_no_difference() -> None:
    x = np.random.default_rng(0).integers(-9, 9, (400, 2)).astype(np.float32)
    thresholds = np.array([0.5, -2.0], dtype=np.float32)
    alone, together = (calibrate(_model("Less", thresholds, b), x).sides["c"] for b in (1, 400))
    for name in ("below", "above", "at_below", "at_above"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(together, name))


@pytest.mark.parametrize(
    ("body", "weights"),
    [
        ("c = Less(x, x)", {}),
        ("c = Less(x, t)", {"t": np.zeros((4, 2))}),
        ("c = Less(t, x)", {"t": np.zeros(2)}),
    ],
)
def test_other_comparisons_have_no_sides(body: str, weights: dict[str, Array]) -> None:
    model = load_model(build(f"{body}\ny = Cast<to=1>(c)", {"x": (4, 2)}, weights), batch=4)
    assert calibrate(model, np.zeros((4, 2), dtype=np.float32)).sides == {}
