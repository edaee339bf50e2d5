"""Attention and rotary position embeddings, in steps.

    softmax(scale * Q K^T + mask) V

Queries that share a key and value head are computed together, so that nothing is repeated. All that is known of the
mask when the model is read (causality, windows, constants) becomes one constant mask.
"""

import math

import numpy as np
from onnx_ir import DataType, Value

from zkinfer.onnx.steps import Steps, content_of, dtype_of, shape_of


def attention(
    s: Steps,
    q: Value,
    k: Value,
    v: Value,
    mask: Value | None = None,
    past_key: Value | None = None,
    past_value: Value | None = None,
    valid: Value | None = None,
) -> list[Value] | None:
    """An Attention layer: its result, and its keys and values with those of the past.

    None where the layer has to stay whole: sequences of several lengths, intermediate products as an output, or a
    mask that is shorter than the keys.
    """
    if valid is not None or s.uses(3):
        return None
    shapes = [shape_of(x) for x in (q, k, v)]
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
        past = shape_of(past_key)[2]
        k, v = s.concat("keys", [past_key, k], 2), s.concat("values", [past_value, v], 2)
        keys += past

    rows = queries * (heads // kv_heads)
    grouped = s.reshape("query/grouped", q, (batch, kv_heads, rows, size)) if heads != kv_heads else q
    scores = s.op("product", "MatMul", grouped, s.transpose("keys/transposed", k, (0, 1, 3, 2)))
    like = s.node.inputs[0] or q
    scores = s.op("scaled", "Mul", scores, s.number("scale", s.real("scale", 1 / math.sqrt(size)), like))
    scores = s.reshape("scores", scores, (batch, heads, queries, keys)) if heads != kv_heads else scores
    cap = s.real("softcap", 0.0)
    if cap:
        limit = s.number("cap", cap, like)
        scores = s.op("capped", "Mul", s.op("bent", "Tanh", s.op("over", "Div", scores, limit)), limit)
    if mask is not None and shape_of(mask)[-1] != keys:
        return None
    weights = s.op("weights", "Softmax", _masked(s, scores, mask, (queries, keys), past, like), axis=-1)
    weights = s.reshape("weights/grouped", weights, (batch, kv_heads, rows, keys)) if heads != kv_heads else weights
    y = s.op("mixed", "MatMul", weights, v)
    y = s.reshape("result", y, (batch, heads, queries, value_size)) if heads != kv_heads else y
    if joined:
        y = s.reshape("joined", s.transpose("result/rows", y, (0, 2, 1, 3)), (batch, queries, heads * value_size))
    return [y, *([k, v] if s.uses(1) or s.uses(2) else [])]


def _masked(s: Steps, scores: Value, mask: Value | None, shape: tuple[int, int], past: int, like: Value) -> Value:
    """The scores, with all masks that apply."""
    dtype = np.dtype(dtype_of(like))
    lowest = np.finfo(dtype).min / 2
    allowed = _allowed(s, shape, past)
    content = None if mask is None else content_of(mask)
    if content is not None:
        if content.dtype == np.bool_:
            allowed, mask = allowed & content, None
        else:
            constant = np.where(allowed, np.maximum(content, lowest), lowest).astype(dtype)
            return s.op("masked", "Add", scores, s.constant("mask", constant))
    if mask is not None and mask.dtype is DataType.BOOL:
        if not allowed.all():
            mask = s.op("mask/allowed", "And", mask, s.constant("mask/causal", allowed))
        return s.op("masked", "Where", mask, scores, s.constant("lowest", np.array(lowest, dtype=dtype)))
    if mask is not None:
        scores = s.op("biased", "Add", scores, mask)
    if allowed.all():
        return scores
    return s.op("masked", "Add", scores, s.constant("mask", np.where(allowed, 0, lowest).astype(dtype)))


def _allowed(s: Steps, shape: tuple[int, int], past: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which keys each query may attend to, by causality and by windows."""
    ahead = np.arange(shape[1])[None, :] - (np.arange(shape[0])[:, None] + past)
    allowed = np.ones(shape, dtype=np.bool_)
    if s.integer("is_causal", 0):
        allowed &= ahead <= 0
    left, right = s.integer("left_window_size", -1), s.integer("right_window_size", -1)
    if left >= 0:
        allowed &= -ahead <= left
    if right >= 0:
        allowed &= ahead <= right
    return allowed


def rotary_embedding(s: Steps, x: Value, cos: Value, sin: Value, positions: Value | None = None) -> list[Value]:
    """A RotaryEmbedding: pairs of elements, turned by the angle of their position."""
    shape = shape_of(x)
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
