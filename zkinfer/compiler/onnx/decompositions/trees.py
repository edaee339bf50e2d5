"""Forests and boosted trees: every comparison of every tree, then the leaf on whose path all outcomes are as required.

Let `b` be the outcomes of a tree's comparisons as zeros and ones, and let the path matrix P hold 1 where a leaf
requires a node to be true, -1 where it requires it to be false, and 0 where the node is not on its path. Then

    b P = (number of true nodes required to be true) - (number of true nodes required to be false).

For the leaf that is reached, this is the number of nodes that it requires to be true; for all other leaves it is
smaller. A matrix chooses the features too, so that the feature that a node reads is as secret as its threshold. The
number of trees, and the largest number of nodes and of leaves of a tree, are public.

A comparison is as exact as the model's own: each feature of an input has a format of its own, in which the numbers that
the trees tell apart are different integers, see `features`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from onnx_ir import Attr, DataType, Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.decompositions.classical import DOMAIN, labelled
from zkinfer.compiler.onnx.subgraph import Subgraph
from zkinfer.typing import FloatArray, IntArray

Key = tuple[int, int]
"""A node: the number of its tree, and its number in the tree."""

_COMPARISONS = {
    "BRANCH_LEQ": "LessOrEqual",
    "BRANCH_LT": "Less",
    "BRANCH_GTE": "GreaterOrEqual",
    "BRANCH_GT": "Greater",
}


FORMS = (
    "supported are sums and averages of trees with one kind of comparison by size, and integer labels if they are read"
)


@dataclass(frozen=True)
class _Branch:
    feature: int
    threshold: float
    true: Key
    false: Key


@dataclass(frozen=True)
class _Forest:
    """The trees of a model.

    Attributes:
        branches: inner nodes.
        leaves: the numbers that a leaf adds to each output.
        comparison: the operator of every inner node.
        outputs: number of outputs.
        base: numbers that are added to the outputs.
    """

    branches: Mapping[Key, _Branch]
    leaves: Mapping[Key, FloatArray]
    comparison: str
    outputs: int
    base: FloatArray

    @property
    def roots(self) -> list[Key]:
        """The nodes that are not children, in order."""
        reached = {key for branch in self.branches.values() for key in (branch.true, branch.false)}
        return sorted(key for key in (*self.branches, *self.leaves) if key not in reached)


@dataclass
class _Paths:
    """A tree's inner nodes, and its leaves, each with the required outcome of the nodes on its path."""

    nodes: list[_Branch] = field(default_factory=list)
    leaves: list[tuple[FloatArray, dict[int, bool]]] = field(default_factory=list)


def _paths(forest: _Forest, root: Key) -> _Paths:
    paths = _Paths()
    waiting: list[tuple[Key, dict[int, bool]]] = [(root, {})]
    while waiting:
        key, path = waiting.pop()
        branch = forest.branches.get(key)
        if branch is None:
            paths.leaves.append((forest.leaves[key], path))
            continue
        paths.nodes.append(branch)
        at = len(paths.nodes) - 1
        waiting += [(branch.true, {**path, at: True}), (branch.false, {**path, at: False})]
    return paths


def _list(attributes: Mapping[str, Attr], name: str) -> list[float]:
    """Numbers of a list attribute, or of the tensor attribute that may replace it."""
    if f"{name}_as_tensor" in attributes:
        return [float(x) for x in attributes[f"{name}_as_tensor"].as_tensor().numpy().ravel()]
    return [float(x) for x in attributes[name].as_floats()] if name in attributes else []


def _forest(s: Subgraph, kind: str, outputs: int) -> _Forest | None:
    """The trees of a classifier or a regressor; None if they have several comparisons, or one that is not lowered.

    Args:
        s: gives the node.
        kind: "class" or "target", the prefix of the attributes of leaves.
        outputs: number of outputs.
    """
    a = s.node.attributes
    trees, numbers = a["nodes_treeids"].as_ints(), a["nodes_nodeids"].as_ints()
    keys = list(zip(trees, numbers, strict=True))
    modes, features = a["nodes_modes"].as_strings(), a["nodes_featureids"].as_ints()
    ways = zip(trees, a["nodes_truenodeids"].as_ints(), a["nodes_falsenodeids"].as_ints(), strict=True)
    comparisons = {mode for mode in modes if mode != "LEAF"} or {"BRANCH_LEQ"}
    if len(comparisons) > 1 or not comparisons <= set(_COMPARISONS):
        return None
    leaves = {key: np.zeros(outputs) for key, mode in zip(keys, modes, strict=True) if mode == "LEAF"}
    places = zip(
        a[f"{kind}_treeids"].as_ints(), a[f"{kind}_nodeids"].as_ints(), a[f"{kind}_ids"].as_ints(), strict=True
    )
    for (tree, number, output), weight in zip(places, _list(a, f"{kind}_weights"), strict=True):
        leaves[tree, number][output] += weight
    branches = {
        key: _Branch(feature, threshold, (tree, true), (tree, false))
        for key, mode, feature, threshold, (tree, true, false) in zip(
            keys, modes, features, _list(a, "nodes_values"), ways, strict=True
        )
        if mode != "LEAF"
    }
    base = np.zeros(outputs)
    given = _list(a, "base_values")
    base[: len(given)] = given
    return _Forest(branches, leaves, _COMPARISONS[comparisons.pop()], outputs, base)


