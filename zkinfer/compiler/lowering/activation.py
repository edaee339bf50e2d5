"""The tensors of a model while it is lowered: constants, and activations that have no format of their own yet.

An `Activation` is a value of the program, which has a format, and a real function of it that is still pending. An
elementwise operator only composes its function onto the pending one. The activation gets a format of its own, its
narrow form, when something needs it as integers: see `Emitter.narrow`.
"""

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.block_sums import blocks
from zkinfer.circuit.steps import Step
from zkinfer.compiler.approx.functions import Function
from zkinfer.compiler.lowering.affine import AffineMap
from zkinfer.compiler.lowering.builder import ProgramValue
from zkinfer.compiler.lowering.channels import Channels
from zkinfer.compiler.lowering.precision import Range
from zkinfer.compiler.lowering.quantizing import is_finite
from zkinfer.errors import NotFiniteError, UnsupportedOperatorError
from zkinfer.typing import Array, FloatArray, IntArray

MASKED_BELOW = -1e4
"""A number this low in a mask, or in the place of a score, stands for minus infinity."""


@dataclass(frozen=True)
class Constant:
    """A tensor of the model that does not depend on its inputs.

    Attributes:
        name: in the model.
        array: contents, any numeric dtype.
        unit: a number of which every element is an integer multiple, where the model gives one: the scale of
            quantized weights.
        trained: whether it is a stored parameter, which is committed to and never becomes public.
    """

    name: str
    array: npt.NDArray[np.generic]
    unit: Fraction | None = None
    trained: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.array.shape

    @property
    def reals(self) -> FloatArray:
        """The contents as float64.

        Raises:
            NotFiniteError: NaN or infinity.
        """
        reals = self.array.astype(np.float64)
        if not np.isfinite(reals).all():
            raise self._not_finite()
        return reals

    @property
    def numbers(self) -> Array:
        """The contents as they are stored, without a copy.

        Raises:
            NotFiniteError: NaN or infinity.
        """
        if not is_finite(self.array):
            raise self._not_finite()
        return self.array

    def _not_finite(self) -> NotFiniteError:
        return NotFiniteError(f"constant {self.name!r} holds NaN or infinity; correct the model's weights")

    @property
    def integers(self) -> tuple[int, ...]:
        """The contents, flat, of a constant that holds integers, such as a shape or axes."""
        return tuple(int(x) for x in self.array.ravel())

    @property
    def number(self) -> Fraction | None:
        """As `uniform`, of a constant that may become public: in a table, an offset or a coefficient."""
        return None if self.trained else self.uniform

    def published(self, what: str) -> Fraction | None:
        """As `uniform`, where there is no form of the operator with a committed number.

        Raises:
            UnsupportedOperatorError: it is a stored parameter.
        """
        if self.trained and self.uniform is not None:
            raise UnsupportedOperatorError(
                f"its {what} {self.name!r} is a stored parameter, and would become public here: it cannot be committed "
                f"to. If everybody may know it, compile with publish=[{self.name!r}], or the names of the parameters "
                "that it is computed from"
            )
        return self.uniform

    @property
    def uniform(self) -> Fraction | None:
        """The number that every element equals, exactly; None if they differ or there are none."""
        numbers = self.numbers
        if not numbers.size:
            return None
        first = numbers.flat[0]
        equal = all(bool((numbers[index] == first).all()) for index in blocks(numbers.shape))
        return Fraction(float(first)) if equal else None

    @property
    def is_selection(self) -> bool:
        """Whether a product with this matrix chooses one element for each column."""
        if self.array.ndim != 2:
            return False
        parts = (self.array[index] for index in blocks(self.shape))
        return all(bool(((part == 0) | (part == 1)).all()) for part in parts) and bool(
            ((self.array == 1).sum(axis=0) == 1).all()
        )


@dataclass(frozen=True, eq=False)
class Activation:
    """A real tensor that depends on the model's inputs: a pending function of a value of the program.

    Attributes:
        tensor: number of the tensor. The same tensor under another name, or with another observed range, keeps it.
        value: the value; its shape is the tensor's.
        pending: the function that is still to be applied to the value's real number.
        observed: range of the tensor, after the function, on calibration data.
        label: name in the model.
        shared: whether several operators read the tensor.
        integral: whether every element is an integer by its meaning: an index, a truth value, a rounded number.
        channels: powers of two for channels, where a few of them are much larger than all others.
        binary: whether calibration data has at most two different numbers in it, as in a mask.
    """

    tensor: int
    value: ProgramValue
    pending: AffineMap | Function
    observed: Range
    label: str
    shared: bool = False
    integral: bool = False
    binary: bool = False
    channels: Channels | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.value.shape

    @property
    def function(self) -> Function:
        """The pending function as an expression tree."""
        return self.pending.tree if isinstance(self.pending, AffineMap) else self.pending


Operand = Activation | Constant
"""An input of an operator of the model."""


class Alone(IntEnum):
    """The softmax of a row in which all scores are masked."""

    SCORES = 0
    """That of the scores: in float too, the mask only shifts them."""
    EQUAL = 1
    """The same for all: in float, scores vanish beside the mask."""
    ZERO = 2
    """Zero: in float it is NaN, for which models that know of such rows put zero."""


@dataclass(frozen=True, eq=False)
class Scaled:
    """A tensor whose parts have powers of two of their own: it is `activation / 2**exponents`.

    So parts of very different sizes share one format. Most operators take a common format instead, see `scaled.common`.

    Attributes:
        activation: the tensor times the powers of two.
        exponents: as many axes as the tensor; each has its size, or is 1 where the exponents do not differ along it.
        observed: range of the tensor on calibration data.
    """

    activation: Activation
    exponents: IntArray
    observed: Range

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.activation.shape


@dataclass(frozen=True, eq=False)
class MaskedScores:
    """Scores of which some are minus infinity; see `masking`.

    Attributes:
        scores: the scores, finite everywhere; those that are masked may hold any number.
        kept: 1 where a score counts and 0 where it is masked; broadcast to the scores by numpy's rules.
        alone: the softmax of a row in which all scores are masked.
    """

    scores: Activation
    kept: Operand
    alone: Alone

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.scores.shape


class Addend(NamedTuple):
    """`coefficient * steps(activation)`, one summand of a sum."""

    activation: Activation
    coefficient: Fraction = Fraction(1)
    steps: tuple[Step, ...] = ()
