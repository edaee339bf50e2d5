"""Linear models, support vector machines and preprocessing of the domain ai.onnx.ml, as converters write them.

Attributes of these operators are what was learned (coefficients, support vectors, means), so they become constants, and
weights of the circuit.
"""

from itertools import combinations

import numpy as np
from onnx_ir import DataType, Value

from zkinfer.compiler.calibration.float_model import static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.subgraph import Subgraph
from zkinfer.typing import FloatArray, IntArray

DOMAIN = "ai.onnx.ml"


def numbers(s: Subgraph, name: str) -> FloatArray:
    """The numbers of a list attribute; none where the node lacks it."""
    attributes = s.node.attributes
    return np.array(attributes[name].as_floats() if name in attributes else [], dtype=np.float64)


def integers(s: Subgraph, name: str) -> IntArray:
    """The integers of a list attribute; none where the node lacks it."""
    attributes = s.node.attributes
    return np.array(attributes[name].as_ints() if name in attributes else [], dtype=np.int64)


def labelled(s: Subgraph, index: Value, labels: IntArray) -> Value:
    """The labels of classes, from their positions; the positions themselves where there are no labels."""
    if np.array_equal(labels, np.arange(len(labels))) or not len(labels):
        return index
    return s.op("label", "Gather", s.constant("labels", labels), index, axis=0)


def _constant(s: Subgraph, step: str, array: FloatArray | float) -> Value:
    """Numbers as float32, which is what these operators compute with."""
    return s.constant(step, np.asarray(array, dtype=np.float32))


def _real(s: Subgraph, x: Value) -> Value:
    """The input as float32."""
    return x if x.dtype is DataType.FLOAT else s.op("single", "Cast", x, to=int(DataType.FLOAT))


def _sizes(s: Subgraph) -> tuple[int, ...]:
    """The shape of the input: samples, features."""
    (x,) = s.node.inputs
    assert x is not None
    return static_shape(x)


def _affine(s: Subgraph, x: Value, coefficients: FloatArray, offsets: FloatArray) -> Value:
    """x @ coefficients + offsets, coefficients of shape (features, outputs)."""
    product = s.op("product", "MatMul", x, _constant(s, "coefficients", coefficients))
    return s.op("scores", "Add", product, _constant(s, "offsets", offsets)) if offsets.any() else product


@decomposition("Scaler", 1, domain=DOMAIN)
def scaler(s: Subgraph, x: Value) -> list[Value]:
    """(x - offset) * scale, one number or one for each feature."""
    x = _real(s, x)
    offset, scale = numbers(s, "offset"), numbers(s, "scale")
    shifted = s.op("shifted", "Sub", x, _constant(s, "offset", offset)) if offset.any() else x
    return [s.op("scaled", "Mul", shifted, _constant(s, "scale", scale)) if scale.size else shifted]


@decomposition("Normalizer", 1, domain=DOMAIN, hint="supported are the norms L1 and L2")
def normalizer(s: Subgraph, x: Value) -> list[Value] | None:
    """Every row divided by its norm."""
    orders = {"L1": 1, "L2": 2}
    norm = s.text("norm", "MAX")
    return [s.op("scaled", "LpNormalization", _real(s, x), axis=-1, p=orders[norm])] if norm in orders else None


@decomposition("Imputer", 1, domain=DOMAIN, hint="supported is NaN as the mark of a missing value")
def imputer(s: Subgraph, x: Value) -> list[Value] | None:
    """Missing values replaced. Inputs of a circuit are numbers and none of them is NaN, so nothing is left to replace:
    whoever has missing values replaces them before."""
    return [s.op("complete", "Identity", x)] if np.isnan(s.real("replaced_value_float", 0.0)) else None


@decomposition("ArrayFeatureExtractor", 1, domain=DOMAIN)
def array_feature_extractor(s: Subgraph, x: Value, places: Value) -> list[Value]:
    """Elements of the last axis by their positions; of a tensor of one axis, with a new axis in front."""
    flat = s.reshape("places", places, [int(np.prod(static_shape(places)))])
    rank = len(static_shape(x))
    taken = s.op("taken", "Gather", x, flat, axis=rank - 1)
    return [s.reshape("row", taken, [1, -1]) if rank == 1 else taken]


