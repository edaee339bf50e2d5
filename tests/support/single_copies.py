"""Sizes of weights' matrices that keys would not choose: without copies, or with other copies."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from zkinfer.circuit.program import Program
from zkinfer.native import setup
from zkinfer.native.setup import COLUMN_POINTS, ERROR_BITS, key_sizes
from zkinfer.protocol.pcs.params import OpeningParameters
from zkinfer.protocol.pcs.search import search
from zkinfer.protocol.reduction.layout import weight_layout


def opening_of_one_copy(program: Program, openings: int) -> OpeningParameters:
    """How one matrix of a program's weights is opened that many times."""
    cells = weight_layout(program).cells
    return search(cells, COLUMN_POINTS, proofs=openings, error_bits=ERROR_BITS).parameters


@contextmanager
def openings_a_copy(*counts: int) -> Iterator[None]:
    """Keys whose copies hide one of these numbers of openings; or all of them, in one copy of long rows."""
    key_sizes.cache_clear()
    with mock.patch.object(setup, "OPENINGS_A_COPY", counts):
        yield
    key_sizes.cache_clear()
