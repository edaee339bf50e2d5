"""`Expand`."""

from zkinfer.circuit.steps.base import Index, ReindexingStep
from zkinfer.circuit.steps.index_map import Gather, IndexMap, Listed, Shape, Strided


class Expand(ReindexingStep, frozen=True, tag="expand"):
    """Axes of size 1 repeated up to `sizes`, which has as many axes as the source."""

    sizes: Shape

    def source_index(self, index: Index, shape: Shape) -> Index | None:
        """Along an axis of size 1, every element is element 0."""
        return tuple(0 if n == 1 else i for i, n in zip(index, shape, strict=True))

    def index_map(self, shape: Shape) -> IndexMap | None:
        """Axes of another size than 1 must keep it."""
        if len(self.sizes) != len(shape):
            return None
        along: dict[int, Strided | Listed] = {}
        for axis, (n, m) in enumerate(zip(shape, self.sizes, strict=True)):
            if n != m:
                if n != 1:
                    return None
                along[axis] = Strided(0, (m,), (0,))
        return Gather(along)
