"""One attempt at a step: propose it, clip it to the next landmark, take it, and ask the controller."""

from functools import reduce
from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.hybrid.locate import Ends
from jaxneuro.hybrid.problem import CLOCK, END, REFRACTORY, Carry, Config, Inputs, Settings, combine_stim, where
from jaxneuro.hybrid.shadow import contrast_after, no_contrast, shadow_cap
from jaxneuro.hybrid.tolerance import same_time
from jaxneuro.hybrid.turn import Flow, breakpoint_at, rate, step
from jaxneuro.types import Array, BoolScalar, Int, Scalar, State


class Tried(NamedTuple):
    """A step that was tried, and what the controller says of it."""

    h: Scalar
    y1: State
    ends: Ends
    mark: Scalar  # the next landmark
    mark_low: Scalar  # (float32) and what rounding took from it
    mark_kind: Int[Array, ""]
    cut: BoolScalar  # the step ends there
    capped: BoolScalar  # the step is shorter than proposed, for the sake of the derivatives
    contrast: Any  # after the step
    room: Scalar  # time to it
    keep: BoolScalar  # error within tolerance
    proposal: Scalar
    controller_state: Any
    solver_ok: BoolScalar


def start(config: Config, inputs: Inputs, settings: Settings) -> Carry:
    """Return the lane before its first turn."""
    dtype = config.dtype
    solver, controller = eqx.combine((settings.solver, settings.controller), (config.solver, config.controller))
    plain = jax.lax.stop_gradient(inputs)
    # A breakpoint exactly at t0 is still to come: a turn of length zero, which gives the derivative in its time.
    positions = tuple(jnp.sum(c < plain.t0, dtype=jnp.int32) for c in combine_stim(config, plain.stim).clocks())
    held = (plain.refrac_until0 > plain.t0) if config.refractory else jnp.asarray(False)
    flow = Flow(plain.params, plain.stim, held, positions)
    term = dfx.ODETerm(lambda t, y, args: rate(config, args, jnp.asarray(t, dtype), y))
    # (StepTo checks its ends itself, by raising; here they are a result of their lane.)
    ends = (controller.ts[0], controller.ts[-1]) if isinstance(controller, dfx.StepTo) else (plain.t0, plain.t1)
    dt0: Any = settings.dt0  # (StepTo declares that it takes none)
    end, controller_state = controller.init(term, *ends, plain.state0, dt0, flow, solver.func, solver.error_order(term))
    controller_state = jax.tree.map(jnp.asarray, controller_state)  # diffrax's may hold Python numbers
    proposal = jnp.asarray(end - plain.t0 if config.adaptive else end, dtype)
    g, slope = guard(config, flow, plain.t0, plain.state0)
    armed = g < -same_time(config, settings, plain.t0) * jnp.abs(slope)
    zero, count = jnp.zeros((), dtype), jnp.zeros((), jnp.int32)
    return Carry(
        t=inputs.t0, t_low=zero, y=inputs.state0, refrac_until=inputs.refrac_until0, refrac_low=zero, proposal=proposal,
        controller_state=controller_state, contrast=no_contrast(config, zero), h_locate=zero, h_seen=zero, armed=armed, held=held,
        positions=positions, num_spikes=count, last_spike_row=count - 1, num_steps=count,
        num_rejected=count, result=settings.result0.astype(jnp.int32),
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
    mark_low = jnp.where(mark_kind == REFRACTORY, carry.refrac_low, 0.0)
    room = jnp.maximum((mark - carry.t) - (carry.t_low - mark_low), 0.0)
    proposed = carry.proposal if config.adaptive else jnp.maximum((carry.proposal - carry.t) - carry.t_low, 0.0)
    wanted = jnp.where(carry.h_seen != 0, carry.h_locate, proposed)
    refractory = config.model.refractory
    if refractory is not None and set(refractory(inputs.params).held) == set(carry.y._fields):
        wanted = jnp.where(carry.held, room, wanted)  # nothing moves: one step to the end of refractoriness
    flow = Flow(inputs.params, inputs.stim, carry.held, carry.positions)
    capped, contrast, decay = jnp.asarray(False), carry.contrast, None
    if config.adaptive:
        h, decay = shadow_cap(config, settings, flow, carry, wanted)
        capped, wanted = h < wanted, h
    cut = ~(wanted * (1 + 1e-6) < room)
    h = jnp.where(cut, room, wanted)
    if decay is not None:
        contrast = contrast_after(config, carry, h, decay)
    y1, error, solver_ok = step(config, settings.solver, flow, carry.t, carry.y, h)
    ends = Ends(*guard(config, flow, carry.t, carry.y), *guard(config, flow, carry.t + h, y1), h)
    solver, controller = eqx.combine((settings.solver, settings.controller), (config.solver, config.controller))
    bad = lambda e: jnp.where(jnp.isnan(e) | ~solver_ok, jnp.inf, e)
    # Where the step overflowed, its own size must not scale an infinite error down to NaN, which no controller answers.
    good = finite(y1)
    # An adaptive controller knows lengths only (and keeps its digits in float32); a fixed one counts absolute ends.
    t0, t1 = (jnp.zeros_like(h), h) if config.adaptive else (carry.t, carry.t + h)
    order = solver.error_order(dfx.ODETerm(lambda t, y, args: y))
    keep, begin, end, _, controller_state, _ = controller.adapt_step_size(
        t0,
        t1,
        carry.y,
        where(good, y1, carry.y),
        flow,
        None if error is None else jax.tree.map(bad, error),
        order,
        carry.controller_state,
    )
    keep = jnp.asarray(keep) & good & solver_ok
    proposal = (end - begin if config.adaptive else end).astype(config.dtype)
    return Tried(
        h,
        y1,
        ends,
        mark,
        mark_low,
        mark_kind,
        cut,
        capped,
        contrast,
        room,
        keep,
        proposal,
        controller_state,
        jnp.asarray(solver_ok),
    )


def finite(tree: Any) -> BoolScalar:
    # Not jnp.all of a stack: under `vmap` a stack is a copy and a reduction, in the middle of the loop.
    return reduce(jnp.logical_and, [jnp.isfinite(x) for x in jax.tree.leaves(tree)])
