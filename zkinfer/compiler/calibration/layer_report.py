"""How far one tensor of a circuit is from the same tensor of the float model, and all of them under stress."""

import math

import msgspec

LEAST_ELEMENTS = 4
"""Tensors with fewer numbers a sample are compared over all samples alone."""


class LayerReport(msgspec.Struct, frozen=True):
    """A comparison of one tensor of the float model with the circuit's, in real units.

    Attributes:
        name: of the tensor in the ONNX model.
        op: operator that computes it there; "Input" for inputs.
        step: the real number that one unit of the integer stands for.
        lo, hi: smallest and largest value of the float tensor.
        max_error, mean_error: of the absolute differences.
        relative_error: `max_error` divided by the range `hi - lo`; for a constant tensor, by its magnitude.
        cosine: cosine similarity of all elements taken as one vector; 1 if both are zero.
        rms_error: root mean square of the differences, divided by that of the float values; 1 if these are all zero and
            the differences are not. Unlike the cosine it sees a wrong scale.
        sample_error: the same of each sample alone: a tenth of the samples have a larger one. Unlike the others it sees
            quiet samples beside loud ones. None of a tensor with fewer than `LEAST_ELEMENTS` numbers a sample, one of
            which may happen to be near zero.
        saturated: how many elements lie at an end of their format where the float value lies beyond it.
        elements: how many were compared.
        agreement: share of the answers of an output with the same top class, see `metrics.top_classes`; None if the
            output gives no classes, and for other tensors.
        differing: share of the elements that are not equal, of a tensor that holds integers by its type; else None.
    """

    name: str
    op: str
    step: float
    lo: float
    hi: float
    max_error: float
    mean_error: float
    relative_error: float
    cosine: float
    saturated: int
    elements: int
    rms_error: float = 0.0
    sample_error: float | None = None
    agreement: float | None = None
    differing: float | None = None

    @property
    def deviation(self) -> float:
        """How far the tensor is from float: the larger of `rms_error` and `sample_error`, or, of integers, because
        those have no scale, `differing`."""
        return max(self.rms_error, self.sample_error or 0.0) if self.differing is None else self.differing

    @property
    def saturated_share(self) -> float:
        """Share of the elements that are saturated, 0 to 1."""
        return self.saturated / self.elements


class InnerSaturation(msgspec.Struct, frozen=True):
    """A lookup within an operator, whose result is not a tensor of the float model.

    Attributes:
        name: the tensor that the operator computes, in the ONNX model.
        table: what is looked up.
        saturated: how many elements lie where the table holds an end of its format in place of a number beyond it.
        elements: how many were looked up.
    """

    name: str
    table: str
    saturated: int
    elements: int

    @property
    def saturated_share(self) -> float:
        """Share of the elements that are saturated, 0 to 1."""
        return self.saturated / self.elements


class StressReport(msgspec.Struct, frozen=True):
    """A comparison of a circuit with its float model on inputs that are unlike those of calibration.

    Attributes:
        condition: how the inputs were made: "inputs x 0.1".
        samples: number of samples for which the float model is finite; the others are left out.
        clipped: how many input elements were brought back into the circuit's input range, because it refuses others.
        outputs: the model's outputs; empty without samples.
        worst: the tensor that is farthest from float, of those that the model computes and that were compared; None
            without samples.
        saturated: how many elements saturated, in tensors and within operators; None where they were not counted.
        limit: the deviation of an output above which the circuit leaves the float model.
    """

    condition: str
    samples: int
    clipped: int
    outputs: tuple[LayerReport, ...]
    worst: LayerReport | None
    saturated: int | None
    limit: float

    @property
    def output(self) -> LayerReport | None:
        """The output that is farthest from float; None without samples."""
        return max(self.outputs, key=lambda row: row.deviation, default=None)

    @property
    def leaves(self) -> bool:
        """Whether the circuit leaves the float model here."""
        return self.output is not None and self.output.deviation > self.limit

    @property
    def figures(self) -> str:
        """The figures of the output that is farthest from float: "cosine 0.9998, error 0.02%, worst: relu_3"."""
        if self.output is None or self.worst is None:
            return "not measured, because the float model is not finite there"
        if self.output.differing is None:
            figures = [f"cosine {shortened(self.output.cosine)}", f"error {share_text(self.output.deviation)}"]
        else:
            figures = [f"{share_text(self.output.differing)} of the integers differ"]
        if self.saturated:
            figures.append(f"{self.saturated} saturated")
        return ", ".join([*figures, f"worst: {self.worst.name}"])


def shortened(cosine: float) -> str:
    """A cosine with as many digits as tell it from 1: two beyond the nines."""
    if cosine >= 1 - 1e-9:
        return "1"
    nines = math.floor(-math.log10(1 - cosine)) if cosine > 0 else 0
    return f"{cosine:.{min(max(nines + 2, 2), 9)}f}"


def share_text(share: float) -> str:
    """A share as a percentage that distinguishes a small share from none: "0%", "<0.01%", "0.86%"."""
    return "0%" if share == 0 else "<0.01%" if share < 1e-4 else f"{share:.2%}"
