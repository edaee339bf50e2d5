"""`Slice`."""

from zkinfer.circuit.steps.base import Index, ReindexingStep
from zkinfer.circuit.steps.index_map import Gather, IndexMap, Shape, Strided


class Slice(ReindexingStep, frozen=True, tag="slice"):
    """Along `axis`, the elements start, start + stride, ..., `count` of them; the stride may be negative."""

    axis: int
    start: int
    count: int
    stride: int

    def source_index(self, index: Index, shape: Shape) -> Index | None:
        """Element i along the axis is element start + i * stride."""
        axis = self.axis
        return (*index[:axis], self.start + index[axis] * self.stride, *index[axis + 1 :])

    def index_map(self, shape: Shape) -> IndexMap | None:
        """A stride of zero is refused."""
        if self.stride == 0:
            return None
        return Gather({self.axis: Strided(self.start, (self.count,), (self.stride,))})
