"""Forests and boosted trees: the same answers as onnxruntime's own operators, on scikit-learn's data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeRegressor
from support.model_comparison import compare

import zkinfer as zk
from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import AccuracyWarning, UnsupportedOperatorError

FINE = Precision(activation_bits=16, weight_bits=16, max_table_entries=1 << 17)


def ensemble(
    kind: str,
    trees: Sequence[Any],
    features: int,
    *,
    outputs: int,
    scale: float = 1.0,
    columns: Sequence[int] | None = None,
    mode: str = "BRANCH_LEQ",
    **attributes: Any,
) -> onnx.ModelProto:
    """Scikit-learn's trees in ONNX's form.

    Args:
        kind: "class" or "target".
        trees: fitted decision trees.
        features: of a sample.
        outputs: scores or targets.
        scale: factor on all leaves.
        columns: the output that each tree adds to; None for trees that have all of them.
        mode: how nodes compare.
        attributes: more of them.
    """
    nodes: dict[str, list[Any]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    }
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for t, estimator in enumerate(trees):
        tree = estimator.tree_
        for n in range(tree.node_count):
            leaf = tree.children_left[n] < 0
            row: tuple[Any, ...] = (
                t,
                n,
                max(tree.feature[n], 0),
                "LEAF" if leaf else mode,
                0.0 if leaf else tree.threshold[n],
            )
            row += (max(tree.children_left[n], 0), max(tree.children_right[n], 0))
            for values, value in zip(nodes.values(), row, strict=True):
                values.append(value)
            if leaf:
                value = np.ravel(tree.value[n])
                places = range(outputs) if columns is None else [columns[t]]
                for place, weight in zip(places, value, strict=True):
                    for values, entry in zip(leaves.values(), (t, n, place, float(weight) * scale), strict=True):
                        values.append(entry)
    name = {"class": "TreeEnsembleClassifier", "target": "TreeEnsembleRegressor"}[kind]
    results = {"class": ["label", "y"], "target": ["y"]}[kind]
    given = {f"nodes_{key}": value for key, value in nodes.items()} | {
        f"{kind}_{key}": value for key, value in leaves.items()
    }
    node = helper.make_node(name, ["x"], results, domain="ai.onnx.ml", **given, **attributes)
    types = {"label": (TensorProto.INT64, [None]), "y": (TensorProto.FLOAT, [None, outputs])}
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(result, *types[result]) for result in results],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8
    )


def assert_same(model: onnx.ModelProto, x: np.ndarray) -> None:
    """The steps give what onnxruntime's operator gives."""
    x = x.astype(np.float32)
    reference = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    steps = FloatModel(load_model(model, batch=len(x))).run([x[None]])
    for value, expected in zip(model.graph.output, reference, strict=True):
        np.testing.assert_allclose(steps[value.name][0], expected, atol=1e-4)


def split(load: Any) -> list[np.ndarray]:
    x, y = load(return_X_y=True)
    return list(train_test_split(x, y, test_size=0.4, random_state=0))


