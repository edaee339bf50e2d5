"""The field of the native protocol, and its arithmetic.

`params` names the field, `slow` is plain Python on integers, `encoding` the bytes. These are light enough for the
verifier. `fast` and what it is made of need numba: import them from provers only.
"""
