"""A whole job where neither the package's folder nor a home can be written, as in a container: `make test-read-only`.

Its kernels are compiled into a private folder, which takes half a minute, so it is not a part of the test suite.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from support.paths import CIRCUITS
from support.read_only import read_only_copy, run_there


def main() -> int:
    """Returns 0 where every command does what it does elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        work, temporary = Path(folder) / "work", Path(folder) / "tmp"
        for made in (work, temporary):
            made.mkdir()
        place = read_only_copy(Path(folder) / "package")
        shutil.copy(CIRCUITS / "digits-mlp" / "model.onnx", work)
        shutil.copy(CIRCUITS / "digits-mlp" / "calibration.npy", work / "x.npy")
        circuit, keys, job, published = (work / name for name in ("circuit", "keys", "job", "model.zkc"))
        for command in (
            ("compile", work / "model.onnx", "--calibration", work / "x.npy", "-o", circuit),
            ("setup", circuit, "-o", keys, "--proofs", "4", "--publish", published),
            ("batch", "run", job, "--keys", keys, "--inputs", work / "x.npy", "--workers", "1", "--circuit", circuit),
            ("batch", "verify", job, published, "--inputs", work / "x.npy"),
        ):
            done = run_there(place, temporary, "-m", "zkinfer", *command)
            print(done.stdout, done.stderr, sep="", end="", flush=True)
            if done.returncode or "Traceback" in done.stderr:
                print(f"zkinfer {command[0]} ended with code {done.returncode}", file=sys.stderr)
                return 1
        return 0


if __name__ == "__main__":
    sys.exit(main())
