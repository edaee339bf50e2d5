"""Random programs of odd shapes, each proven and verified: `make complete`, or with PROGRAMS=5000.

Axes of 1 to 100 places, long ones of 2^14 + 1 to 2^17, recurrences of 1 to 50 steps. A seed determines a program and
all that is done with it.
"""

import argparse
import sys

from support.shaped_cases import complete


def main(arguments: list[str]) -> int:
    """Returns 0 where all proofs are accepted, and fails with the first that is not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    given = parser.parse_args(arguments)
    for seed in range(given.seed, given.seed + given.programs):
        print(f"seed {seed}: ", end="", flush=True)
        print(complete(seed), flush=True)
    print(f"{given.programs} programs were proven and verified")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
