"""What a re-indexing step is: a record of parameters that can say where the elements of its result come from."""

from abc import abstractmethod
from typing import Any, NamedTuple, final

import msgspec

from zkinfer.circuit.steps.index_map import IndexMap, Shape
from zkinfer.errors import ShapeError

Index = tuple[int, ...]


class Move(NamedTuple):
    """A step on a source of a known shape.

    Attributes:
        index_map: it fits the source.
        before: the source's shape.
        after: the result's shape.
    """

    index_map: IndexMap
    before: Shape
    after: Shape


class ReindexingStep(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One re-indexing step of a `View`. The package's docstring says how to add one.

    A step is described twice: by `source_index`, its definition, which the reference verifier follows, and by
    `index_map`, which everything fast follows. The tests compare both for every step. A class that lacks one of them
    is refused when it is defined.

    Raises:
        TypeError: a subclass leaves an abstract method out.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("source_index", "index_map"):
            if getattr(getattr(cls, name), "__isabstractmethod__", False):
                raise TypeError(f"the re-indexing step {cls.__name__} does not define {name}")

    @abstractmethod
    def source_index(self, index: Index, shape: Shape) -> Index | None:
        """The definition: the index in the source of an element of the result, in plain Python integers.

        Args:
            index: of an element of the result, within `self.shape(shape)`.
            shape: of the source.

        Returns:
            The element's index in the source; None for an element that is zero whatever the source holds.
        """

    @abstractmethod
    def index_map(self, shape: Shape) -> IndexMap | None:
        """The same for all elements at once, as one of the four kinds of map in `index_map`.

        Args:
            shape: any, of a possible source; it and the parameters may come from a hostile program.

        Returns:
            The map, or None if the parameters make no sense on this shape. `move` checks that the map fits the shape,
            so there is no need to check here that its axes and places are within it.
        """

    @final
    def move(self, shape: Shape) -> Move:
        """The step on a source of this shape.

        Raises:
            ShapeError: the step does not fit the shape.
        """
        index_map = self.index_map(shape)
        after = None if index_map is None else index_map.shape_after(shape)
        if index_map is None or after is None:
            raise ShapeError(f"{self!r} does not fit a tensor of shape {shape}")
        return Move(index_map, shape, after)

    @final
    def shape(self, shape: Shape) -> Shape:
        """Shape after the step, given the shape before it.

        Raises:
            ShapeError: the step does not fit the shape.
        """
        return self.move(shape).after
