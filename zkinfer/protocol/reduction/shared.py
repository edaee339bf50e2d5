"""What equal nodes of a program share: functions of functionals, computed once in a reduction.

A network has many nodes of one kind, such as layers and heads, and the claims of a sumcheck end at one point. So most
functionals have the weights of another one up to a scale, and what follows from them is the same up to that scale:
`Shared.form` finds one functional for all of these, and `Shared.of` computes a function of it once.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from blake3 import blake3

from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.field.scalar import ZERO, Ext, ext_inv, ext_mul
from zkinfer.protocol.reduction.functional import Functional, is_zero, merged, scaled
from zkinfer.typing import IntArray

MAX_ENTRIES = 1 << 21
"""Entries of weights that are kept, of 24 bytes each; rather than to keep more, all are forgotten."""

BESIDE = 80
"""What is kept of a function, or the name of a factor, takes about as much memory as so many numbers beside its own."""

MAX_HASHED = 1 << 16
"""Factors of more entries are alike only if they are one array: they are rarely met again, and take long to hash."""

T = TypeVar("T")


class Shared:
    """Forms of functionals, and results of functions of them."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._size = 0
        self._arrays: dict[int, tuple[IntArray, Hashable]] = {}
        self._products: dict[int, tuple[tuple[IntArray, ...], Functional]] = {}
        self._forms: dict[tuple[Hashable, ...], Functional] = {}
        self._results: dict[tuple[Hashable, ...], Any] = {}

    def form(self, functional: Functional) -> Functional:
        """The functional without its scale: one object for all whose factors have the same entries."""
        factors = functional.factors
        known = self._products.get(id(factors))
        if known is not None:
            return known[1]
        names = (functional.shape, *map(self.name, factors))
        found = self._forms.get(names)
        if found is None:
            found = Functional(functional.shape, factors)
        if None not in names:
            self._forms[names] = found
            self._products[id(factors)] = factors, found
        return found

    def name(self, factor: IntArray) -> Hashable:
        """What factors with the same entries have in common; None for one too large to be kept."""
        known = self._arrays.get(id(factor))
        if known is not None:
            return known[1]
        if not self._keeps(factor.size):
            return None
        name: Hashable = id(factor)
        if factor.size <= DEGREE * MAX_HASHED:
            name = factor.shape, blake3(factor.tobytes()).digest()
        self._arrays[id(factor)] = factor, name
        return name

    def of(self, function: Callable[..., T], *arguments: Hashable) -> T:
        """function(*arguments), computed once for equal arguments; of functionals, `form` says which are.

        Nobody writes to the result.
        """
        key = (function, *arguments)
        if key in self._results:
            found: T = self._results[key]
            return found
        result = function(*arguments)
        if self._keeps(_numbers_in(result) + sum(map(_numbers_in, arguments))):
            self._results[key] = result
        return result

    def linear(self, function: Callable[..., Functional], functional: Functional, *arguments: Hashable) -> Functional:
        """function(functional, *arguments), if a scale of the functional is one of the result."""
        return scaled(self.of(function, self.form(functional), *arguments), functional.scale)

    def merged(self, terms: Sequence[tuple[Ext, Functional]]) -> list[Functional]:
        """As `functional.merged`; sums in the same proportions are made once."""
        scales = [ext_mul(coefficient, functional.scale) for coefficient, functional in terms]
        forms = [self.form(functional) for _, functional in terms]
        live = [(scale, form) for scale, form in zip(scales, forms, strict=True) if scale != ZERO]
        if len(live) < 2:
            return [scaled(form, scale) for scale, form in live if not self.of(is_zero, form)]
        first = live[0][0]
        inverse = ext_inv(first)
        ratios = tuple(ext_mul(scale, inverse) for scale, _ in live)
        return [scaled(one, first) for one in self.of(_in_proportion, ratios, tuple(form for _, form in live))]

    def _keeps(self, size: int) -> bool:
        """Whether arrays of so many numbers can be kept; makes room for them."""
        if size > DEGREE * MAX_ENTRIES:
            return False
        if self._size + size + BESIDE > DEGREE * MAX_ENTRIES:
            self._forget()
        self._size += size + BESIDE
        return True


def _numbers_in(found: object) -> int:
    """Numbers in the arrays of a functional or of several. What else is made of functionals has about as many."""
    if isinstance(found, tuple | list):
        return sum(_numbers_in(one) for one in found if isinstance(one, Functional))
    return sum(factor.size for factor in found.factors) if isinstance(found, Functional) else 0


def _in_proportion(ratios: tuple[Ext, ...], forms: tuple[Functional, ...]) -> list[Functional]:
    return merged(list(zip(ratios, forms, strict=True)))
