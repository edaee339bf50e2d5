"""`Transpose`."""

from zkinfer.circuit.steps.base import Index, ReindexingStep
from zkinfer.circuit.steps.index_map import IndexMap, Permute, Shape


class Transpose(ReindexingStep, frozen=True, tag="transpose"):
    """Axis `i` of the result is axis `axes[i]` of the source."""

    axes: tuple[int, ...]

    def source_index(self, index: Index, shape: Shape) -> Index | None:
        """Coordinate `i` of the result's index is coordinate `axes[i]` of the source's."""
        source = [0] * len(shape)
        for i, axis in zip(index, self.axes, strict=True):
            source[axis] = i
        return tuple(source)

    def index_map(self, shape: Shape) -> IndexMap | None:
        return Permute(self.axes)
