"""The array types of the whole package, in one place."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""Numbers of any dtype; the docstring that uses it says of which."""

IntArray: TypeAlias = npt.NDArray[np.int64]
"""Integers of a program, or canonical field elements in [0, P)."""

FloatArray: TypeAlias = npt.NDArray[np.float64]
"""Real numbers."""

Floats: TypeAlias = npt.NDArray[np.float64]
"""Field elements as balanced integers in float64, see `zkinfer.protocol.field.kernels.arrays`."""

BoolArray: TypeAlias = npt.NDArray[np.bool_]

ByteArray: TypeAlias = npt.NDArray[np.uint8]
