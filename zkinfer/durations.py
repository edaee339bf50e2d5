"""Durations for people."""


def duration(seconds: float) -> str:
    """Three digits and a fitting unit: "1.34 ms", "12.5 s", "3.2 min"."""
    for limit, unit, name in ((1e-3, 1e-6, "us"), (1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 3600:.3g} h"
