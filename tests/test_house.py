"""The house rules: which part may import which, and that the documents name things that exist."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zkinfer.cli.app import app
from zkinfer.extras import EXTRAS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "zkinfer"
DOCUMENTS = [
    ROOT / "README.md",
    *(
        path
        for folder in ("docs", "circuits", "benchmarks", "examples")
        for path in sorted((ROOT / folder).rglob("*.md"))
    ),
]
SOURCES = [
    path
    for folder in ("zkinfer", "tests", "circuits", "benchmarks", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
]

MAX_PYTHON_BYTES = 36_000
MAX_DATA_BYTES = 1_000_000

LIGHT = {"numpy", "blake3", "msgspec"}
"""All that the verifier may import besides the standard library."""

COMMAND_LINE = {"typer", "rich"}

# A module of the key's part may import modules of these parts and of its own, at any depth of the code.
MAY_IMPORT = {
    "errors": set(),
    "progress": set(),
    "artifact": {"errors"},
    "approx": {"errors", "progress"},
    "circuit": {"errors", "approx"},
    "quantize": {"errors", "progress", "approx", "circuit", "reduction"},
    "onnx": {"errors", "progress", "approx", "circuit", "quantize"},
    "commitment": {"errors", "artifact", "circuit", "pcs", "reduction"},
    "proof": {"errors", "artifact", "circuit"},
    "statement": {"errors", "commitment"},
    "model": {"errors", "progress", "artifact", "circuit", "quantize", "onnx"},
    "durations": set(),
    "sampling": {"errors"},
    "replay": {"errors", "progress", "circuit", "sampling", "model"},
    "rotation": {"errors", "artifact", "commitment", "pcs"},
    "budget": {"errors"},
    "field": {"errors"},
    "transcript": {"errors", "field"},
}
NO_PROVER = {"onnx", "quantize", "model", "keys", "cli", "demo"}
"""What backends and verifier know nothing of."""

NATIVE = {"pcs", "sumcheck", "lookup", "security"}
NO_CIRCUIT = NO_PROVER | {"circuit", "backends", "approx"}
"""What the native prover's protocols know nothing of: they prove claims, whatever these are about."""


def part(module: str) -> str:
    """`zkinfer.compiler.onnx.load` belongs to `onnx`; the package itself to `zkinfer`."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "zkinfer"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_path(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((p for p in (base / "__init__.py", base.with_suffix(".py")) if p.is_file()), None)


def imports(nodes: list[ast.stmt] | list[ast.AST]) -> set[str]:
    """The modules that import statements name; `from a import b` gives a and, where it is a module, a.b."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import: {ast.unparse(node)}"
            found.add(str(node.module))
            found |= {f"{node.module}.{a.name}" for a in node.names if module_path(f"{node.module}.{a.name}")}
    return found


def all_imports(path: Path) -> set[str]:
    return imports(list(ast.walk(ast.parse(path.read_text()))))


def startup_imports(path: Path) -> set[str]:
    """What importing the file imports at once: not what functions import when called, nor what is for types alone."""
    statements: list[ast.stmt] = []
    waiting = list(ast.parse(path.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
                waiting += node.body
            waiting += getattr(node, "orelse", [])
        statements.append(node)
    return imports(statements)


def closure(module: str) -> tuple[set[str], set[str]]:
    """The zkinfer modules, and the foreign packages, that importing a module imports at once."""
    ours, foreign, waiting = set(), set(), [module]
    while waiting:
        name = waiting.pop()
        if part(name) != "zkinfer" and name.split(".")[0] == "zkinfer":
            waiting += [p for p in (name.rpartition(".")[0],) if p not in ours]
        if name in ours:
            continue
        ours.add(name)
        path = module_path(name)
        assert path is not None, name
        for imported in startup_imports(path):
            if imported.split(".")[0] == "zkinfer":
                waiting.append(imported)
            elif imported.split(".")[0] not in sys.stdlib_module_names:
                foreign.add(imported.split(".")[0])
    return ours, foreign


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=module_name)
def test_imports_point_one_way(path: Path) -> None:
    own = part(module_name(path))
    imported = {part(m) for m in all_imports(path) if m.split(".")[0] == "zkinfer"} - {own}
    if own in MAY_IMPORT:
        assert imported <= MAY_IMPORT[own]
    if own in {"backends", "verifier", "batch"}:
        assert not imported & NO_PROVER
    if own in NATIVE:
        assert not imported & NO_CIRCUIT
    if own == "verifier":
        assert "backends" not in {part(m) for m in startup_imports(path)}
    if own not in {"cli", "__main__"}:
        assert "cli" not in imported


def test_importing_the_verifier_imports_nothing_of_the_prover() -> None:
    ours, foreign = closure("zkinfer.verifier")
    assert foreign <= LIGHT
    assert not {part(m) for m in ours} & (NO_PROVER | {"backends"})


def test_importing_the_command_line_needs_the_base_install_alone() -> None:
    _, foreign = closure("zkinfer.cli")
    assert foreign <= LIGHT | COMMAND_LINE


def test_every_optional_package_is_known_by_its_extra() -> None:
    """So that a command that lacks one says what to install."""
    imported = {module.split(".")[0] for path in PACKAGE.rglob("*.py") for module in all_imports(path)}
    assert imported - set(sys.stdlib_module_names) - LIGHT - COMMAND_LINE - {"zkinfer"} <= set(EXTRAS)


def test_verifier_and_command_line_start_where_no_prover_package_is_installed() -> None:
    """As in a base install: every optional package is made unimportable first."""
    blocked = [
        "numba",
        "mpmath",
        "onnx",
        "onnx_ir",
        "onnxscript",
        "onnxruntime",
        "matplotlib",
        "psutil",
        "ezkl",
        "py_ecc",
        "torch",
    ]
    code = f"import sys\nfor name in {blocked}: sys.modules[name] = None\nimport zkinfer.verifier, zkinfer.cli"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_source_files_have_a_readable_size(path: Path) -> None:
    assert path.stat().st_size <= MAX_PYTHON_BYTES


def test_no_large_data_is_kept_with_the_code() -> None:
    large = [p for p in (ROOT / "circuits").rglob("*") if p.is_file() and p.stat().st_size > MAX_DATA_BYTES]
    assert not large


def code_lines(text: str) -> list[str]:
    """The lines of all fenced code blocks."""
    return [line for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_documented_commands_exist(path: Path) -> None:
    lines = code_lines(path.read_text())
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    commands = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    commands |= {group.name for group in app.registered_groups if group.name}
    for line in lines:
        words = line.split()
        match words:
            case ["make", target, *_]:
                assert target in targets, line
            case ["zkinfer", command, *_]:
                assert command in commands, line
            case ["python", script, *_] if script.endswith(".py"):
                assert (ROOT / script).is_file(), line


def anchors(path: Path) -> set[str]:
    """The fragments that GitHub gives a document's headings."""
    headings = re.findall(r"^#+ +(.*)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name) if name else path
        assert linked.exists(), f"{path.name} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(linked), f"{path.name} links to {target}, a heading that does not exist"


def test_readme_starts_with_the_two_commands() -> None:
    assert code_lines((ROOT / "README.md").read_text())[:2] == ["make demo", "make test"]


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"
