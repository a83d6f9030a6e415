"""Shape aliases, executed by jaxtyping + beartype in the tests.

Everything in the library is written for one neuron: a state or a parameter is a scalar, a population is a `vmap`.
"""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

Scalar: TypeAlias = Float[Array, ""]
BoolScalar: TypeAlias = Bool[Array, ""]
IntScalar: TypeAlias = Int[Array, ""]
Times: TypeAlias = Float[Array, " times"]
SpikeTimes: TypeAlias = Float[Array, " spikes"]

ScalarLike: TypeAlias = float | int | np.ndarray | np.generic | jax.Array
"""What a user may write where a scalar is wanted; cast to the dtype of the parameters on entry."""

Integer: TypeAlias = int | np.integer
KeyLike: TypeAlias = Any
"""A JAX random key, `jax.random.key(0)` or the older `jax.random.PRNGKey(0)`; all else is refused with a sentence."""

Params: TypeAlias = Any
"""A NamedTuple of scalars (or any pytree of arrays of one dtype)."""
State: TypeAlias = Any
"""A NamedTuple of scalars; `vector_field` and `reset` return the same type."""


def is_key(x: Any) -> bool:
    """Return whether x is an array of random keys of the newer kind, as of `jax.random.key`."""
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def checked_key(key: KeyLike) -> Any:
    """Return `key` as an array, or say that it is no random key."""
    typed = is_key(key)
    raw = isinstance(key, jax.Array | np.ndarray)
    if not (typed and key.shape == ()) and not (raw and key.dtype == np.uint32 and key.ndim == 1):
        raise TypeError(f"key must be one JAX random key, e.g. jax.random.key(0); it is {key!r}.")
    return key if typed else jnp.asarray(key)


__all__ = [
    "Array", "Bool", "BoolScalar", "Float", "Int", "IntScalar", "Integer", "KeyLike", "NamedTuple", "Params",
    "Scalar", "ScalarLike", "SpikeTimes", "State", "Times", "checked_key", "is_key",
]  # fmt: skip
