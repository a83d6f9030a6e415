"""Many lanes in tiles: `vmap` of a run takes a few lanes at a time, so that what they work on stays in cache.

Lanes of one tile run in lockstep. On a CPU a turn of all lanes passes through memory some hundred times; ten thousand lanes
at once would fetch it from far away each time, and would all wait for the slowest. Tiles are a matter of speed and memory
only: lanes do not see each other.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero

_WIDTH = 8  # lanes that a vector register holds


def tiled(fn: Callable, lanes: int | None) -> Callable:
    """Return `fn`, a function of one lane, such that `vmap` runs it in tiles of about `lanes` lanes (None: all at once).

    Arguments and results are pytrees of arrays; `fn` may close over no traced value. Differentiated (forwards) it is `fn`
    itself, without tiles.
    """
    if lanes is None:
        return fn
    fn = jax.jit(fn)  # traced once, however often it is asked for below
    run = jax.custom_jvp(_in_tiles(fn, lanes))

    def rule(primals: Any, tangents: Any) -> Any:
        values, tree = jax.tree.flatten(primals)
        given = jax.tree.leaves(tangents, is_leaf=lambda x: isinstance(x, SymbolicZero))
        moving = [k for k, d in enumerate(given) if not isinstance(d, SymbolicZero)]

        def of_moving(*some: Any) -> Any:
            merged = dict(enumerate(values)) | dict(zip(moving, some, strict=True))
            return fn(*jax.tree.unflatten(tree, list(merged.values())))

        return jax.jvp(of_moving, [values[k] for k in moving], [given[k] for k in moving])

    run.defjvp(rule, symbolic_zeros=True)
    return run


def _in_tiles(fn: Callable, lanes: int) -> Callable:
    run = custom_vmap(fn)

    @run.def_vmap
    def rule(size: int, in_batched: Any, *args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        axes = [0 if there else None for there in jax.tree.leaves(in_batched)]
        flat = lambda leaves: fn(*jax.tree.unflatten(tree, leaves))
        if size <= lanes:
            # One tile; a further vmap around this one takes so many fewer of it.
            out = _in_tiles(jax.vmap(flat, (axes,), axis_size=size), lanes // max(size, 1))(leaves)
        else:
            out = _map(flat, axes, leaves, size, lanes)
        return out, jax.tree.map(lambda _: True, out)

    return run


def _map(fn: Callable, axes: list, leaves: list, size: int, lanes: int) -> Any:
    """Run `size` > `lanes` lanes tile by tile; the last one is filled up with copies of the last lane."""
    tiles = -(-size // lanes)
    width = -(-size // (tiles * _WIDTH)) * _WIDTH
    tiles = -(-size // width)
    batch = _in_tiles(jax.vmap(fn, (axes,), axis_size=width), 1)
    number = jnp.minimum(jnp.arange(tiles * width), size - 1).reshape(tiles, width)
    tile = lambda number: batch([x if axis is None else x[number] for x, axis in zip(leaves, axes, strict=True)])
    out = jax.lax.map(tile, number)
    return jax.tree.map(lambda x: x.reshape(tiles * width, *x.shape[2:])[:size], out)