class TestForest:
    def setup_method(self) -> None:
        self.x, self.held_out, y, self.labels = split(load_digits)
        self.forest = RandomForestClassifier(8, max_leaf_nodes=24, random_state=0).fit(self.x, y)

    def model(self, **attributes: Any) -> onnx.ModelProto:
        options: dict[str, Any] = {"classlabels_int64s": list(range(10)), "scale": 1 / 8} | attributes
        return ensemble("class", self.forest.estimators_, 64, outputs=10, **options)

    @pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC"])
    def test_steps(self, transform: str) -> None:
        assert_same(self.model(post_transform=transform), self.held_out)

    def test_trees_that_vote(self) -> None:
        """Each leaf gives one vote to the class of most of its samples, and the class with most votes wins."""
        for tree in self.forest.estimators_:
            value = tree.tree_.value
            value[:] = value == value.max(axis=2, keepdims=True)
        assert_same(self.model(scale=1.0), self.held_out)
        labels, votes = (output[:, 0] for output in compare(self.model(scale=1.0), self.held_out, precision=FINE).fixed)
        assert (votes.sum(axis=1) >= 8).all()
        assert (votes == votes.round()).all()
        assert (labels == votes.argmax(axis=1)).all()

    def test_a_file_of_trees_alone_need_not_import_standard_operators(self) -> None:
        model = self.model()
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
        assert_same(model, self.held_out)

    def test_other_labels(self) -> None:
        assert_same(self.model(classlabels_int64s=list(range(20, 10, -1))), self.held_out)

    @pytest.mark.parametrize("mode", ["BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])
    def test_other_comparisons(self, mode: str) -> None:
        assert_same(self.model(mode=mode), self.held_out)

    def test_in_integers(self) -> None:
        result = compare(self.model(), self.held_out, precision=FINE)
        labels, scores = (output[:, 0] for output in result.fixed)
        assert (labels == result.floats[0][:, 0]).all()
        np.testing.assert_allclose(scores, self.forest.predict_proba(self.held_out), atol=1e-3)
        assert (labels == self.forest.predict(self.held_out)).all()
        # One lookup for each node and each leaf, and the maximum of the scores.
        assert sum(lookup.out.size for lookup in result.lookups) <= 8 * (23 + 24) + 4 * 10

    def test_features_thresholds_and_paths_are_secret(self) -> None:
        """Another forest of the same sizes is another content of the weights, and nothing else."""
        lowered = compare(self.model(), self.held_out, precision=FINE).lowered
        assert {"label/choice", "label/thresholds", "label/paths", "label/values"} <= {
            w.label for w in lowered.program.weights
        }


class TestBoosting:
    @pytest.mark.parametrize("transform", ["LOGISTIC", "NONE"])
    @pytest.mark.parametrize("base", [{}, {"base_values": [0.25]}])
    def test_two_classes_with_one_score(self, transform: str, base: dict[str, Any]) -> None:
        x, held_out, y, _ = split(load_breast_cancer)
        boosted = GradientBoostingClassifier(n_estimators=8, max_depth=3, random_state=0).fit(x, y)
        trees = boosted.estimators_[:, 0]
        options: dict[str, Any] = {"columns": [0] * 8, "classlabels_int64s": [0, 1], "post_transform": transform}
        assert_same(ensemble("class", trees, 30, outputs=2, scale=0.1, **options, **base), held_out)

    @pytest.mark.parametrize("transform", ["LOGISTIC", "NONE"])
    def test_one_score_that_is_a_probability(self, transform: str) -> None:
        x, held_out, y, _ = split(load_breast_cancer)
        forest = [DecisionTreeRegressor(max_leaf_nodes=8, random_state=k).fit(x, y) for k in range(4)]
        options: dict[str, Any] = {"columns": [0] * 4, "classlabels_int64s": [0, 1], "post_transform": transform}
        assert_same(ensemble("class", forest, 30, outputs=2, scale=0.24, **options), held_out)

    def test_in_integers(self) -> None:
        x, held_out, y, _ = split(load_breast_cancer)
        # All features share one format, so they are brought to one range; trees do not mind.
        x, held_out = x / x.max(axis=0), held_out / x.max(axis=0)
        boosted = GradientBoostingClassifier(n_estimators=8, max_depth=3, random_state=0).fit(x, y)
        model = ensemble(
            "class",
            boosted.estimators_[:, 0],
            30,
            outputs=2,
            scale=0.1,
            columns=[0] * 8,
            classlabels_int64s=[0, 1],
            post_transform="LOGISTIC",
        )
        result = compare(model, held_out, precision=FINE)
        assert (result.fixed[0] == result.floats[0]).mean() >= 0.99
        # A feature next to a threshold may fall to its other side when it is rounded.
        assert (np.abs(result.fixed[1] - result.floats[1]) > 1e-3).mean() <= 0.02


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE"])
def test_regression(aggregate: str) -> None:
    x, held_out, y, _ = split(load_diabetes)
    forest = RandomForestRegressor(6, max_leaf_nodes=12, random_state=0).fit(x, y)
    model = ensemble(
        "target", forest.estimators_, 10, outputs=1, n_targets=1, aggregate_function=aggregate, base_values=[3.5]
    )
    assert_same(model, held_out)
    result = compare(model, held_out, precision=FINE)
    assert np.median(np.abs(result.fixed[0] - result.floats[0])) <= 0.05


def numbered(trees: Sequence[Any], targets: Sequence[int], *, mode: int = 0, **attributes: Any) -> onnx.ModelProto:
    """Scikit-learn's trees as a TreeEnsemble, in which inner nodes and leaves are numbered over all trees."""
    nodes: dict[str, list[Any]] = {
        name: [] for name in ("featureids", "truenodeids", "trueleafs", "falsenodeids", "falseleafs")
    }
    splits: list[float] = []
    weights: list[float] = []
    owners: list[int] = []
    roots: list[int] = []
    for estimator, target in zip(trees, targets, strict=True):
        tree, first = estimator.tree_, len(splits)
        inner = [n for n in range(tree.node_count) if tree.children_left[n] >= 0]
        leaves = [n for n in range(tree.node_count) if tree.children_left[n] < 0]
        roots.append(first)
        for n in inner or leaves:
            # A tree that is a leaf has one node, with the leaf on both sides.
            splits.append(float(tree.threshold[n]))
            nodes["featureids"].append(max(int(tree.feature[n]), 0))
            for side, child in (("true", tree.children_left[n]), ("false", tree.children_right[n])):
                leaf = not inner or child in leaves
                number = len(weights) + leaves.index(child if inner else n) if leaf else first + inner.index(child)
                nodes[f"{side}leafs"].append(int(leaf))
                nodes[f"{side}nodeids"].append(number)
        weights += [float(np.ravel(tree.value[n])[0]) for n in leaves]
        owners += [target] * len(leaves)
    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        tree_roots=roots,
        nodes_modes=numpy_helper.from_array(np.full(len(splits), mode, dtype=np.uint8)),
        nodes_splits=numpy_helper.from_array(np.array(splits, dtype=np.float32)),
        leaf_weights=numpy_helper.from_array(np.array(weights, dtype=np.float32)),
        leaf_targetids=owners,
        n_targets=max(targets) + 1,
        **{f"nodes_{name}": values for name, values in nodes.items()},
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, max(targets) + 1])],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 5)], ir_version=10
    )


