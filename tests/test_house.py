"""The house rules: layers, one name for one thing, and documents that name what exists."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from zkinfer.cli.app import app
from zkinfer.extras import EXTRAS
from zkinfer.files.kinds import KINDS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "zkinfer"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
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

LAYERS = (
    ("errors", "typing", "moved", "counts"),
    ("extras",),
    ("arguments", "progress", "registry", "lazy", "notebook", "terminal", "memory_limits"),
    ("jit", "timings"),
    ("circuit",),
    ("protocol", "pictures"),
    ("files",),
    ("execution",),
    ("compiler",),
    ("backend",),
    ("verifier",),
    ("native", "ezkl"),
    ("api", "audits"),
    ("jobs",),
    ("zkinfer",),
    ("demo",),
    ("cli",),
    ("__main__",),
)
"""The folders and modules of zkinfer, lowest first. A module imports from its own folder and from lower layers alone,
at any depth of the code, also for types. "zkinfer" is the package itself, with the public names."""

LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}

PROVER = {"jit", "execution", "compiler", "native", "ezkl", "api", "audits", "jobs", "demo", "cli"}
"""What checking a proof loads nothing of."""

MAY_IMPORT_REFERENCES = {"zkinfer.native.backend"}
"""Where a caller asks for the reference verifier by name. Nothing else of the package knows a reference; tests do."""

UNPICKLING = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def part(module: str) -> str:
    """`zkinfer.compiler.onnx.load` belongs to `compiler`; the package itself to `zkinfer`."""
    return child(module, "zkinfer")


def child(module: str, parent: str) -> str:
    """The folder or module within `parent` that holds a module of it; of `parent` itself its last name."""
    inside = module.removeprefix(parent).split(".")
    return inside[1] if len(inside) > 1 else parent.rpartition(".")[2]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_path(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((p for p in (base / "__init__.py", base.with_suffix(".py")) if p.is_file()), None)


def imports(nodes: list[ast.stmt] | list[ast.AST]) -> set[str]:
    """The modules that import statements name; `from a import b` gives a.b where that is a module, and else a.

    The version, of the package itself, is not a module's, and so is not counted.
    """
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import: {ast.unparse(node)}"
            for name in [alias.name for alias in node.names]:
                inner = f"{node.module}.{name}"
                if module_path(inner):
                    found.add(inner)
                elif inner != "zkinfer.__version__":
                    found.add(str(node.module))
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


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
ARROWS = {
    module: {imported for imported in all_imports(path) if imported.split(".")[0] == "zkinfer"} - {module}
    for module, path in MODULES.items()
}
"""For each module of the package those that it imports."""


def folder_arrows(parent: str) -> dict[str, set[str]]:
    """For each folder and module within `parent` the others there that it imports; `parent` itself is none of them."""
    inside = [module for module in MODULES if module.startswith(f"{parent}.")]
    arrows: dict[str, set[str]] = {child(module, parent): set() for module in inside}
    for module in inside:
        found = {child(imported, parent) for imported in ARROWS[module] if imported.startswith(f"{parent}.")}
        arrows[child(module, parent)] |= found - {child(module, parent)}
    return arrows


def circles(arrows: dict[str, set[str]]) -> set[frozenset[str]]:
    """The sets of two or more that reach each other."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for name in arrows.get(waiting.pop(), set()) - found:
                found.add(name)
                waiting.append(name)
        return found

    reach = {name: reached(name) for name in arrows}
    around = {name: frozenset(other for other in reach[name] if name in reach.get(other, ())) for name in arrows}
    return {circle for circle in around.values() if len(circle) > 1}


def public_classes() -> dict[str, set[str]]:
    """For each name of a public class the modules that define one; the reference verifier has its own words."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if "reference" in module.split("."):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, set()).add(module)
    return found


def test_every_module_stands_in_a_layer() -> None:
    assert {part(module) for module in MODULES} - {*LAYER} == set()


@pytest.mark.parametrize("module", MODULES)
def test_no_import_runs_upward(module: str) -> None:
    own = part(module)
    upward = {m for m in ARROWS[module] if part(m) != own and LAYER.get(part(m), 99) >= LAYER.get(own, -1)}
    assert not upward


@pytest.mark.parametrize("parent", ["zkinfer", "zkinfer.protocol", "zkinfer.compiler"])
def test_no_two_folders_import_each_other(parent: str) -> None:
    assert not circles(folder_arrows(parent))


def test_no_two_modules_import_each_other() -> None:
    """Also where a function imports when it is called. A package is not counted as importing its own modules."""
    assert not circles({module: found for module, found in ARROWS.items() if MODULES[module].name != "__init__.py"})


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_a_reference(module: str) -> None:
    """The package is compared with it, so it must not become part of what it checks."""
    if "reference" in module.split("."):
        return
    found = {imported for imported in ARROWS[module] if "reference" in imported.split(".")}
    assert not found or module in MAY_IMPORT_REFERENCES, found


def test_a_public_class_has_one_name_and_a_name_one_class() -> None:
    assert {name: modules for name, modules in public_classes().items() if len(modules) > 1} == {}


def test_nothing_is_unpickled() -> None:
    for module, path in MODULES.items():
        assert not {name.split(".")[0] for name in all_imports(path)} & UNPICKLING, module
        assert "allow_pickle=True" not in path.read_text(), module


def test_onnxruntime_is_imported_where_its_telemetry_is_off() -> None:
    """`zkinfer/compiler/__init__.py` runs before every module of the folder, and switches it off."""
    importing = {part(module) for module, path in MODULES.items() if "onnxruntime" in all_imports(path)}
    assert importing == {"compiler"}


@pytest.mark.parametrize("path", [path for path in SOURCES if path.is_relative_to(ROOT / "examples")], ids=str)
def test_no_example_imports_onnxruntime_before_its_telemetry_is_off(path: Path) -> None:
    """Nor does a program that somebody copies from one: it loads zkinfer's compiler first."""
    first = imports(ast.parse(path.read_text()).body)
    assert not {name for name in first if name.split(".")[0] == "onnxruntime"}


