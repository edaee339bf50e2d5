"""The reference verifier's plan against its definitions."""

import math

import numpy as np
import pytest

from zkinfer.protocol.reduction.boxes import cover
from zkinfer.verifier.reference.plan import Matrix, boxes_of, limb_bits


@pytest.mark.parametrize("shape", [(1, 7), (3, 5, 7, 9), (2, 33, 65), (1, 62, 62), (), (255, 3, 41)])
def test_boxes_are_those_of_the_fast_verifier(shape: tuple[int, ...]) -> None:
    boxes, cut = boxes_of(shape), cover(shape)
    assert [(box.start, box.exponents) for box in boxes] == [(box.starts, box.variables) for box in cut.boxes]
    numbers = np.arange(math.prod(shape)).reshape(shape)
    for own, box in zip(boxes, cut.boxes, strict=True):
        assert [-1 if at is None else at for at in own.places] == cut.take(numbers, box, -1).tolist()


def test_the_boxes_of_a_matrix_do_not_overlap_and_lie_in_units_of_whole_rows() -> None:
    matrix, log_columns = Matrix(), 2
    for shape in ((3, 5), (1,), (2, 7)):
        matrix.add(boxes_of(shape))
    cells: list[int] = []
    for vector, boxes in enumerate(matrix.vectors):
        for number, box in enumerate(boxes):
            offset = matrix.offset(vector, number)
            cells += range(offset, offset + (1 << box.variables))
            start, k = matrix.unit(log_columns, offset, box.variables)
            assert start % (1 << log_columns) == 0
            assert k >= log_columns
            assert start <= offset
            assert offset + (1 << box.variables) <= start + (1 << k)
    assert sorted(cells) == list(range(matrix.cells))


@pytest.mark.parametrize("shift", range(41))
@pytest.mark.parametrize("elements", [1, 100, 10**6])
def test_limbs_make_up_the_remainder(shift: int, elements: int) -> None:
    bits = limb_bits(shift, elements)
    assert sum(bits) == shift
    assert all(1 <= b <= 20 for b in bits)
    assert len(set(bits[:-1])) <= 1
