"""The product of named axes, of which only the axes are stored."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxneuro.types import Array, is_key


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
            raise TypeError(traced(f"the axis {name!r} is traced"))
        if axis.ndim != 1 or axis.shape[0] == 0:
            raise ValueError(f"The axis {name!r} must be an array (n,), n >= 1; its shape is {axis.shape}.")
        if jnp.issubdtype(axis.dtype, jnp.inexact) and bool(jnp.any(jnp.isnan(axis))):
            raise ValueError(f"The axis {name!r} holds NaN, which labels no point. Drop these values.")
        arrays[name] = axis
    return Grid(MappingProxyType(arrays))


def numbers(x: Any) -> np.ndarray:
    """Return an array on the host; random keys as the words they are made of."""
    return np.asarray(jax.random.key_data(x) if is_key(x) else x)


def traced(what: str) -> str:
    """Return the sentence for a sweep under a transformation."""
    return (
        f"A sweep is a loop on the host and cannot run inside jit, vmap or grad: {what}. Call sweep outside "
        f"of the transformation and use the transformation inside fn, or use jax.vmap in place of sweep."
    )
