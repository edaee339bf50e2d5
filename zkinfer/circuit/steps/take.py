"""`Take`."""

from zkinfer.circuit.steps.base import Index, ReindexingStep
from zkinfer.circuit.steps.index_map import Gather, IndexMap, Listed, Shape


class Take(ReindexingStep, frozen=True, tag="take"):
    """Along `axis`, the elements at public `indices`, in that order, repeats allowed."""

    axis: int
    indices: tuple[int, ...]

    def source_index(self, index: Index, shape: Shape) -> Index | None:
        """Element i along the axis is element indices[i]."""
        axis = self.axis
        return (*index[:axis], self.indices[index[axis]], *index[axis + 1 :])

    def index_map(self, shape: Shape) -> IndexMap | None:
        return Gather({self.axis: Listed(self.indices)})
