"""Value, derivative and central difference of a solved quantity from one compile."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def differentiated(fn: Callable[[Any], Any], points: list[Any], step: float = 1e-3) -> tuple[Any, Any, Any]:
    """Return the values of fn (a vector) at the points, its derivatives by reverse mode, and by differences of order 4.

    Derivatives are arrays (points, leaves of a point, values). Steps are `step` |leaf| (`step` at 0), and half of it.
    """

    def both(x: Any) -> Any:
        value, pull = jax.vjp(fn, x)
        return value, jax.vmap(pull)(jnp.eye(value.size))[0]

    treedef = jax.tree.structure(points[0])
    at = np.asarray([jax.tree.leaves(x) for x in points], float)  # (points, leaves)
    size = step * np.where(at == 0, 1.0, np.abs(at))
    moves = np.eye(at.shape[1])[:, None] * np.array([1.0, -1.0, 0.5, -0.5])[None, :, None]
    moved = at[:, None, None] + moves[None] * size[:, None, None]
    lanes = np.concatenate([at[:, None], moved.reshape(len(at), -1, at.shape[1])], axis=1)
    batch = treedef.unflatten(list(jnp.asarray(lanes.reshape(-1, at.shape[1])).T))
    value, by = jax.jit(jax.vmap(both))(batch)
    value = np.asarray(value).reshape(*lanes.shape[:2], -1)
    by = np.stack([np.asarray(x).reshape(*lanes.shape[:2], -1)[:, 0] for x in jax.tree.leaves(by)], axis=1)
    v = value[:, 1:].reshape(len(at), at.shape[1], 4, -1)
    wide, narrow = (v[:, :, 0] - v[:, :, 1]) / (2 * size[..., None]), (v[:, :, 2] - v[:, :, 3]) / size[..., None]
    return value[:, 0], by, (4 * narrow - wide) / 3
