"""`Windows`."""

from zkinfer.circuit.steps.base import Index, ReindexingStep
from zkinfer.circuit.steps.index_map import Gather, IndexMap, Shape, Strided


class Windows(ReindexingStep, frozen=True, tag="windows"):
    """Axis `axis` of size n becomes two: the position of a sliding window, then the place within it."""

    axis: int
    size: int
    stride: int
    dilation: int

    def source_index(self, index: Index, shape: Shape) -> Index | None:
        """Place j of the window at position i is element i * stride + j * dilation."""
        axis = self.axis
        position, place = index[axis : axis + 2]
        return (*index[:axis], position * self.stride + place * self.dilation, *index[axis + 2 :])

    def index_map(self, shape: Shape) -> IndexMap | None:
        """There are as many positions as fit, and at least one."""
        if not 0 <= self.axis < len(shape) or min(self.size, self.stride, self.dilation) < 1:
            return None
        span = (self.size - 1) * self.dilation + 1
        count = (shape[self.axis] - span) // self.stride + 1
        if count < 1:
            return None
        return Gather({self.axis: Strided(0, (count, self.size), (self.stride, self.dilation))})
