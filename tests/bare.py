"""What a base install takes and can do, in an environment of its own: `make test-bare`, which makes one and names it.

Its size is measured, without pip and setuptools. It verifies a proof that this environment makes, refuses one that was
changed, and says of other commands what to install. Installing takes the network, so it is not a part of the test
suite.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from support.paths import CIRCUITS

from zkinfer.extras import EXTRAS

MAX_BYTES = 100_000_000
"""Of the disk, for what a verifier installs."""

INSTALLERS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")
"""What a new environment has before anything is installed, by the beginnings of names."""

INSTALLED = f"from importlib.util import find_spec; print(*(n for n in {list(EXTRAS)} if find_spec(n)))"


def sizes(environment: Path) -> dict[str, int]:
    """Bytes on the disk of each package of an environment, compiled files of Python included."""
    found: dict[str, int] = {}
    for place in environment.glob("lib/python*/site-packages/*"):
        if not place.name.startswith(INSTALLERS):
            name = place.name.partition("-")[0].removesuffix(".libs")
            files = [place, *place.rglob("*")]
            found[name] = found.get(name, 0) + sum(512 * file.lstat().st_blocks for file in files)
    return found


def proven(work: Path) -> None:
    """Make a commitment, the inputs and a proof in a folder, with this environment.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    shutil.copy(CIRCUITS / "digits-mlp" / "model.onnx", work)
    shutil.copy(CIRCUITS / "digits-mlp" / "calibration.npy", work)
    np.save(work / "x.npy", np.load(work / "calibration.npy")[:1])
    for command in (
        ("compile", "model.onnx", "--calibration", "calibration.npy", "-o", "model.zkcircuit"),
        ("setup", "model.zkcircuit", "-o", "keys", "--proofs", "4", "--publish", "model.zkc"),
        ("prove", "keys", "x.npy", "-o", "proof.zkp"),
    ):
        subprocess.run([sys.executable, "-m", "zkinfer", *command], cwd=work, check=True)
    changed = bytearray((work / "proof.zkp").read_bytes())
    changed[len(changed) // 2] ^= 1
    (work / "changed.zkp").write_bytes(changed)


def main() -> int:
    """Returns 0 where the base install does what it should."""
    bare = Path(sys.argv[1]).absolute()
    found = sizes(bare.parent.parent)
    taken = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sorted(found.items(), key=lambda item: -item[1]))
    print(f"the base install takes {sum(found.values()) / 1e6:.1f} MB: {taken}")
    if sum(found.values()) > MAX_BYTES:
        print(f"that is more than {MAX_BYTES / 1e6:.0f} MB", file=sys.stderr)
        return 1
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        proven(work)

        def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
            done = subprocess.run([bare, *arguments], cwd=work, env=own, capture_output=True, text=True)
            print(done.stdout, done.stderr, sep="", end="", flush=True)
            return done

        listed = ask("-c", INSTALLED)
        if listed.returncode or listed.stdout.split():
            print("the base install has optional packages, or does not run", file=sys.stderr)
            return 1
        for proof, code, said in (("proof.zkp", 0, "VALID"), ("changed.zkp", 1, "")):
            done = ask("-m", "zkinfer", "verify", proof, "model.zkc", "--inputs", "x.npy")
            if done.returncode != code or said not in done.stdout or "Traceback" in done.stderr:
                print(f"verifying {proof} ended with code {done.returncode}, not {code}", file=sys.stderr)
                return 1
        for command in ("compile", "setup", "prove", "inspect", "batch"):
            done = ask("-m", "zkinfer", command, "proof.zkp")
            if not done.returncode or "pip install 'zkinfer[" not in done.stderr or "Traceback" in done.stderr:
                print(f"zkinfer {command} does not say what to install", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
