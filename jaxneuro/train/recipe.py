"""What a run of training is made of: its functions, compared by what they do, and its numbers."""

import functools
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.core import Tracer


class Same:
    """A function that equals another with the same code and the same closure.

    `jit` compares functions by identity, so that `optax.adam(1e-3)` or a `lambda` written in a loop would compile
    again each time round. Here different functions are compared by their code and what their closures hold, arrays in
    them by identity. As for `jit`, a function is taken to stay what it is: a global or a closure that changes later is
    not noticed.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(tuple(_codes(self.value, set())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and _same(self.value, other.value, set())

    @property
    def traced(self) -> bool:
        """Whether a closure holds a tracer (a learning rate under vmap), which must not end in a cache of jit."""
        return _holds_tracer(self.value, set())


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


def _parts(x: Any) -> list[Any] | None:
    """Return what a function or container is made of, None for anything else."""
    if isinstance(x, types.FunctionType):
        return [*map(_contents, x.__closure__ or ()), x.__defaults__, x.__kwdefaults__]
    if isinstance(x, types.MethodType):
        return [x.__func__, x.__self__]
    if isinstance(x, functools.partial):
        return [x.func, x.args, x.keywords]
    if isinstance(x, tuple | list):
        return list(x)
    if isinstance(x, dict):
        return [*x.keys(), *x.values()]
    return None


def _same(x: Any, y: Any, seen: set[tuple[int, int]]) -> bool:
    if x is y or (id(x), id(y)) in seen:  # seen: functions that refer to themselves
        return True
    seen.add((id(x), id(y)))
    if type(x) is not type(y):
        return False
    if isinstance(x, str | bytes | bool | int):
        return x == y
    if isinstance(x, float | complex):
        return repr(x) == repr(y)  # tells 0.0 from -0.0, and lets NaN equal NaN
    if isinstance(x, types.FunctionType) and not (x.__code__ == y.__code__ and x.__globals__ is y.__globals__):
        return False
    xs, ys = _parts(x), _parts(y)
    if xs is None or ys is None:
        return False
    return len(xs) == len(ys) and all(_same(a, b, seen) for a, b in zip(xs, ys, strict=True))


def _codes(x: Any, seen: set[int]) -> Iterator[Any]:
    """Yield what never changes: the types and the code of all parts."""
    yield type(x)
    if id(x) in seen or isinstance(x, list | dict):
        return
    seen.add(id(x))
    if isinstance(x, types.FunctionType):
        yield x.__code__
    elif isinstance(x, tuple):
        for part in x:
            yield from _codes(part, seen)


def _holds_tracer(x: Any, seen: set[int]) -> bool:
    if id(x) in seen:
        return False
    seen.add(id(x))
    parts = _parts(x)
    if parts is None:
        return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x))
    return any(_holds_tracer(part, seen) for part in parts)


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
