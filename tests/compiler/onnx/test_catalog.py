"""The document of operators says what the code does."""

from support.paths import DOCS

from zkinfer.compiler.onnx.catalog import document
from zkinfer.compiler.onnx.registry import operators

DOCUMENT = DOCS / "operators.md"


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text() == document(), "run python -m zkinfer.compiler.onnx.catalog > docs/operators.md"


def test_every_operator_and_layer_has_a_row() -> None:
    rows = [line.split("|")[1].strip() for line in document().splitlines() if line.startswith("| ")]
    assert {f"{o.domain}.{o.name}" if o.domain else o.name for o in operators()} <= set(rows)
    assert {"LSTM", "Attention", "LayerNormalization", "RotaryEmbedding"} <= set(rows)


def test_inputs_that_have_to_be_constants_are_named() -> None:
    rows = {line.split("|")[1].strip(): line for line in document().splitlines() if line.startswith("| ")}
    assert rows["Conv"].endswith("| `W`, `B` |")
    assert rows["Add"].endswith("| - |")
