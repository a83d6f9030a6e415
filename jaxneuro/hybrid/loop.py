"""The hybrid loop: one solver step per turn, for all lanes in lockstep.

A turn proposes a step, clips it to the next landmark, takes it, and either keeps it, throws it away to land on an event it
saw, or jumps. All decisions are made on values without derivatives; `turn.take` then moves the lane on differentiably.
"""

from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.hybrid.locate import Ends, event_time, may_peak_above
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
    combine_stim,
    where,
)
from jaxneuro.hybrid.results import RESULTS, RUNNING, code
from jaxneuro.hybrid.turn import Flow, Moving, breakpoint_at, rate, step, take
from jaxneuro.types import Array, BoolScalar, Int, Scalar, State


class Tried(NamedTuple):
    """A step that was tried, and what the controller says of it."""

    h: Scalar
    y1: State
    ends: Ends
    mark: Scalar  # the next landmark
    mark_kind: Int[Array, ""]
    cut: BoolScalar  # the step ends there
    room: Scalar  # time to it
    keep: BoolScalar  # error within tolerance
    proposal: Scalar
    controller_state: Any
    solver_ok: BoolScalar


def resolution(config: Config, settings: Settings) -> Any:
    """Return how close to a crossing, in units of the step in which it was seen, a step must end to be corrected to it.

    The correction by one Newton step errs by the square of that distance, so the square root of the tolerance will do.
    """
    floor = 10 * float(jnp.finfo(config.dtype).eps)
    if not config.adaptive:
        return 0.1 * max(floor, 1e-12) ** 0.5
    controller = eqx.combine(settings.controller, config.controller)
    return 0.1 * jnp.sqrt(jnp.maximum(jnp.asarray(controller.rtol, config.dtype), floor))


def start(config: Config, inputs: Inputs, settings: Settings) -> Carry:
    """Return the lane before its first turn."""
    dtype = config.dtype
    solver, controller = eqx.combine((settings.solver, settings.controller), (config.solver, config.controller))
    plain = jax.lax.stop_gradient(inputs)
    # A breakpoint exactly at t0 is still to come: a turn of length zero, which gives the derivative in its time.
    positions = tuple(jnp.sum(c < plain.t0, dtype=jnp.int32) for c in combine_stim(config, plain.stim).clocks())
    held = (plain.refrac_until0 > plain.t0) if config.refractory else jnp.asarray(False)
    flow = Flow(plain.params, plain.stim, held, positions)
    term = dfx.ODETerm(lambda t, y, args: rate(config, args, t, y))
    end, controller_state = controller.init(
        term, plain.t0, plain.t1, plain.state0, settings.dt0, flow, solver.func, solver.error_order(term)
    )
    controller_state = jax.tree.map(jnp.asarray, controller_state)  # diffrax's may hold Python numbers
    proposal = jnp.asarray(end - plain.t0 if config.adaptive else end, dtype)
    g, slope = guard(config, flow, plain.t0, plain.state0)
    armed = g < -resolution(config, settings) * jnp.abs(slope) * (end - plain.t0)
    zero, count = jnp.zeros((), dtype), jnp.zeros((), jnp.int32)
    finished = (settings.result0 == RUNNING) & (plain.t1 <= plain.t0)
    return Carry(
        t=inputs.t0, t_low=zero, y=inputs.state0, refrac_until=inputs.refrac_until0, proposal=proposal,
        controller_state=controller_state, h_locate=zero, h_seen=zero, armed=armed, held=held, positions=positions, num_spikes=count, last_spike_row=count - 1, num_steps=count,
        num_rejected=count, result=jnp.where(finished, code(RESULTS.successful), settings.result0).astype(jnp.int32),
    )  # fmt: skip


def guard(config: Config, flow: Flow, t: Scalar, y: State) -> tuple[Scalar, Scalar]:
    """Return the spike condition and its slope along the flow."""
    condition = lambda y: config.model.spike_condition(y, flow.params)
    return jax.jvp(condition, (y,), (rate(config, flow, t, y),))


