"""Figures of answers against their definitions, and what is not a label or target."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from zkinfer.compiler.calibration.metrics import (
    checked_labels,
    checked_targets,
    cosine_similarity,
    r_squared,
    share_equal,
    top_classes,
)
from zkinfer.errors import InvalidInputError, NotFiniteError, ShapeError


def test_cosines_known_by_heart() -> None:
    assert cosine_similarity(2.0, 4.0, 1.0) == 1.0
    assert cosine_similarity(-2.0, 4.0, 1.0) == -1.0
    assert cosine_similarity(0.0, 4.0, 1.0) == 0.0
    assert cosine_similarity(0.0, 0.0, 0.0) == 1.0
    assert cosine_similarity(0.0, 4.0, 0.0) == 0.0


def test_classes_of_a_classifier() -> None:
    in_float, in_fixed = np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([[0.1, 0.8], [0.3, 0.4]])
    classes = top_classes(in_float, in_fixed)
    assert classes is not None
    assert [list(c) for c in classes] == [[1, 0], [1, 1]]
    assert share_equal(*classes) == 0.5


def test_classes_at_every_position() -> None:
    scores = np.eye(3)[[[0, 1], [2, 2], [1, 0]]]
    classes = top_classes(scores, scores)
    assert classes is not None
    assert classes[0].tolist() == [[0, 1], [2, 2], [1, 0]]


def test_whole_numbers_are_classes() -> None:
    classes = top_classes(np.array([[3], [5]]), np.array([[3.0], [4.0]]))
    assert classes is not None
    assert share_equal(*classes) == 0.5


@pytest.mark.parametrize("shape", [(4, 1), (4,), (2, 3, 4, 5)])
def test_other_outputs_give_no_classes(shape: tuple[int, ...]) -> None:
    assert top_classes(np.zeros(shape), np.zeros(shape)) is None


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (np.zeros(4, dtype=int), ShapeError),
        (np.zeros((5, 1), dtype=int), ShapeError),
        (np.zeros(5), InvalidInputError),
        (["cat"] * 5, InvalidInputError),
    ],
)
def test_what_is_no_label(labels: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"label|real numbers"):
        checked_labels(labels, (5,))


@given(st.integers(0, 1000), st.integers(2, 20), st.integers(1, 4))
def test_r_squared_is_that_of_scikit_learn(seed: int, samples: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=(samples, columns))
    outputs = targets + rng.normal(size=targets.shape)
    expected = r2_score(targets, outputs, multioutput="variance_weighted")
    assert r_squared(checked_targets(targets, targets.shape), outputs) == pytest.approx(expected)


def test_targets_may_lack_or_have_axes_of_size_one() -> None:
    assert checked_targets([1, 2, 3], (3, 1)).shape == (3, 1)
    assert checked_targets([[1.0], [2.0]], (2,)).shape == (2, 1)


@pytest.mark.parametrize(
    ("targets", "error"),
    [
        ([1.0, 2.0], ShapeError),
        (np.zeros((3, 2)), ShapeError),
        ([1.0, np.inf, 2.0], NotFiniteError),
        ([1.0, 1.0, 1.0], InvalidInputError),
        (["a", "b", "c"], InvalidInputError),
    ],
)
def test_what_is_no_target(targets: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        checked_targets(targets, (3, 1))
