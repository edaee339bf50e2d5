"""Attention and rotary position embeddings.

    softmax(scale * Q K^T + mask) V

Queries that share a key and value head are computed in one product, so that keys and values are not repeated. The part
of the mask that is known when the model is read (causality, windows, constants) becomes one constant mask.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx_ir import DataType, Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.lowering.activation import MASKED_BELOW
from zkinfer.compiler.lowering.masking import stand_in
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of
from zkinfer.typing import BoolArray, IntArray


@decomposition("Attention", 23, hint="scores that are masked are not an output, as they are minus infinity")
def attention(
    s: Subgraph,
    q: Value,
    k: Value,
    v: Value,
    mask: Value | None = None,
    past_key: Value | None = None,
    past_value: Value | None = None,
    lengths: Value | None = None,
) -> list[Value] | None:
    """An Attention layer: its result, its keys and values including those of the past, and its inner products.

    None if the inner products are an output and contain masked scores, which are minus infinity.
    """
    shapes = [static_shape(x) for x in (q, k, v)]
    joined = len(shapes[0]) == 3
    if joined:
        heads, kv_heads = s.integer("q_num_heads", 0), s.integer("kv_num_heads", 0)
        q, k, v = (
            s.transpose(f"{name}/heads", s.reshape(f"{name}/split", x, (*shape[:2], n, shape[2] // n)), (0, 2, 1, 3))
            for name, x, shape, n in zip(
                ("query", "key", "value"), (q, k, v), shapes, (heads, kv_heads, kv_heads), strict=True
            )
        )
        shapes = [
            (shape[0], n, shape[1], shape[2] // n) for shape, n in zip(shapes, (heads, kv_heads, kv_heads), strict=True)
        ]
    (batch, heads, queries, size), (_, kv_heads, keys, _), (*_, value_size) = shapes
    past = 0
    if past_key is not None and past_value is not None:
        past = static_shape(past_key)[2]
        k, v = s.concat("keys", [past_key, k], 2), s.concat("values", [past_value, v], 2)
        keys += past

    rows = queries * (heads // kv_heads)
    grouped = s.reshape("query/grouped", q, (batch, kv_heads, rows, size)) if heads != kv_heads else q
    scores = s.op("product", "MatMul", grouped, s.transpose("keys/transposed", k, (0, 1, 3, 2)))
    like = s.node.inputs[0] or q
    scores = s.op("scaled", "Mul", scores, s.number("scale", s.real("scale", 1 / math.sqrt(size)), like))
    scores = s.reshape("scores", scores, (batch, heads, queries, keys)) if heads != kv_heads else scores
    products = [scores]
    cap = s.real("softcap", 0.0)
    if cap:
        limit = s.number("cap", cap, like)
        scores = s.op("capped", "Mul", s.op("bent", "Tanh", s.op("over", "Div", scores, limit)), limit)
    products.append(scores)
    masks = _masks(s, mask, lengths, (queries, keys), past, like)
    scores = masks.added(s, scores)
    products.append(scores)
    masked = masks.applied(s, scores, like)
    weights = s.op("weights", "Softmax", masked, axis=-1)
    products.append(weights)
    wanted = s.integer("qk_matmul_output_mode", 0)
    if s.uses(3) and wanted == 2 and masked is not scores:
        return None
    weights = s.reshape("weights/grouped", weights, (batch, kv_heads, rows, keys)) if heads != kv_heads else weights
    y = s.op("mixed", "MatMul", weights, v)
    y = s.reshape("result", y, (batch, heads, queries, value_size)) if heads != kv_heads else y
    if joined:
        y = s.reshape("joined", s.transpose("result/rows", y, (0, 2, 1, 3)), (batch, queries, heads * value_size))
    # Outputs need values of their own, because these may be inputs of the model, or be read by other operators.
    handed_on = [("present/keys", k), ("present/values", v), ("products", products[wanted])]
    return [y, *(s.op(step, "Identity", x) if s.uses(i) else x for i, (step, x) in enumerate(handed_on, 1))]


@dataclass(frozen=True)
class _Masks:
    """All masks that apply to the scores of an Attention layer.

    Attributes:
        bias: finite numbers that are added to the scores; None if there are none.
        allowed: which keys each query may attend to, as far as it is known; broadcast to the scores.
        conditions: truth values that depend on the model's inputs and have to hold as well.
    """

    bias: Value | None
    allowed: BoolArray
    conditions: Sequence[Value]

    def added(self, s: Subgraph, scores: Value) -> Value:
        """The scores with the bias."""
        return scores if self.bias is None else s.op("biased", "Add", scores, self.bias)

    def applied(self, s: Subgraph, scores: Value, like: Value) -> Value:
        """The scores, with a number where they are masked that is so low that its softmax is zero."""
        dtype = np.dtype(numpy_type(like))
        lowest = stand_in(dtype)
        if not self.conditions:
            constant = np.where(self.allowed, 0, lowest).astype(dtype)
            return scores if self.allowed.all() else s.op("masked", "Add", scores, s.constant("mask", constant))
        known = [] if self.allowed.all() else [s.constant("mask/known", self.allowed)]
        first, *others = [*self.conditions, *known]
        for i, condition in enumerate(others):
            first = s.op(f"mask/{i}", "And", first, condition)
        return s.op("masked", "Where", first, scores, s.constant("lowest", np.array(lowest, dtype=dtype)))


def _masks(
    s: Subgraph, mask: Value | None, lengths: Value | None, shape: tuple[int, int], past: int, like: Value
) -> _Masks:
    """The masks of a layer: its mask input, causality, windows, and the number of keys that count.

    Args:
        s: emits the operators.
        mask: truth values, or numbers to add; its last axis may be shorter than the keys.
        lengths: how many keys count, (batch,); None if all do.
        shape: numbers of queries and keys.
        past: number of keys before that of the first query; not used with `lengths`.
        like: a value with the type of the scores.
    """
    queries, keys = shape
    conditions: list[Value] = []
    known = None if lengths is None else content_of(lengths)
    if lengths is None:
        allowed = _allowed(s, shape, np.array(past))
    elif known is not None:
        counts = known.astype(np.int64).reshape(-1, 1, 1, 1)
        allowed = _allowed(s, shape, counts - queries) & (np.arange(keys) < counts)
    else:
        allowed = np.ones(shape, dtype=np.bool_)
        conditions = _conditions(s, s.reshape("lengths", lengths, (-1, 1, 1, 1)), shape)
    if mask is None:
        return _Masks(None, allowed, conditions)
    missing, truth = keys - static_shape(mask)[-1], mask.dtype is DataType.BOOL
    allowed = allowed & (np.arange(keys) < keys - missing)
    content = content_of(mask)
    if content is not None:
        content = np.pad(content, [(0, 0)] * (content.ndim - 1) + [(0, missing)])
        if truth:
            return _Masks(None, allowed & content, conditions)
        low = content <= MASKED_BELOW
        bias = np.where(low, 0, content).astype(numpy_type(like))
        return _Masks(s.constant("bias", bias) if bias.any() else None, allowed & ~low, conditions)
    if missing:
        rest = np.zeros((*static_shape(mask)[:-1], missing), dtype=numpy_type(mask))
        mask = s.concat("mask/padded", [mask, s.constant("mask/padding", rest)], -1)
    return _Masks(None, allowed, [mask, *conditions]) if truth else _Masks(mask, allowed, conditions)


def _windows(s: Subgraph) -> tuple[float, float]:
    """The numbers of keys before and after its own that a query may attend to."""
    left, right = s.integer("left_window_size", -1), s.integer("right_window_size", -1)
    right = 0 if s.integer("is_causal", 0) else right
    return math.inf if left < 0 else left, math.inf if right < 0 else right


def _ahead(shape: tuple[int, int]) -> IntArray:
    """The number of each key minus the number of each query."""
    return np.arange(shape[1])[None, :] - np.arange(shape[0])[:, None]


def _allowed(s: Subgraph, shape: tuple[int, int], past: IntArray) -> BoolArray:
    """Which keys each query may attend to, by causality and by windows."""
    left, right = _windows(s)
    ahead = _ahead(shape) - past
    return (ahead <= right) & (ahead >= -left)


def _conditions(s: Subgraph, lengths: Value, shape: tuple[int, int]) -> list[Value]:
    """As `_allowed`, where the number of keys that count is computed: (batch, 1, 1, 1)."""
    left, right = _windows(s)
    # The last query belongs to the last key that counts.
    ahead = _ahead(shape) + shape[0]
    conditions = [s.op("valid", "Less", s.sizes("keys/numbers", range(shape[1])), lengths)]
    if right < math.inf:
        conditions.append(s.op("behind", "LessOrEqual", s.constant("latest", ahead - int(right)), lengths))
    if left < math.inf:
        conditions.append(s.op("near", "GreaterOrEqual", s.constant("earliest", ahead + int(left)), lengths))
    return conditions


@decomposition("RotaryEmbedding", 23)
def rotary_embedding(s: Subgraph, x: Value, cos: Value, sin: Value, positions: Value | None = None) -> list[Value]:
    """A RotaryEmbedding: pairs of elements, rotated by the angle of their position."""
    shape = static_shape(x)
    joined = len(shape) == 3
    if joined:
        heads = s.integer("num_heads", 0)
        x = s.reshape("heads", x, (*shape[:2], heads, shape[2] // heads))
        size = shape[2] // heads
    else:
        x, size = s.transpose("rows", x, (0, 2, 1, 3)), shape[3]
    turned = s.integer("rotary_embedding_dim", 0) or size
    half = turned // 2
    angles = []
    for name, cache in (("cosine", cos), ("sine", sin)):
        chosen = cache if positions is None else s.op(f"{name}/chosen", "Gather", cache, positions, axis=0)
        angles.append(s.op(name, "Unsqueeze", chosen, s.sizes(f"{name}/axes", [2])))
    if s.integer("interleaved", 0):
        a, b = s.slice("even", x, 3, 0, turned, 2), s.slice("odd", x, 3, 1, turned, 2)
    else:
        a, b = s.slice("first", x, 3, 0, half), s.slice("second", x, 3, half, turned)
    c, d = angles
    real = s.op("real", "Sub", s.op("first/cosine", "Mul", a, c), s.op("second/sine", "Mul", b, d))
    imaginary = s.op("imaginary", "Add", s.op("first/sine", "Mul", a, d), s.op("second/cosine", "Mul", b, c))
    if s.integer("interleaved", 0):
        last = s.sizes("pairs/axes", [4])
        pairs = [s.op(f"pairs/{k}", "Unsqueeze", part, last) for k, part in enumerate((real, imaginary))]
        rows = shape[:2] if joined else (shape[0], shape[2])
        heads = shape[2] // size if joined else shape[1]
        result = s.reshape("pairs/joined", s.concat("pairs", pairs, 4), (*rows, heads, turned))
    else:
        result = s.concat("turned", [real, imaginary], 3)
    if turned < size:
        result = s.concat("whole", [result, s.slice("rest", x, 3, turned, size)], 3)
    return [s.reshape("joined", result, shape) if joined else s.transpose("result", result, (0, 2, 1, 3))]
