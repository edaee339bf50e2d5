"""Masked scores: tensors in which some elements stand for minus infinity.

Models mask scores by numbers so low that their exponential is zero, added to the scores or put in their place. One
format for both would leave the scores no digits. The low numbers are therefore kept apart from the scores, as truth
values: `MaskedScores`. A softmax multiplies exponentials by them; a maximum puts its lowest integer where a score is
masked.

What counts as masked. Let `d` be the depth: twice the calibrated span of the scores, plus the logarithm of
`2**(activation_bits + 6)`. In a row with a score that is not masked, a number `d` below the others has a softmax of at
most 1/64 unit, even if the scores spread twice as far as on calibration data. A tensor is a mask if it holds numbers
that are `d` below its others: constants of -10,000 or lower, and tensors with two different numbers alone. Of a
computed tensor, calibration data says so. A number between the two that turns up later is right too: it is masked if it
is `d` below the higher one, and added to the score otherwise.
"""

import math
import string
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from zkinfer.circuit.steps import Reshape
from zkinfer.compiler.approx.functions import X, constant, exp, step
from zkinfer.compiler.lowering.activation import MASKED_BELOW, Activation, Alone, Constant, MaskedScores, Operand
from zkinfer.compiler.lowering.affine import AffineMap
from zkinfer.compiler.lowering.arithmetic import add, broadcast, divide, multiply, reshape
from zkinfer.compiler.lowering.builder import ProgramValue, Summand
from zkinfer.compiler.lowering.emitter import Emitter, broadcast_steps
from zkinfer.compiler.lowering.precision import Range
from zkinfer.compiler.lowering.tables import integer_table
from zkinfer.compiler.lowering.truth import both, integral_value, opposite, times_truth
from zkinfer.errors import UnsupportedOperatorError

Scores = Operand | MaskedScores
"""What may be added to scores, or masked."""

_FLOAT_DIGITS = 25
"""A float32 this many binary digits larger than another absorbs it in a sum."""


def _depth(g: Emitter, scores: Activation) -> float:
    """How far below the others a number is masked; see the module's docstring.

    Scores that are a mask themselves have no span: they are zero wherever they do not mask.
    """
    span = 0.0 if _is_mask(scores) else scores.observed[1] - scores.observed[0]
    return 2 * span + math.log(2) * (g.precision.activation_bits + 6)


def _is_mask(a: Activation) -> bool:
    """Whether an activation is zero, or so low that it masks whatever it is added to."""
    levels = _levels(a)
    return (a.binary or _is_truth(a)) and levels.high == 0 and levels.low <= MASKED_BELOW


def stand_in(dtype: np.dtype[Any]) -> float:
    """The finite number that stands for minus infinity: half the lowest, so that adding a score does not overflow."""
    return float(np.finfo(dtype).min / 2)


_STAND_INS = frozenset(stand_in(np.dtype(name)) for name in ("float16", "float32", "float64"))


def _alone(low: float, scores: Range) -> Alone:
    """What float inference gives where all scores of a row are masked by this number."""
    if low in _STAND_INS:
        return Alone.ZERO
    return Alone.EQUAL if -low > 2.0**_FLOAT_DIGITS * max(abs(scores[0]), abs(scores[1])) else Alone.SCORES


def added(g: Emitter, a: Scores, b: Scores, sign: int = 1) -> Activation | MaskedScores:
    """`a + sign * b`, broadcast, where either may be masked or a mask.

    Raises:
        UnsupportedOperatorError: masked scores are subtracted.
    """
    if sign < 0 and isinstance(b, MaskedScores):
        raise UnsupportedOperatorError("it subtracts scores that are masked, so that they become plus infinity")
    x, y = (scores.scores if isinstance(scores, MaskedScores) else scores for scores in (a, b))
    result = _masked_sum(g, x, y, sign) or add(g, x, y, sign)
    for mask in (a, b):
        if isinstance(mask, MaskedScores):
            result = _also(g, result, mask.kept, mask.alone)
    return result


def _also(g: Emitter, scores: Activation | MaskedScores, kept: Operand, alone: Alone) -> MaskedScores:
    """Scores that are masked, where they are not yet, by one more mask."""
    if isinstance(scores, MaskedScores):
        return MaskedScores(scores.scores, both(g, scores.kept, kept), max(scores.alone, alone))
    return MaskedScores(scores, kept, alone)


def _masked_sum(g: Emitter, a: Operand, b: Operand, sign: int) -> MaskedScores | None:
    """`a + sign * b`, if one of them is a mask of the other; else None."""
    if sign < 0:
        return _with_mask(g, a, b, sign)
    if isinstance(a, Constant):
        a, b = b, a
    return _with_mask(g, a, b, 1) or _with_mask(g, b, a, 1)