def _scores(s: Subgraph, x: Value, forest: _Forest) -> Value:
    """The sum of the leaves that are reached and the base: shape (batch, outputs)."""
    batch, width = static_shape(x)
    trees = [_paths(forest, root) for root in forest.roots]
    nodes, leaves = max(len(t.nodes) for t in trees) or 1, max(len(t.leaves) for t in trees)
    count = len(trees)
    choice = np.zeros((width, count, nodes), dtype=np.int8)
    thresholds = np.zeros((count, nodes))
    way = np.zeros((count, nodes, leaves), dtype=np.int8)
    # A leaf that pads a smaller tree requires more nodes than there are, so that it is never reached.
    needed = np.full((count, 1, leaves), nodes + 1.0)
    values = np.zeros((count, leaves, forest.outputs))
    # What a node that pads a smaller tree compares does not matter, for no leaf requires anything of it.
    unused = next((branch for tree in trees for branch in tree.nodes), _Branch(0, 0.0, (0, 0), (0, 0)))
    for t, tree in enumerate(trees):
        for n in range(nodes):
            branch = tree.nodes[n] if n < len(tree.nodes) else unused
            choice[branch.feature, t, n], thresholds[t, n] = 1, branch.threshold
        for k, (value, path) in enumerate(tree.leaves):
            values[t, k], needed[t, 0, k] = value, sum(path.values())
            for n, true in path.items():
                way[t, n, k] = 1 if true else -1

    # Small integers are exact weights by way of DequantizeLinear, which has no form with double precision.
    double = x.dtype is DataType.DOUBLE
    dtype, x = (
        (np.float32, s.op("features/single", "Cast", x, to=int(DataType.FLOAT))) if double else (numpy_type(x), x)
    )
    chosen = s.op("features", "MatMul", x, _integers(s, "choice", choice.reshape(width, -1), dtype))
    outcomes = s.op("outcomes", forest.comparison, chosen, s.constant("thresholds", thresholds.ravel().astype(dtype)))
    ones = s.reshape("outcomes/trees", _numbers(s, "outcomes/numbers", outcomes, dtype), (batch, count, 1, nodes))
    agreeing = s.op("agreeing", "MatMul", ones, _integers(s, "paths", way, dtype))
    reached = s.op("reached", "GreaterOrEqual", agreeing, s.constant("needed", (needed - 0.5).astype(dtype)))
    rows = s.reshape("reached/rows", _numbers(s, "reached/numbers", reached, dtype), (batch, count * leaves))
    total = s.op("scores", "MatMul", rows, s.constant("values", values.reshape(-1, forest.outputs).astype(dtype)))
    if forest.base.any():
        total = s.op("scores/base", "Add", total, s.constant("base", forest.base.astype(dtype)))
    return s.op("scores/double", "Cast", total, to=int(DataType.DOUBLE)) if double else total


def _numbers(s: Subgraph, step: str, truth: Value, dtype: npt.DTypeLike) -> Value:
    """Truth values as zeros and ones."""
    return s.op(step, "Cast", truth, to=int(DataType.from_numpy(np.dtype(dtype))))


def _integers(s: Subgraph, step: str, array: npt.NDArray[np.int8], dtype: npt.DTypeLike) -> Value:
    """A constant of small integers, which are exact weights of the circuit."""
    unit = s.constant(f"{step}/unit", np.array(1.0, dtype=dtype))
    return s.op(step, "DequantizeLinear", s.constant(f"{step}/integers", array), unit)


def _aggregated(s: Subgraph, x: Value, forest: _Forest, aggregate: str) -> list[Value] | None:
    """The outputs of a forest that sums or averages its trees; None for other aggregates."""
    if aggregate == "AVERAGE":
        count = len(forest.roots)
        forest = replace(forest, leaves={key: value / count for key, value in forest.leaves.items()})
    return [_scores(s, x, forest)] if aggregate in ("SUM", "AVERAGE") else None


@decomposition("TreeEnsembleRegressor", 1, domain=DOMAIN, hint=FORMS)
def regressor(s: Subgraph, x: Value) -> list[Value] | None:
    """A TreeEnsembleRegressor, without an activation."""
    forest = _forest(s, "target", s.integer("n_targets", 1))
    if forest is None or s.text("post_transform", "NONE") != "NONE":
        return None
    return _aggregated(s, x, forest, s.text("aggregate_function", "SUM"))


