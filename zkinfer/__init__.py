"""zkinfer: proofs that a published model, on this input, gave this output.

The public names, in `__init__.pyi`, load on first use, so that the verifier works where the prover's packages are not
installed.
"""

from zkinfer import lazy, moved

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy.attach(__name__)

moved.register()
