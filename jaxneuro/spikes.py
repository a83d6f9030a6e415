"""Measures of one spike train: rate, intervals, variability, latency.

A train is an array of ascending spike times (spikes,) in ms, padded at its end with inf, as `simulate`
returns it; many trains are a `jax.vmap`. Every measure is safe under jit, vmap and grad: padding takes no
part, and gradients are finite for 0, 1, 2 or more spikes. Values that an empty train does not have are
stated with each function.
"""

from typing import TypeAlias

import jax.numpy as jnp
import numpy as np

from jaxneuro.types import Array, Bool, Float, IntScalar, Scalar, ScalarLike, SpikeTimes

TrainLike: TypeAlias = Float[Array | np.ndarray, "..."]
"""One train (spikes,); another shape is refused with a sentence."""


def count(spike_times: TrainLike) -> IntScalar:
    """Return the number of spikes.

    Example:
        >>> int(count(jnp.array([3.0, 5.0, jnp.inf])))
        2
    """
    return jnp.sum(_split(spike_times)[1])


def rate(spike_times: TrainLike) -> Scalar:
    """Return the mean firing rate from first to last spike, 1000 (n - 1)/(t_n - t_1).

    Args:
        spike_times: ms (spikes,), padded with inf.

    Returns:
        Hz; 0 for fewer than two spikes.

    Differentiability: in the first and last spike time; gradient 0 for fewer than two spikes.

    Source: the inverse mean interspike interval, Gerstner et al. (2014), Neuronal Dynamics, section 7.2,
    doi:10.1017/CBO9781107447615.

    Example:
        >>> float(rate(jnp.array([10.0, 20.0, 50.0, jnp.inf])))
        50.0
    """
    ts, there = _split(spike_times)
    n = jnp.sum(there)
    index = jnp.arange(ts.shape[0])
    # A sum over one entry, not ts[n - 1]: under vmap an index per lane would be a gather and its gradient a
    # scatter.
    span = jnp.sum(jnp.where(index == n - 1, ts, 0.0)) - jnp.sum(jnp.where(index == 0, ts, 0.0))
    return jnp.where(n > 1, 1e3 * (n - 1).astype(ts.dtype) / jnp.where(n > 1, span, 1.0), 0.0)


def count_rate(spike_times: TrainLike, t0: ScalarLike, t1: ScalarLike) -> Scalar:
    """Return the number of spikes in t0 <= t < t1 over the length of that window, 1000 n/(t1 - t0).

    Args:
        spike_times: ms (spikes,), padded with inf.
        t0, t1: the window, ms.

    Returns:
        Hz; NaN where t1 <= t0, which is no window.

    Differentiability: a count has derivative 0 in the spike times (use `rate`); differentiable in t0 and t1.

    Example:
        >>> float(count_rate(jnp.array([10.0, 20.0, 50.0, jnp.inf]), 0.0, 50.0))
        40.0
    """
    ts, there = _split(spike_times)
    t0, t1 = jnp.asarray(t0, ts.dtype), jnp.asarray(t1, ts.dtype)
    inside = jnp.sum(there & (ts >= t0) & (ts < t1)).astype(ts.dtype)
    return jnp.where(t1 > t0, 1e3 * inside / jnp.where(t1 > t0, t1 - t0, 1.0), jnp.nan)


def intervals(spike_times: TrainLike) -> Float[Array, " intervals"]:
    """Return the interspike intervals t_{k+1} - t_k.

    Args:
        spike_times: ms (spikes,), padded with inf.

    Returns:
        ms (spikes - 1,), padded with inf.

    Differentiability: in every spike time; the padding has gradient 0.

    Example:
        >>> intervals(jnp.array([10.0, 20.0, 50.0, jnp.inf])).tolist()
        [10.0, 30.0, inf]
    """
    ts, there = _split(spike_times)
    return jnp.where(there[1:], ts[1:] - ts[:-1], jnp.inf)


def cv(spike_times: TrainLike) -> Scalar:
    """Return the coefficient of variation of the intervals: standard deviation (divisor n) over mean.

    0 for a regular train, 1 for a long Poisson train.

    Args:
        spike_times: ms (spikes,), padded with inf.

    Returns:
        Dimensionless; 0 for fewer than two intervals (a convention: such a train shows no variation).

    Differentiability: in every spike time; gradient 0 at a regular train, where the CV has a kink, and for
    fewer than two intervals.

    Source: Gerstner et al. (2014), Neuronal Dynamics, section 7.3.1, doi:10.1017/CBO9781107447615.

    Example:
        >>> float(cv(jnp.array([10.0, 20.0, 50.0, jnp.inf])))
        0.5
    """
    ts, there = _split(spike_times)
    gap, valid = ts[1:] - ts[:-1], there[1:]
    n = jnp.maximum(jnp.sum(valid), 1).astype(ts.dtype)
    mean = jnp.sum(jnp.where(valid, gap, 0.0)) / n
    variance = jnp.sum(jnp.where(valid, (gap - mean) ** 2, 0.0)) / n
    varied = variance > 0
    # The square root of 0 has an infinite slope, which the outer `where` alone would turn into NaN.
    deviation = jnp.where(varied, jnp.sqrt(jnp.where(varied, variance, 1.0)), 0.0)
    return jnp.where(mean > 0, deviation / jnp.where(mean > 0, mean, 1.0), 0.0)


def latency(spike_times: TrainLike, t0: ScalarLike = 0.0) -> Scalar:
    """Return the time from t0 to the first spike at or after it, min{t_k : t_k >= t0} - t0.

    Args:
        spike_times: ms (spikes,), padded with inf.
        t0: onset of the input, ms.

    Returns:
        ms; inf when no spike follows.

    Differentiability: in that spike time and in t0; gradient 0 when no spike follows.

    Example:
        >>> float(latency(jnp.array([10.0, 20.0, jnp.inf]), 12.0))
        8.0
    """
    ts, there = _split(spike_times)
    t0 = jnp.asarray(t0, ts.dtype)
    after = there & (ts >= t0)
    first = after & (jnp.cumsum(after) == 1)
    return jnp.where(jnp.any(after), jnp.sum(jnp.where(first, ts, 0.0)) - t0, jnp.inf)


def _split(spike_times: TrainLike) -> tuple[SpikeTimes, Bool[Array, " spikes"]]:
    """Return the train with 0 for its padding (inf - inf would be NaN), and which entries are spikes."""
    ts = jnp.asarray(spike_times)
    if ts.ndim != 1:
        raise ValueError(
            f"spike_times must be one train (spikes,); its shape is {ts.shape}. For many trains use "
            f"jax.vmap, e.g. jax.vmap(jn.spikes.rate)(spike_times)."
        )
    there = jnp.isfinite(ts)
    return jnp.where(there, ts, 0.0), there


__all__ = ["count", "count_rate", "cv", "intervals", "latency", "rate"]
