"""Prints the parameters that the search chooses, and their security term by term.

python -m zkinfer.pcs CELLS [--groups N] [--proofs N] [--error-bits B]
"""

import argparse

from zkinfer import security
from zkinfer.pcs.search import DEFAULT_ERROR_BITS, search


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m zkinfer.pcs", description="Parameters of a matrix commitment.")
    parser.add_argument("cells", type=int, help="field elements to commit to")
    parser.add_argument("--groups", type=int, default=2, help="column points of an opening (default: %(default)s)")
    parser.add_argument("--proofs", type=int, default=1, help="openings to serve (default: %(default)s)")
    parser.add_argument("--error-bits", type=float, default=DEFAULT_ERROR_BITS, help="default: %(default)s")
    given = parser.parse_args(arguments)
    choice = search(given.cells, given.groups, proofs=given.proofs, error_bits=given.error_bits)
    parameters = choice.parameters
    code = parameters.code
    print(f"matrix      {choice.rows} rows of {code.columns} columns and {code.blinding} random symbols")
    print(f"codeword    {code.length} symbols, rate {code.dimension / code.length:.3f}")
    print(f"queries     {parameters.queries}")
    print(f"opening     {choice.proof_bytes / 1e6:.2f} MB")
    print()
    print(security.report(security.combine(security.opening(parameters, given.groups))))


if __name__ == "__main__":
    main()
