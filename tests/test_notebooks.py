"""The notebook in examples/ runs from its first cell to its last, and shows what its things are."""

import ast
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from support.html_tags import Tags

pytest.importorskip("onnx")

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "examples" / "notebook" / "first_proof.ipynb"


def sources() -> list[str]:
    """The cells of code. The file holds no outputs, which would be those of another version one day."""
    found = json.loads(NOTEBOOK.read_text())
    assert (found["nbformat"], found["metadata"]["kernelspec"]["language"]) == (4, "python")
    code = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    return ["".join(cell["source"]) for cell in code]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does; returns the value of its last line, if that is an expression."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = [value for source in sources() if (value := run_cell(source, names)) is not None]
    shown = [Tags(value._repr_html_()).text for value in values if hasattr(value, "_repr_html_")]
    titles = ("Circuit", "Proving keys", "Proof, not checked yet", "Proven: this model")
    assert [text.startswith(title) for text, title in zip(shown, titles, strict=True)] == [True] * len(titles)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("the answer is ")
    assert printed[1].startswith("refused: ")
