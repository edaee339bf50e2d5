"""What the compiler says before it reads a model."""

import pytest

import zkinfer as zk
from zkinfer.errors import InvalidInputError


def test_a_model_without_calibration_data_is_refused_with_what_to_hand_in() -> None:
    with pytest.raises(
        InvalidInputError, match=r"needs calibration data: typical inputs.*samples along its first axis"
    ):
        zk.compile("model.onnx", None)
