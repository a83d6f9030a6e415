"""Derivatives of solved quantities, by the implicit function theorem, and what to do when a solve failed."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.flatten_util import ravel_pytree

from jaxneuro.analysis.dense import solve
from jaxneuro.results import RESULTS


def implicit_root(residual: Callable[[Any, Any], Any], x: Any, theta: Any) -> Any:
    """Return `x`, a root of residual(., theta) = 0 found by whatever means, as a differentiable function of `theta`.

        dx/dtheta = -(d residual/dx)^-1 d residual/dtheta

    The Jacobians are taken in reverse mode, so `residual` may call `jn.simulate`; they cost nothing unless a derivative is
    asked for. Works under `grad`, `jacfwd`, `vmap` and `jit`.

    Args:
        residual: `(x, theta) -> residuals`, as many numbers as `x` holds; it must close over nothing that is differentiated.
        x: a pytree of floating arrays, the root.
        theta: a pytree of floating arrays, everything in which the root is to be differentiable.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> root = lambda a: implicit_root(lambda x, a: x**2 - a, jnp.sqrt(jax.lax.stop_gradient(a)), a)
        >>> float(jax.grad(root)(4.0))
        0.25
    """
    flat, unravel = ravel_pytree(x)

    def flat_residual(flat: Any, theta: Any) -> Any:
        return ravel_pytree(residual(unravel(flat), theta))[0]

    # What the residual closes over becomes an argument: under `jit` the rule runs after the trace that made it has ended.
    closed, code = eqx.partition(eqx.filter_closure_convert(flat_residual, flat, theta), eqx.is_array)

    @jax.custom_jvp
    def root(theta: Any, flat: Any, closed: Any) -> Any:
        del theta, closed
        return flat

    @root.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        theta, flat, closed = primals
        flat = root(theta, flat, closed)  # differentiable again, for second derivatives
        by_x, by_theta = jax.jacrev(eqx.combine(closed, code), argnums=(0, 1))(flat, theta)
        moved = [
            jnp.reshape(rows, (flat.size, -1)) @ jnp.ravel(dot)
            for rows, dot in zip(jax.tree.leaves(by_theta), jax.tree.leaves(tangents[0]), strict=True)
        ]
        return flat, -solve(by_x, sum(moved, jnp.zeros_like(flat)))

    return unravel(root(theta, *jax.lax.stop_gradient((flat, closed))))


def raise_eagerly(what: str, result: Any, throw: bool | None) -> None:
    """Raise on the host if `result` is not successful and the call was eager (throw=None) or asked to (True)."""
    failed = result != RESULTS.successful
    if throw is False or isinstance(failed, Tracer) or not bool(failed):
        return
    raise RuntimeError(f"{what}: {RESULTS[result]} (throw=False returns what was found, with this in `result`.)")
