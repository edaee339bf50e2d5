"""What all pictures share: well-formed, and text stays text."""

import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from zkinfer.pictures.svg import COLORS, escaped, picture, rect, text

SVG = "{http://www.w3.org/2000/svg}"


@given(words=st.text())
def test_any_text_is_text(words: str) -> None:
    """A NUL or another control character would make the file unreadable, a mark of direction would mislead."""
    root = ElementTree.fromstring("".join(picture(words, 10, 10, [text(1, 2, words, "soft")])))
    (shown,) = root.findall(f"{SVG}text")
    assert "".join(root.itertext()).isprintable() or "\n" in "".join(root.itertext())
    assert (shown.text or "") == "".join(c if c.isprintable() else " " for c in words)


def test_long_text_is_shortened() -> None:
    assert escaped("x" * 11, 10) == "x" * 7 + "..."


def test_every_fill_has_a_colour_and_styles_are_of_pictures_alone() -> None:
    svg = "".join(picture("", 1, 1, [rect(0, 0, 1, 1, "fill0")]))
    style = ElementTree.fromstring(svg).findtext(f"{SVG}style") or ""
    assert all(f".zk .fill{number} {{" in style for number in range(COLORS))
    assert "prefers-color-scheme: dark" in style
    assert all(line.lstrip().startswith(("svg.zk", ".zk", "@media", "}")) for line in style.strip().splitlines())
