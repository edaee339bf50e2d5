"""Writes tests/verifier/vectors anew: whole proofs and an opening, step by step, and changes that are refused.

    python tests/verifier/make_vectors.py

Run it when the protocol changes, from the repository's root with `tests` on the path. docs/protocol/vectors.md says
what is in the files.
"""

import base64
from functools import partial

from support import level_vectors
from support.proof_vectors import (
    CASES,
    FOLDER,
    LIES,
    described,
    described_files,
    files,
    find_lies,
    primitives,
    refusal,
    refusals,
    spread,
    write,
)

if __name__ == "__main__":
    write("primitives", primitives())
    for name in CASES:
        content = described(name)
        data = base64.b64decode(content["proof"])
        content["flips"] = refusals(data, spread(data), partial(refusal, name))
        if name in LIES:
            content["lies"] = find_lies(name)
        write(name, content)
    commitment, proof = files()
    (FOLDER / "gemm.zkc").write_bytes(commitment)
    (FOLDER / "gemm.zkp").write_bytes(proof)
    write("files", described_files(commitment, proof))
    write("levels", level_vectors.described() | level_vectors.refused())
