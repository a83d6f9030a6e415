"""What a run of training is made of: its functions, compared so that nothing compiles twice, and its arrays."""

import functools
import hashlib
import types
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def traced(tree: Any) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


class Same:
    """A function or optimizer, compared as `jit` compares it, but for what libraries make.

    `jit` compares functions by identity, so that a new `optax.adam(1e-3)` would compile again. What a function of the
    libraries below returns is compared by its code and by what its closure held when it came here. Functions of the
    user are compared by identity: their globals and closures may change, and nothing here would know.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self._found = _describe(value)

    def __hash__(self) -> int:
        return hash(self._found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self._found == other._found

    @property
    def traced(self) -> bool:
        """Whether a closure holds a tracer (a learning rate under vmap), which must not end in a cache of jit."""
        return _holds_tracer(self.value, set())


class Static(NamedTuple):
    """A pytree of what is no array, such that it can be hashed and compared."""

    structure: Any
    leaves: tuple[Same, ...]

    @classmethod
    def of(cls, tree: Any) -> "Static":
        leaves, structure = jax.tree.flatten(tree)
        return cls(structure, tuple(map(Same, leaves)))

    @property
    def tree(self) -> Any:
        return self.structure.unflatten(leaf.value for leaf in self.leaves)


class Recipe(NamedTuple):
    """What is static in a run; programs are compiled for one."""

    loss_fn: Same
    optimizer: Same
    augment: Same
    constants: Static  # the leaves of params that are no arrays
    penalty_mask: Static  # booleans, or None
    batch_size: int
    monitor: str
    patience: int | None
    gated: bool  # whether each step is checked, and taken back if it failed

    @property
    def traced(self) -> bool:
        functions = (self.loss_fn, self.optimizer, self.augment, *self.constants.leaves)
        return any(function.traced for function in functions)


class Given(NamedTuple):
    """The arrays that stay what they are through a run."""

    key: Any
    constants: Any  # the arrays of params that are not trained
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


_LIBRARIES = ("optax", "jax", "jaxneuro", "equinox", "diffrax")


def _describe(x: Any, known: dict[int, Any] | None = None) -> Any:
    """Return something hashable that is equal for what does the same; `known` holds what was met before, itself included."""
    known = {} if known is None else known
    if x is None or isinstance(x, str | bytes | bool | int | float | complex):
        return type(x), repr(x)  # tells 1 from True and 0.0 from -0.0
    if id(x) not in known:
        known[id(x)] = _ById(x)
        known[id(x)] = _describe_object(x, known)
    return known[id(x)]


def _describe_object(x: Any, known: dict[int, Any]) -> Any:
    if isinstance(x, np.ndarray | np.generic):
        return type(x), x.dtype, x.shape, hashlib.sha256(np.ascontiguousarray(x).data).digest()
    if eqx.is_array(x) and not isinstance(x, Tracer) and _table(x):  # a table of a schedule
        return type(x), x.dtype, x.weak_type, x.shape, np.asarray(x).tobytes()
    if isinstance(x, types.MethodType):
        return type(x), _ById(x.__func__), _ById(x.__self__)
    parts = _parts(x)
    if parts is None or getattr(x, "__dict__", None):  # attributes are not looked at
        return _ById(x)
    if isinstance(x, types.FunctionType):
        # Where its code stands; `functools.wraps` copies __module__.
        if x.__globals__.get("__name__", "").partition(".")[0] not in _LIBRARIES:
            return _ById(x)
        return x.__code__, tuple(_describe(part, known) for part in parts)
    return type(x), tuple(_describe(part, known) for part in parts)


def _table(x: jax.Array) -> bool:
    return x.size <= 1000 and not jnp.issubdtype(x.dtype, jax.dtypes.extended)


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


def _holds_tracer(x: Any, seen: set[int]) -> bool:
    if id(x) in seen:  # a function that refers to itself
        return False
    seen.add(id(x))
    parts = _parts(x)
    if parts is None:
        return traced(x)
    return any(_holds_tracer(part, seen) for part in parts)


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
