"""One turn of the hybrid loop: what a tried step is used for, and the lane after it.

A turn takes one solver step, for all lanes in lockstep, and either keeps it, throws it away to land on an event it saw,
or jumps. All decisions are made on values without derivatives; `turn.take` then moves the lane on differentiably.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxneuro.hybrid.attempt import Tried, finite, try_step
from jaxneuro.hybrid.locate import event_time, may_peak_above
from jaxneuro.hybrid.problem import (
    CLOCK,
    CROSSED,
    DONE,
    END,
    FREE,
    OVERFLOW,
    PEAKED,
    REFRACTORY,
    REJECTED,
    SPIKE,
    Carry,
    Config,
    Inputs,
    Row,
    Settings,
    SpikeRow,
    where,
)
from jaxneuro.hybrid.tolerance import resolution, same_time, ulps
from jaxneuro.hybrid.turn import Flow, Moving, rate, take
from jaxneuro.results import RESULTS, RUNNING, code
from jaxneuro.types import Array, BoolScalar, Int, Scalar, State


class Landing(NamedTuple):
    """How the end of a step lies to the threshold."""

    correction: Scalar  # Newton's, from the end of the step to the crossing (where the slope is > 0)
    near: BoolScalar  # close enough for that correction to be accurate
    arrived: BoolScalar  # the rest of an accelerating upstroke takes no time
    close: Scalar  # what a maximum may rise unseen (a time times the change of slope)
    same: Scalar  # two times closer than this are one
    per_slope: Scalar  # 1/slope at the end of the step, inf where that is not positive


def landing(config: Config, settings: Settings, now: Carry, tried: Tried) -> Landing:
    ends = tried.ends
    close = resolution(config, settings) * jnp.where(now.h_seen != 0, jnp.abs(now.h_seen), tried.h)
    per_slope = jnp.where(ends.slope1 > 0, 1 / ends.slope1, jnp.inf)
    correction = -ends.g1 * per_slope
    same = same_time(config, settings, now.t)
    # Newton's correction errs by half the curvature of g times its square.
    bent = jnp.square(correction) * jnp.abs(ends.slope1 - ends.slope0) * per_slope <= 2 * same * tried.h
    # An exponential upstroke to a distant cutoff ends with steps that time does not resolve; its rest is shorter than Newton's.
    arrived = (correction >= 0) & (correction <= same) & (ends.slope1 >= ends.slope0) & (ends.slope0 > 0)
    return Landing(correction, (jnp.abs(correction) <= 10 * close) & bent, arrived, close, same, per_slope)


def classify(config: Config, now: Carry, tried: Tried, landed: Landing) -> Int[Array, ""]:
    """Return what the turn does: one of DONE ... CLOCK + j."""
    up = tried.ends.g1 >= 0
    spike = jnp.where(now.num_spikes >= config.max_spikes, OVERFLOW, SPIKE)
    accepted = jnp.where(tried.cut, tried.mark_kind, FREE)
    peaked = (now.h_seen <= 0) & may_peak_above(tried.ends, landed.close)
    on_threshold = landed.near | landed.arrived | (up & (tried.h <= ulps(now.t, 4)))
    # At a landmark a crossing that is as good as reached comes first: a run that goes on from there starts on the threshold.
    reached = tried.cut & landed.near & (landed.correction <= landed.same)
    kind = jnp.where(
        up | (now.h_seen > 0) | reached | landed.arrived,
        jnp.where(on_threshold, spike, CROSSED),
        jnp.where(peaked, PEAKED, accepted),
    )
    kind = jnp.where(now.armed & ~now.held, kind, accepted)
    return jnp.where(now.result == RUNNING, jnp.where(tried.keep, kind, REJECTED), DONE).astype(jnp.int16)


def add_time(t: Scalar, t_low: Scalar, h: Scalar) -> tuple[Scalar, Scalar]:
    """Return t + t_low + h as a rounded sum and its rounding error (Knuth 1969, TAOCP 2, 4.2.2)."""
    h = t_low + h
    total = t + h
    part = total - t
    return total, (t - (total - part)) + (h - part)


def one_turn(
    config: Config, inputs: Inputs, settings: Settings, carry: Carry, index: Int[Array, ""]
) -> tuple[Carry, Row, SpikeRow]:
    """Move a lane on by one turn, which is number `index` of its segment."""
    plain, now = jax.lax.stop_gradient((inputs, carry))
    tried = try_step(config, plain, settings, now)
    landed = landing(config, settings, now, tried)
    kind = classify(config, now, tried, landed)
    jumps = (kind == SPIKE) | (kind == OVERFLOW)
    # A spike comes before a landmark at the same time.
    correction = jnp.where(jumps & landed.near, jnp.clip(landed.correction, -tried.h, tried.room - tried.h), 0.0)
    h = tried.h + correction
    t1, t1_low = add_time(now.t, now.t_low, h)
    t1 = jnp.where(kind >= END, tried.mark, t1)
    flow = Flow(plain.params, plain.stim, now.held, now.positions)
    rate1 = rate(config, flow, now.t + tried.h, tried.y1)
    y1 = jax.tree.map(lambda y, f: y + correction * f, tried.y1, rate1)

    row = Row(carry.t, carry.y, jnp.where(kind < FREE, 0.0, h), kind, carry.held, carry.positions)
    moving = Moving(carry.t, carry.y, carry.refrac_until)
    moving, h_out = take(config, settings.solver, inputs, row, moving, t1, y1)
    after = follow(config, plain, settings, now, tried, landed, kind, moving.y)
    after = after._replace(
        t=moving.t, y=moving.y, refrac_until=moving.refrac_until,
        last_spike_row=jnp.where(kind == SPIKE, index, now.last_spike_row),
    )  # fmt: skip
    if config.dtype == jnp.float32:
        low = jnp.where(kind < FREE, now.t_low, jnp.where(kind >= END, tried.mark_low, t1_low))
        after = after._replace(t_low=low)
        if config.model.refractory is not None:
            duration = config.model.refractory(plain.params).duration
            rounding = add_time(jax.lax.stop_gradient(moving.t), jnp.zeros_like(low), duration)[1]
            after = after._replace(refrac_low=jnp.where(kind == SPIKE, low + rounding, now.refrac_low))
    return after, row._replace(h=h_out), SpikeRow(moving.t, now.last_spike_row)


def follow(
    config: Config, plain: Inputs, settings: Settings, now: Carry, tried: Tried, landed: Landing, kind: Int[Array, ""],
    y: State,
) -> Carry:  # fmt: skip
    """Return the parts of the carry that have no derivative: control, location, counts, result."""
    ends = tried.ends
    thrown = (kind == CROSSED) | (kind == PEAKED)
    # The controller sees only steps that reached the end it proposed itself, and those it rejects.
    told = (kind == REJECTED) | ((kind == FREE) & (now.h_seen == 0) & ~tried.capped)
    up = ends.g1 >= 0
    seen = jnp.where(now.h_seen != 0, jnp.abs(now.h_seen), tried.h)
    # The crossing lies before the shortest step that ended above the threshold.
    length = jnp.where((kind == CROSSED) & up, jnp.minimum(seen, tried.h), seen)
    # A step that ended short of a crossing seen before is lengthened by Newton's estimate, or by half of what is left where
    # that lies beyond: one step leads to most spikes.
    newton = tried.h + landed.correction
    longer = jnp.where((newton >= tried.h) & (newton < length), newton, 0.5 * (tried.h + length))
    h_locate = jnp.where((kind == CROSSED) & ~up, longer, event_time(ends, kind == CROSSED, landed.per_slope))
    h_seen = jnp.where(thrown, jnp.where(kind == CROSSED, length, -length), 0.0)
    # Armed: below threshold, beyond tolerance, since the last spike or the end of refractoriness.
    below = config.model.spike_condition(jax.lax.stop_gradient(y), plain.params) < -2 * landed.same * jnp.abs(
        ends.slope1
    )
    anew = (kind == SPIKE) | (kind == REFRACTORY)
    num_spikes = now.num_spikes + (kind == SPIKE)
    contrast = lambda new, old: jnp.where(kind == FREE, new, jnp.where(kind < FREE, old, 1.0))
    proposal = jnp.where(told, tried.proposal, now.proposal)
    # The steps of an exponential upstroke are too small for the time after it.
    restart = jnp.maximum(1e-3, ulps(now.t, 128)) if config.adaptive else proposal
    return now._replace(
        proposal=jnp.where(kind == SPIKE, jnp.maximum(proposal, restart), proposal),
        controller_state=where(told, tried.controller_state, now.controller_state),
        contrast=jax.tree.map(contrast, tried.contrast, now.contrast),
        h_locate=h_locate, h_seen=h_seen,
        armed=jnp.where(anew, below, now.armed | ((kind >= FREE) & below)),
        held=(now.held | (kind == SPIKE)) & (kind != REFRACTORY) if config.refractory else now.held,
        positions=tuple(p + (kind == CLOCK + j) for j, p in enumerate(now.positions)),
        num_spikes=num_spikes, num_steps=now.num_steps + (kind != DONE),
        num_rejected=now.num_rejected + ((kind > DONE) & (kind < FREE)),
        result=result_after(config, settings, now, tried, kind, num_spikes),
    )  # fmt: skip


def result_after(
    config: Config, settings: Settings, now: Carry, tried: Tried, kind: Int[Array, ""], num_spikes: Any
) -> Int[Array, ""]:
    """Return the result of the lane after the turn (RUNNING if it goes on)."""
    success = kind == END
    if settings.stop_after is not None:
        success |= (kind == SPIKE) & (num_spikes >= settings.stop_after)
    result = jnp.where(success, code(RESULTS.successful), now.result)
    result = jnp.where(kind == OVERFLOW, code(RESULTS.max_spikes_reached), result)
    running = kind != DONE
    if config.adaptive:
        # An upstroke that accelerates within steps that `t` does not resolve ends soon, as does one whose end is as near:
        # no reason to stop before the threshold.
        g0, slope0, _, slope1, _ = tried.ends
        ends_soon = (jnp.isfinite(g0) & (slope0 > 0) & (slope1 > 1.01 * slope0)) | (-g0 <= slope0 * ulps(now.t, 65_536))
        arriving = now.armed & ~now.held & ends_soon
        stuck = running & ~tried.cut & (now.h_seen == 0) & (tried.h <= ulps(now.t, 4)) & ~arriving
        return jnp.where(stuck, code(RESULTS.step_too_small), result).astype(jnp.int32)
    result = jnp.where(running & ~tried.solver_ok, code(RESULTS.solver_failed), result)
    return jnp.where(running & ~finite(tried.y1), code(RESULTS.nonfinite_state), result).astype(jnp.int32)
