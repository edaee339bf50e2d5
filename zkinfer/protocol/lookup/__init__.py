"""Lookups: every entry of the stacked vectors is a row of its table (LogUp-GKR, Papini and Haboeck 2023).

`tables` and `params` say what is looked up where, `verifier` and `slow` are plain Python and need nothing of the
prover; `prover` needs numba.
"""
