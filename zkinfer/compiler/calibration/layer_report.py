"""How far one tensor of a circuit is from the same tensor of the float model."""

import msgspec


class LayerReport(msgspec.Struct, frozen=True):
    """One tensor of the float model, beside what the circuit holds in its place; real units.

    Attributes:
        name: of the tensor in the ONNX model.
        op: operator that computes it there; "Input" for inputs.
        step: what one unit of the integer stands for.
        lo, hi: smallest and largest float value seen.
        max_error, mean_error: of the absolute differences.
        relative_error: `max_error` over the range `hi - lo`; of a constant tensor, over its magnitude.
        cosine: cosine similarity of all elements taken as one vector; 1 if both are zero.
        saturated: how many elements lie at the end of their format while the float value lies beyond.
        elements: how many were compared.
        agreement: of an output, share of the answers with the same top class, see `top_classes`; None where it gives
            no classes, and of other tensors.
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
    """A share from 0 on as a percentage that tells nothing from little: "0%", "<0.01%", "0.86%"."""
    return "0%" if share == 0 else "<0.01%" if share < 1e-4 else f"{share:.2%}"