def test_circles_are_found() -> None:
    """The tests above would pass if this function found nothing."""
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == {frozenset("abc")}
    assert circles({"a": {"b"}, "b": {"c"}, "c": set(), "d": {"a", "e"}}) == set()


def test_importing_the_verifier_imports_nothing_of_the_prover() -> None:
    ours, foreign = closure("zkinfer.verifier")
    assert foreign <= LIGHT
    assert not {part(m) for m in ours} & PROVER


def test_importing_the_command_line_needs_its_extra_alone() -> None:
    _, foreign = closure("zkinfer.cli")
    assert foreign <= LIGHT | COMMAND_LINE


def test_the_base_install_is_what_checking_a_proof_takes() -> None:
    """What `pip install` brings to a verifier: numpy is nearly all of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {re.split("[<>=]", requirement)[0] for requirement in project["dependencies"]} == LIGHT
    command_line = project["optional-dependencies"]["cli"]
    assert {re.split("[<>=]", requirement)[0] for requirement in command_line} == COMMAND_LINE


def test_every_optional_package_is_known_by_its_extra() -> None:
    """So that a command that lacks one says what to install."""
    imported = {module.split(".")[0] for path in PACKAGE.rglob("*.py") for module in all_imports(path)}
    assert imported - set(sys.stdlib_module_names) - LIGHT - COMMAND_LINE - {"zkinfer"} <= set(EXTRAS)


def test_verifier_and_command_line_start_where_no_prover_package_is_installed() -> None:
    """As in a base install, where every optional package is missing; and where there is the command line alone."""
    blocked = sorted(EXTRAS)
    with_cli = sorted(set(EXTRAS) - COMMAND_LINE)
    code = (
        f"import sys\nfor name in {with_cli}: sys.modules[name] = None\nimport zkinfer.verifier, zkinfer.cli.app\n"
        "ours = [name for name in sys.modules if name.startswith('zkinfer')]\n"
        "for name in ours: del sys.modules[name]\n"
        f"for name in {blocked}: sys.modules[name] = None\nimport zkinfer.verifier, zkinfer.cli.plain"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_source_files_have_a_readable_size(path: Path) -> None:
    assert path.stat().st_size <= MAX_PYTHON_BYTES


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes_are_told_in_decimal_units(path: Path) -> None:
    """In what people read. Docstrings may name limits that are powers of two."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    documented = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = [
        n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in documented
    ]
    assert [text for text in texts if re.search(r"\b[KMG]iB\b", text)] == []


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


def test_every_threat_names_tests_that_exist() -> None:
    """A row of the tables: threat, who, what stops it, tests; a test is a file, or a function of one."""
    text = (ROOT / "docs" / "threat-model.md").read_text()
    tables = re.findall(r"^\| threat \| who \| what stops it \| test \|\n.*\n((?:\|.*\n)+)", text, re.M)
    threats = [row.strip("| ").split(" | ") for table in tables for row in table.splitlines()]
    assert len(threats) > 60
    for threat, *_, tests in threats:
        assert re.fullmatch(r"`[^`]+`(, `[^`]+`)*", tests), threat
        for name in re.findall(r"`([^`]+)`", tests):
            file, _, function = name.partition("::")
            assert (ROOT / "tests" / file).is_file(), f"{threat}: there is no {file}"
            assert f"def {function}(" in (ROOT / "tests" / file).read_text() or not function, f"{threat}: {name}"


def test_readme_starts_with_the_two_commands() -> None:
    assert code_lines((ROOT / "README.md").read_text())[:2] == ["make demo", "make test"]


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_called_by_the_suffix_of_their_kind(path: Path) -> None:
    """The secret circuit is never called a commitment, nor the other way round."""
    kinds = {kind.suffix: kind.name for kind in KINDS.values()}
    for name, suffix in re.findall(r"([\w-]+)(\.zk\w+)\b", path.read_text()):
        assert suffix in kinds, f"{name}{suffix}"
        assert name not in ("circuit", "commitment", "proof", "rotation") or name == kinds[suffix], f"{name}{suffix}"
