"""What the proof about weights is made of."""

import numpy as np
import pytest

from zkinfer.circuit.program import Program, Tensor
from zkinfer.protocol.field import modular
from zkinfer.protocol.reduction import weight_ranges
from zkinfer.protocol.reduction.plan import INPUTS, OUTPUTS, WEIGHTS, WITNESS
from zkinfer.protocol.reduction.weight_ranges import RangePlan, RangeSite, looked_up_whole, make_range_plan


def program(*weights: Tensor) -> Program:
    return Program(1, (Tensor("x", (1,), 0, 0, 1),), weights, (), (), (0,))


LARGE = Tensor("large", (40, 50), 0, -127, 127)
ALIKE = Tensor("alike", (7,), 0, -127, 127)
BIAS = Tensor("bias", (11,), 0, -5000, 70000)
BOTH = program(LARGE, ALIKE, BIAS)


def test_every_element_is_in_one_block_for_each_way_in_which_it_is_shown() -> None:
    plan = make_range_plan(BOTH)
    (piece,) = plan.pieces
    limbs = plan.limbs[2]
    large, alike, bias = (sum(1 << box.total for box in part.boxes) for part in plan.layouts[WEIGHTS].cuts)
    expected = large + alike + 2 * len(limbs.bits) * bias
    assert sum(1 << block.variables for block in piece.instance.blocks) == expected
    assert sorted(number for site in piece.sites for number in site.blocks) == list(range(len(piece.instance.blocks)))
    found = [(site.weight, site.box) for site in piece.sites]
    assert found == [(w, b) for w in range(3) for b in range(len(plan.cuts(w).boxes))]


def test_equal_bounds_are_one_table() -> None:
    (piece,) = make_range_plan(BOTH).pieces
    assert (piece.instance.tables[0].rows, piece.starts[0]) == (255, -127)
    tables = {site.weight: piece.instance.blocks[site.blocks[0]].table for site in piece.sites}
    assert tables[0] == tables[1] != tables[2]


def test_limbs_hold_the_largest_distance_and_no_more_bits() -> None:
    limbs = make_range_plan(BOTH).limbs[2]
    assert sum(limbs.bits) == (BIAS.hi - BIAS.lo).bit_length() == 17
    assert limbs.places == tuple(1 << sum(limbs.bits[:i]) for i in range(len(limbs.bits)))
    assert not set(limbs.vectors[0]) & set(limbs.vectors[1])


def test_nothing_but_limbs_and_multiplicities_is_committed() -> None:
    plan = make_range_plan(BOTH)
    assert not plan.layouts[INPUTS].cuts
    assert not plan.layouts[OUTPUTS].cuts
    limbs, (piece,) = plan.limbs[2], plan.pieces
    rows = sum(1 << table.variables for table in piece.instance.tables)
    assert plan.layouts[WITNESS].cells == 2 * len(limbs.bits) * 16 + rows, "11 elements take 16 places"


@pytest.mark.parametrize(
    ("rows", "size", "whole"),
    [(256, 1, True), (257, 1, False), (400, 100, True), (401, 100, False), (1 << 20, 1 << 20, True)],
)
def test_large_ranges_of_few_elements_are_cut(rows: int, size: int, whole: bool) -> None:
    assert looked_up_whole(Tensor("w", (size,), 0, 0, rows - 1)) == whole


def test_ranges_beyond_any_table_are_cut_whatever_the_number_of_elements() -> None:
    assert not looked_up_whole(Tensor("w", (1 << 22,), 0, 0, 1 << 20))


def plan_of_pieces(monkeypatch: pytest.MonkeyPatch, entries: int) -> RangePlan:
    monkeypatch.setattr(weight_ranges, "PIECE_ENTRIES", entries)
    return make_range_plan.__wrapped__(BOTH)


@pytest.mark.parametrize("entries", [1, 100, 1000, 10**6])
def test_pieces_hold_every_cell_once(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of_pieces(monkeypatch, entries)
    entries = max(entries, -(-plan.layouts[WEIGHTS].cells // weight_ranges.PIECES))
    entries = 1 << (entries.bit_length() - 1)
    covered: dict[tuple[int, int], list[int]] = {}
    for piece in plan.pieces:
        for site in piece.sites:
            cells = site.cells(piece.instance.blocks[site.blocks[0]].variables)
            assert cells.stop - cells.start <= entries
            covered.setdefault((site.weight, site.box), []).extend(range(cells.start, cells.stop))
    boxes = {(w, b): box for w in range(3) for b, box in enumerate(plan.cuts(w).boxes)}
    assert list(covered) == list(boxes)
    assert all(found == list(range(1 << boxes[place].total)) for place, found in covered.items())
    for piece in plan.pieces[:-1]:
        blocks = piece.instance.blocks
        last = sum(1 << blocks[number].variables for number in piece.sites[-1].blocks)
        assert piece.instance.lookups - last < entries <= piece.instance.lookups
    vectors = [v for limbs in plan.limbs.values() for side in limbs.vectors for v in side]
    vectors += [v for piece in plan.pieces for v in piece.multiplicities]
    assert sorted(vectors) == list(range(len(plan.layouts[WITNESS].cuts)))
    assert plan.instances == tuple(piece.instance for piece in plan.pieces)


def test_a_part_of_a_box_is_where_its_first_coordinates_are_the_bits_of_its_number() -> None:
    site = RangeSite(0, 0, 6, (0,))
    point = ((7, 8, 9), (1, 2, 3))
    assert site.point(5, point) == ((1, 0, 0), (1, 0, 0), (0, 0, 0), *point)
    assert site.cells(2) == slice(24, 28)
    cells = np.arange(32)
    values = modular.eq_table(site.point(5, ((0, 0, 0), (1, 0, 0))))
    assert cells[values[0] == 1].tolist() == [25]


def test_a_bias_beside_large_weights_does_not_double_their_pieces() -> None:
    """Cells that are a few more than eight powers of two are cut into such powers all the same."""
    large = program(Tensor("w", (1 << 13, 1 << 12), 0, -127, 127), Tensor("b", (1 << 12,), 0, -127, 127))
    plan = make_range_plan(large)
    assert len(plan.pieces) == 9
    assert max(piece.instance.lookups for piece in plan.pieces) == 1 << 22
