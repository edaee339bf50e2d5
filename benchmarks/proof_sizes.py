"""What the price of a byte does to proofs of one inference, as they are estimated: nothing is proven.

    python benchmarks/proof_sizes.py [--prices NS ...] [--markdown FILE]

A cell is the bytes of a proof, without outputs, and its processor time. `zkinfer/native/proof_sizes.py` has the prices
that are used. Of GPT-2 small's shape there are the bytes of both openings alone, of as many cells as its program has:
compiling it takes many minutes.
"""

import argparse
from pathlib import Path
from unittest import mock

from budgets import digits
from measure import markdown_table, provenance
from wide import program

from zkinfer.circuit.program import Program, Tensor
from zkinfer.native.cost import argument_bytes, count, seconds
from zkinfer.native.proof_sizes import COSTS
from zkinfer.native.prove import header_for, own_parameters
from zkinfer.native.setup import COLUMN_POINTS, key_sizes
from zkinfer.protocol.native_proof.shape import shape_of
from zkinfer.protocol.pcs.params import symbols_of
from zkinfer.protocol.pcs.search import Cost
from zkinfer.protocol.pcs.sizes import expected_opening_bytes
from zkinfer.protocol.reduction.layout import weight_rows
from zkinfer.protocol.reduction.plan import make_plan

GPT2_WEIGHTS, GPT2_OTHERS, GPT2_PROOFS = (768, 160_938), 6_800_000, 16
"""Of GPT-2 small's shape with 32 positions: so many weights, about so many other cells, and the budget of the keys."""


def of_program(made: Program, proofs: int) -> str:
    """A proof of one run."""
    plan, sizes, header = make_plan(made, 1), key_sizes(made, proofs, "small"), header_for(make_plan(made, 1), "small")
    shape = shape_of(plan, sizes.opening.code, header, sizes.log_copies)
    arguments = plan, shape, header, sizes.opening, sizes.symbols
    return f"{argument_bytes(*arguments) / 1e3:,.0f} kB, {1e3 * seconds(count(*arguments)):,.0f} ms"


def of_gpt2() -> str:
    """Both openings."""
    weights = Program(1, (), (Tensor("weights", GPT2_WEIGHTS, 0, -(1 << 15), 1 << 15),), (), (), (0,))
    keys, own = key_sizes(weights, GPT2_PROOFS, "small").opening, own_parameters(GPT2_OTHERS, "small")
    masks = symbols_of(0, COLUMN_POINTS + 1)
    first = expected_opening_bytes(keys, [weight_rows(weights, keys.code.log_columns), masks], COLUMN_POINTS)
    second = expected_opening_bytes(own, [-(-GPT2_OTHERS >> own.code.log_columns) + masks], 1)
    return f"{first / 1e3:,.0f} + {second / 1e3:,.0f} kB"


def rows(prices: list[float]) -> list[list[str]]:
    """A row for each network and budget."""
    cases = [(f"{name}, 8 bits", 1000, digits(name, 8)[0].program) for name in ("digits-mlp", "digits-cnn")]
    for width in (1024, 4096, 8192):
        made = program(width)
        cases += [(f"block of width {width:,}, 8 bits", proofs, made) for proofs in (100, 2000)]
    found = [[name, f"{proofs:,}"] for name, proofs, _ in cases]
    found.append(["GPT-2's shape, 32 positions, openings alone", f"{GPT2_PROOFS}"])
    for price in prices:
        key_sizes.cache_clear()
        header_for.cache_clear()
        with mock.patch.dict(COSTS, small=Cost(proof_byte=price)):
            for row, (_, proofs, made) in zip(found, cases, strict=False):
                row.append(of_program(made, proofs))
            found[-1].append(of_gpt2())
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prices", type=float, nargs="+", default=[350, 1000, 4000, 8000, 16000], metavar="NS")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    header = ["network", "keys for", *(f"{price:,.0f} ns" for price in arguments.prices)]
    text = markdown_table(header, rows(arguments.prices))
    print(provenance("python benchmarks/proof_sizes.py"))
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