class TestNumberedOverAllTrees:
    def setup_method(self) -> None:
        x, self.held_out, y, _ = split(load_diabetes)
        self.trees = [DecisionTreeRegressor(max_leaf_nodes=n, random_state=n).fit(x, y / 100) for n in (9, 5, 7)]
        self.trees.append(DecisionTreeRegressor(max_depth=1, min_samples_leaf=len(x)).fit(x, y / 100))

    @pytest.mark.parametrize("targets", [[0, 0, 0, 0], [0, 1, 1, 0]])
    @pytest.mark.parametrize("mode", range(4))
    def test_steps(self, targets: list[int], mode: int) -> None:
        assert_same(numbered(self.trees, targets, mode=mode), self.held_out)

    def test_averages(self) -> None:
        assert_same(numbered(self.trees, [0, 1, 1, 0], aggregate_function=0), self.held_out)

    def test_in_integers(self) -> None:
        result = compare(numbered(self.trees, [0, 1, 1, 0]), self.held_out, precision=FINE)
        assert np.median(np.abs(result.fixed[0] - result.floats[0])) <= 1e-3

    @pytest.mark.parametrize("attributes", [{"mode": 4}, {"mode": 6}, {"aggregate_function": 3}, {"post_transform": 1}])
    def test_other_forms_are_refused(self, attributes: dict[str, int]) -> None:
        if attributes.get("mode") == 6:
            # Lists of members end in NaN, which is not a mistake in the model's weights.
            attributes["membership_values"] = numpy_helper.from_array(np.array([1, np.nan] * 19, dtype=np.float32))
        with pytest.raises(UnsupportedOperatorError, match="TreeEnsemble, which is not supported in this form"):
            compare(numbered(self.trees, [0, 0, 0, 0], **attributes), self.held_out)


