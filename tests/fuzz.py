"""Property tests on new examples, round after round, until the time is spent or one fails: `make fuzz`.

Every round has a seed, which is printed and determines all of its examples.
"""

import argparse
import secrets
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run_round(seed: int, selected: list[str]) -> int:
    """One pass over the property tests; returns pytest's exit code."""
    options = ["-m", "hypothesis", "--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}"]
    return subprocess.run([sys.executable, "-m", "pytest", *options, *selected], cwd=ROOT, check=False).returncode


def main(arguments: list[str]) -> int:
    """Returns 0 where nothing was found, and pytest's exit code otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="no round starts later than this")
    parser.add_argument("--seed", type=int, help="one round with this seed")
    parser.add_argument("tests", nargs="*", help="files or tests, as for pytest; all by default")
    given = parser.parse_args(arguments)
    end, rounds = time.monotonic() + 60 * given.minutes, 0
    while rounds == 0 or (given.seed is None and time.monotonic() < end):
        seed = secrets.randbelow(1 << 32) if given.seed is None else given.seed
        print(f"round {rounds + 1}: seed {seed}", flush=True)
        if code := run_round(seed, given.tests):
            print(
                f"The seed gives the same examples again: make fuzz SEED={seed}\n"
                "To keep what was found: put the falsifying example that is printed above on its test as\n"
                "@example(...), beside @given, and correct the code or the test. `make test` then tries it every time."
            )
            return code
        rounds += 1
    print(f"nothing found in {rounds} {'round' if rounds == 1 else 'rounds'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
