"""The registry: names, former names, and what it says to a name that nobody has."""

import pytest

from zkinfer import registry
from zkinfer.backend import Backend, all_backends, find_backend
from zkinfer.errors import InvalidInputError


@pytest.mark.parametrize("name", registry.BACKENDS)
def test_every_line_leads_to_a_backend_of_that_name(name: str) -> None:
    backend = find_backend(name)
    assert isinstance(backend, Backend)
    assert backend.name == name
    assert backend.engines[0] == "python"
    assert backend.verifying_key.__struct_config__.tag == registry.name_in_files(name)


def test_all_of_them_in_order() -> None:
    assert [backend.name for backend in all_backends()] == ["native", "ezkl"]


def test_the_name_in_files_is_accepted_and_becomes_the_public_one() -> None:
    assert find_backend("sumcheck") is find_backend("native")
    assert registry.public_name("sumcheck") == registry.public_name("native") == "native"
    assert registry.name_in_files("native") == "sumcheck"
    assert registry.public_name("ezkl") == registry.name_in_files("ezkl") == "ezkl"
    assert registry.public_name("unheard of") == "unheard of"


@pytest.mark.parametrize("name", ["", "groth16", "Native", "zkinfer.native.backend", "x" * 1000])
def test_a_name_that_nobody_has_is_answered_with_those_that_exist(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"there is no backend '.{0,20}'; choose one of: native, ezkl$"):
        find_backend(name)