def next_landmark(config: Config, inputs: Inputs, carry: Carry) -> tuple[Scalar, Int[Array, ""]]:
    """Return the time and kind of the next landmark; of several at one time, one is passed per turn."""
    time, kind = inputs.t1, jnp.asarray(END, jnp.int32)
    candidates = [
        (
            CLOCK + j,
            jnp.where(carry.positions[j] < clock.shape[0], breakpoint_at(clock, carry.positions[j]), jnp.inf),
        )
        for j, clock in enumerate(combine_stim(config, inputs.stim).clocks())
    ]
    if config.refractory:
        candidates.append((REFRACTORY, jnp.where(carry.held, carry.refrac_until, jnp.inf)))
    for other_kind, other in candidates:
        # At the end of the run its breakpoints are not passed any more.
        kind = jnp.where(other < time, other_kind, kind)
        time = jnp.minimum(other, time)
    return time, kind


def try_step(config: Config, inputs: Inputs, settings: Settings, carry: Carry) -> Tried:
    """Propose a step, clip it to the next landmark, take it and ask the controller."""
    mark, mark_kind = next_landmark(config, inputs, carry)
    room = jnp.maximum((mark - carry.t) - carry.t_low, 0.0)
    proposed = carry.proposal if config.adaptive else jnp.maximum((carry.proposal - carry.t) - carry.t_low, 0.0)
    wanted = jnp.where(carry.h_seen != 0, carry.h_locate, proposed)
    if config.refractory and set(config.model.refractory(inputs.params).held) == set(carry.y._fields):
        wanted = jnp.where(carry.held, room, wanted)  # nothing moves: one step to the end of refractoriness
    cut = ~(wanted * (1 + 1e-6) < room)
    h = jnp.where(cut, room, wanted)
    flow = Flow(inputs.params, inputs.stim, carry.held, carry.positions)
    y1, error, solver_ok = step(config, settings.solver, flow, carry.t, carry.y, h)
    ends = Ends(*guard(config, flow, carry.t, carry.y), *guard(config, flow, carry.t + h, y1), h)
    solver, controller = eqx.combine((settings.solver, settings.controller), (config.solver, config.controller))
    bad = lambda e: jnp.where(jnp.isnan(e) | ~solver_ok, jnp.inf, e)
    # An adaptive controller knows lengths only (and keeps its digits in float32); a fixed one counts absolute ends.
    t0, t1 = (jnp.zeros_like(h), h) if config.adaptive else (carry.t, carry.t + h)
    order = solver.error_order(dfx.ODETerm(lambda t, y, args: y))
    keep, begin, end, _, controller_state, _ = controller.adapt_step_size(
        t0,
        t1,
        carry.y,
        y1,
        flow,
        None if error is None else jax.tree.map(bad, error),
        order,
        carry.controller_state,
    )
    keep = jnp.asarray(keep) & finite(y1) & solver_ok
    proposal = (end - begin if config.adaptive else end).astype(config.dtype)
    return Tried(h, y1, ends, mark, mark_kind, cut, room, keep, proposal, controller_state, jnp.asarray(solver_ok))


def finite(tree: Any) -> BoolScalar:
    return jnp.all(jnp.stack([jnp.isfinite(x) for x in jax.tree.leaves(tree)]))


class Landing(NamedTuple):
    """How the end of a step lies to the threshold."""

    correction: Scalar  # Newton's, from the end of the step to the crossing (where the slope is > 0)
    near: BoolScalar  # close enough for that correction to be accurate
    close: Scalar  # what counts as close (a time)


