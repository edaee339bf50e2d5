"""Optional packages: which extra of zkinfer installs each, and the error that says so where one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from zkinfer.errors import MissingDependencyError

EXTRAS = {
    "ezkl": "ezkl",
    "fsspec": "stores",
    "google": "prove",
    "llvmlite": "prove",
    "matplotlib": "prove",
    "mpmath": "prove",
    "numba": "prove",
    "onnx": "prove",
    "onnx_ir": "prove",
    "onnxmltools": "boosting",
    "onnxruntime": "prove",
    "onnxscript": "prove",
    "psutil": "prove",
    "py_ecc": "ezkl-verifier",
    "pyarrow": "parquet",
    "ray": "ray",
    "rich": "cli",
    "skl2onnx": "sklearn",
    "sklearn": "sklearn",
    "torch": "torch",
    "typer": "cli",
}
"""Packages that the base install lacks, by the name that they are imported under."""


def install(extra: str) -> str:
    """What to type for an extra, also where zkinfer is not installed from a package index."""
    return f"pip install 'zkinfer[{extra}]', or '.[{extra}]' in a clone of the repository"


def optional_package(error: ModuleNotFoundError) -> str | None:
    """The optional package that an import failed for; None where the missing module is not an option of zkinfer."""
    package = (error.name or "").partition(".")[0]
    return package if package in EXTRAS else None


@contextmanager
def requiring(what: str, extra: str, error: type[MissingDependencyError] = MissingDependencyError) -> Iterator[None]:
    """For the imports of an optional part: where an optional package is missing, say which extra installs the part.

    Args:
        what: the part, as the subject of a sentence ("the native backend").
        extra: what installs all that the part needs.
        error: the class of the error.

    Raises:
        MissingDependencyError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as failure:
        package = optional_package(failure)
        if package is None:
            raise
        raise error(f"{what} needs {package}, which is not installed: {install(extra)}") from failure
