"""How irregular a train is: its intervals, their distribution and variability, the variability of its counts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxneuro.spikes.train import TrainLike, split, windows
from jaxneuro.types import Array, Float, Int, Scalar, ScalarLike


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
    ts, there = split(spike_times)
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

    Source: Gerstner et al. (2014), Neuronal Dynamics, section 7.3, doi:10.1017/CBO9781107447615.

    Example:
        >>> float(cv(jnp.array([10.0, 20.0, 50.0, jnp.inf])))
        0.5
    """
    ts, there = split(spike_times)
    gap, valid = ts[1:] - ts[:-1], there[1:]
    n = jnp.maximum(jnp.sum(valid), 1).astype(ts.dtype)
    mean = jnp.sum(jnp.where(valid, gap, 0.0)) / n
    variance = jnp.sum(jnp.where(valid, (gap - mean) ** 2, 0.0)) / n
    varied = variance > 0
    # The square root of 0 has an infinite slope, which the outer `where` alone would turn into NaN.
    deviation = jnp.where(varied, jnp.sqrt(jnp.where(varied, variance, 1.0)), 0.0)
    return jnp.where(mean > 0, deviation / jnp.where(mean > 0, mean, 1.0), 0.0)


def cv2(spike_times: TrainLike) -> Scalar:
    """Return the mean variation of neighbouring intervals, CV2 = < 2 |I_{k+1} - I_k|/(I_{k+1} + I_k) >.

    0 for a regular train, 1 for a long Poisson train, as the CV, but hardly moved by a slow change of the rate.

    Args:
        spike_times: ms (spikes,), padded with inf.

    Returns:
        Dimensionless; 0 for fewer than two intervals.

    Differentiability: in every spike time; gradient 0 where two neighbouring intervals are equal, a kink.

    Source: Holt, Softky, Koch & Douglas (1996), J. Neurophysiol. 75:1806, doi:10.1152/jn.1996.75.5.1806.

    Example:
        >>> float(cv2(jnp.array([10.0, 20.0, 50.0, jnp.inf])))
        1.0
    """
    contrast, pairs = _contrasts(spike_times)
    # x sign(x), whose derivative is 0 at 0; that of jnp.abs is 1.
    return 2 * jnp.sum(contrast * jnp.sign(contrast)) / pairs


def local_variation(spike_times: TrainLike) -> Scalar:
    """Return the local variation of the intervals, L_V = 3/(n - 1) sum_k ((I_k - I_{k+1})/(I_k + I_{k+1}))^2.

    n intervals make n - 1 pairs. 0 for a regular train, 1 for a long Poisson train, 3 at most.

    Args:
        spike_times: ms (spikes,), padded with inf.

    Returns:
        Dimensionless; 0 for fewer than two intervals.

    Differentiability: in every spike time.

    Source: Shinomoto, Shima & Tanji (2003), Neural Comput. 15:2823, doi:10.1162/089976603322518759.

    Example:
        >>> float(local_variation(jnp.array([10.0, 20.0, 50.0, jnp.inf])))
        0.75
    """
    contrast, pairs = _contrasts(spike_times)
    return 3 * jnp.sum(contrast**2) / pairs


class IntervalHistogram(NamedTuple):
    """How the interspike intervals are distributed over bins."""

    edges: Float[Array, " edges"]  # ms
    counts: Int[Array, " bins"]
    density: Float[Array, " bins"]  # 1/ms: count over the number of all intervals and the width of the bin


