"""`Pad`."""

from zkinfer.circuit.steps.base import Index, ReindexingStep
from zkinfer.circuit.steps.index_map import Embed, IndexMap, Shape


class Pad(ReindexingStep, frozen=True, tag="pad"):
    """Zeros around: `before[i]` and `after[i]` of them along axis `i`."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def source_index(self, index: Index, shape: Shape) -> Index | None:
        """An index within the source is shifted by the zeros before it; elsewhere are zeros."""
        source = tuple(i - zeros for i, zeros in zip(index, self.before, strict=True))
        return source if all(0 <= i < n for i, n in zip(source, shape, strict=True)) else None

    def index_map(self, shape: Shape) -> IndexMap | None:
        return Embed(self.before, self.after)
