"""Sweeps over a product grid of parameters: one compiled tile, run over and over, in bounded memory.

grid = jn.grid(i=jnp.linspace(0.0, 5.0, 1_000), tau_m=jnp.linspace(5.0, 20.0, 1_000))
counts = jn.sweep(lambda p: jn.simulate(jn.LIF, params(p), p["i"], 1000.0).num_spikes, grid)   # (1000, 1000)
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxneuro.progress import bar
from jaxneuro.types import Array

_DEFAULT_BATCH = 1024  # lanes per tile: enough to fill the vector units, few enough for their state to stay in cache


@dataclasses.dataclass(frozen=True, eq=False)
class Grid(Mapping[str, Array]):
    """The product of named axes: `grid[name]` is an axis, `grid.shape` their lengths in argument order."""

    axes: Mapping[str, Array]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.shape[0] for axis in self.axes.values())

    @property
    def size(self) -> int:
        """Number of points, a Python integer (it may exceed what an int32 holds)."""
        return math.prod(self.shape)

    def __getitem__(self, name: str) -> Array:
        return self.axes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.axes)

    def __len__(self) -> int:
        return len(self.axes)


def grid(**axes: Any) -> Grid:
    """Return the product grid of the named axes. Only the axes are stored, never the product.

    Args:
        axes: one 1-D array of values per name, in the unit of what it stands for.

    Returns:
        A `Grid`, for `sweep`.

    Raises:
        ValueError: no axes; an axis that is empty, not 1-D, or holds NaN (infinite values are allowed).
        TypeError: an axis that is traced: a sweep is a loop on the host.

    Example:
        >>> grid(i=[1.0, 2.0, 3.0], tau_m=[10.0, 20.0]).shape
        (3, 2)
    """
    if not axes:
        raise ValueError("A grid needs at least one axis, e.g. jn.grid(i=jnp.linspace(0.0, 5.0, 100)).")
    arrays = {}
    for name, values in axes.items():
        axis = jnp.asarray(values)
        if isinstance(axis, Tracer):
            raise TypeError(_traced(f"the axis {name!r} is traced"))
        if axis.ndim != 1 or axis.shape[0] == 0:
            raise ValueError(f"The axis {name!r} must be an array (n,), n >= 1; its shape is {axis.shape}.")
        if jnp.issubdtype(axis.dtype, jnp.inexact) and bool(jnp.any(jnp.isnan(axis))):
            raise ValueError(f"The axis {name!r} holds NaN, which labels no point. Drop these values.")
        arrays[name] = axis
    return Grid(MappingProxyType(arrays))


def sweep(
    fn: Callable[[dict[str, Any]], Any],
    grid: Grid,
    *,
    batch_size: int | np.integer | None = None,
    devices: Any = None,
    store: Any = None,
    progress: bool = False,
) -> Any:
    """Evaluate `fn` at every point of a grid: out[i, j, ...] = fn({name: axis_i, name: axis_j, ...}).

    The grid is cut into tiles of `batch_size` points. A tile is one `jit(vmap(fn))`, compiled once; the
    last one is filled up with its last point and cut. The coordinates of a tile are computed inside it, so
    the memory beyond the results is that of one tile. Passing the same function again compiles nothing:
    define it once, not a new `lambda` per call.

    Args:
        fn: a traceable function of one dict of scalars {axis name: value} that returns a pytree of arrays.
        grid: the axes, from `jn.grid`.
        batch_size: points per tile; None is 1,024, or the whole grid if that is smaller.
        devices, store: for a later version; must be None.
        progress: show a bar with points per second (needs tqdm).

    Returns:
        The pytree of `fn`, every leaf with one leading axis per grid axis, in argument order. The leaves
        are NumPy arrays: results of a large sweep stay in host memory, and JAX takes them as they are. A
        failed lane is a value in its `result`, not an exception.

    Raises:
        TypeError: `grid` is no `Grid`; `fn` returns something else than arrays; called inside jit, vmap or
        grad.
        ValueError: batch_size < 1; devices or store given.
        ImportError: progress without tqdm.
        Whatever `fn` raises while it is traced.

    Differentiability: none, since it is a loop on the host; differentiate inside `fn`, or use `jax.vmap`.

    Example:
        >>> import jaxneuro as jn
        >>> jn.sweep(lambda p: p["x"] * p["y"], jn.grid(x=[1.0, 2.0, 3.0], y=[1.0, 10.0])).tolist()
        [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]
    """
    _check_arguments(grid, batch_size, devices, store)
    size, shape = grid.size, grid.shape
    batch = min(size, _DEFAULT_BATCH if batch_size is None else int(batch_size))
    buffers, treedef = None, None
    with bar("sweep", size, "point", progress, unit_scale=True) as shown:
        for start in range(0, size, batch):
            lanes = min(batch, size - start)
            digits = np.asarray(np.unravel_index(start, shape), np.int32)
            out = _tile(fn, tuple(grid), tuple(grid.values()), digits, np.int32(lanes), batch)
            leaves, treedef = jax.tree.flatten(out)
            if any(isinstance(x, Tracer) for x in leaves):
                raise TypeError(_traced("the values of fn are traced"))
            if buffers is None:
                buffers = [np.empty((size, *x.shape[1:]), x.dtype) for x in leaves]
            for buffer, leaf in zip(buffers, leaves, strict=True):
                buffer[start : start + lanes] = np.asarray(leaf)[:lanes]
            if shown is not None:
                shown.update(lanes)
    assert treedef is not None and buffers is not None  # a Grid has at least one point
    return jax.tree.unflatten(treedef, [b.reshape(*shape, *b.shape[1:]) for b in buffers])


@eqx.filter_jit
def _tile(fn: Callable, names: tuple[str, ...], axes: tuple[Array, ...], digits: Any, lanes: Any, batch: int) -> Any:
    """Evaluate `fn` at `batch` points from these indices on; beyond `lanes` the last of them is repeated."""
    # Indices are added like digits of a number with mixed radix: a flat index would overflow int32 at 2^31
    # points.
    carry = jnp.minimum(jnp.arange(batch, dtype=jnp.int32), lanes - 1)
    columns = []
    for k in reversed(range(len(axes))):
        total = digits[k] + carry
        carry = total // axes[k].shape[0]
        columns.append(axes[k][total % axes[k].shape[0]])
    columns = columns[::-1]
    return jax.vmap(lambda *point: _arrays(fn(dict(zip(names, point, strict=True)))))(*columns)


def _arrays(out: Any) -> Any:
    for path, leaf in jax.tree_util.tree_leaves_with_path(out):
        if not (eqx.is_array_like(leaf) and jnp.result_type(leaf) != jax.dtypes.float0):
            raise TypeError(
                f"fn must return a pytree of arrays; its output{jax.tree_util.keystr(path)} is a "
                f"{type(leaf).__name__}: {leaf!r}."
            )
    return out


def _check_arguments(grid: Any, batch_size: Any, devices: Any, store: Any) -> None:
    if not isinstance(grid, Grid):
        raise TypeError(f"grid must come from jn.grid(name=values, ...); it is a {type(grid).__name__}.")
    if batch_size is not None and not (isinstance(batch_size, int | np.integer) and batch_size >= 1):
        raise ValueError(f"batch_size must be an integer >= 1, or None; it is {batch_size!r}.")
    for name, value in {"devices": devices, "store": store}.items():
        if value is not None:
            raise ValueError(f"sweep({name}=...) is not available yet; leave it None. It is {value!r}.")


def _traced(what: str) -> str:
    return (
        f"A sweep is a loop on the host and cannot run inside jit, vmap or grad: {what}. Call sweep outside "
        f"of the transformation and use the transformation inside fn, or use jax.vmap in place of sweep."
    )


__all__ = ["Grid", "grid", "sweep"]
