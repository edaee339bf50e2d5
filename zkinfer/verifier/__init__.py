"""Checking proofs: what a third party installs and trusts, and nothing else.

Needs numpy, blake3, msgspec and py_ecc; imports nothing of the prover.
"""
