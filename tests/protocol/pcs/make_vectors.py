"""Writes vectors.json anew: openings by the plain prover, and changes that make them invalid.

    python tests/protocol/pcs/make_vectors.py

Run it when the protocol changes, from the repository's root with `tests` on the path, and say so in its version.
"""

import json
import random
from pathlib import Path
from typing import Any

from support.opening_prover import PlainProver, Statement, exts

from zkinfer.protocol.pcs.params import Code, OpeningParameters

PATH = Path(__file__).with_name("vectors.json")

SHAPES = (
    (OpeningParameters(Code(2, 6, 5), 6, 2, 1), (2,), (1,)),
    (OpeningParameters(Code(1, 9, 6), 8, 0, 3), (1, 2), (2, 1)),
    (OpeningParameters(Code(3, 5, 5), 5, 3, 0), (3, 0), (1, 2)),
)


def vector(number: int) -> dict[str, Any]:
    parameters, rows, claims = SHAPES[number]
    prover = PlainProver(Statement.random(number, rows, claims, parameters), number)
    opening = prover.open()
    rng = random.Random(number)
    code = parameters.code
    return {
        "log_columns": code.log_columns,
        "blinding": code.blinding,
        "log_length": code.log_length,
        "queries": parameters.queries,
        "query_grinding": parameters.query_grinding,
        "weight_grinding": parameters.weight_grinding,
        "commitments": [{"root": c.root.hex(), "rows": c.rows, "masks": c.masks} for c in prover.commitments],
        "groups": [
            {
                "column_point": group.column_point,
                "claims": [{"rows": exts(claim.rows), "value": claim.value.constant} for claim in group.claims],
            }
            for group in prover.groups
        ],
        "opening": opening.hex(),
        "invalid_when_flipped": sorted(rng.sample(range(8 * len(opening)), 40)),
        "invalid_when_cut_to": [0, 1, len(opening) // 2, len(opening) - 1],
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps([vector(number) for number in range(len(SHAPES))], indent=1) + "\n")
