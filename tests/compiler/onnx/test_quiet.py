"""Keeping other packages' messages from the terminal."""

import logging
import sys
import warnings

import pytest

from zkinfer.compiler.onnx.quiet import quiet


def test_warnings_and_messages_of_loggers_and_those_below_are_suppressed(caplog: pytest.LogCaptureFixture) -> None:
    with quiet("some"), warnings.catch_warnings(record=True) as caught:
        warnings.warn("soon another name", stacklevel=1)
        logging.getLogger("some").critical("a graph")
        logging.getLogger("some.part").error("a graph")
        logging.getLogger("other").error("ours")
    assert not caught
    assert caplog.messages == ["ours"]


def test_afterwards_all_is_as_before(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("some")
    logger.setLevel(logging.INFO)

    def fail() -> None:
        with quiet("some", printed=True):
            print("a graph")
            raise ValueError("within")

    with pytest.raises(ValueError, match="within"):
        fail()
    assert logger.level == logging.INFO
    print("ours")
    assert capfd.readouterr() == ("ours\n", "")


def test_what_is_printed_is_suppressed_where_it_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    for printed in (False, True):
        with quiet(printed=printed):
            print("out")
            print("err", file=sys.stderr)
    assert capfd.readouterr() == ("out\n", "err\n")
