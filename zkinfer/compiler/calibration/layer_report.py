"""How far one tensor of a circuit is from the same tensor of the float model."""

import msgspec


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
        saturated: how many elements lie at an end of their format where the float value lies beyond it.
        elements: how many were compared.
        agreement: share of the answers of an output with the same top class, see `metrics.top_classes`; None if the
            output gives no classes, and for other tensors.
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
    agreement: float | None = None

    @property
    def saturated_share(self) -> float:
        """Share of the elements that are saturated, 0 to 1."""
        return self.saturated / self.elements


def share_text(share: float) -> str:
    """A share as a percentage that distinguishes a small share from none: "0%", "<0.01%", "0.86%"."""
    return "0%" if share == 0 else "<0.01%" if share < 1e-4 else f"{share:.2%}"
