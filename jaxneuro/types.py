"""Shape aliases, executed by jaxtyping + beartype in the tests.

Everything in the library is written for one neuron: a state or a parameter is a scalar, a population is a `vmap`.
"""

from typing import Any, NamedTuple, TypeAlias

import jax
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

__all__ = [
    "Array", "Bool", "BoolScalar", "Float", "Int", "IntScalar", "Integer", "KeyLike", "NamedTuple", "Params",
    "Scalar", "ScalarLike", "SpikeTimes", "State", "Times",
]  # fmt: skip
