"""The page of all public names is that of the docstrings."""

import ast
from pathlib import Path

import pytest

pytest.importorskip("onnx")

import zkinfer
from zkinfer import errors
from zkinfer.cli.reference import _docstring, _signature, document

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == document(), "run python -m zkinfer.cli.reference > docs/api.md"


def test_every_public_function_class_and_error_is_there() -> None:
    text = PAGE.read_text()
    names = [name for name in vars(zkinfer)["__all__"] if name not in ("batch", "jobs", "Precision")]
    assert len(names) > 10
    assert [name for name in names if f"\n### {name}\n" not in text] == []
    assert all(f"| `{name}` |" in text for name in vars(errors) if name.endswith("Error") and name[0].isupper())


def example(
    first: int, /, second: "str | None" = None, *others: float, third_of_all: bool = False, **fourth: object
) -> dict[str, tuple[int, ...]]:
    """Does something.

    More of it,
    in two lines.

    Args:
        first: a number,
            of which more is said here.
        second, third_of_all: text: with a colon.

    Raises:
        ValueError: never.
    """
    raise ValueError(first, second, others, third_of_all, fourth)


def test_a_long_signature_has_a_line_for_each_parameter() -> None:
    text = _signature(example)
    assert text.splitlines() == [
        "example(",
        "    first: int,",
        "    second: 'str | None' = None,",
        "    *others: float,",
        "    third_of_all: bool = False,",
        "    **fourth: object,",
        ") -> dict[str, tuple[int, ...]]",
    ]
    assert ast.parse(f"def {text}: ...")


def test_sections_of_a_docstring_are_lists() -> None:
    assert _docstring(example).splitlines() == [
        *("Does something.", "", "More of it, in two lines.", ""),
        *("Args:", "", "* `first`: a number, of which more is said here."),
        *("* `second`, `third_of_all`: text: with a colon.", "", "Raises:", "", "* `ValueError`: never."),
    ]