@decomposition("LinearRegressor", 1, domain=DOMAIN, hint="supported is post_transform NONE")
def linear_regressor(s: Subgraph, x: Value) -> list[Value] | None:
    if s.text("post_transform", "NONE") != "NONE":
        return None
    x = _real(s, x)
    coefficients = numbers(s, "coefficients").reshape(s.integer("targets", 1), -1)
    return [_affine(s, x, coefficients.T, numbers(s, "intercepts"))]


@decomposition(
    "LinearClassifier",
    1,
    domain=DOMAIN,
    hint="supported are post_transform NONE, LOGISTIC and SOFTMAX, and integer labels where the label is read",
)
def linear_classifier(s: Subgraph, x: Value) -> list[Value] | None:
    """The label of the largest score, and a score for each class."""
    x = _real(s, x)
    intercepts = numbers(s, "intercepts")
    coefficients = numbers(s, "coefficients")
    labels = integers(s, "classlabels_ints")
    transform = s.text("post_transform", "NONE")
    features = _sizes(s)[1]
    outputs = len(coefficients) // features
    if transform not in _TRANSFORMS or (s.uses(0) and not len(labels)) or (outputs == 1 and transform == "SOFTMAX"):
        return None
    scores = _affine(s, x, coefficients.reshape(outputs, features).T, intercepts)
    if outputs > 1:
        index = s.op("index", "ArgMax", scores, axis=1, keepdims=0)
        return [labelled(s, index, labels), _transformed(s, scores, transform)]
    if transform == "LOGISTIC":
        both = s.concat("both", [s.op("other", "Neg", scores), scores], 1)
    else:
        both = s.concat("both", [s.op("other", "Sub", _constant(s, "one", 1.0), scores), scores], 1)
    return [_decided(s, scores, labels), _transformed(s, both, transform)]


