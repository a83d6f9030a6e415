"""Inside `shard_map` JAX tracks over which mesh axes a value varies, and a loop must keep that of its carry.

What is made inside the engine (counters, empty buffers) varies over nothing, what it meets in the loop varies with the
inputs. So inputs are cast to vary together at the entrance, and the start of every loop is. Elsewhere nothing happens.
"""

from collections.abc import Callable
from typing import Any

import jax


def vary_together(tree: Any) -> Any:
    """Return the pytree with every array varying over the mesh axes that any of them varies over."""
    axes = frozenset().union(*(_axes(x) for x in jax.tree.leaves(tree)))

    def cast(x: Any) -> Any:
        missing = tuple(axes - _axes(x))
        return jax.lax.pcast(x, missing, to="varying") if missing else x

    return jax.tree.map(cast, tree) if axes else tree


def while_loop(condition: Callable, body: Callable, start: Any) -> Any:
    """`jax.lax.while_loop` whose carry varies together."""
    return jax.lax.while_loop(condition, body, vary_together(start))


def _axes(x: Any) -> frozenset:
    kind = jax.typeof(x)
    # The name of this property is on the move in JAX.
    return getattr(kind, "vma", None) or getattr(getattr(kind, "mat", None), "varying", frozenset())
