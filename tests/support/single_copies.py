"""Sizes of weights' matrices without copies: what small keys had, and what protocols are tested with by themselves."""

from zkinfer.circuit.program import Program
from zkinfer.native.setup import COLUMN_POINTS, ERROR_BITS
from zkinfer.protocol.pcs.params import OpeningParameters
from zkinfer.protocol.pcs.search import search
from zkinfer.protocol.reduction.layout import weight_layout


def opening_of_one_copy(program: Program, openings: int) -> OpeningParameters:
    """How one matrix of a program's weights is opened that many times."""
    cells = weight_layout(program).cells
    return search(cells, COLUMN_POINTS, proofs=openings, error_bits=ERROR_BITS).parameters
