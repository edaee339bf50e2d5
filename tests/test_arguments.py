"""Arguments of public functions: the types that mean the same are taken, others are refused with a sentence."""

from pathlib import Path

import numpy as np
import pytest

from zkinfer.arguments import as_path, whole_number
from zkinfer.errors import InvalidInputError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_whole_numbers_of_any_integer_type(value: object) -> None:
    found = whole_number("the batch size", value)
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize("value", [0, -1, True, np.True_, 2.0, np.float64(2), "2", None, [2], np.array([2, 3])])
def test_nothing_else_is_a_whole_number(value: object) -> None:
    with pytest.raises(InvalidInputError, match="the batch size is a whole number from 1 on, got"):
        whole_number("the batch size", value)


def test_the_least_number_is_taken() -> None:
    assert whole_number("n", 0, least=0) == 0
    with pytest.raises(InvalidInputError, match="from 0 on"):
        whole_number("n", -1, least=0)


@pytest.mark.parametrize("value", ["keys", b"keys", Path("keys")])
def test_paths(value: object) -> None:
    assert as_path("folder", value) == Path("keys")


@pytest.mark.parametrize("value", [5, None, ["keys"], object()])
def test_nothing_else_is_a_path(value: object) -> None:
    with pytest.raises(InvalidInputError, match="folder is a path"):
        as_path("folder", value)


def test_a_zero_byte_is_in_no_path() -> None:
    with pytest.raises(InvalidInputError, match="zero byte"):
        as_path("folder", "a\0b")