def isi_histogram(spike_times: TrainLike, bins: Any) -> IntervalHistogram:
    """Return the distribution of the interspike intervals over bins, counts and density.

        density_j = counts_j/(n w_j),  n intervals, bins of width w_j

    Args:
        spike_times: ms (spikes,), padded with inf.
        bins: their edges, ms (bins + 1,), increasing. A bin holds its left edge, the last one its right edge too.

    Returns:
        An `IntervalHistogram`. Its density integrates to the share of intervals within the bins (1 if they hold all);
        0 for a train without intervals. For several trains use `jax.vmap` and add their counts.

    Raises:
        ValueError: edges that are no array (bins + 1,), or known and not increasing.

    Differentiability: none in the spike times (counts).

    Example:
        >>> isi_histogram(jnp.array([10.0, 20.0, 50.0, jnp.inf]), jnp.array([0.0, 20.0, 40.0])).density.tolist()
        [0.025, 0.025]
    """
    ts, there = split(spike_times)
    edges = jnp.asarray(bins, ts.dtype)
    if edges.ndim != 1 or edges.shape[0] < 2:
        raise ValueError(f"bins must be the edges of at least one bin, (bins + 1,); its shape is {edges.shape}.")
    if not isinstance(bins, Tracer) and not np.all(np.diff(np.asarray(bins, float)) > 0):
        raise ValueError(f"bins must be edges that increase; they are {bins}.")
    gap, valid = ts[1:] - ts[:-1], there[1:]
    number = edges.shape[0] - 1
    place = jnp.searchsorted(edges, gap, side="right") - 1
    place = jnp.where(gap == edges[-1], number - 1, place)
    place = jnp.where(valid & (place >= 0), place, number)
    counts = jnp.zeros(number, jnp.int32).at[place].add(1, mode="drop")
    total = jnp.maximum(jnp.sum(valid), 1).astype(ts.dtype)
    return IntervalHistogram(edges, counts, counts.astype(ts.dtype) / (total * (edges[1:] - edges[:-1])))


def fano_factor(spike_times: TrainLike, window: ScalarLike, t0: ScalarLike, t1: ScalarLike) -> Scalar:
    """Return the Fano factor of the spike counts, F = var(n)/mean(n), over windows and trials.

    n are the counts in the windows [t0 + k w, t0 + (k + 1) w), k = 0, 1, ..., that fit before t1, of all trials
    together; the variance has the divisor n. 0 for a clock, 1 for a Poisson train.

    Args:
        spike_times: ms, one train (spikes,) or trials (trials, spikes), padded with inf.
        window: w, ms, > 0. With w = t1 - t0 the counts of the trials are compared.
        t0, t1: where the windows lie, ms. All three known numbers: they fix how many windows there are.

    Returns:
        Dimensionless; 0 where there are no spikes (no variation).

    Raises:
        ValueError: no window fits; times traced; one train and one window, which do not vary.

    Differentiability: none (counts).

    Source: Fano (1947), Phys. Rev. 72:26, doi:10.1103/PhysRev.72.26; Gerstner et al. (2014), Neuronal Dynamics, section 7.2,
    doi:10.1017/CBO9781107447615.

    Example:
        >>> float(fano_factor(jnp.array([1.0, 2.0, 12.0, 25.0, jnp.inf]), 10.0, 0.0, 30.0))  # counts 2, 1, 1
        0.166...
    """
    trials = jnp.asarray(spike_times)
    if trials.ndim not in (1, 2):
        raise ValueError(f"spike_times must be (spikes,) or (trials, spikes); its shape is {trials.shape}.")
    start, length, number = windows(t0, t1, window)
    if number * (1 if trials.ndim == 1 else trials.shape[0]) < 2:
        raise ValueError("One count does not vary: pass several trials (trials, spikes), or a shorter window.")

    def counts(train: Array) -> Array:
        ts, there = split(train)
        edges = jnp.asarray(start + length * np.arange(number + 1), ts.dtype)
        place = jnp.searchsorted(edges, ts, side="right") - 1
        place = jnp.where(there & (place >= 0), place, number)
        return jnp.zeros(number, ts.dtype).at[place].add(1, mode="drop")

    n = jnp.ravel(jax.vmap(counts)(jnp.atleast_2d(trials)))
    mean = jnp.mean(n)
    return jnp.where(mean > 0, jnp.mean((n - mean) ** 2) / jnp.where(mean > 0, mean, 1.0), 0.0)


def _contrasts(spike_times: TrainLike) -> tuple[Float[Array, " pairs"], Scalar]:
    """Return (I_{k+1} - I_k)/(I_{k+1} + I_k), 0 where there is no such pair, and the number of pairs (at least 1)."""
    ts, there = split(spike_times)
    valid = there[2:]
    span = jnp.where(valid, ts[2:] - ts[:-2], 1.0)
    change = jnp.where(valid, ts[2:] - 2 * ts[1:-1] + ts[:-2], 0.0)
    both_zero = span == 0  # three spikes at one time: intervals that are equal
    contrast = jnp.where(both_zero, 0.0, change / jnp.where(both_zero, 1.0, span))
    return contrast, jnp.maximum(jnp.sum(valid), 1).astype(ts.dtype)
