"""How messages write a number of things."""

import re

import pytest
from support.paths import ROOT

from zkinfer.counts import counted


@pytest.mark.parametrize(
    ("count", "nouns", "text"),
    [
        (0, ("byte",), "0 bytes"),
        (1, ("byte",), "1 byte"),
        (2, ("copy", "copies"), "2 copies"),
        (1, ("copy", "copies"), "1 copy"),
        (341127, ("byte",), "341,127 bytes"),
    ],
)
def test_a_number_of_things(count: int, nouns: tuple[str, ...], text: str) -> None:
    assert counted(count, *nouns) == text


def test_no_message_writes_a_size_without_separators() -> None:
    """A size in bytes that is not a constant of the code is `counted`."""
    bare = re.compile(r"\{(?![A-Z_]+\}|counted)[^{}:]+\} bytes\b")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "zkinfer").rglob("*.py")
        for line in path.read_text().splitlines()
        if bare.search(line) and 'f"' in line
    ]
    assert found == []
