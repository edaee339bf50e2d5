"""The range of every value of the program on calibration data."""

from zkinfer.compiler.lowering.builder import ProgramValue
from zkinfer.compiler.lowering.precision import Range


class ObservedRanges:
    """Ranges of the real numbers that values stand for, as far as calibration data tells them.

    A value's first range stays until a tensor of the model, whose range calibration measured, replaces it.
    """

    def __init__(self) -> None:
        self._ranges: dict[int, Range] = {}

    def of(self, value: ProgramValue) -> Range:
        """The range observed; the proven one of a value for which there is none."""
        return self._ranges.get(value.number, value.real_bounds)

    def add(self, value: ProgramValue, observed: Range) -> None:
        """Keep a range that was derived from others, unless the value has one."""
        self._ranges.setdefault(value.number, observed)

    def replace(self, value: ProgramValue, observed: Range) -> None:
        """Keep a range that calibration measured."""
        self._ranges[value.number] = observed