_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
"""The comparisons and aggregates of a TreeEnsemble, by their numbers in the standard."""


@decomposition("TreeEnsemble", 1, domain=DOMAIN, hint=FORMS)
def ensemble(s: Subgraph, x: Value) -> list[Value] | None:
    """A TreeEnsemble of version 5 of the domain: inner nodes and leaves are numbered separately, over all trees.

    None also if an activation follows: onnxruntime and the standard number the activations differently.
    """
    a = s.node.attributes
    modes = [_MODES[int(mode)] for mode in a["nodes_modes"].as_tensor().numpy()]
    if len(set(modes)) > 1 or modes[0] not in _COMPARISONS or s.integer("post_transform", 0):
        return None
    outputs = s.integer("n_targets", 1)

    def ways(which: str) -> list[Key]:
        """The child of each node: inner nodes have the tree number 0, leaves 1."""
        return list(zip(a[f"nodes_{which}leafs"].as_ints(), a[f"nodes_{which}nodeids"].as_ints(), strict=True))

    splits = a["nodes_splits"].as_tensor().numpy().tolist()
    branches = {
        (0, n): _Branch(*branch)
        for n, branch in enumerate(
            zip(a["nodes_featureids"].as_ints(), splits, ways("true"), ways("false"), strict=True)
        )
    }
    weights = a["leaf_weights"].as_tensor().numpy().tolist()
    leaves = {
        (1, n): weight * np.eye(outputs)[target]
        for n, (weight, target) in enumerate(zip(weights, a["leaf_targetids"].as_ints(), strict=True))
    }
    forest = _Forest(branches, leaves, _COMPARISONS[modes[0]], outputs, np.zeros(outputs))
    return _aggregated(s, x, forest, _AGGREGATES[s.integer("aggregate_function", 1)])


@decomposition(
    "TreeEnsembleClassifier", 1, domain=DOMAIN, hint=f"{FORMS}; the label of two classes where leaves score one of them"
)
def classifier(s: Subgraph, x: Value) -> list[Value] | None:
    """A TreeEnsembleClassifier: the label, and a score for each class.

    None also if the label of two classes is read that both have scores in the leaves: by the standard it is that of the
    larger score, but onnxruntime gives 1 where the second score is positive, else 0, whatever the labels are.
    """
    attributes = s.node.attributes
    labels = np.array(attributes["classlabels_int64s"].as_ints() if "classlabels_int64s" in attributes else [])
    names = len(attributes["classlabels_strings"].as_strings()) if "classlabels_strings" in attributes else 0
    classes = len(labels) or names
    forest = _forest(s, "class", classes)
    transform = s.text("post_transform", "NONE")
    if forest is None or transform not in ("NONE", "LOGISTIC", "SOFTMAX") or (s.uses(0) and not len(labels)):
        return None
    if classes == 2 and len(set(attributes["class_ids"].as_ints())) == 1:
        return _binary(s, x, forest, transform, labels)
    if classes == 2 and s.uses(0):
        return None
    scores = _scores(s, x, forest)
    index = s.op("index", "ArgMax", scores, axis=1, keepdims=0)
    activations = {"LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}
    scores = s.op("probabilities", activations[transform], scores) if transform in activations else scores
    return [labelled(s, index, labels), scores]


def _binary(s: Subgraph, x: Value, forest: _Forest, transform: str, labels: IntArray) -> list[Value] | None:
    """Two classes, where the leaves hold the score of the second as their first output; the other follows from it.

    As in onnxruntime, scores that cannot be negative are probabilities, and others are log odds.
    """
    if any(s.node.attributes["class_ids"].as_ints()) or transform == "SOFTMAX" or forest.base[1]:
        return None
    leaves = {key: value[:1] for key, value in forest.leaves.items()}
    positive = all((value >= 0).all() for value in leaves.values())
    score = _scores(s, x, _Forest(forest.branches, leaves, forest.comparison, 1, forest.base[:1]))
    decided = s.op("decided", "Greater", score, s.number("middle", 0.5 if positive else 0.0, x))
    index = s.op("index", "Cast", s.reshape("decided/flat", decided, (static_shape(x)[0],)), to=7)
    if positive and transform == "NONE":
        return [
            labelled(s, index, labels),
            s.concat("both", [s.op("other", "Sub", s.number("one", 1.0, x), score), score], 1),
        ]
    both = s.concat("both", [s.op("other", "Neg", score), score], 1)
    return [labelled(s, index, labels), s.op("probabilities", "Sigmoid", both) if transform == "LOGISTIC" else both]
