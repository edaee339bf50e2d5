"""Merkle trees over salted columns."""
