"""What every measure is given: one train, padded with inf."""

from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxneuro.types import Array, Bool, Float, Scalar, ScalarLike, SpikeTimes

TrainLike: TypeAlias = Float[Array | np.ndarray, "..."]
"""One train (spikes,); another shape is refused with a sentence."""


def split(spike_times: TrainLike) -> tuple[SpikeTimes, Bool[Array, " spikes"]]:
    """Return the train with 0 for its padding (inf - inf would be NaN), and which entries are spikes."""
    ts = jnp.asarray(spike_times)
    if ts.ndim != 1:
        raise ValueError(
            f"spike_times must be one train (spikes,); its shape is {ts.shape}. For many trains use "
            f"jax.vmap, e.g. jax.vmap(jn.spikes.rate)(spike_times)."
        )
    there = jnp.isfinite(ts)
    return jnp.where(there, ts, 0.0), there


def scale(name: str, value: ScalarLike, dtype: Any, positive: bool = True) -> Scalar:
    """Return a scalar that must be > 0 (or >= 0); a known value that is not is refused."""
    if np.ndim(value) != 0:
        raise ValueError(f"{name} must be a scalar; its shape is {np.shape(value)}. For many, use jax.vmap.")
    if not isinstance(value, Tracer) and not np.all(np.asarray(value) > 0 if positive else np.asarray(value) >= 0):
        raise ValueError(f"{name} must be {'> 0' if positive else '>= 0'}; it is {value}.")
    return jnp.asarray(value, dtype)


def windows(t0: ScalarLike, t1: ScalarLike, length: ScalarLike) -> tuple[float, float, int]:
    """Return t0, the length of one window and how many fit into [t0, t1); they fix a shape, hence must be known."""
    values = dict(t0=t0, t1=t1, window=length)
    for name, value in values.items():
        if isinstance(value, Tracer) or np.ndim(value) != 0 or not np.isfinite(value):
            raise ValueError(f"{name} must be one known, finite number in ms; it is {value!r}.")
    t0, t1, length = (float(str(np.asarray(x)[()])) for x in values.values())  # by its digits: a float32 0.1 is a tenth
    number = int(np.floor((t1 - t0) / length * (1 + 1e-9))) if length > 0 else 0
    if number < 1:
        raise ValueError(f"window must be > 0 and fit between t0 and t1; it is {length} ms, t0 is {t0} and t1 {t1}.")
    return t0, length, number
