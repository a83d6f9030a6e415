"""The compiled tile: `vmap` of a function over the points of a box, on one device or on several."""

import functools
import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr

from jaxneuro.sweeps.grid import Grid, numbers, traced
from jaxneuro.sweeps.tiling import Tiling
from jaxneuro.types import is_key

# XLA drops a dimension of length one, and the program of a single lane then rounds otherwise (seen: the spike times of
# Izhikevich's neuron, in the last bits); from two lanes on the width made no difference anywhere.
_LEAST_LANES = 2
_RETRACES = 3  # so many definitions of one piece of code are a habit


class Program(NamedTuple):
    """A function traced for tiles of so many points."""

    jaxpr: ClosedJaxpr
    arrays: list[Any]  # those that fn carries as a pytree: arguments of the program, not constants
    out: Any  # the pytree of fn, its leaves (lanes, ...) as shapes and dtypes
    run: Callable[
        [Sequence[int]], list[Any]
    ]  # numbers of tiles -> leaves (tiles, lanes, ...), which are not waited for


def program(fn: Callable, grid: Grid, tiling: Tiling, devices: Sequence[Any]) -> Program:
    """Trace `fn` for tiles of one size. What was traced and compiled before is found again.

    The coordinates are arguments of the compiled program. Computed inside it, as broadcast axes, they let XLA move
    operations in front of the broadcast, where multiply-adds round otherwise: results then depended on the shape of a tile.
    Each of several devices has a program of its own, of one device. A `shard_map` over them compiles once for all, but XLA's
    passes for several partitions round otherwise, so that results depended on the number of devices; and a device that is done
    would wait for the slowest.
    """
    leaves, structure = jax.tree.flatten(fn)
    dynamic = [x if _is_data(x) else None for x in leaves]
    keys = tuple(jax.random.key_impl(x) if is_key(x) else None for x in grid.values())
    static = _Static(structure, tuple(None if _is_data(x) else x for x in leaves), tuple(grid), keys)
    axes = [numbers(x) for x in grid.values()]
    found = _tile.trace(static, dynamic, _columns(axes, tiling, 0))
    if any(isinstance(x, Tracer) for x in found.jaxpr.consts):
        raise TypeError(traced("the values of fn are traced"))
    carried = [x for x in dynamic if x is not None]
    there = [dynamic if device is None else jax.device_put(dynamic, device) for device in devices]

    def run(numbers: Sequence[int]) -> list[list[Any]]:
        outs = []
        for number, device, mine in zip(numbers, devices, there, strict=False):
            columns = _columns(axes, tiling, number)
            out = _tile(static, mine, columns if device is None else jax.device_put(columns, device))
            outs.append(jax.tree.leaves(out))
        return outs

    return Program(found.jaxpr, carried, found.out_info, run)


class _Static(NamedTuple):
    structure: Any
    leaves: tuple[Any, ...]
    names: tuple[str, ...]
    keys: tuple[Any, ...]  # implementation of random keys, None for an axis of numbers


def _is_data(x: Any) -> bool:
    return eqx.is_array(x) or isinstance(x, np.ndarray | np.generic)


def _columns(axes: list[np.ndarray], tiling: Tiling, number: int) -> list[np.ndarray]:
    """Return the coordinates of a tile's points, one array (lanes, ...) per axis; beyond the grid its last are repeated."""
    columns = []
    for k, (axis, first) in enumerate(zip(axes, tiling.start(number), strict=True)):
        index = np.minimum(first + np.arange(tiling.tile[k]), len(axis) - 1)
        along = index.reshape([-1 if i == k else 1 for i in range(len(axes))])
        flat = np.broadcast_to(along, tiling.tile).ravel()
        columns.append(axis[np.resize(flat, max(flat.size, _LEAST_LANES))])
    return columns


@functools.partial(jax.jit, static_argnums=0)
def _tile(static: _Static, dynamic: list[Any], columns: list[Any]) -> Any:
    """Evaluate the function at the points with these coordinates."""
    leaves = [y if x is None else x for x, y in zip(dynamic, static.leaves, strict=True)]
    fn = jax.tree.unflatten(static.structure, leaves)
    _note_trace(fn)

    def at(*point: Any) -> Any:
        values = [
            x if key is None else jax.random.wrap_key_data(x, impl=key)
            for x, key in zip(point, static.keys, strict=True)
        ]
        return _arrays(fn(dict(zip(static.names, values, strict=True))))

    return jax.vmap(at)(*columns)


def _arrays(out: Any) -> Any:
    for path, leaf in jax.tree_util.tree_leaves_with_path(out):
        if not (eqx.is_array_like(leaf) and jnp.result_type(leaf) != jax.dtypes.float0):
            raise TypeError(
                f"fn must return a pytree of arrays; its output{jax.tree_util.keystr(path)} is a "
                f"{type(leaf).__name__}: {leaf!r}."
            )
        if is_key(leaf):
            raise TypeError(
                f"output{jax.tree_util.keystr(path)} of fn is a random key; return jax.random.key_data(key)."
            )
    return out


_definitions: dict[Any, tuple[int, Any]] = {}  # code -> number of functions traced, those of them still alive


def _note_trace(fn: Any) -> None:
    """Warn where the same code comes as a new function again and again, since each is compiled."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    code = getattr(fn, "__code__", None)
    if code is None:
        return
    number, alive = _definitions.get(code, (0, weakref.WeakSet()))
    if fn in alive:
        return
    alive.add(fn)
    _definitions[code] = number + 1, alive
    if number + 1 == _RETRACES:
        logging.getLogger("jaxneuro").warning(
            "sweep: %s (%s, line %d) came as a new function for the %drd time, and was traced and compiled each time. Define "
            "it once, outside of the loop that calls sweep; what changes from call to call can be an axis of the grid or an "
            "array in a jax.tree_util.Partial.",
            getattr(fn, "__qualname__", "fn"), code.co_filename, code.co_firstlineno, _RETRACES,
        )  # fmt: skip
