"""Integer programs of three primitives, `Einsum`, `View` and `Lookup`, and what they compute, exactly."""