class TestRefused:
    @pytest.mark.parametrize(
        "attributes", [{"mode": "BRANCH_EQ"}, {"aggregate_function": "MAX"}, {"post_transform": "PROBIT"}]
    )
    def test_forms_of_trees(self, attributes: dict[str, Any]) -> None:
        x, held_out, y, _ = split(load_diabetes)
        tree = DecisionTreeRegressor(max_leaf_nodes=4).fit(x, y)
        model = ensemble("target", [tree], 10, outputs=1, n_targets=1, **attributes)
        with pytest.raises(
            UnsupportedOperatorError,
            match=r"supported are sums.*, TreeEnsembleClassifier, TreeEnsembleRegressor",
        ):
            compare(model, held_out)

    def test_one_score_of_two_that_is_of_the_second_output(self) -> None:
        """Converters write the first, and onnxruntime gives the second no complement."""
        x, held_out, y, _ = split(load_breast_cancer)
        tree = DecisionTreeRegressor(max_leaf_nodes=4).fit(x, y)
        model = ensemble("class", [tree], 30, outputs=2, columns=[1], classlabels_int64s=[0, 1])
        with pytest.raises(
            UnsupportedOperatorError, match="TreeEnsembleClassifier, which is not supported in this form"
        ):
            compare(model, held_out)

    def test_the_label_of_two_classes_with_scores_of_their_own(self) -> None:
        """Onnxruntime gives none of the labels, and decides otherwise than the standard; the scores agree."""
        x, held_out, y, _ = split(load_breast_cancer)
        forest = RandomForestClassifier(4, max_leaf_nodes=4, random_state=0).fit(x, y)
        model = ensemble("class", forest.estimators_, 30, outputs=2, classlabels_int64s=[3, 7], scale=0.25)
        with pytest.raises(UnsupportedOperatorError, match="the label of two classes where leaves score one of them"):
            compare(model, held_out)
        del model.graph.output[0]
        assert_same(model, held_out)

    def test_other_operators_of_the_domain(self) -> None:
        node = helper.make_node("Binarizer", ["x"], ["y"], domain="ai.onnx.ml", threshold=0.5)
        model = ensemble("target", [DecisionTreeRegressor().fit([[0.0], [1.0]], [0, 1])], 1, outputs=1, n_targets=1)
        model.graph.node[0].CopyFrom(node)
        with pytest.raises(UnsupportedOperatorError, match=r"ai\.onnx\.ml\.Binarizer, which is not supported"):
            compare(model, np.ones((4, 1)))


def decimals(load: Any) -> tuple[np.ndarray, np.ndarray]:
    """Features with two decimals, many of which are thresholds."""
    x, y = load(return_X_y=True)
    return np.round(100 * x / np.abs(x).max(axis=0), 2), y


class TestFeaturesAsTheyAre:
    """Features in their own units, and values that meet thresholds: every decision is that of the float model."""

    @pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_iris])
    @pytest.mark.parametrize("rounded", [False, True])
    def test_classes(self, load: Any, rounded: bool) -> None:
        x, y = decimals(load) if rounded else load(return_X_y=True)
        x = x.astype(np.float32)
        forest = RandomForestClassifier(8, max_depth=5, random_state=0).fit(x[::2], y[::2])
        classes = int(y.max()) + 1
        model = ensemble(
            "class",
            forest.estimators_,
            x.shape[1],
            outputs=classes,
            classlabels_int64s=list(range(classes)),
            scale=1 / 8,
        )
        del model.graph.output[0]
        self.assert_same_decisions(model, x, 1e-3)

    @pytest.mark.parametrize("rounded", [False, True])
    def test_boosted_regression(self, rounded: bool) -> None:
        x, y = decimals(load_diabetes) if rounded else load_diabetes(return_X_y=True)
        x = x.astype(np.float32)
        boosted = GradientBoostingRegressor(n_estimators=20, random_state=0).fit(x[::2], y[::2])
        model = ensemble(
            "target",
            [tree for (tree,) in boosted.estimators_],
            x.shape[1],
            outputs=1,
            n_targets=1,
            base_values=[float(y[::2].mean())],
            scale=0.1,
        )
        self.assert_same_decisions(model, x, 0.1)

    def assert_same_decisions(self, model: onnx.ModelProto, x: np.ndarray, tolerance: float) -> None:
        """The scores differ by the rounding of leaves alone, also of samples that calibration did not see."""
        circuit = zk.compile(model, x[::3])
        scores = circuit.run(x, saturate=True)
        expected = onnxruntime.InferenceSession(model.SerializeToString()).run(["y"], {"x": x})[0]
        np.testing.assert_allclose(scores, expected, atol=tolerance)

    def test_a_width_that_cannot_tell_values_apart_is_reported(self) -> None:
        x = np.linspace(1, 1.001, 50, dtype=np.float32)[:, None]
        tree = DecisionTreeRegressor(max_depth=3).fit(x, np.arange(50) % 7)
        model = ensemble("target", [tree], 1, outputs=1, n_targets=1)
        with pytest.warns(AccuracyWarning, match="thresholds of 'y/thresholds' are closer"):
            zk.compile(model, x, precision=Precision(6, 8, 64, tensors={"x": 6}))
