"""Constants: uniform ones, lists of integers, and contents that are not finite."""

from fractions import Fraction

import numpy as np
import pytest

from zkinfer.compiler.lowering.activation import Constant
from zkinfer.errors import NotFiniteError


class TestConstant:
    def test_knows_whether_it_is_one_number(self) -> None:
        assert Constant("c", np.full((2, 3), 0.1, dtype=np.float32)).uniform == Fraction(float(np.float32(0.1)))
        assert Constant("c", np.array([1.0, 2.0])).uniform is None
        assert Constant("c", np.zeros((0,))).uniform is None

    def test_holds_integers_for_shapes(self) -> None:
        assert Constant("c", np.array([[2, -1]], dtype=np.int64)).integers == (2, -1)

    def test_refuses_what_is_not_finite_by_name(self) -> None:
        with pytest.raises(NotFiniteError, match="'c' holds NaN"):
            _ = Constant("c", np.array([1.0, np.nan])).reals
