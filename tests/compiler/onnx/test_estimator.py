"""Estimators: compiled as they are, or refused with a sentence that says what to do."""

import importlib
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import zkinfer as zk
from zkinfer.compiler.onnx import estimator as estimators
from zkinfer.compiler.onnx.estimator import convert_estimator, is_estimator
from zkinfer.errors import CompileError, InvalidInputError, MissingDependencyError

X, Y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
NAMES = np.array(["red", "white", "rose"])[Y]
VOTERS = [("one", DecisionTreeClassifier(max_depth=1)), ("two", DecisionTreeClassifier(max_depth=2))]


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        LinearSVC(random_state=0),
        RandomForestClassifier(4, max_leaf_nodes=8, random_state=0),
        HistGradientBoostingClassifier(max_iter=3),
        VotingClassifier(VOTERS, voting="soft"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_classifier_gives_its_labels(estimator: Any) -> None:
    estimator.fit(X[::2], Y[::2])
    labels, _ = zk.compile(estimator, X[::2]).run(X[1::2], saturate=True)
    assert (labels.ravel() == estimator.predict(X[1::2])).mean() >= 0.98


@pytest.mark.parametrize(
    "estimator", [Ridge(), HistGradientBoostingRegressor(max_iter=3)], ids=lambda e: type(e).__name__
)
def test_a_regressor_gives_its_values(estimator: Any) -> None:
    estimator.fit(X[::2], Y[::2])
    np.testing.assert_allclose(
        np.asarray(zk.compile(estimator, X[::2]).run(X[::2])).ravel(), estimator.predict(X[::2]), atol=1e-3
    )


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), RandomForestClassifier(4, max_leaf_nodes=8)], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("names", [NAMES, np.where(Y > 0, "white", "red")], ids=["three", "two"])
def test_labels_that_are_texts_are_left_out(estimator: Any, names: np.ndarray) -> None:
    estimator.fit(X, names)
    circuit = zk.compile(estimator, X)
    assert "left out, because they are texts: 'label'" in circuit.bound
    scores = np.asarray(circuit.run(X))
    assert scores.shape == (len(X), len(estimator.classes_))
    assert (estimator.classes_[scores.argmax(axis=1)] == estimator.predict(X)).mean() >= 0.99


@pytest.mark.parametrize("mappings", [False, True])
def test_a_file_with_labels_that_are_texts(mappings: bool) -> None:
    """As a package may ship it: with a label, and with scores in an array or in a list of mappings."""
    forest = RandomForestClassifier(4, max_leaf_nodes=8, random_state=0).fit(X, NAMES)
    model = to_onnx(forest, X[:1], options={id(forest): {"zipmap": mappings}}, target_opset=estimators.OPSETS)
    np.testing.assert_allclose(zk.compile(model, X).run(X), forest.predict_proba(X), atol=1e-3)


def test_texts_whose_scores_do_not_tell_the_label_are_refused() -> None:
    """For two classes of an SVC, the larger score of skl2onnx is the other class's."""
    with pytest.raises(CompileError, match="fit the estimator with integer labels"):
        convert_estimator(SVC().fit(X, np.where(Y > 0, "white", "red")), X)


def test_what_is_no_estimator() -> None:
    assert is_estimator(Ridge())
    assert not any(map(is_estimator, ("model.onnx", b"", np.ones(3), None, Ridge)))


def embedded() -> Any:
    """An estimator that is fitted, by what it holds, and that skl2onnx does not know."""
    estimator = TSNE()
    estimator.embedding_ = X
    return estimator


