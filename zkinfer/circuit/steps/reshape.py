"""`Reshape`."""

from zkinfer.circuit.steps.base import Index, ReindexingStep
from zkinfer.circuit.steps.index_map import IndexMap, Regroup, Shape


class Reshape(ReindexingStep, frozen=True, tag="reshape"):
    """The same elements, row-major, in another shape."""

    sizes: Shape

    def source_index(self, index: Index, shape: Shape) -> Index | None:
        """The index that has the same position in row-major order."""
        position = 0
        for i, n in zip(index, self.sizes, strict=True):
            position = position * n + i
        source = []
        for n in reversed(shape):
            position, i = divmod(position, n)
            source.append(i)
        return tuple(reversed(source))

    def index_map(self, shape: Shape) -> IndexMap | None:
        return Regroup(self.sizes)
