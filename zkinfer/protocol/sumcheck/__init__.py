"""Sumcheck: reduces weighted sums of products of multilinear polynomials to evaluations of the polynomials.

`params` says what is summed, `protocol` is the text of both sides, `witness` is what a prover adds to it; these need
nothing of the prover's packages. `prover` makes the witness with numba.
"""
