"""The field of the native protocol, and its arithmetic.

`params` names the field, `slow` is plain Python on integers, `encoding` the bytes. These are light enough for the
verifier. `fast` and what it is made of need numba: import them from provers only.
"""


def warmup() -> None:
    """Compiles every kernel of the field that this machine has not compiled yet, and loads them all.

    The first time on a machine this takes about half a minute; later processes find the code on disk (see
    `compiling`) and are ready in a second or two. Without it, each kernel is compiled when it is first called.
    Needs numba.
    """
    from zkinfer.protocol.field.kernels.warm import call_everything

    call_everything()
