"""Counts in messages and tables."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number of things, with separators: "1 byte", "341,127 bytes".

    Args:
        noun: of one.
        plural: of any other number; by default the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
