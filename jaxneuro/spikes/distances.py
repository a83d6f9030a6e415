"""How far two spike trains are apart."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxneuro.results import RESULTS
from jaxneuro.spikes.train import TrainLike, scale, split
from jaxneuro.types import IntScalar, Scalar, ScalarLike


def van_rossum_distance(a: TrainLike, b: TrainLike, tau: ScalarLike) -> Scalar:
    """Return the van Rossum distance of two trains, exact, without a grid.

        D^2 = (1/tau) int (f_a - f_b)^2 dt,  f(t) = sum_i H(t - t_i) exp(-(t - t_i)/tau)

    As in the paper, one spike more adds 1/2 to D^2: the distance to a train without spikes is sqrt(1/2) for one spike,
    and about sqrt(n/2) for n spikes far apart. The integral is summed from spike to spike, so the cost is that of sorting.

    Args:
        a, b: ms, (n,) and (m,), padded with inf, in any order; they may differ in length.
        tau: decay of the filter, ms, > 0. Small: counts spikes that do not coincide; large: compares their numbers.

    Returns:
        D, dimensionless; 0 for equal trains, two empty ones included; NaN for a traced tau that is not > 0.

    Raises:
        ValueError: tau known and <= 0; trains that are not (spikes,).

    Differentiable: in every spike time and tau, but for a kink where a spike of a meets one of b. Gradient 0 at D = 0.

    Source: van Rossum (2001), Neural Comput. 13:751, doi:10.1162/089976601300014321.

    Example:
        >>> float(van_rossum_distance(jnp.array([10.0, 30.0]), jnp.array([10.0, jnp.inf]), 5.0)) ** 2
        0.5...
    """
    (ta, in_a), (tb, in_b) = split(a), split(b)
    times = jnp.concatenate([jnp.where(in_a, ta, jnp.inf), jnp.where(in_b, tb, jnp.inf)])
    sign = jnp.concatenate([in_a.astype(times.dtype), -in_b.astype(times.dtype)])
    tau = scale("tau", tau, times.dtype)
    order = jnp.argsort(times)
    times, sign = times[order], sign[order]
    there = jnp.isfinite(times)
    times = jnp.where(there, times, 0.0)
    follows = jnp.append(there[1:], False)
    gap = jnp.where(follows, jnp.append(times[1:], 0.0) - times, 0.0) / tau
    # f_a - f_b jumps by the sign at a spike and decays till the next, for good after the last.
    decay = jnp.where(follows, jnp.exp(-gap), 0.0)
    share = jnp.where(follows, -jnp.expm1(-2 * gap), 1.0)

    def to_next(height: Scalar, x: Any) -> tuple[Scalar, Scalar]:
        jump, decay = x
        return (height + jump) * decay, height + jump

    _, heights = jax.lax.scan(to_next, jnp.zeros((), times.dtype), (sign, decay))
    squared = 0.5 * jnp.sum(heights**2 * share)
    apart = squared > 0
    return jnp.where(tau > 0, jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0), jnp.nan)


def victor_purpura_distance(a: TrainLike, b: TrainLike, cost: ScalarLike) -> Scalar:
    """Return the Victor-Purpura spike-time distance: the least cost of turning one train into the other.

    To add or delete a spike costs 1, to move one by dt costs cost |dt|. By dynamic programming over the spikes:

        G_ij = min(G_{i-1,j} + 1, G_{i,j-1} + 1, G_{i-1,j-1} + cost |a_i - b_j|)

    Args:
        a, b: ms, (n,) and (m,), ascending, padded with inf; they may differ in length.
        cost: of moving a spike, 1/ms, >= 0. At 0 the distance is the difference of the counts; at inf the number of spikes
            that do not coincide.

    Returns:
        Dimensionless; the number of spikes of the other train where one is empty, 0 for two empty ones; NaN for a traced
        cost that is not >= 0.

    Raises:
        ValueError: cost known and < 0; trains that are not (spikes,).

    Differentiable: in every spike time and cost, but where two cheapest ways cost the same. Two spikes at one time have
        derivative 0, in the middle of the kink.

    Source: Victor & Purpura (1996), J. Neurophysiol. 76:1310, doi:10.1152/jn.1996.76.2.1310, distance D_spike.

    Example:
        >>> float(victor_purpura_distance(jnp.array([10.0, 30.0]), jnp.array([12.0, jnp.inf]), 0.1))
        1.2
    """
    (ta, in_a), (tb, in_b) = split(a), split(b)
    dtype = jnp.result_type(ta, tb)
    cost = jnp.minimum(scale("cost", cost, dtype, positive=False), 1e30)  # as good as infinite, but 0 times it is 0
    number = jnp.arange(tb.shape[0] + 1, dtype=dtype)

    def add_spike(row: Any, spike: Any) -> tuple[Any, None]:
        time, there = spike
        shift = time - tb
        # x sign(x), whose derivative is 0 at 0; that of jnp.abs is 1.
        best = (row + 1).at[1:].min(row[:-1] + cost * shift * jnp.sign(shift))
        # G_ij <= G_{i,j-1} + 1 along the row: a running minimum of G_ij - j.
        return jnp.where(there, jax.lax.cummin(best - number) + number, row), None

    row, _ = jax.lax.scan(add_spike, number, (ta.astype(dtype), in_a))
    distance = jnp.sum(jnp.where(number == jnp.sum(in_b).astype(dtype), row, 0.0))
    return jnp.where(cost >= 0, distance, jnp.nan)


class Coincidence(NamedTuple):
    """How well a model's spikes meet those of data."""

    factor: Scalar  # Gamma
    num_coincidences: IntScalar
    result: Any  # an item of RESULTS


