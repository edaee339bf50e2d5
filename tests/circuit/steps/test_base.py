"""A step that lacks its definition or its index map cannot be written, and one whose map does not fit is refused."""

import pytest

from zkinfer.circuit.steps import Gather, Index, IndexMap, Regroup, ReindexingStep, Shape, Strided
from zkinfer.errors import ShapeError


def test_a_step_without_a_definition_is_refused() -> None:
    with pytest.raises(TypeError, match="NoDefinition does not define source_index"):

        class NoDefinition(ReindexingStep, frozen=True, tag="test-no-definition"):
            def index_map(self, shape: Shape) -> IndexMap | None:
                return Regroup(shape)


def test_a_step_without_an_index_map_is_refused() -> None:
    with pytest.raises(TypeError, match="NoMap does not define index_map"):

        class NoMap(ReindexingStep, frozen=True, tag="test-no-map"):
            def source_index(self, index: Index, shape: Shape) -> Index | None:
                return index


class Careless(ReindexingStep, frozen=True, tag="test-careless"):
    """Checks nothing."""

    start: int

    def source_index(self, index: Index, shape: Shape) -> Index | None:
        return (self.start + index[0],)

    def index_map(self, shape: Shape) -> IndexMap | None:
        return Gather({0: Strided(self.start, (3,), (1,))})


def test_places_outside_the_source_are_refused_though_the_step_does_not_check() -> None:
    """Fast execution reads memory where the map says."""
    assert Careless(2).shape((5,)) == (3,)
    for start in (-1, 3, 2**40):
        with pytest.raises(ShapeError, match="does not fit"):
            Careless(start).move((5,))
