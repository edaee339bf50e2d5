"""Provers. Each takes a circuit's program and weights and knows nothing of where they came from."""
