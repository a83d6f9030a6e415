"""Inside `shard_map` JAX tracks over which mesh axes a value varies, and a loop must keep that of its carry.

What is made inside the engine (counters, empty buffers) varies over nothing, what it meets in the loop varies with the
inputs. So inputs are cast to vary together at the entrance, and the start of every loop is. Elsewhere nothing happens.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from jaxneuro.types import Scalar


def vary_together(tree: Any) -> Any:
    """Return the pytree with every array varying over the mesh axes that any of them varies over."""
    axes = frozenset().union(*(_axes(x) for x in jax.tree.leaves(tree)))

    def cast(x: Any) -> Any:
        missing = tuple(axes - _axes(x))
        return jax.lax.pcast(x, missing, to="varying") if missing else x

    return jax.tree.map(cast, tree) if axes else tree


def zero_of(tree: Any) -> Scalar:
    """Return a zero that is batched (under `vmap`) if anything in the pytree is.

    Started with it, a loop's carry is batched from the first. JAX would find that out by batching the body of the loop
    twice; for loops in loops in loops that is eight times, and most of the time to trace a gradient.
    """
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return reduce(jnp.add, [jnp.sum(jnp.where(jnp.isnan(x), 0.0, 0.0)) for x in leaves if x.size])


def add_zero(tree: Any, zero: Scalar) -> Any:
    """Return the pytree, batched if `zero` is."""
    add = lambda x: x | (zero != 0) if x.dtype == bool else x + zero.astype(x.dtype)
    return jax.tree.map(add, tree)


def while_loop(condition: Callable, body: Callable, start: Any) -> Any:
    """`jax.lax.while_loop` whose carry varies together."""
    return jax.lax.while_loop(condition, body, vary_together(start))


def _axes(x: Any) -> frozenset:
    kind = jax.typeof(x)
    # The name of this property is on the move in JAX.
    return getattr(kind, "vma", None) or getattr(getattr(kind, "mat", None), "varying", frozenset())
