"""The demonstration: one real digit, proven and checked by a stranger, and forgeries refused."""

from zkinfer.demo.story import run_demo

__all__ = ["run_demo"]
