"""The gradient of a run: walk the tape backwards once, one vjp of one turn per row.

The last segment's tape is kept by the forward pass; the tapes of earlier segments are made again from their checkpoints.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxneuro.hybrid.problem import FREE, SPIKE, Carry, Config, Inputs, Row, Settings, where
from jaxneuro.hybrid.run import (
    BLOCK,
    Progress,
    Segment,
    empty_segment,
    run,
    run_segment,
    sample,
    sampled_here,
)
from jaxneuro.hybrid.turn import Moving, retake
from jaxneuro.results import RESULTS, code, from_code
from jaxneuro.types import Array, IntScalar, SpikeTimes, State


class Outputs(NamedTuple):
    """What a run returns."""

    spike_times: SpikeTimes
    states: State  # at ts
    final: Moving
    counts: tuple[Array, ...]  # num_spikes, num_steps, num_rejected, result, reached


def outputs(progress: Progress) -> Outputs:
    c = progress.carry
    counts = (c.num_spikes, c.num_steps, c.num_rejected, c.result, progress.samples.reached)
    return Outputs(progress.spike_times, progress.samples.states, Moving(c.t, c.y, c.refrac_until), counts)


def checked(config: Config, progress: Progress) -> Progress:
    """With throw=True, raise when the lane failed. Tied to the tape, so that it runs also where the values are dead code."""
    if not config.throw:
        return progress
    result = progress.carry.result
    item, failed = from_code(result), result != code(RESULTS.successful)
    buffers, times, y = item.error_if((progress.buffers, progress.spike_times, progress.carry), failed)
    return progress._replace(buffers=buffers, spike_times=times, carry=y)


def solve_forward(config: Config, inputs: Inputs, settings: Settings) -> Outputs:
    """Run; differentiable forwards (jvp, jacfwd) through the loop as it stands."""
    return outputs(checked(config, run(config, inputs, settings, tape=False)))


def solve_reverse(config: Config, inputs: Inputs, settings: Settings) -> Outputs:
    """Run; differentiable backwards (grad), and forwards over that."""

    @jax.custom_vjp
    def solve(inputs: Inputs, settings: Settings) -> Outputs:
        return solve_forward(config, inputs, settings)

    def forward(inputs: Inputs, settings: Settings) -> Any:
        progress = checked(config, run(config, inputs, settings, tape=True))
        return outputs(progress), (inputs, settings, progress)

    def backward(residuals: Any, cotangent: Outputs) -> Any:
        inputs, settings, progress = residuals
        return _backward(config, inputs, settings, progress, cotangent), None

    solve.defvjp(forward, backward)
    return solve(inputs, settings)


class Adjoint(NamedTuple):
    """Cotangents while walking backwards: of the lane, and what has gathered in the inputs."""

    moving: Moving
    inputs: Inputs
    num_spikes: IntScalar  # up to and including the turn at hand


class Pull(NamedTuple):
    """Cotangents that come from outside: of the recorded spikes, and of the rows that samples were taken from."""

    spike_times: SpikeTimes
    rows: Moving | None


def _backward(config: Config, inputs: Inputs, settings: Settings, progress: Progress, cotangent: Outputs) -> Inputs:
    carry = progress.carry
    zeros = jax.tree.map(jnp.zeros_like, inputs)
    adjoint = Adjoint(cotangent.final, zeros, carry.num_spikes)
    assert progress.checkpoints is not None and progress.buffers.tape is not None

    def segment_start(segment: IntScalar) -> Carry:
        return jax.tree.map(lambda b: jax.lax.dynamic_index_in_dim(b, segment, 0, keepdims=False), progress.checkpoints)

    def body(state: Any) -> Any:
        segment, used, tape, carry, adjoint = state
        carry0 = segment_start(segment)
        rows, adjoint = _pull_samples(config, settings, inputs, tape, used, carry0, carry, segment, cotangent, adjoint)
        adjoint = _walk(config, inputs, settings, tape, used, Pull(cotangent.spike_times, rows), adjoint)
        # Make the tape of the segment before; at the first one there is nothing to do, and no turn is taken.
        before = jnp.maximum(segment - 1, 0)
        again = segment_start(before)
        ended = jnp.where(segment > 0, again.result, code(RESULTS.successful)).astype(jnp.int32)
        buffers = Segment(empty_segment(config, again, True).spikes, tape)
        again, _, used, buffers = run_segment(
            config, inputs, settings, again._replace(result=ended), jnp.zeros((), jnp.int32), buffers
        )
        return segment - 1, used, buffers.tape, again, adjoint

    state = (progress.segment - 1, progress.used, progress.buffers.tape, carry, adjoint)
    *_, adjoint = jax.lax.while_loop(lambda s: s[0] >= 0, body, state)
    gathered, moving = adjoint.inputs, adjoint.moving
    return gathered._replace(
        t0=gathered.t0 + moving.t,
        state0=jax.tree.map(jnp.add, gathered.state0, moving.y),
        refrac_until0=gathered.refrac_until0 + moving.refrac_until,
    )


def _pull_samples(
    config: Config, settings: Settings, inputs: Inputs, tape: Row, used: IntScalar, carry0: Carry, carry: Carry,
    segment: IntScalar, cotangent: Outputs, adjoint: Adjoint,
) -> tuple[Moving | None, Adjoint]:  # fmt: skip
    """Return the cotangents of a segment's rows from the samples taken there, and add those of the inputs."""
    if inputs.ts.shape[0] == 0:
        return None, adjoint
    here = sampled_here(inputs, carry0, carry, segment)
    states = jax.tree.map(lambda c: jnp.where(here, c, 0.0), cotangent.states)
    take = lambda inputs, t, y: sample(config, settings, inputs, tape._replace(t=t, y=y), used)
    _, vjp = jax.vjp(take, inputs, tape.t, tape.y)
    of_inputs, t, y = vjp(states)
    adjoint = adjoint._replace(inputs=jax.tree.map(jnp.add, adjoint.inputs, of_inputs))
    return Moving(t, y, jnp.zeros_like(t)), adjoint