_TRANSFORMS = {"NONE": "", "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}


def _transformed(s: Subgraph, scores: Value, transform: str) -> Value:
    return s.op("probabilities", _TRANSFORMS[transform], scores) if _TRANSFORMS[transform] else scores


def _decided(s: Subgraph, score: Value, labels: IntArray) -> Value:
    """The second of two labels where a score, of shape (batch, 1), is positive."""
    positive = s.op("decided", "Greater", score, _constant(s, "middle", 0.0))
    index = s.op("index", "Cast", s.reshape("decided/flat", positive, [_sizes(s)[0]]), to=7)
    return labelled(s, index, labels)


def _kernel(s: Subgraph, x: Value, supports: FloatArray) -> Value | None:
    """The kernel of every sample with every support vector, shape (batch, vectors); None of an unknown kernel."""
    gamma, offset, degree = numbers(s, "kernel_params") if "kernel_params" in s.node.attributes else (1.0, 0.0, 1.0)
    name = s.text("kernel_type", "LINEAR")
    if name == "RBF":
        # |x - v|^2 = |x|^2 - 2 x v + |v|^2, an exact sum in integers.
        squares = s.reduce("squares", "ReduceSum", s.op("square", "Mul", x, x), [1])
        mixed = _affine(s, x, -2.0 * supports.T, (supports**2).sum(axis=1))
        distance = s.op("distance", "Add", mixed, squares)
        return s.op("kernel", "Exp", s.op("exponent", "Mul", distance, _constant(s, "gamma", -gamma)))
    product = s.op("product", "MatMul", x, _constant(s, "supports", supports.T))
    if name == "LINEAR":
        return product
    scaled = s.op("scaled", "Mul", product, _constant(s, "gamma", gamma))
    shifted = s.op("shifted", "Add", scaled, _constant(s, "offset", offset))
    if name == "SIGMOID":
        return s.op("kernel", "Tanh", shifted)
    return s.op("kernel", "Pow", shifted, _constant(s, "degree", degree)) if name == "POLY" else None


@decomposition("SVMRegressor", 1, domain=DOMAIN, hint="supported is post_transform NONE, with one class or without")
def svm_regressor(s: Subgraph, x: Value) -> list[Value] | None:
    """A weighed sum of kernels and an offset; of a model of one class, its sign."""
    if s.text("post_transform", "NONE") != "NONE":
        return None
    x = _real(s, x)
    coefficients, rho = numbers(s, "coefficients"), numbers(s, "rho")
    count = s.integer("n_supports", 0)
    kernel: Value | None = x
    if count:
        kernel = _kernel(s, x, numbers(s, "support_vectors").reshape(count, -1))
    if kernel is None:
        return None
    total = s.op("total", "MatMul", kernel, _constant(s, "coefficients/vectors", coefficients[:, None]))
    total = s.op("regression", "Add", total, _constant(s, "rho", rho[:1]))
    if not s.integer("one_class", 0):
        return [total]
    positive = s.op("inside", "Greater", total, _constant(s, "middle", 0.0))
    return [s.op("side", "Where", positive, _constant(s, "in", 1.0), _constant(s, "out", -1.0))]


@decomposition(
    "SVMClassifier",
    1,
    domain=DOMAIN,
    hint="supported are support vectors with post_transform NONE, with probabilities "
    "for two classes alone, and integer labels where the label is read",
)
def svm_classifier(s: Subgraph, x: Value) -> list[Value] | None:
    """Votes of all pairs of classes; the scores are those of the pairs.

    For two classes with probabilities, the coupling of pairs, which onnxruntime finds by iteration, is the logistic
    function of the one score (Wu, Lin and Weng 2004, "Probability estimates for multi-class classification by pairwise
    coupling").
    """
    counts, labels = integers(s, "vectors_per_class"), integers(s, "classlabels_ints")
    slopes, shifts = numbers(s, "prob_a"), numbers(s, "prob_b")
    classes = len(counts)
    if (
        s.text("post_transform", "NONE") != "NONE"
        or classes < 2
        or (classes > 2 and slopes.size)
        or (s.uses(0) and not len(labels))
    ):
        return None
    x = _real(s, x)
    kernel = _kernel(s, x, numbers(s, "support_vectors").reshape(int(counts.sum()), -1))
    if kernel is None:
        return None
    starts = [0, *np.cumsum(counts)]
    coefficients = numbers(s, "coefficients").reshape(classes - 1, -1)
    pairs = list(combinations(range(classes), 2))
    mixing = np.zeros((coefficients.shape[1], len(pairs)))
    ballot = np.zeros((len(pairs), classes))
    for column, (i, j) in enumerate(pairs):
        first, second = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
        mixing[first, column], mixing[second, column] = coefficients[j - 1, first], coefficients[i, second]
        ballot[column, i], ballot[column, j] = 1.0, -1.0
    scores = s.op("pairs", "MatMul", kernel, _constant(s, "mixing", mixing))
    scores = s.op("pairs/shifted", "Add", scores, _constant(s, "rho", numbers(s, "rho")))
    if classes == 2:
        return _two_classes(s, scores, labels, slopes, shifts)
    won = s.op("won", "Cast", s.op("won/truth", "Greater", scores, _constant(s, "middle", 0.0)), to=int(DataType.FLOAT))
    # A class gets a vote for each pair that it wins; the pairs that it loses by being second are added as constants.
    lost = (ballot < 0).sum(axis=0).astype(float)
    counted = s.op("ballot", "MatMul", won, _constant(s, "ballots", ballot))
    votes = s.op("votes", "Add", counted, _constant(s, "seconds", lost))
    return [labelled(s, s.op("index", "ArgMax", votes, axis=1, keepdims=0), labels), scores]


def _two_classes(s: Subgraph, score: Value, labels: IntArray, slopes: FloatArray, shifts: FloatArray) -> list[Value]:
    """The first class where the score is positive, and a score for each class, as onnxruntime has them."""
    label = _decided(s, s.op("against", "Neg", score), labels)
    if not slopes.size:
        return [label, s.concat("both", [s.op("other", "Neg", score), score], 1)]
    odds = s.op("odds", "Mul", score, _constant(s, "slope", -slopes[0]))
    odds = s.op("odds/shifted", "Add", odds, _constant(s, "shift", -shifts[0]))
    both = s.concat("odds/both", [odds, s.op("odds/other", "Neg", odds)], 1)
    return [label, s.op("probabilities", "Sigmoid", both)]
