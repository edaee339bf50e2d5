"""The reference verifier is independent: what it shares with the rest of the package is listed here."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

from zkinfer.verifier import reference

PACKAGE = "zkinfer.verifier.reference"
MODULES = sorted(Path(reference.__file__).parent.glob("*.py"))

SHARED = {
    "zkinfer.errors": {
        "InvalidProofError",
        "MalformedCommitmentError",
        "MalformedProofError",
        "StatementError",
        "VerifierUnavailableError",
    },
    # The program.
    "zkinfer.circuit.program": {"Delay", "Einsum", "Lookup", "Node", "Program", "Term", "View", "node_sources"},
    "zkinfer.circuit.table": {"Table"},
    # The statement, and the structure of the files.
    "zkinfer.files.commitment": {"Commitment"},
    "zkinfer.files.native_key": {"NativeVerifyingKey"},
    "zkinfer.files.statement": {"Statement"},
    # The transcript, and the field in plain integers.
    "zkinfer.protocol.transcript": {"Transcript"},
    "zkinfer.protocol.field.params": {"P"},
    "zkinfer.protocol.field.encoding": {"encode_base"},
    "zkinfer.protocol.field.scalar": {
        "ONE",
        "ZERO",
        "Ext",
        "eq",
        "eq_table",
        "ext_add",
        "ext_dot",
        "ext_inv",
        "ext_mul",
        "ext_neg",
        "ext_pow",
        "ext_scale",
        "ext_sub",
        "mle",
        "root_of_unity",
    },
}
"""All that may be imported from the package, by module."""

FOREIGN = {"blake3", "msgspec"}
"""Besides the standard library."""


def imported(path: Path) -> list[tuple[str, str]]:
    """Modules and names that a file imports, at any depth of its code; a module that is imported whole has name "*"."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, "*") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their modules in full"
            found += [(str(node.module), alias.name) for alias in node.names]
    return found


def own(module: str) -> bool:
    return module.startswith(f"{PACKAGE}.")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nothing_else_is_shared(path: Path) -> None:
    for module, name in imported(path):
        if module.split(".")[0] == "zkinfer":
            assert own(module) or name in SHARED.get(module, set()), f"{path.name} imports {name} from {module}"
        else:
            assert module.split(".")[0] in FOREIGN | set(sys.stdlib_module_names), f"{path.name} imports {module}"


def test_nothing_is_listed_that_is_not_shared() -> None:
    used = {(module, name) for path in MODULES for module, name in imported(path)}
    assert {(module, name) for module, names in SHARED.items() for name in names} <= used


def test_the_package_itself_only_exports() -> None:
    """No logic in `__init__`: a docstring, imports, and the list of names, all of which exist."""
    body = ast.parse((Path(reference.__file__)).read_text()).body
    assert all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in body)
    assert all(hasattr(reference, name) for name in reference.__all__)


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem != "__init__"], ids=lambda path: path.stem)
def test_every_module_names_its_section(path: Path) -> None:
    header = importlib.import_module(f"{PACKAGE}.{path.stem}").__doc__
    assert header is not None
    documents = [word.strip(",.:;") for word in header.split() if word.startswith("docs/protocol/")]
    assert documents
    root = Path(reference.__file__).parents[3]
    assert all((root / document).is_file() for document in documents)
    assert "section" in header
