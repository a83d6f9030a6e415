"""One turn of the hybrid loop as a differentiable function.

A turn starts at (t, y) and takes one solver step of length h, then perhaps a jump. What `h` depends on is what its kind
says, and that is all there is to the derivative through spikes and landmarks:

    FREE             h is a constant (with a constant-step controller its end is: h = end - t, so dh = -dt)
    SPIKE, OVERFLOW  h solves spike_condition(step(t, y, h)) = 0, so dh = -dg / (dg/dh)   (implicit function theorem)
    END and above    h = landmark - t, so dh = d landmark - dt

with dt' = dt + dh and dy' = d step + (d step/dh) dh. Through the reset this gives the saltation matrix with no special case.
"""

from functools import partial
from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.hybrid.problem import (
    CLOCK,
    END,
    FREE,
    OVERFLOW,
    REFRACTORY,
    SPIKE,
    Config,
    Inputs,
    Row,
    combine_stim,
    where,
)
from jaxneuro.model import NeuronModel
from jaxneuro.types import Array, BoolScalar, Int, Params, Scalar, State


class Flow(NamedTuple):
    """What the vector field depends on besides time and state; constant during one step."""

    params: Params
    stim: Any
    held: BoolScalar
    positions: tuple[Int[Array, ""], ...]


@partial(jax.jit, static_argnums=0)
def vector_field(model: NeuronModel, t: Scalar, y: State, params: Params, current: Any) -> State:
    """The model's, traced once for all stages of all solvers: most of the time to trace a run is this."""
    return model.vector_field(t, y, params, current)


def rate(config: Config, flow: Flow, t: Scalar, y: State, piece: Any = None) -> State:
    """Return dy/dt at `t`; held fields do not move. `piece`: of the stimulus, where it is at hand."""
    if piece is None:
        piece = combine_stim(config, flow.stim).piece(flow.positions)
    dy = vector_field(config.model, t, y, flow.params, piece.value(t, ()))
    if config.model.refractory is None:
        return dy
    held = config.model.refractory(flow.params).held
    return dy._replace(**{n: jnp.where(flow.held, jnp.zeros_like(x), x) for n, x in dy._asdict().items() if n in held})


def step(config: Config, solver_arrays: Any, flow: Flow, t: Scalar, y: State, h: Scalar) -> tuple[State, State, Any]:
    """Take one solver step of length `h`; return the new state, the error estimate and whether the solver converged.

    The solver sees time from 0 to h: in float32 the difference of two absolute times would round the step.
    """
    solver = eqx.combine(solver_arrays, config.solver)
    piece = combine_stim(config, flow.stim).piece(flow.positions)
    # All that is differentiated goes through `args`: an implicit solver's root finder sees no closure.
    term = dfx.ODETerm(lambda s, y, args: rate(config, args[0], args[2] + s, y, args[1]))
    zero, args = jnp.zeros_like(h), (flow, piece, t)
    solver_state = solver.init(term, zero, h, y, args)
    y1, error, _, _, result = solver.step(term, zero, h, y, args, solver_state, made_jump=True)
    return y1, error, result == dfx.RESULTS.successful


class Start(NamedTuple):
    """The differentiable start of a step."""

    t: Scalar
    y: State
    params: Params
    stim: Any
    landmark: Scalar


