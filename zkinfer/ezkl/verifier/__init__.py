"""Checking ezkl proofs without ezkl."""
