"""The reference verifier of native proofs: the text of docs/protocol as executable Python, a module for each section.

It is the only independent second implementation of the protocol. It shares with `zkinfer.verifier.native` the
transcript, the field in plain integers, the program and the structures of the files, and nothing else. It writes every
weight of every linear claim out, which takes tens of microseconds for each element of each value, and is easy to check.
It accepts a proof if and only if the fast verifier does.

| section | module |
|---|---|
| field: elements, bytes | `elements` |
| transcript and commitment: 2 opening, 6 copies, 7 rotation | `merkle`, `openings`, `copies`, `rotation` |
| sumcheck and lookups: 1 channel, 2 sumcheck | `channel`, `sumcheck` |
| sumcheck and lookups: 3 lookups, 4 proof about the pads | `lookups`, `pads` |
| reduction: 2 plan, 3 functionals and claims | `plan`, `intervals`, `weights`, `claims` |
| reduction: 4 lookups and outputs, 5 claims on values | `first_claims`, `value_claims` and `contraction` |
| reduction: 6 claims on committed tensors | `committed_claims` |
| reduction: 12 the proof about weights | `weight_ranges` |
| reduction: 1, 7 and 9 the whole proof | `proof` |

`verify_sumcheck`, `verify_lookups`, `verify_opening`, `verify_rotation` and `verify_pads` can be called by themselves.
"""

from zkinfer.verifier.reference.channel import AffineForm, Channel
from zkinfer.verifier.reference.lookups import Lookups, explicit_table, piecewise_table, range_table, verify_lookups
from zkinfer.verifier.reference.openings import ClaimGroup, MatrixRoot, OpeningSizes, RowClaim, verify_opening
from zkinfer.verifier.reference.pads import PadSizes, verify_pads
from zkinfer.verifier.reference.plan import Plan
from zkinfer.verifier.reference.proof import check, check_ranges, decode, verify_proof
from zkinfer.verifier.reference.rotation import verify_rotation
from zkinfer.verifier.reference.sumcheck import Summand, verify_sumcheck

__all__ = [
    "AffineForm",
    "Channel",
    "ClaimGroup",
    "Lookups",
    "MatrixRoot",
    "OpeningSizes",
    "PadSizes",
    "Plan",
    "RowClaim",
    "Summand",
    "check",
    "check_ranges",
    "decode",
    "explicit_table",
    "piecewise_table",
    "range_table",
    "verify_lookups",
    "verify_opening",
    "verify_pads",
    "verify_proof",
    "verify_rotation",
    "verify_sumcheck",
]