def _with_mask(g: Emitter, scores: Operand, mask: Operand, sign: int) -> MaskedScores | None:
    """`scores + sign * mask` as masked scores; None if the second is not a mask."""
    if isinstance(mask, Constant):
        return None if isinstance(scores, Constant) else _with_constant(g, scores, mask, sign)
    if not mask.binary and not _is_truth(mask):
        return None
    if isinstance(scores, Constant):
        scores = g.activation(g.weight(scores))
    return _with_computed(g, scores, mask if sign > 0 else g.affine(mask, Fraction(-1)))


def _with_constant(g: Emitter, scores: Activation, mask: Constant, sign: int) -> MaskedScores | None:
    reals = sign * mask.reals
    if not reals.size:
        return None
    threshold = min(MASKED_BELOW, -_depth(g, scores))
    if g.masking and len(np.unique(reals)) == 2 and reals.max() - reals.min() >= _depth(g, scores):
        threshold = float(reals.min())
    low = reals <= threshold
    if not low.any() or low.all():
        return None
    bias = Constant(mask.name, np.where(low, reals[~low].max(), reals), trained=mask.trained)
    biased = add(g, scores, bias) if bias.array.any() else broadcast(g, scores, mask.shape)
    kept = Constant(f"{mask.name}/kept", (~low).astype(np.int64))
    scores = replace(biased, binary=scores.binary)
    return MaskedScores(scores, kept, _alone(float(reals[low].max()), scores.observed))


def _is_truth(a: Activation) -> bool:
    """Whether the activation is an affine function of integers that are proven to be 0 or 1."""
    lo, hi = a.value.interval
    return isinstance(a.pending, AffineMap) and a.value.frac_bits == 0 and 0 <= lo <= hi <= 1


class _Levels(NamedTuple):
    """The numbers of a computed mask.

    Attributes:
        high: where a score counts, as calibration data has it.
        low, top: the lowest and the highest that can occur.
        unit: the distance of neighbouring numbers; 0 if any may occur.
    """

    high: float
    low: float
    top: float
    unit: float

    @property
    def depth(self) -> float:
        """How far below the others a masked number can be."""
        return self.high - self.low


def _levels(mask: Activation) -> _Levels:
    lo, hi = mask.observed
    if not isinstance(mask.pending, AffineMap):
        return _Levels(hi, lo, hi, 0.0)
    unit = Fraction(2) ** -mask.value.frac_bits
    low, top = sorted(float(mask.pending.exactly(end * unit)) for end in mask.value.interval)
    return _Levels(top if _is_truth(mask) else hi, low, top, float(abs(mask.pending.scale) * unit))


def _with_computed(g: Emitter, scores: Activation, mask: Activation) -> MaskedScores | None:
    levels, depth = _levels(mask), _depth(g, scores)
    known = _is_truth(mask) and levels.high == 0 and levels.low <= MASKED_BELOW
    if not (g.masking or known):
        left = 2.0**g.precision.activation_bits * (scores.observed[1] - scores.observed[0])
        if levels.depth >= depth and levels.depth > left > 0:
            raise UnsupportedOperatorError(
                f"its operand {mask.label!r} reaches {levels.low:.4g}, beside which nothing is left of "
                f"{scores.label!r}. Such masks are supported where softmaxes and maxima read the sum, also after "
                "further sums and operators that move elements"
            )
        return None
    if _is_mask(scores) and _is_mask(mask):
        # There are no scores yet.
        both_kept = [_split(g, m, _levels(m), -MASKED_BELOW)[0] for m in (scores, mask)]
        zeros = broadcast(g, g.apply(scores, constant(0)), mask.shape)
        return MaskedScores(zeros, both(g, *both_kept), _alone(levels.low, (0.0, 0.0)))
    if levels.depth >= depth:
        alone = _alone(levels.low, scores.observed)
        kept, rest = _split(g, mask, levels, depth)
        if rest is None:
            scores = broadcast(g, g.affine(scores, offset=Fraction(levels.high)) if levels.high else scores, mask.shape)
            return MaskedScores(scores, kept, alone)
        biased = add(g, scores, rest)
        assert isinstance(biased.pending, AffineMap)
        lo, hi = scores.observed
        biased = g.activation(biased.value, biased.pending, (lo + levels.high, hi + levels.high))
        return MaskedScores(biased, kept, alone)
    return None


def _split(g: Emitter, mask: Activation, levels: _Levels, depth: float) -> tuple[Operand, Activation | None]:
    """A computed mask as truth values, 1 where it keeps a score, and what it adds there if that is not one number."""
    if _is_truth(mask):
        assert isinstance(mask.pending, AffineMap)
        truth = g.activation(mask.value, integral=True)
        return truth if mask.pending.scale > 0 else opposite(g, truth), None
    coarse = levels.unit >= depth and levels.top <= levels.high + levels.unit / 2
    bound = Fraction(levels.high - (levels.unit / 2 if coarse else depth))
    within = step(X - bound)
    kept = g.apply(mask, within, (0.0, 1.0), integral=True)
    high = Fraction(levels.high)
    return kept, None if coarse else g.apply(mask, high + (X - high) * within, (float(bound), levels.high))


