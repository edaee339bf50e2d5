"""The proof that committed pads satisfy the constraints of padded messages."""
