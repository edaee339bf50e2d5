"""Lookups: every entry of the stacked vectors is a row of its table (LogUp-GKR, Papini and Haboeck 2023).

`tables` and `params` say what is looked up where, `protocol` is the text of both sides, `witness` is what a prover adds
to it; these need nothing of the prover's packages. `prover` and `trees` make the witness with numba.
"""