def chosen(g: Emitter, condition: Operand, a: Scores, b: Scores) -> MaskedScores | None:
    """`a` where the condition is 1 and `b` where it is 0, if one of them is so low that it masks the other; else None.

    Raises:
        UnsupportedOperatorError: one of them is masked, and the other is not such a number.
    """
    for scores, low, kept in ((a, b, condition), (b, a, None)):
        if not isinstance(scores, Constant) and isinstance(low, Constant) and is_low(g, low, scores):
            shape = np.broadcast_shapes(low.shape, condition.shape)
            finite = scores.scores if isinstance(scores, MaskedScores) else scores
            assert low.uniform is not None
            alone = max(_alone(float(low.uniform), finite.observed), Alone.EQUAL)
            result = MaskedScores(broadcast(g, finite, shape), opposite(g, condition) if kept is None else kept, alone)
            return _also(g, result, scores.kept, scores.alone) if isinstance(scores, MaskedScores) else result
    if isinstance(a, MaskedScores) or isinstance(b, MaskedScores):
        raise UnsupportedOperatorError(
            "it chooses between masked scores and other numbers; supported is a number of -10,000 or lower"
        )
    return None


def is_low(g: Emitter, low: Constant, scores: Activation | MaskedScores) -> bool:
    """Whether a constant in the place of a score masks it."""
    finite = scores.scores if isinstance(scores, MaskedScores) else scores
    number = low.uniform
    return number is not None and number <= min(
        finite.observed[0] - _depth(g, finite), np.inf if g.masking else MASKED_BELOW
    )


def scaled(g: Emitter, masked: MaskedScores, factor: Operand | MaskedScores, *, divided: bool) -> MaskedScores:
    """Masked scores times positive numbers, or divided by them.

    Raises:
        UnsupportedOperatorError: the factor does not hold such numbers.
    """
    if not isinstance(factor, Constant) or (factor.reals <= 0).any():
        raise UnsupportedOperatorError("masked scores can be multiplied and divided by constant positive numbers alone")
    return replace(masked, scores=(divide if divided else multiply)(g, masked.scores, factor))


def exponentials(g: Emitter, masked: MaskedScores) -> Activation:
    """The exponential of masked scores, which is zero where they are masked."""
    powers = g.apply(masked.scores, exp)
    return g.activation(times_truth(g, g.narrow(powers), masked.kept), observed=(0.0, powers.observed[1]))


def may_mask_whole_rows(kept: Operand) -> bool:
    """Whether a mask may keep none of some row, along an axis that it has: a computed one always may."""
    if not isinstance(kept, Constant):
        return True
    axes = [axis for axis, n in enumerate(kept.shape) if n > 1]
    return any(not kept.array.astype(bool).any(axis=axis).all() for axis in axes)


def without_kept(g: Emitter, kept: Operand, shape: tuple[int, ...], axis: int) -> ProgramValue | None:
    """1 for each row along the axis in which no score is kept; None if there is surely no such row.

    Args:
        g: emits the nodes.
        kept: 1 where a score counts.
        shape: of the scores.
        axis: along which a softmax is taken; it has size 1 in the result, other axes size 1 or that of the scores.
    """
    if isinstance(kept, Constant):
        most = np.broadcast_to(kept.array.astype(np.int64), shape).max(axis=axis, keepdims=True)
        return None if most.all() else g.builder.weight(f"{kept.name}/none", 1 - np.asarray(most), 0)
    truth = integral_value(g, reshape(g, kept, (1,) * (len(shape) - len(kept.shape)) + kept.shape), 0, 1)
    letters = string.ascii_lowercase[: len(shape)]
    count = g.builder.einsum(g.label, f"{letters}->{letters.replace(letters[axis], '')}", truth)
    bounds = (count.tensor.lo, count.tensor.hi)
    none = g.builder.lookup(g.label, count, integer_table("none", bounds, lambda i: (i == 0).astype(np.int64)), 0, 0)
    sizes = tuple(1 if i == axis else n for i, n in enumerate(truth.shape))
    return g.builder.combine(g.label, [Summand(none, steps=(Reshape(sizes),))])


def or_all(g: Emitter, kept: Operand, none: ProgramValue) -> Operand:
    """The truth values `kept`, with 1 throughout the rows in which there is none, as `without_kept` gives them."""
    if isinstance(kept, Constant):
        assert none.content is not None
        return Constant(f"{kept.name}/or all", np.maximum(kept.array.astype(np.int64), none.content))
    joint = np.broadcast_shapes(kept.shape, none.shape)
    truth = g.builder.combine(
        g.label,
        [
            Summand(integral_value(g, kept, 0, 1), steps=broadcast_steps(kept.shape, joint)),
            Summand(none, steps=broadcast_steps(none.shape, joint)),
        ],
    )
    bounds = (truth.tensor.lo, truth.tensor.hi)
    held = g.builder.lookup(g.label, truth, integer_table("clamp", bounds, lambda i: np.clip(i, 0, 1)), 0, 0)
    return g.activation(held, integral=True)
