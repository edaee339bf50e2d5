"""Batch jobs: proofs of any number of stored inferences, in the order of their inputs, that survive any crash."""
