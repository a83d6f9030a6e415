"""Spike counts, rates and latency of one train."""

import jax.numpy as jnp

from jaxneuro.spikes.train import TrainLike, split
from jaxneuro.types import IntScalar, Scalar, ScalarLike


def count(spike_times: TrainLike) -> IntScalar:
    """Return the number of spikes.

    Example:
        >>> int(count(jnp.array([3.0, 5.0, jnp.inf])))
        2
    """
    return jnp.sum(split(spike_times)[1])


def rate(spike_times: TrainLike) -> Scalar:
    """Return the mean firing rate from first to last spike, 1000 (n - 1)/(t_n - t_1).

    Args:
        spike_times: ms (spikes,), padded with inf.

    Returns:
        Hz; 0 for fewer than two spikes.

    Differentiability: in the first and last spike time; gradient 0 for fewer than two spikes.

    Source: the inverse mean interspike interval, Gerstner et al. (2014), Neuronal Dynamics, sections 7.2 and 7.3,
    doi:10.1017/CBO9781107447615.

    Example:
        >>> float(rate(jnp.array([10.0, 20.0, 50.0, jnp.inf])))
        50.0
    """
    ts, there = split(spike_times)
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
    ts, there = split(spike_times)
    t0, t1 = jnp.asarray(t0, ts.dtype), jnp.asarray(t1, ts.dtype)
    inside = jnp.sum(there & (ts >= t0) & (ts < t1)).astype(ts.dtype)
    return jnp.where(t1 > t0, 1e3 * inside / jnp.where(t1 > t0, t1 - t0, 1.0), jnp.nan)


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
    ts, there = split(spike_times)
    t0 = jnp.asarray(t0, ts.dtype)
    after = there & (ts >= t0)
    first = after & (jnp.cumsum(after) == 1)
    return jnp.where(jnp.any(after), jnp.sum(jnp.where(first, ts, 0.0)) - t0, jnp.inf)
