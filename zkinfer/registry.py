"""Which backends there are. A new one needs its own folder and one line here.

Backends are named by strings, so that nothing of a backend is imported before it is asked for, and so that the modules
below it (the files) can find the part that they need.
"""

from importlib import import_module
from typing import Any

from zkinfer.errors import InvalidInputError

BACKENDS = {
    "native": "zkinfer.native.backend",
    "ezkl": "zkinfer.ezkl.backend",
}
"""The name of each backend, and the module whose `BACKEND` is its `zkinfer.backend.Backend`. Such a module is light: a
base install can import it."""

NAMES_IN_FILES = {"native": "sumcheck"}
"""Backends that files name differently: their formats are older than the names. Callers may use these names too."""


def public_name(name: str) -> str:
    """The name of a backend that a file or a caller names in either way; a name that nobody knows stays as it is."""
    return next((public for public, in_files in NAMES_IN_FILES.items() if in_files == name), name)


def name_in_files(name: str) -> str:
    """How files name a backend."""
    return NAMES_IN_FILES.get(name, name)


def find(name: str) -> Any:
    """A backend by either of its names; `zkinfer.backend.find_backend` gives it with its type.

    Raises:
        InvalidInputError: there is none of that name; the message lists those that there are.
    """
    module = BACKENDS.get(public_name(name)) if isinstance(name, str) else None
    if module is None:
        raise InvalidInputError(f"there is no backend {str(name)[:20]!a}; choose one of: {', '.join(BACKENDS)}")
    return import_module(module).BACKEND
