"""What all pictures share: SVG that loads nothing and runs nothing, for light screens, dark ones and paper.

A picture may stand in a file of its own or within a page, where its style is that of pictures alone. Text that comes
from a file's author is escaped, and shortened where it would not fit.
"""

import html
from collections.abc import Iterable, Iterator

COLORS = 6
"""Fills that can be told apart, also in grey: "fill0", "fill1" and so on."""

_STYLE = """
svg.zk { background: #fff; font: 12px system-ui, "DejaVu Sans", sans-serif; max-width: 100%; height: auto; }
.zk text { fill: #24282e; } .zk .soft { fill: #5b616a; } .zk .head { font-size: 14px; }
.zk .end { text-anchor: end; } .zk .middle { text-anchor: middle; }
.zk .box { fill: #f3f5f8; stroke: #8a8f98; } .zk .cost { fill: #d9731a; } .zk .bar { fill: #1f5fa8; }
.zk path, .zk line { stroke: #8a8f98; fill: none; } .zk .aim { stroke: #d9731a; stroke-width: 2; }
.zk .ring { stroke: #1f5fa8; fill: none; stroke-width: 2; } .zk path.mark { stroke: #d9731a; stroke-width: 1.5; }
.zk path.dots { stroke: #1f5fa8; stroke-width: 6; stroke-linecap: round; stroke-opacity: .7; }
.zk .grid { stroke: #8a8f98; stroke-opacity: .35; }
.zk .fill0 { fill: #12355f; } .zk .fill1 { fill: #d9731a; } .zk .fill2 { fill: #6f9fd8; }
.zk .fill3 { fill: #8c4a0e; } .zk .fill4 { fill: #a7adb6; } .zk .fill5 { fill: #f0c9a4; }
@media screen and (prefers-color-scheme: dark) {
  svg.zk { background: #16191d; } .zk text { fill: #e4e7eb; } .zk .soft { fill: #a3a9b3; } .zk .box { fill: #20252b; }
  .zk .bar { fill: #5b95d6; } .zk .ring, .zk path.dots { stroke: #5b95d6; } .zk .fill0 { fill: #3b78c4; }
  .zk .fill2 { fill: #a9cbf2; } .zk .fill3 { fill: #a8601f; } .zk .fill4 { fill: #6d747e; }
}
"""


def picture(title: str, width: int, height: int, content: Iterable[str]) -> Iterator[str]:
    """A picture, piece by piece.

    Args:
        title: what it shows, for who cannot see it.
        width, height: in pixels; a narrower page makes it smaller.
        content: its elements.
    """
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="zk" role="img" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">\n<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n'
    )
    yield from content
    yield "</svg>\n"


def text(x: float, y: float, words: str, *classes: str, most: int = 500) -> str:
    """A line of text whose foot is at `y`; at most so many characters of it."""
    name = f' class="{" ".join(classes)}"' if classes else ""
    return f'<text{name} x="{x:g}" y="{y:g}">{escaped(words, most)}</text>\n'


def rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A filled rectangle."""
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:g}"/>\n'


def line(x: float, top: float, foot: float, kind: str = "") -> str:
    """A vertical line."""
    name = f' class="{kind}"' if kind else ""
    return f'<line{name} x1="{x:.1f}" y1="{top:g}" x2="{x:.1f}" y2="{foot:g}"/>\n'


def escaped(words: str, most: int = 500) -> str:
    """Text with nothing in it that a browser or a reader's eye would obey."""
    shown = "".join(c if c.isprintable() else " " for c in words)
    return html.escape(shown if len(shown) <= most else f"{shown[: most - 3]}...")