def landing(config: Config, settings: Settings, now: Carry, tried: Tried) -> Landing:
    ends = tried.ends
    close = resolution(config, settings) * jnp.where(now.h_seen != 0, jnp.abs(now.h_seen), tried.h)
    correction = -ends.g1 / jnp.where(ends.slope1 > 0, ends.slope1, 1.0)
    near = (ends.slope1 > 0) & (jnp.abs(correction) <= close)
    return Landing(correction, near, close)


def classify(config: Config, now: Carry, tried: Tried, landed: Landing) -> Int[Array, ""]:
    """Return what the turn does: one of DONE ... CLOCK + j."""
    up = tried.ends.g1 >= 0
    spike = jnp.where(now.num_spikes >= config.max_spikes, OVERFLOW, SPIKE)
    accepted = jnp.where(tried.cut, tried.mark_kind, FREE)
    peaked = (now.h_seen <= 0) & may_peak_above(tried.ends, landed.close)
    on_threshold = landed.near | (up & (tried.h <= ulps(now.t, 4)))
    kind = jnp.where(
        up | (now.h_seen > 0),
        jnp.where(on_threshold, spike, jnp.where(up, CROSSED, accepted)),
        jnp.where(peaked, PEAKED, accepted),
    )
    kind = jnp.where(now.armed & ~now.held, kind, accepted)
    return jnp.where(now.result == RUNNING, jnp.where(tried.keep, kind, REJECTED), DONE).astype(jnp.int16)


def ulps(t: Scalar, n: int) -> Scalar:
    """Return n units in the last place of a time."""
    return n * float(jnp.finfo(t.dtype).eps) * jnp.maximum(jnp.abs(t), 1e-3)


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
        after = after._replace(t_low=jnp.where(kind < FREE, now.t_low, jnp.where(kind >= END, 0.0, t1_low)))
    return after, row._replace(h=h_out), SpikeRow(moving.t, now.last_spike_row)


def follow(
    config: Config, plain: Inputs, settings: Settings, now: Carry, tried: Tried, landed: Landing, kind: Int[Array, ""],
    y: State,
) -> Carry:  # fmt: skip
    """Return the parts of the carry that have no derivative: control, location, counts, result."""
    ends = tried.ends
    thrown = (kind == CROSSED) | (kind == PEAKED)
    # The controller sees only steps that reached the end it proposed itself, and those it rejects.
    told = (kind == REJECTED) | ((kind == FREE) & (now.h_seen == 0))
    # A step that ended short of a crossing seen before: go on to it by Newton's estimate.
    short = (kind == FREE) & (now.h_seen > 0)
    remaining = jnp.where(ends.slope1 > 0, landed.correction, 0.5 * now.h_seen)
    h_locate = jnp.where(thrown, event_time(ends, kind == CROSSED), jnp.maximum(remaining, ulps(now.t, 1)))
    length = jnp.where(now.h_seen != 0, jnp.abs(now.h_seen), tried.h)
    h_seen = jnp.where(thrown, jnp.where(kind == CROSSED, length, -length), jnp.where(short, now.h_seen, 0.0))
    # Armed: below threshold, beyond tolerance, since the last spike or the end of refractoriness.
    below = config.model.spike_condition(jax.lax.stop_gradient(y), plain.params) < -landed.close * jnp.abs(ends.slope1)
    anew = (kind == SPIKE) | (kind == REFRACTORY)
    num_spikes = now.num_spikes + (kind == SPIKE)
    return now._replace(
        proposal=jnp.where(told, tried.proposal, now.proposal),
        controller_state=where(told, tried.controller_state, now.controller_state),
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
        stuck = running & ~tried.cut & (now.h_seen == 0) & (tried.h <= ulps(now.t, 4))
        return jnp.where(stuck, code(RESULTS.step_too_small), result).astype(jnp.int32)
    result = jnp.where(running & ~tried.solver_ok, code(RESULTS.solver_failed), result)
    return jnp.where(running & ~finite(tried.y1), code(RESULTS.nonfinite_state), result).astype(jnp.int32)
