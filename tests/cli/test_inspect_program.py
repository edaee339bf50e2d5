"""What `zkinfer inspect` shows of a program: all of it, in bounded output unless all is asked for, and as a graph."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper
from support.example_programs import everything, mlp
from support.recurrent_programs import recurrence
from typer.testing import CliRunner

import zkinfer as zk
from zkinfer.circuit.program import node_sources
from zkinfer.circuit.table import Table
from zkinfer.cli import app, inspect_program
from zkinfer.cli.inspect_program import constant_rows, graph_text, node_rows, table_rows, weight_rows


def test_every_node_is_shown_with_what_it_reads() -> None:
    rows = dict(node_rows(everything().program, False))
    assert list(rows) == [f"value {n}" for n in range(3, 10)]
    assert rows["value 3"].startswith("View 1 * Windows(Pad(value 0; before=(0, 1), after=(0, 1)); axis=1, size=3, ")
    assert rows["value 4"].startswith("Einsum bpk,ok->bop of values 3, 2: conv, 2 x 2 x 3, steps of 0.125, from -4.875")
    assert rows["value 5"].startswith("Lookup of value 4, shifted by 1 bits, in table 1: relu")
    assert rows["value 9"].startswith("View -3 * value 8 + -7: shifted")
    assert dict(weight_rows(everything().program, False)) == {
        "weight kernel": "value 2: 2 x 3, steps of 0.5, from -1.5 to 1.5"
    }


def test_a_recurrence_is_shown_with_the_later_value_that_it_reads() -> None:
    program = recurrence().program
    assert dict(node_rows(program, False))["value 5"].startswith("Delay of value 8 by one step, value 1 first: past, ")
    assert "  8 -> 5;" in "".join(graph_text(program))


def test_tables_are_shown_by_their_entries_and_names_as_what_their_author_calls_them() -> None:
    """A table that is called "relu" may hold anything."""
    table = Table("relu", 0, tuple(range(100, 200)))
    program = msgspec.structs.replace(mlp().program, tables=(table, Table("square", -1, (1, 0, 1))))
    (_, long), (_, short) = table_rows(program, False)
    assert short == "3 entries from -1 to 1, which its author calls 'square': 1 0 1"
    assert long.startswith("100 entries from 0 to 99, which its author calls 'relu': 100 101 ")
    assert " ... " in long
    assert long.endswith(" 198 199")
    assert table_rows(program, True)[0][1].endswith(" ".join(map(str, range(100, 200))))


@pytest.mark.parametrize("whole", [False, True])
def test_output_is_bounded_unless_all_is_asked_for(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_program, "MAX_NODES", 2)
    rows = node_rows(everything().program, whole)
    assert len(rows) == (7 if whole else 3)
    assert (rows[-1] == ("...", "5 more nodes: shown with --all")) is not whole


def test_a_step_of_many_numbers_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_program, "MAX_TEXT", 10)
    assert "before=(0,..." in node_rows(everything().program, False)[0][1]
    assert "before=(0, 1)" in node_rows(everything().program, True)[0][1]


def test_the_graph_has_a_box_for_each_value_and_an_arrow_for_each_reading() -> None:
    program = everything().program
    text = "".join(graph_text(program))
    assert text.startswith("digraph program {")
    assert text.endswith("}\n")
    for value in range(program.num_values):
        assert f"  {value} [label=" in text
    assert "  3 -> 4;" in text
    assert "  2 -> 4;" in text
    assert "  9 -> output1;" in text
    arrows = [line for line in text.splitlines() if " -> " in line and "[label=" not in line]
    assert len(arrows) == len(program.outputs) + sum(len(node_sources(node)) for node in program.nodes)


def test_labels_cannot_leave_their_quotes() -> None:
    """What a stranger calls a tensor must not become a part of the graph."""
    program = mlp().program
    out = msgspec.structs.replace(program.nodes[0].out, label='"];\n\\x')
    nodes = (msgspec.structs.replace(program.nodes[0], out=out), *program.nodes[1:])
    hostile = msgspec.structs.replace(program, nodes=nodes)
    line = next(line for line in "".join(graph_text(hostile)).splitlines() if line.startswith("  4 ["))
    assert line == '  4 [label="Einsum bi,oi->bo \\"]; \\\\x\\n1 x 4"];'


def test_public_numbers_of_a_circuit_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the model writes down, and no stored parameter."""
    model = small_model("h = MatMul(x, w)\nthree = Constant<value_float = 3.0>()\nm = Mul(h, three)\ny = Mul(m, s)")
    zk.compile(model, np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)).save(tmp_path / "c.zkcircuit")
    text = CliRunner().invoke(app, ["inspect", str(tmp_path / "c.zkcircuit")]).output
    assert [line.split()[2] for line in text.splitlines() if line.strip().startswith("public ")] == ["3,"]
    monkeypatch.setattr(inspect_program, "MAX_NODES", 1)
    constants = [("three", 3.0, "Mul"), ("half", 0.5, "Pow")]
    assert constant_rows(constants, True) == [("public three", "3, read by Mul"), ("public half", "0.5, read by Pow")]
    assert constant_rows(constants, False)[1:] == [("...", "1 more public numbers: shown with --all")]


def small_model(body: str) -> onnx.ModelProto:
    """A model of an input of 4 numbers, whose parameters are a matrix and a scale."""
    parameters = {"w": np.eye(4, 3, dtype=np.float32), "s": np.array(0.7310584783, dtype=np.float32)}
    graph = helper.make_graph(
        [onnx.parser.parse_node(line) for line in body.splitlines()],
        "small",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in parameters.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
