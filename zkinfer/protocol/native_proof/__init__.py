"""The whole native proof: its bytes, the protocol of both sides, and its shape, which is known before it is made."""
