"""The example runs as it stands, and goes on where it was when it is run again."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def run(folder: Path) -> str:
    command = [sys.executable, "examples/batch_digits/run.py", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_batch_digits(tmp_path: Path) -> None:
    text = run(tmp_path)
    assert "1797 of 1797 digits proven" in text
    assert "verified: 1797 of 1797 digits" in text
    assert "python examples/batch_digits/run.py" in (ROOT / "examples" / "batch_digits" / "run.py").read_text()
