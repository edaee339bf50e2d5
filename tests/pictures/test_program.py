"""Programs as pictures: well-formed, bounded, with nothing in them that a browser would obey."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest
from support.commands import as_json
from support.example_programs import everything, mlp
from support.recurrent_programs import recurrence
from typer.testing import CliRunner

import zkinfer as zk
from zkinfer.circuit.program import Program, node_sources
from zkinfer.cli import app, results
from zkinfer.pictures import program as drawing
from zkinfer.pictures.program import program_picture

SVG = "{http://www.w3.org/2000/svg}"


def picture(program: Program) -> ElementTree.Element:
    return ElementTree.fromstring("".join(program_picture(program)))


def boxes(root: ElementTree.Element) -> list[list[str]]:
    """The texts of each box."""
    return [[text.text or "" for text in group.findall(f"{SVG}text")] for group in root.findall(f"{SVG}g/{SVG}g")]


def test_every_node_has_a_box_with_what_it_does() -> None:
    """3 -> 4 -> 2: the one lookup is all of them."""
    assert boxes(picture(mlp().program)) == [
        ["input x", "1 x 3"],
        ["product", "12 products, 1 x 4"],
        ["sum", "moved or added, 1 x 4"],
        ["relu", "4 lookups, 1 x 4, 100%"],
        ["output y", "8 products, 1 x 2"],
    ]


def test_the_parts_of_a_layer_are_numbered() -> None:
    program = mlp().program
    replace = msgspec.structs.replace
    nodes = tuple(replace(node, out=replace(node.out, label="layer")) for node in program.nodes)
    titles = [box[0] for box in boxes(picture(replace(program, nodes=nodes)))]
    assert titles[1:] == [*(f"layer, part {k} of 4" for k in (1, 2, 3)), "output layer, part 4 of 4"]


def test_a_delay_stands_below_what_it_begins_with_and_has_an_arrow_from_what_it_delays() -> None:
    root = picture(recurrence().program)
    assert ["past", "the step before, 5 x 2 x 3"] in boxes(root)
    arrows = sum(len({*node_sources(node)} - {2, 3}) for node in recurrence().program.nodes)
    assert len(root.findall(f"{SVG}g/{SVG}path")) == arrows


@pytest.mark.parametrize("program", [mlp().program, everything().program], ids=["mlp", "everything"])
def test_shares_of_the_lookups_add_up(program: Program) -> None:
    bars = [rect for rect in picture(program).iter(f"{SVG}rect") if rect.get("class") == "cost"]
    assert sum(float(bar.get("width", "")) for bar in bars) == pytest.approx(drawing.WIDTH, abs=len(bars))


def test_no_box_covers_another() -> None:
    rects = [r for r in picture(everything().program).iter(f"{SVG}rect") if r.get("class") == "box"]
    corners = [(float(r.get("x", "")), float(r.get("y", ""))) for r in rects]
    assert len(set(corners)) == len(corners)
    for i, (x, y) in enumerate(corners):
        for a, b in corners[:i]:
            assert abs(x - a) >= drawing.WIDTH or abs(y - b) >= drawing.HEIGHT


def test_labels_are_text() -> None:
    program = mlp().program
    hostile = msgspec.structs.replace(program.inputs[0], label='</text><script>"&\x1b\u202e')
    root = picture(msgspec.structs.replace(program, inputs=(hostile,)))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        *("svg", "title", "style", "g", "rect", "text", "path")
    }
    assert boxes(root)[0][0] == 'input </text><script>"&  '


def test_of_a_large_program_the_first_nodes_are_drawn_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drawing, "MAX_DRAWN", 3)
    root = picture(mlp().program)
    assert [title for title, _ in boxes(root)] == ["input x", "product", "sum", "relu"]
    said = "The first 3 of 4 nodes. A file named .dot in place of .svg has all of them."
    assert [text.text for text in root.findall(f"{SVG}text")] == [said]


def test_many_nodes_beside_each_other_stand_in_several_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MAX_COLUMNS", 2)
    root = picture(everything().program)
    rects = [r for r in root.iter(f"{SVG}rect") if r.get("class") == "box"]
    assert len({r.get("x") for r in rects}) == 2
    assert len({(r.get("x"), r.get("y")) for r in rects}) == len(rects)
    # Arrows still point downward.
    for path in root.iter(f"{SVG}path"):
        start, end = (path.get("d", "").removeprefix("M").split(" ")[k] for k in (1, -1))
        assert int(end) > int(start.partition("C")[0])


def test_inspect_draws_by_the_name_of_the_file(tmp_path: Path) -> None:
    example = mlp()
    zk.Circuit(example.program, example.weights, (), b"").save(tmp_path / "model.zkcircuit")
    told = as_json(results.Inspected, "inspect", tmp_path / "model.zkcircuit", "--graph", tmp_path / "model.svg")
    assert told.graph == str(tmp_path / "model.svg")
    assert ElementTree.parse(tmp_path / "model.svg").getroot().tag == f"{SVG}svg"
    words = ["inspect", str(tmp_path / "model.zkcircuit"), "--graph", str(tmp_path / "model.dot")]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "model.dot").read_text().startswith("digraph")
