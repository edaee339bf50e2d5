"""Audits without proofs: samples, logs run again, commitments recomputed."""
