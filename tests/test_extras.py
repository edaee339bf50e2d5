"""Missing optional packages: an error that names the extra, and no other error is hidden by it."""

import sys

import pytest

from zkinfer.errors import MissingDependencyError, VerifierNotInstalledError
from zkinfer.extras import optional_package, requiring


def test_a_missing_package_names_the_extra_of_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py_ecc", None)
    with (
        pytest.raises(MissingDependencyError, match=r"the part needs py_ecc, .* pip install 'zkinfer\[ezkl\]'"),
        requiring("the part", "ezkl"),
    ):
        import py_ecc  # noqa: F401


def test_the_class_of_the_error_is_the_callers_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py_ecc.fields", None)
    with pytest.raises(VerifierNotInstalledError), requiring("a verifier", "ezkl-verifier", VerifierNotInstalledError):
        import py_ecc.fields  # noqa: F401


@pytest.mark.parametrize("name", ["zkinfer.nowhere", "json.nowhere", None])
def test_what_is_no_option_of_zkinfer_stays_as_it_is(name: str | None) -> None:
    error = ModuleNotFoundError("missing", name=name)
    assert optional_package(error) is None
    with pytest.raises(ModuleNotFoundError), requiring("the part", "prove"):
        raise error


def test_where_nothing_is_missing_nothing_happens() -> None:
    with requiring("the part", "prove"):
        pass
