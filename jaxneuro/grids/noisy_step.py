"""One step of a neuron in white noise, and where within it the threshold was crossed.

Over one step of length h the drift of the first variable is linearised, dv = (f + k (v - v_0)) dt + noise dW. With the clock
q(s) = noise^2 (1 - e^{-2ks})/(2k) the process e^{-ks} (v - v*), v* = v_0 - f/k, is Brownian motion at time q. The distance to
the threshold becomes a = v_th - v_0 at the start of the step and b = (v_th - v_1) e^{-kh} at its end, Q = q(h) later.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxneuro.model import NeuronModel
from jaxneuro.numerics import exprel
from jaxneuro.stimuli import Stimulus
from jaxneuro.types import Array, BoolScalar, Float, Int, IntScalar, Params, Scalar, SpikeTimes, State

# A step is at most this long in units of 1/(df/dv) where that is positive, but not shorter than _SHORTEST dt.
_EXPANSION = 1 / 8
_SHORTEST = 1 / 64


class Job(NamedTuple):
    """What stays the same in every turn."""

    model: NeuronModel
    params: Params
    stim: Stimulus
    t1: Scalar
    dt: Scalar
    noise: Scalar
    bridge: bool


class Lane(NamedTuple):
    """One neuron between two turns. Time is t + t_low, so that its rounding does not add up."""

    t: Scalar
    t_low: Scalar
    y: State
    left: Scalar  # of the refractory period, ms
    positions: tuple[Int[Array, ""], ...]  # on the clocks of the stimulus
    count: IntScalar  # spikes so far
    spike_times: SpikeTimes


class Drift(NamedTuple):
    """The drift of the first variable, linearised."""

    f: Scalar
    k: Scalar  # df/dv
    curvature: Scalar  # d2f/dv2


class Spread(NamedTuple):
    """How the linearised flow of one step spreads."""

    kh: Scalar
    growth: Scalar  # e^{kh}
    shrink: Scalar  # e^{-2kh} - 1
    variance: Scalar  # of v_1, which is Q e^{2kh}


class Try(NamedTuple):
    """The step that a lane takes unless it meets the threshold."""

    t: Scalar  # its middle, at which the input is taken
    h: Scalar
    current: Any
    drift: Drift
    mark: Scalar  # the next breakpoint or t1
    landed: BoolScalar  # whether the step ends there


def take_turn(job: Job, lane: Lane, normal: Float[Array, "2"], uniform: Scalar) -> Lane:
    """Move a lane on by one step, or to the spike within it; a lane at t1 stays."""
    duration, fields = _refractory(job)
    held, running = lane.left > 0, lane.t < job.t1
    marks = [
        c.at[p].get(mode="fill", fill_value=jnp.inf) for c, p in zip(job.stim.clocks(), lane.positions, strict=True)
    ]
    tried = propose(job, lane, fields, jnp.min(jnp.stack([job.t1, *marks])))
    y1, spread = step(job, tried, lane.y, normal[0])
    y1 = y1._replace(**{name: jnp.where(held, getattr(lane.y, name), getattr(y1, name)) for name in fields})
    spike, s = crossing(job, lane.y, y1, spread, tried.h, uniform, normal[1])
    spike = spike & ~held & running

    t, t_low = _add(lane.t, lane.t_low, jnp.where(spike, s, tried.h))
    on_mark = tried.landed & ~spike
    t, t_low = jnp.where(on_mark, tried.mark, t), jnp.where(on_mark, 0.0, t_low)
    part = jnp.where(tried.h > 0, s / jnp.where(tried.h > 0, tried.h, 1.0), 1.0)
    after = job.model.reset(_on_threshold(job, lane.y, y1, part), job.params)
    moved = lane._replace(
        t=t, t_low=t_low, y=jax.tree.map(lambda a, b: jnp.where(spike, a, b), after, y1),
        left=jnp.where(spike, duration, jnp.where(held, lane.left - tried.h, 0.0)),
        positions=tuple(p + (m <= t) for p, m in zip(lane.positions, marks, strict=True)),
        count=lane.count + spike,
    )  # fmt: skip
    kept = jax.tree.map(
        lambda a, b: jnp.where(running, a, b), moved._replace(spike_times=()), lane._replace(spike_times=())
    )
    slot = jnp.where(spike, lane.count, lane.spike_times.shape[0])
    return kept._replace(spike_times=lane.spike_times.at[slot].set(t, mode="drop"))


def _refractory(job: Job) -> tuple[Scalar, tuple[str, ...]]:
    if job.model.refractory is None:
        return jnp.zeros_like(job.dt), ()
    return job.model.refractory(job.params)


def propose(job: Job, lane: Lane, fields: tuple[str, ...], mark: Scalar) -> Try:
    """Choose the step: dt, or to the end of refractoriness, or to the mark; shorter where the drift expands."""
    held = lane.left > 0
    room = jnp.maximum((mark - lane.t) - lane.t_low, 0.0)
    # A neuron whose every variable is held sleeps through its refractory period.
    asleep = set(fields) == set(lane.y._fields)
    longest = jnp.where(held, lane.left if asleep else jnp.minimum(lane.left, job.dt), job.dt)
    t = lane.t + 0.5 * jnp.minimum(longest, room)
    current = job.stim.value(t, lane.positions)
    drift = linearise(job, t, lane.y, current)
    slowed = jnp.clip(_EXPANSION / jnp.maximum(drift.k, 1e-30), _SHORTEST * job.dt, job.dt)
    h = jnp.where(held, longest, jnp.minimum(longest, slowed))
    landed = room <= h * (1 + 1e-6)  # no sliver is left by rounding
    return Try(t, jnp.where(landed, room, h), current, drift, mark, landed)


def linearise(job: Job, t: Scalar, y: State, current: Any) -> Drift:
    first = y._fields[0]
    field = lambda v: job.model.vector_field(t, y._replace(**{first: v}), job.params, current)[0]
    one = jnp.ones_like(y[0])
    (f, k), (_, curvature) = jax.jvp(lambda v: jax.jvp(field, (v,), (one,)), (y[0],), (one,))
    return Drift(f, k, curvature)


def step(job: Job, tried: Try, y: State, xi: Scalar) -> tuple[State, Spread]:
    """Return the state one step later: the flow of each variable, linearised, with the others held; and how it spreads."""
    h, drift = tried.h, tried.drift
    kh = jnp.minimum(drift.k * h, 1.0)  # in the upstroke e^{kh} would overflow
    per_h, per_2h = exprel(kh), exprel(2 * kh)
    growth = 1 + kh * per_h
    spread = Spread(kh, growth, -2 * kh * per_2h / growth**2, job.noise**2 * h * per_2h)
    mean = (drift.f + 0.25 * h * job.noise**2 * drift.curvature) * h * per_h

    def other(i: int) -> Scalar:
        field = lambda x: job.model.vector_field(tried.t, y._make([*y[:i], x, *y[i + 1 :]]), job.params, tried.current)[
            i
        ]
        slope, rate = jax.jvp(field, (y[i],), (jnp.ones_like(y[i]),))
        return y[i] + h * slope * exprel(h * rate)

    return y._make([y[0] + mean + jnp.sqrt(spread.variance) * xi, *(other(i) for i in range(1, len(y)))]), spread


def crossing(
    job: Job, y0: State, y1: State, spread: Spread, h: Scalar, uniform: Scalar, normal: Scalar
) -> tuple[BoolScalar, Scalar]:
    """Return whether the threshold was crossed upward within the step, and when, ms after its start.

    With d_0, d_1 the distances to the threshold, v_th - v, the bridge crosses with probability 1 if d_1 <= 0, else
    exp(-2 d_0 b/Q) = exp(-2 d_0 d_1 k/(noise^2 sinh kh)). Its first passage is that of the bridge to |b| beyond the threshold,
    hence q = Q phi with phi/(1 - phi) inverse Gaussian, of mean a/|b| and shape a^2/Q: drawn from one normal
    and one uniform number (Michael, Schucany & Haas 1976). The uniform number that decided on the crossing serves again.
    """
    guard = lambda v, y: job.model.spike_condition(y._replace(**{y._fields[0]: v}), job.params)
    g0, slope = jax.jvp(lambda v: guard(v, y0), (y0[0],), (jnp.ones_like(y0[0]),))
    g1 = guard(y1[0], y1)
    below = (g0 < 0) & (g1 < jnp.inf)  # a state that ran away is no spike: the reset would hide it from the result
    if not job.bridge:
        return below & (g1 >= 0), h
    d0, d1 = -g0 / slope, -g1 / slope
    kh, growth, shrink, variance = spread
    tiny = jnp.finfo(h.dtype).tiny ** 0.25
    a, b = jnp.maximum(d0, tiny), jnp.maximum(jnp.abs(d1), tiny) / growth
    q = variance / growth**2
    scatter = q / (a * b)
    chance = jnp.where(d1 > 0, jnp.exp(-2 / jnp.maximum(scatter, tiny)), 1.0)
    r = scatter * normal**2
    rho = 1 / (1 + 0.5 * r + jnp.sqrt(r + 0.25 * r**2))
    early = uniform * (1 + rho) < chance
    phi = jnp.where(early, a * rho / (a * rho + b), a / (a + b * rho))
    # s = -ln(1 - 2 k q/noise^2)/(2k), with 2 k Q/noise^2 = 1 - e^{-2kh}
    still = kh == 0
    s = h * jnp.where(still, phi, jnp.log1p(phi * shrink) / jnp.where(still, 1.0, -2 * kh))
    return below & (uniform < chance), s


def _on_threshold(job: Job, y0: State, y1: State, part: Scalar) -> State:
    """Return the state from which to reset: the end of the step, or on the threshold, the other variables in proportion."""
    if not job.bridge:
        return y1
    between = jax.tree.map(lambda a, b: a + part * (b - a), y0, y1)
    guard, slope = jax.jvp(
        lambda v: job.model.spike_condition(between._replace(**{between._fields[0]: v}), job.params),
        (between[0],), (jnp.ones_like(between[0]),),
    )  # fmt: skip
    return between._replace(**{between._fields[0]: between[0] - guard / slope})


def _add(t: Scalar, t_low: Scalar, h: Scalar) -> tuple[Scalar, Scalar]:
    """Return t + t_low + h as a rounded sum and its rounding error (Knuth 1969, TAOCP 2, 4.2.2)."""
    h = t_low + h
    total = t + h
    part = total - t
    return total, (t - (total - part)) + (h - part)
