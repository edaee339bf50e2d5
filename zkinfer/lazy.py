"""Packages whose public names load on first use, so that nothing is imported that is not needed.

Each public name stands once: in an import of the stub `__init__.pyi` beside the package's `__init__.py`. Type checkers
and editors read the stub, and so does this module, for `__getattr__`, `__dir__` and `__all__`.
"""

import ast
import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

from zkinfer.errors import MissingDependencyError
from zkinfer.extras import install


def public_names(package: str) -> dict[str, tuple[str, str]]:
    """For each public name of a package the module that it comes from, and its name there.

    Args:
        package: a package with a stub.
    """
    stub = pkgutil.get_data(package, "__init__.pyi")
    assert stub is not None, f"{package} has no stub"
    return {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The functions `__getattr__` and `__dir__` of a package, and its `__all__`, from its stub."""
    names = public_names(package)

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, name_there = names[name]
        try:
            if home == package:  # one of its own modules
                return import_module(f"{home}.{name_there}")
            return getattr(import_module(home), name_there)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("zkinfer"):
                raise
            raise MissingDependencyError(
                f"{package}.{name} needs the package {error.name!r}: {install('prove')}"
            ) from error

    def list_names() -> list[str]:
        return sorted({*vars(import_module(package)), *names})

    return load, list_names, sorted(names)
