"""Packages whose names load on first use: the stub is the only list of them."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zkinfer
from zkinfer.errors import MissingDependencyError
from zkinfer.lazy import public_names

PACKAGE = Path(zkinfer.__file__).parent
LAZY = [
    ".".join(("zkinfer", *stub.parent.relative_to(PACKAGE).parts)) for stub in sorted(PACKAGE.rglob("__init__.pyi"))
]

PUBLISHED = {
    "zkinfer": (
        "AuditReport Circuit Commitment Keys Precision Proof Rotation VerifiedInference audit audit_keys audit_weights "
        "batch compile estimate export prove rotate setup verify"
    ),
    "zkinfer.jobs": (
        "Manifest Outcome Progress Status VerifiedItem VerifiedJob VerifiedSample commit_sample prove_sample resume "
        "run status verify_item_folder verify_job verify_sample write_item_folder write_report"
    ),
}
"""What version 0.1.0 was published with."""


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package of two modules, one of which needs a package that is not installed."""
    folder = tmp_path / "lazy_example"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from zkinfer import lazy\n\n__getattr__, __dir__, __all__ = lazy.attach(__name__)\n"
    )
    (folder / "__init__.pyi").write_text(
        "from lazy_example import rooms as chambers\n"
        "from lazy_example.rooms import door as door\n"
        "from lazy_example.rooms import none as none\n"
        "from lazy_example.cellar import wine as wine\n"
    )
    (folder / "rooms.py").write_text("door = object()\n")
    (folder / "cellar.py").write_text("import no_such_package\nwine = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "lazy_example"
    for name in [name for name in sys.modules if name.startswith("lazy_example")]:
        del sys.modules[name]


def test_names_load_on_first_use(example: str) -> None:
    package = importlib.import_module(example)
    assert "lazy_example.rooms" not in sys.modules
    assert package.__all__ == ["chambers", "door", "none", "wine"]
    assert {*package.__all__, "__name__"} <= {*dir(package)}
    assert "lazy_example.rooms" not in sys.modules
    assert package.door is package.chambers.door
    assert package.chambers is sys.modules["lazy_example.rooms"]


def test_other_names_are_not_there(example: str) -> None:
    package = importlib.import_module(example)
    with pytest.raises(AttributeError, match="module 'lazy_example' has no attribute 'window'"):
        _ = package.window
    with pytest.raises(AttributeError, match="none"):  # in the stub, and not in its module
        _ = package.none


def test_a_package_that_is_missing_is_named_with_what_installs_it(example: str) -> None:
    with pytest.raises(MissingDependencyError, match=r"lazy_example\.wine needs the package 'no_such_package': pip"):
        _ = importlib.import_module(example).wine


@pytest.mark.parametrize("package", LAZY)
def test_every_name_of_a_stub_is_what_the_package_gives(package: str) -> None:
    """So that type checkers see what is there, and what comes from a module is not hidden by one of its name."""
    loaded = importlib.import_module(package)
    for name, (home, there) in public_names(package).items():
        own_module = importlib.import_module(f"{home}.{there}") if home == package else None
        value = getattr(loaded, name)
        assert value is (own_module or getattr(importlib.import_module(home), there))
        assert getattr(loaded, name) is value, f"a module takes the place of {package}.{name}"
        assert name in loaded.__all__
        assert name in dir(loaded)


@pytest.mark.parametrize("package", LAZY)
def test_no_published_name_is_lost(package: str) -> None:
    assert {*PUBLISHED[package].split()} <= {*public_names(package)}


def test_importing_zkinfer_imports_nothing_from_outside() -> None:
    code = "import sys, zkinfer; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-S", "-c", code]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert {*found.stdout.split()} <= {*sys.stdlib_module_names, "__main__", "zkinfer"}
