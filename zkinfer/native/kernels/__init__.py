"""Kernels of the native prover's witness."""
