"""Sumcheck: reduces weighted sums of products of multilinear polynomials to evaluations of the polynomials.

`params` says what is summed, `channel` carries the messages (plain or padded), `verifier` and `slow` are plain Python
and need nothing of the prover; `prover` needs numba.
"""