def _walk(
    config: Config,
    inputs: Inputs,
    settings: Settings,
    tape: Row,
    used: IntScalar,
    pull: Pull,
    adjoint: Adjoint,
) -> Adjoint:
    """Walk one segment's tape backwards. Rows are read in blocks, for the same reason as they are written so."""
    at = lambda tree, i: jax.tree.map(lambda b: jax.lax.dynamic_index_in_dim(b, i, 0, keepdims=False), tree)
    cut = lambda tree, i: jax.tree.map(lambda b: jax.lax.dynamic_slice_in_dim(b, i, BLOCK, 0), tree)

    def block_body(state: Any) -> Any:
        last, adjoint = state
        first = (last // BLOCK) * BLOCK
        block = cut((tape, pull.rows), first)

        def row_body(state: Any) -> Any:
            i, adjoint = state
            row, rows = at(block, i - first)
            return i - 1, _turn_back(config, inputs, settings, row, pull.spike_times, rows, adjoint)

        return jax.lax.while_loop(lambda s: s[0] >= first, row_body, (last, adjoint))

    return jax.lax.while_loop(lambda s: s[0] >= 0, block_body, (used - 1, adjoint))[1]


def _turn_back(
    config: Config, inputs: Inputs, settings: Settings, row: Row, spike_times: SpikeTimes, rows: Moving | None,
    adjoint: Adjoint,
) -> Adjoint:  # fmt: skip
    """Pull the cotangents back through one turn."""
    spike, live = row.kind == SPIKE, row.kind >= FREE
    number = jnp.maximum(adjoint.num_spikes - 1, 0)
    out = adjoint.moving
    out = out._replace(t=out.t + jnp.where(spike, spike_times[number], 0.0))
    start = Moving(row.t, row.y, jnp.zeros_like(row.t))
    _, vjp = jax.vjp(lambda inputs, moving: retake(config, settings.solver, inputs, row, moving), inputs, start)
    of_inputs, moving = vjp(out)
    gathered = jax.tree.map(lambda total, x: total + jnp.where(live, x, 0.0), adjoint.inputs, of_inputs)
    moving = where(live, moving, out)
    if rows is not None:
        moving = jax.tree.map(jnp.add, moving, rows)
    return Adjoint(moving, gathered, jnp.where(spike, number, adjoint.num_spikes).astype(jnp.int32))
