"""Where the repository's folders are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
CIRCUITS = ROOT / "circuits"
DOCS = ROOT / "docs"
EZKL_VECTORS = TESTS / "ezkl" / "verifier" / "data"