def advance(
    config: Config, solver_arrays: Any, row: Row, start: Start, t1: Scalar, y1: State
) -> tuple[Scalar, Scalar, State]:
    """Return (t1, row.h, y1) as they are, with the derivatives of a step of the given kind from `start`."""

    @jax.custom_jvp
    def run(start: Start, h: Scalar, t1: Scalar, y1: State, fixed: Any) -> tuple[Scalar, Scalar, State]:
        return t1, h, y1

    @run.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        start: Start = primals[0]
        solver_arrays, kind, held, positions = primals[4]
        d: Start = tangents[0]
        # Called again, so that these values carry their own derivative when the rule is differentiated in turn.
        t1, h, y1 = run(*primals)

        def end(t: Scalar, y: State, params: Params, stim: Any, h: Scalar) -> State:
            return step(config, solver_arrays, Flow(params, stim, held, positions), t, y, h)[0]

        condition = config.model.spike_condition
        _, dy = jax.jvp(lambda t, y, p, s: end(t, y, p, s, h), start[:4], d[:4])
        _, y_rate = jax.jvp(lambda h: end(start.t, start.y, start.params, start.stim, h), (h,), (jnp.ones_like(h),))
        _, dg = jax.jvp(condition, (y1, start.params), (dy, d.params))
        _, g_rate = jax.jvp(lambda y: condition(y, start.params), (y1,), (y_rate,))
        crossing = (kind == SPIKE) | (kind == OVERFLOW)
        # (A constant-step controller whose end has passed proposes steps of no length: time goes on as it came.)
        landing = (kind >= END) | ((kind == FREE) & (not config.adaptive) & (h > 0))
        dh_landmark = jnp.where(landing, d.landmark - d.t, jnp.zeros_like(h))
        dh = jnp.where(crossing, -dg / jnp.where(crossing, g_rate, jnp.ones_like(h)), dh_landmark)
        return (t1, h, y1), (d.t + dh, dh, jax.tree.map(lambda a, b: a + b * dh, dy, y_rate))

    return run(start, row.h, t1, y1, (solver_arrays, row.kind, row.held, row.positions))


def landmark(config: Config, inputs: Inputs, row: Row, refrac_until: Scalar) -> Scalar:
    """Return the time of the landmark that a turn landed on (t1 where it landed on none)."""
    time = inputs.t1
    if not config.adaptive:
        time = jnp.where(row.kind == FREE, jax.lax.stop_gradient(row.t + row.h), time)
    if config.refractory:
        time = jnp.where(row.kind == REFRACTORY, refrac_until, time)
    for j, clock in enumerate(combine_stim(config, inputs.stim).clocks()):
        time = jnp.where(row.kind == CLOCK + j, breakpoint_at(clock, row.positions[j]), time)
    return time


def breakpoint_at(clock: Array, position: Array) -> Scalar:
    """Return the next breakpoint of a clock, the last one where all have passed (inf where there are none)."""
    if clock.shape[0] == 0:
        return jnp.full((), jnp.inf, clock.dtype)
    return clock[0] if clock.shape[0] == 1 else clock[jnp.minimum(position, clock.shape[0] - 1)]


class Moving(NamedTuple):
    """The part of a lane that carries derivatives from turn to turn."""

    t: Scalar
    y: State
    refrac_until: Scalar


def take(
    config: Config, solver_arrays: Any, inputs: Inputs, row: Row, moving: Moving, t1: Scalar, y1: State
) -> tuple[Moving, Scalar]:
    """Return the lane after a turn that is known (`row`, and where it ended), and the step's length."""
    start = Start(moving.t, moving.y, inputs.params, inputs.stim, landmark(config, inputs, row, moving.refrac_until))
    t1, h, y1 = advance(config, solver_arrays, row, start, t1, y1)
    idle, spike = row.kind < FREE, row.kind == SPIKE
    refrac_until = moving.refrac_until
    if config.model.refractory is not None:
        refrac_until = jnp.where(spike, t1 + config.model.refractory(inputs.params).duration, refrac_until)
    y = where(spike, config.model.reset(y1, inputs.params), where(idle, moving.y, y1))
    return Moving(jnp.where(idle, moving.t, t1), y, refrac_until), h


def retake(config: Config, solver_arrays: Any, inputs: Inputs, row: Row, moving: Moving) -> Moving:
    """Take a turn again from its tape row: the function that the backward pass differentiates."""
    flow = Flow(inputs.params, inputs.stim, row.held, row.positions)
    y1, _, _ = step(config, solver_arrays, flow, moving.t, moving.y, row.h)
    # The values are known to be right; their derivatives come from `advance`.
    t1, y1 = jax.lax.stop_gradient((moving.t + row.h, y1))
    return take(config, solver_arrays, inputs, row, moving, t1, y1)[0]