@pytest.mark.parametrize(
    ("estimator", "samples", "error", "says"),
    [
        (LogisticRegression(), X, CompileError, r"^LogisticRegression is not fitted: call fit\(\.\.\.\) first$"),
        (
            make_pipeline(StandardScaler(), Ridge()),
            X,
            CompileError,
            "Pipeline is not fitted: call fit",
        ),
        (embedded(), X, CompileError, "skl2onnx cannot convert TSNE"),
        (embedded(), X, CompileError, "fit it if it is not fitted, or convert it in another way"),
        (Ridge().fit(X, Y), X[0], InvalidInputError, r"samples of shape \(samples, features\), got \(13,\)"),
        (type("CatBoostClassifier", (), {"__module__": "catboost.core"})(), X, InvalidInputError, "no converter for"),
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

    monkeypatch.setattr("skl2onnx.convert_sklearn", fail)
    with pytest.raises(CompileError, match=r"^skl2onnx cannot convert Ridge: an int; fit it"):
        convert_estimator(Ridge().fit(X, Y), X)


@pytest.mark.parametrize("package", ["lightgbm", "xgboost"])
def test_a_boosted_estimator_needs_the_extra_with_its_converter(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    estimator = type("Classifier", (), {"__module__": f"{package}.sklearn"})()
    monkeypatch.setitem(sys.modules, "onnxmltools", None)
    with pytest.raises(MissingDependencyError, match=rf"{package} needs onnxmltools, .*zkinfer\[boosting\]"):
        convert_estimator(estimator, X)


def halves(factor: float) -> onnx.ModelProto:
    """A model whose output is its first feature, times a factor."""
    nodes = [
        helper.make_node("Gather", ["X", "first"], ["feature"], axis=1),
        helper.make_node("Mul", ["feature", "factor"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "halves",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, X.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor("first", TensorProto.INT64, [1], [0]), helper.make_tensor("factor", 1, [1], [factor])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_a_converter_that_makes_another_function_is_refused() -> None:
    """A converter looks at some options of an estimator; what it does not look at is found by the answers."""
    answers = X[:, 0].astype(np.float64)
    estimators._compare(halves(1.0), Ridge(), answers, X)
    with pytest.raises(CompileError, match=rf"another function of Ridge than it is \(for \d+ of {len(X)} samples"):
        estimators._compare(halves(1.01), Ridge(), answers, X)
    with pytest.raises(CompileError, match=r"numbers of shape \(178, 1\), not \(178, 3\)"):
        estimators._compare(halves(1.0), Ridge(), np.ones((len(X), 3)), X)


class Boosted(Ridge):  # type: ignore[misc]
    """An estimator that seems to be of LightGBM, and says the first of its features, times a factor."""

    __module__ = "lightgbm.sklearn"

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x[:, 0])


def test_a_pipeline_is_converted_by_two_converters_and_compared_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = make_pipeline(StandardScaler(), Boosted()).fit(X, X[:, 0])
    monkeypatch.setattr(estimators, "_boosting", lambda package, estimator, x: halves(1.0))
    model = convert_estimator(pipeline, X)
    assert [value.name for value in model.graph.input] == ["X"]
    found = zk.compile(pipeline, X).run(X)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found[:, 0], pipeline.predict(X), atol=1e-3)

    monkeypatch.setattr(estimators, "_boosting", lambda package, estimator, x: halves(1.01))
    with pytest.raises(CompileError, match="another function of Pipeline than it is"):
        convert_estimator(pipeline, X)


def test_a_pipeline_that_is_not_fitted_is_refused() -> None:
    with pytest.raises(CompileError, match="Pipeline is not fitted: call fit"):
        convert_estimator(make_pipeline(StandardScaler(), Boosted()), X)


class TestBoosting:
    """With the extra: estimators of LightGBM and XGBoost say what they said."""

    def setup_method(self) -> None:
        pytest.importorskip("onnxmltools")

    @pytest.mark.parametrize("labels", [Y, (Y > 0).astype(int), NAMES], ids=["three", "two", "texts"])
    def test_a_classifier_of_lightgbm(self, labels: np.ndarray) -> None:
        lightgbm = pytest.importorskip("lightgbm")
        estimator = lightgbm.LGBMClassifier(n_estimators=4, max_depth=3, verbose=-1).fit(X, labels)
        self.assert_same(estimator, estimator.predict_proba(X))
        self.assert_same(estimator.booster_, estimator.predict_proba(X))

    @pytest.mark.parametrize("labels", [Y, (Y > 0).astype(int)], ids=["three", "two"])
    def test_a_classifier_of_xgboost(self, labels: np.ndarray) -> None:
        xgboost = pytest.importorskip("xgboost")
        estimator = xgboost.XGBClassifier(n_estimators=4, max_depth=3).fit(X, labels)
        self.assert_same(estimator, estimator.predict_proba(X))
        self.assert_same(estimator.get_booster(), estimator.predict_proba(X))

    def test_a_regressor_of_lightgbm(self) -> None:
        lightgbm = pytest.importorskip("lightgbm")
        estimator = lightgbm.LGBMRegressor(n_estimators=4, verbose=-1).fit(X, X[:, 0])
        self.assert_same(estimator, estimator.predict(X))

    def test_a_regressor_of_xgboost_whose_features_have_names(self) -> None:
        xgboost = pytest.importorskip("xgboost")
        estimator = xgboost.XGBRegressor(n_estimators=4, max_depth=3).fit(X, X[:, 0])
        names = [f"alcohol {i}" for i in range(X.shape[1])]
        estimator.get_booster().feature_names = names
        self.assert_same(estimator, estimator.get_booster().inplace_predict(X))
        assert estimator.get_booster().feature_names == names

    @pytest.mark.parametrize("package", ["lightgbm", "xgboost"])
    def test_pipelines_that_end_in_a_classifier(self, package: str) -> None:
        pytest.importorskip(package)
        kind = getattr(importlib.import_module(package), "LGBMClassifier" if package == "lightgbm" else "XGBClassifier")
        pipeline = make_pipeline(StandardScaler(), PCA(4), kind(n_estimators=4, max_depth=3)).fit(X, Y)
        _, found = zk.compile(pipeline, X).run(X)
        # Thresholds are features of some of these samples, and rounding puts them on either side.
        assert (np.abs(found - pipeline.predict_proba(X)).max(axis=1) < 1e-3).mean() > 0.9

    def test_zeros_as_missing_values_are_refused(self) -> None:
        lightgbm = pytest.importorskip("lightgbm")
        x = np.where(np.abs(X) < 0.5, 0, X)
        estimator = lightgbm.LGBMRegressor(n_estimators=4, zero_as_missing=True, verbose=-1).fit(x, X[:, 0])
        with pytest.raises(CompileError, match="makes another function of LGBMRegressor than it is"):
            zk.compile(estimator, x)

    def assert_same(self, estimator: Any, expected: np.ndarray) -> None:
        found = zk.compile(estimator, X).run(X)
        scores = found[-1] if isinstance(found, tuple) else found
        np.testing.assert_allclose(np.asarray(scores).reshape(expected.shape), expected, atol=1e-3)