def coincidence_factor(data: TrainLike, model: TrainLike, window: ScalarLike, duration: ScalarLike) -> Coincidence:
    """Return the coincidence factor of a model's train with a recorded one.

        Gamma = (N_coinc - 2 nu window N_data) / ((N_data + N_model)/2) / (1 - 2 nu window),  nu = N_model/duration

    1 for trains that agree spike by spike, 0 on average for a Poisson train of the model's rate, and for a silent model.

    Args:
        data, model: ms, (n,) and (m,), ascending, padded with inf; they may differ in length.
        window: the precision, ms, > 0: two spikes coincide when at most that far apart. A spike is used once: each of `data`,
            in their order, takes the first spike of `model` that is left (as without that rule where 2 window is less
            than every interval).
        duration: length of the recording, ms, > 0.

    Returns:
        A `Coincidence`. Two trains without spikes: factor 0 and `RESULTS.no_spikes`. A window so wide that chance alone
        would meet every spike, 2 nu window >= 1, or a traced window or duration that is not > 0: factor 0 and
        `RESULTS.bad_parameters`.

    Raises:
        ValueError: window or duration known and <= 0; trains that are not (spikes,).

    Differentiability: none in the spike times (counts).

    Source: Kistler, Gerstner & van Hemmen (1997), Neural Comput. 9:1015, doi:10.1162/neco.1997.9.5.1015; Jolivet et al.
    (2008), J. Neurosci. Methods 169:417, doi:10.1016/j.jneumeth.2007.11.006.

    Example:
        >>> found = coincidence_factor(jnp.array([10.0, 20.0, 30.0]), jnp.array([11.0, 18.5, 40.0]), 2.0, 1000.0)
        >>> int(found.num_coincidences), round(float(found.factor), 6)
        (2, 0.662618)
    """
    (td, in_data), (tm, in_model) = split(data), split(model)
    dtype = jnp.result_type(td, tm)
    window, duration = scale("window", window, dtype), scale("duration", duration, dtype)
    ordered = jnp.append(jnp.where(in_model, tm, jnp.inf), jnp.inf).astype(dtype)  # never of length 0
    # Two times in the same distance as the window coincide, whatever the rounding of their difference.
    reach = window * (1 + 1e-6 if dtype == jnp.float32 else 1 + 1e-12)
    earliest = jnp.searchsorted(ordered, td.astype(dtype) - reach)

    def meet(left: IntScalar, spike: Any) -> tuple[IntScalar, Any]:
        time, there, first = spike
        index = jnp.maximum(left, first)
        met = there & (ordered.at[index].get(mode="fill", fill_value=jnp.inf) - time <= reach)
        return jnp.where(met, index + 1, left).astype(jnp.int32), met

    spikes = (td.astype(dtype), in_data, earliest.astype(jnp.int32))
    num = jnp.sum(jax.lax.scan(meet, jnp.zeros((), jnp.int32), spikes)[1])
    num_data, num_model = jnp.sum(in_data).astype(dtype), jnp.sum(in_model).astype(dtype)
    chance = 2 * window * num_model / duration
    half, silent, certain = 0.5 * (num_data + num_model), num_data + num_model == 0, ~(chance < 1)
    certain |= ~((window > 0) & (duration > 0))
    factor = (
        (num.astype(dtype) - chance * num_data) / jnp.where(silent, 1.0, half) / jnp.where(certain, 1.0, 1 - chance)
    )
    result = RESULTS.where(certain, RESULTS.bad_parameters, RESULTS.successful)
    result = RESULTS.where(silent, RESULTS.no_spikes, result)
    return Coincidence(jnp.where(silent | certain, 0.0, factor), num, result)
