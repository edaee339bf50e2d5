"""Keeping what other packages tell their own developers from the user's terminal."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def quiet(*loggers: str, printed: bool = False) -> Iterator[None]:
    """Suppress warnings, and the messages of loggers and those below them.

    Args:
        loggers: their names.
        printed: whether to suppress also what is printed, such as the graphs that torch prints where it fails.
    """
    found = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in found]
    sink = io.StringIO()
    try:
        for logger in found:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if printed:
                with redirect_stdout(sink), redirect_stderr(sink):
                    yield
            else:
                yield
    finally:
        for logger, level in zip(found, levels, strict=True):
            logger.setLevel(level)
