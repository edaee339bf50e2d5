"""Elementwise operators: functions that fuse into the next table, or exact arithmetic."""

from fractions import Fraction

from zkinfer.compiler.approx import functions
from zkinfer.compiler.lowering import arithmetic, comparison, masking, statistics
from zkinfer.compiler.lowering.activation import Activation, Constant, MaskedScores, Operand
from zkinfer.compiler.lowering.arithmetic import require_activation
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.onnx.registry import Handler, operator
from zkinfer.errors import UnsupportedOperatorError


def _require_one(constant: Constant, what: str) -> None:
    """Check that all elements of a constant are the same number.

    Raises:
        UnsupportedOperatorError: its elements differ.
    """
    if constant.uniform is None:
        raise UnsupportedOperatorError(f"its {what} {constant.name!r} is not one number; only that is supported")


def truncated(function: functions.Function) -> functions.Function:
    """The values of a function, rounded toward zero."""
    toward_zero = functions.maximum(functions.floor, 0) + functions.minimum(functions.ceil, 0)
    return toward_zero(function)


@operator(13, 14)
def Add(g: Emitter, A: Operand | MaskedScores, B: Operand | MaskedScores) -> Activation | MaskedScores:
    return masking.added(g, A, B)


@operator(13, 14)
def Sub(g: Emitter, A: Operand | MaskedScores, B: Operand | MaskedScores) -> Activation | MaskedScores:
    if isinstance(A, Activation) and isinstance(B, Activation):
        known = statistics.variance(g, A, B) or statistics.less_mean(g, A, B)
        if known is not None:
            return known
    return masking.added(g, A, B, sign=-1)


@operator(13, 14)
def Mul(g: Emitter, A: Operand | MaskedScores, B: Operand | MaskedScores) -> Activation | MaskedScores:
    if isinstance(A, MaskedScores):
        return masking.scaled(g, A, B, divided=False)
    if isinstance(B, MaskedScores):
        return masking.scaled(g, B, A, divided=False)
    return statistics.product(g, A, B) or arithmetic.multiply(g, A, B)


@operator(13, 14)
def Div(g: Emitter, A: Operand | MaskedScores, B: Operand) -> Activation | MaskedScores:
    if isinstance(A, MaskedScores):
        return masking.scaled(g, A, B, divided=True)
    if not g.integer:
        return statistics.quotient(g, A, B) or arithmetic.divide(g, A, B)
    if not isinstance(B, Constant):
        raise UnsupportedOperatorError(f"whole numbers are divided by {B.label!r}, which is computed; cast to float")
    dividend = comparison.require_exact(g, require_activation(A))
    return arithmetic.apply_each(g, dividend, _not_zero(B), lambda divisor: truncated(functions.X / divisor))


def _not_zero(divisor: Constant) -> Constant:
    """The constant, which has to hold no zeros.

    Raises:
        UnsupportedOperatorError: it holds zeros.
    """
    if not divisor.reals.all():
        raise UnsupportedOperatorError(f"it divides by {divisor.name!r}, which holds zeros")
    return divisor


@operator(13)
def Mod(g: Emitter, A: Activation, B: Constant, *, fmod: int = 0) -> Activation:
    rounded = truncated if fmod else functions.floor
    dividend = comparison.require_exact(g, A) if g.integer else A
    return arithmetic.apply_each(
        g, dividend, _not_zero(B), lambda divisor: functions.X - divisor * rounded(functions.X / divisor)
    )


@operator(13)
def Sum(g: Emitter, *data: Operand) -> Activation:
    total, *rest = data
    for term in rest:
        total = arithmetic.add(g, total, term)
    return require_activation(total)


@operator(13)
def Mean(g: Emitter, *data: Operand) -> Activation:
    return g.affine(Sum(g, *data), Fraction(1, len(data)))


@operator(13)
def Max(g: Emitter, *data: Operand) -> Activation:
    largest, *rest = data
    for other in rest:
        largest = arithmetic.extremum(g, largest, other, largest=True)
    return require_activation(largest)


@operator(13)
def Min(g: Emitter, *data: Operand) -> Activation:
    smallest, *rest = data
    for other in rest:
        smallest = arithmetic.extremum(g, smallest, other, largest=False)
    return require_activation(smallest)


@operator(13)
def Neg(g: Emitter, X: Activation) -> Activation:
    return g.affine(X, Fraction(-1))


@operator(13)
def Abs(g: Emitter, X: Activation) -> Activation:
    return g.apply(X, functions.abs_, integral=X.integral)


@operator(13, 14)
def Relu(g: Emitter, X: Activation) -> Activation:
    return g.apply(X, functions.relu, integral=X.integral)


@operator(6, 16)
def LeakyRelu(g: Emitter, X: Activation, *, alpha: float = 0.01) -> Activation:
    return g.apply(X, functions.leaky_relu(alpha))


@operator(9, 16)
def PRelu(g: Emitter, X: Activation, slope: Constant) -> Activation:
    if slope.number is not None:
        return g.apply(X, functions.leaky_relu(float(slope.number)))
    below = g.apply(X, functions.minimum(functions.X, 0))
    return arithmetic.add(g, g.apply(X, functions.relu), arithmetic.multiply_weight(g, below, slope, slope.reals))


@operator(6, 22)
def Elu(g: Emitter, X: Activation, *, alpha: float = 1.0) -> Activation:
    return g.apply(X, functions.elu(alpha))


