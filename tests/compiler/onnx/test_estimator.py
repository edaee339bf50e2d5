"""Estimators of scikit-learn: compiled as they are, or refused with a sentence that says what to do."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import zkinfer as zk
from zkinfer.compiler.onnx.estimator import convert_estimator, is_estimator
from zkinfer.errors import CompileError, InvalidInputError

X, Y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        LinearSVC(random_state=0),
        RandomForestClassifier(4, max_leaf_nodes=8, random_state=0),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_classifier_gives_its_labels(estimator: Any) -> None:
    estimator.fit(X[::2], Y[::2])
    labels, _ = zk.compile(estimator, X[::2]).run(X[1::2], saturate=True)
    assert (labels.ravel() == estimator.predict(X[1::2])).mean() >= 0.98


def test_a_regressor_gives_its_values() -> None:
    estimator = Ridge().fit(X[::2], Y[::2])
    np.testing.assert_allclose(
        np.asarray(zk.compile(estimator, X[::2]).run(X[::2])).ravel(), estimator.predict(X[::2]), atol=1e-3
    )


def test_labels_that_are_texts_are_left_out() -> None:
    estimator = LogisticRegression().fit(X, np.array(["red", "white", "rose"])[Y])
    scores = np.asarray(zk.compile(estimator, X).run(X))
    assert scores.shape == (len(X), 3)
    assert (estimator.classes_[scores.argmax(axis=1)] == estimator.predict(X)).mean() >= 0.99


def test_what_is_no_estimator() -> None:
    assert is_estimator(Ridge())
    assert not any(map(is_estimator, ("model.onnx", b"", np.ones(3), None, Ridge)))


@pytest.mark.parametrize(
    ("estimator", "samples", "error", "says"),
    [
        (LogisticRegression(), X, CompileError, "skl2onnx cannot convert LogisticRegression"),
        (LogisticRegression(), X, CompileError, "fit it if it is not fitted, or convert it in another way"),
        (TSNE(), X, CompileError, "skl2onnx cannot convert TSNE"),
        (Ridge().fit(X, Y), X[0], InvalidInputError, r"samples of shape \(samples, features\), got \(13,\)"),
        (type("LGBMClassifier", (), {"__module__": "lightgbm.sklearn"})(), X, InvalidInputError, "convert_lightgbm"),
    ],
)
def test_what_cannot_be_converted(estimator: Any, samples: Any, error: type[Exception], says: str) -> None:
    assert is_estimator(estimator)
    with pytest.raises(error, match=says):
        convert_estimator(estimator, samples)


def test_an_error_that_skl2onnx_wraps_in_a_dump_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """skl2onnx quotes all attributes of a node, which for trees are thousands of numbers."""

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("Unable to create node with attributes={'base_values': array([0.5],") from TypeError("an int.")

    monkeypatch.setattr("skl2onnx.to_onnx", fail)
    with pytest.raises(CompileError, match=r"^skl2onnx cannot convert Ridge: an int; fit it"):
        convert_estimator(Ridge(), X)
