"""A seeded source of field elements: random ones, and one in four at an edge of the range."""

import numpy as np

from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext


class Elements:
    """A seeded source of canonical elements."""

    EDGES = (0, 1, 2, P // 2, P // 2 + 1, P - 2, P - 1)

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def base(self, n: int) -> list[int]:
        values = self.rng.integers(0, P, n)
        mixed: list[int] = np.where(self.rng.integers(0, 4, n) == 0, self.rng.choice(self.EDGES, n), values).tolist()
        return mixed

    def ext(self, n: int) -> list[Ext]:
        return list(zip(self.base(n), self.base(n), self.base(n), strict=True))