@operator(6, 22)
def Selu(
    g: Emitter, X: Activation, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> Activation:
    return g.apply(X, (gamma * functions.elu(alpha)).named("selu"))


@operator(12)
def Celu(g: Emitter, X: Activation, *, alpha: float = 1.0) -> Activation:
    below = alpha * (functions.exp(functions.minimum(functions.X, 0) / alpha) - 1)
    return g.apply(X, (functions.relu + below).named("celu"))


@operator(10, 22)
def ThresholdedRelu(g: Emitter, X: Activation, *, alpha: float = 1.0) -> Activation:
    above = 1 - functions.step(alpha - functions.X)
    return g.apply(X, (functions.X * above).named("thresholded_relu"))


@operator(9)
def Shrink(g: Emitter, input: Activation, *, bias: float = 0.0, lambd: float = 0.5) -> Activation:
    above, below = 1 - functions.step(lambd - functions.X), 1 - functions.step(functions.X + lambd)
    return g.apply(input, ((functions.X - bias) * above + (functions.X + bias) * below).named("shrink"))


@operator(6, 22)
def HardSigmoid(g: Emitter, X: Activation, *, alpha: float = 0.2, beta: float = 0.5) -> Activation:
    return g.apply(X, functions.hardsigmoid(alpha, beta))


@operator(20)
def Gelu(g: Emitter, X: Activation, *, approximate: str = "none") -> Activation:
    forms: dict[str, functions.Function] = {"none": functions.gelu, "tanh": functions.gelu_tanh}
    if approximate not in forms:
        raise UnsupportedOperatorError(f"approximate={approximate!r} is not supported; supported: 'none', 'tanh'")
    return g.apply(X, forms[approximate])


@operator(24)
def Swish(g: Emitter, X: Activation, *, alpha: float = 1.0) -> Activation:
    return g.apply(X, (functions.X * functions.sigmoid(alpha * functions.X)).named("swish"))


@operator(13)
def Clip(g: Emitter, input: Activation, min: Constant | None = None, max: Constant | None = None) -> Activation:
    clipped = input
    if min is not None:
        _require_one(min, "lower bound")
        clipped = arithmetic.extremum(g, clipped, min, largest=True)
    if max is not None:
        _require_one(max, "upper bound")
        clipped = arithmetic.extremum(g, clipped, max, largest=False)
    return clipped


@operator(13, 15)
def Pow(g: Emitter, X: Operand, Y: Operand) -> Activation:
    if isinstance(Y, Constant):
        base = require_activation(X)
        return arithmetic.apply_each(g, comparison.require_exact(g, base) if g.integer else base, Y, functions.power)
    if isinstance(X, Activation):
        raise UnsupportedOperatorError(
            f"its base {X.label!r} and its exponent {Y.label!r} are both computed; cast the base to float"
        )
    if X.reals.min() <= 0:
        raise UnsupportedOperatorError(
            f"its base {X.name!r} holds {float(X.reals.min()):.6g}; only positive numbers are supported"
        )
    power = truncated if g.integer else functions.X.compose
    return arithmetic.apply_each(
        g, Y, X, lambda base: power(functions.exp(functions.X * functions.log(functions.constant(base))))
    )


@operator(13)
def Sign(g: Emitter, input: Activation) -> Activation:
    return g.apply(input, functions.sign, integral=True)


@operator(13)
def Exp(g: Emitter, input: Activation | MaskedScores) -> Activation:
    return masking.exponentials(g, input) if isinstance(input, MaskedScores) else g.apply(input, functions.exp)


def _of_X(function: functions.Function, integral: bool = False) -> Handler:
    """Lowers an operator that applies one function to its input X."""

    def handler(g: Emitter, X: Activation) -> Activation:
        return g.apply(X, function, integral=integral)

    return handler


def _of_input(function: functions.Function, integral: bool = False) -> Handler:
    """As `_of_X`, where the standard calls the input "input"."""

    def handler(g: Emitter, input: Activation) -> Activation:
        return g.apply(input, function, integral=integral)

    return handler


operator(6, 13, name="Sigmoid")(_of_X(functions.sigmoid))
operator(13, name="Tanh")(_of_input(functions.tanh))
operator(13, name="Erf")(_of_input(functions.erf))
operator(14, 22, name="HardSwish")(_of_X(functions.hardswish))
operator(18, 22, name="Mish")(_of_X(functions.mish))
operator(1, 22, name="Softplus")(_of_X(functions.softplus))
operator(1, 22, name="Softsign")(_of_input(functions.softsign))
operator(13, name="Log")(_of_input(functions.log))
operator(7, 22, name="Sin")(_of_input(functions.sin))
operator(7, 22, name="Cos")(_of_input(functions.cos))
operator(7, 22, name="Atan")(_of_input(functions.atan))
operator(9, 22, name="Sinh")(_of_input(functions.sinh))
operator(9, 22, name="Cosh")(_of_input(functions.cosh))
operator(9, 22, name="Asinh")(_of_input(functions.asinh))
operator(9, 22, name="Acosh")(_of_input(functions.acosh))
operator(13, name="Sqrt")(_of_X(functions.sqrt))
operator(13, name="Reciprocal")(_of_X(functions.reciprocal))
operator(13, name="Floor")(_of_X(functions.floor, integral=True))
operator(13, name="Ceil")(_of_X(functions.ceil, integral=True))
operator(11, 22, name="Round")(_of_X(functions.round_half_even, integral=True))
