"""What a run of training is made of: its functions, compared by what they do, and its numbers."""

import functools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.core import Tracer


class Same:
    """A function that equals another with the same code and the same closure.

    `jit` compares functions by identity, so that `optax.adam(1e-3)` or a `lambda` written in a loop would compile
    again each time round. Here code objects and the contents of closures are compared, arrays by identity. What holds
    for `jit` holds here too: globals and arrays changed in place are not noticed.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        seen: dict[int, int] = {}
        self._found = _describe(value, seen)
        self._hash = hash(self._found)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self._found == other._found

    @property
    def traced(self) -> bool:
        """Whether a closure holds a tracer (a learning rate under vmap), which must not end in a cache of jit."""
        return _TRACED in _flat(self._found)


class Recipe(NamedTuple):
    """What is static in a run."""

    loss_fn: Same
    optimizer: Same
    augment: Same
    penalty_mask: Any  # a Same if it is a function, else a pytree of booleans or None
    batch_size: int
    monitor: str
    patience: int | None
    gated: bool  # whether each step is checked, and taken back if it failed


class Given(NamedTuple):
    """The arrays that stay what they are through a run."""

    key: Any
    constants: Any  # the leaves of params that are not trained
    data: Any
    validation: Any  # None, or a pytree like data
    l1: Any  # None is no penalty
    l2: Any


class _ById:
    """An object compared by identity, and kept alive so that its identity stays its own."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.value is other.value


_TRACED = "a tracer"


def _describe(x: Any, seen: dict[int, int]) -> Any:
    """Return a hashable description of a function or of what its closure holds."""
    if x is None or isinstance(x, str | bytes | bool | int | float | complex | types.CodeType):
        return type(x), repr(x) if isinstance(x, float | complex) else x
    if id(x) in seen:  # a function that refers to itself
        return "again", seen[id(x)]
    seen[id(x)] = len(seen)
    inside: Callable[[Any], tuple] = lambda items: tuple(_describe(item, seen) for item in items)
    if isinstance(x, types.FunctionType):
        cells = [_contents(cell) for cell in x.__closure__ or ()]
        return x.__code__, _ById(x.__globals__), inside(cells), inside([x.__defaults__, x.__kwdefaults__])
    if isinstance(x, types.MethodType):
        return "method", inside([x.__func__, x.__self__])
    if isinstance(x, functools.partial):
        return "partial", inside([x.func, x.args, x.keywords])
    if isinstance(x, tuple | list):
        return type(x), inside(x)
    if isinstance(x, dict):
        return type(x), inside(x.keys()), inside(x.values())
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x)):
        return _TRACED, _ById(x)
    return _ById(x)


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _flat(found: Any) -> Any:
    if isinstance(found, tuple):
        for item in found:
            yield from _flat(item)
    elif isinstance(found, str):
        yield found
