"""What a notebook shows, without a notebook."""


class Displays:
    """IPython.display of a notebook: what is displayed, and what takes its place."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def display(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> "Displays":
        assert raw
        assert display_id
        self.shown.append(bundle)
        return self

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(bundle)

    @property
    def texts(self) -> list[str]:
        return [bundle["text/plain"] for bundle in self.shown]

    @property
    def turning(self) -> list[bool]:
        return ["animateTransform" in bundle["text/html"] for bundle in self.shown]
