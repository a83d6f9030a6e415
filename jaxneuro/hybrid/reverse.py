"""The gradient of a run: run its last tape again, walk it backwards, one vjp of one turn per row, then the one before.

The forward pass keeps a checkpoint of each tape's start and no tape. So the memory of many lanes is that of one tile
(`tiles.py`), however many lanes a `vmap` has; one run more is a small part of what the walk costs.
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp

from jaxneuro.hybrid.buffers import read_row
from jaxneuro.hybrid.prepare import harmless
from jaxneuro.hybrid.problem import FREE, SPIKE, Carry, Config, Inputs, Row, Settings, where
from jaxneuro.hybrid.run import (
    BLOCK,
    Progress,
    empty_segment,
    num_rows,
    run,
    run_segment,
    sample,
    sampled_here,
)
from jaxneuro.hybrid.tiles import tiled
from jaxneuro.hybrid.turn import Moving, retake
from jaxneuro.hybrid.varying import add_zero, while_loop, zero_of
from jaxneuro.results import RESULTS, code, from_code
from jaxneuro.runtime import tile_lanes
from jaxneuro.types import Array, IntScalar, SpikeTimes, State


class Outputs(NamedTuple):
    """What a run returns."""

    spike_times: SpikeTimes
    states: State  # at ts
    final: Moving
    counts: tuple[Array, ...]  # num_spikes, num_steps, num_rejected, result, reached


class Past(NamedTuple):
    """What the backward pass needs of a run."""

    checkpoints: Carry  # leading axis tapes
    turns: IntScalar
    num_spikes: IntScalar


def outputs(progress: Progress) -> Outputs:
    c = progress.carry
    counts = (c.num_spikes, c.num_steps, c.num_rejected, c.result, progress.samples.reached)
    return Outputs(progress.spike_times, progress.samples.states, Moving(c.t, c.y, c.refrac_until), counts)


def _run(config: Config, inputs: Inputs, settings: Settings) -> Outputs:
    return outputs(run(config, inputs, settings, checkpoints=False))


def _run_noting(config: Config, inputs: Inputs, settings: Settings) -> tuple[Outputs, Past]:
    progress = run(config, inputs, settings, checkpoints=True)
    assert progress.checkpoints is not None
    return outputs(progress), Past(progress.checkpoints, progress.turn, progress.carry.num_spikes)


def checked(config: Config, out: Outputs, past: Any = None) -> tuple[Outputs, Any]:
    """With throw=True, raise when the lane failed.

    Tied to `past` and to the tangents too, so that it runs also where `out` itself is dead code.
    """
    if not config.throw:
        return out, past
    tie = lambda floats, result: from_code(result).error_if(floats, result != code(RESULTS.successful))
    check = jax.custom_jvp(tie)
    check.defjvp(lambda values, tangents: (check(*values), tie(tangents[0], values[1])))
    floats, rest = eqx.partition((out, past), eqx.is_inexact_array)
    return eqx.combine(check(floats, out.counts[3]), rest)


def solve_forward(config: Config, inputs: Inputs, settings: Settings) -> Outputs:
    """Run; differentiable forwards (jvp, jacfwd) through the loop as it stands."""
    return checked(config, tiled(partial(_run, config), tile_lanes(config.num_fields))(inputs, settings))[0]


def solve_reverse(config: Config, inputs: Inputs, settings: Settings) -> Outputs:
    """Run; differentiable backwards (grad), and forwards over that."""

    @jax.custom_vjp
    def solve(inputs: Inputs, settings: Settings) -> Outputs:
        return solve_forward(config, inputs, settings)

    def forward(inputs: Inputs, settings: Settings) -> Any:
        lanes = tile_lanes(config.num_fields)
        out, past = checked(config, *tiled(partial(_run_noting, config), lanes)(inputs, settings))
        return out, (inputs, settings, past)

    def backward(residuals: Any, cotangent: Outputs) -> Any:
        cotangent = cotangent._replace(counts=())  # whole numbers have none
        lanes = tile_lanes(config.num_fields, backward=True)
        return tiled(partial(_backward, config), lanes)(*residuals, cotangent), None

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


def _backward(config: Config, inputs: Inputs, settings: Settings, past: Past, cotangent: Outputs) -> Inputs:
    rows = num_rows(config, True)
    adjoint = Adjoint(cotangent.final, jax.tree.map(jnp.zeros_like, inputs), past.num_spikes)

    def body(state: Any) -> Any:
        number, buffers, adjoint = state
        carry0 = read_row(past.checkpoints, number)
        carry, _, used, buffers = run_segment(config, inputs, settings, carry0, number * rows, buffers)
        tape: Any = buffers.tape
        of_rows, adjoint = _pull_samples(
            config, settings, inputs, tape, used, carry0, carry, number, cotangent, adjoint
        )
        adjoint = _walk(config, inputs, settings, tape, used, Pull(cotangent.spike_times, of_rows), adjoint)
        return number - 1, buffers, adjoint

    # The same for all lanes, so that under `vmap` the loop's predicate stays a scalar. The checkpoint of a tape that a lane
    # did not need is zeros: a lane that has ended.
    last = eqxi.unvmap_max((past.turns + rows - 1) // rows) - 1
    buffers = empty_segment(config, read_row(past.checkpoints, jnp.zeros((), jnp.int32)), spikes=False, tape=True)
    buffers, adjoint = add_zero((buffers, adjoint), zero_of((inputs, past, cotangent)))
    *_, adjoint = while_loop(lambda s: s[0] >= 0, body, (last, buffers, adjoint))
    gathered, moving = adjoint.inputs, adjoint.moving
    return gathered._replace(
        t0=gathered.t0 + moving.t,
        state0=jax.tree.map(jnp.add, gathered.state0, moving.y),
        refrac_until0=gathered.refrac_until0 + moving.refrac_until,
    )


def _pull_samples(
    config: Config, settings: Settings, inputs: Inputs, tape: Any, used: IntScalar, carry0: Carry, carry: Carry,
    segment: IntScalar, cotangent: Outputs, adjoint: Adjoint,
) -> tuple[Moving | None, Adjoint]:  # fmt: skip
    """Return the cotangents of a segment's rows from the samples taken there, and add those of the inputs."""
    if inputs.ts.shape[0] == 0:
        return None, adjoint
    here = sampled_here(jax.lax.stop_gradient(inputs), carry0, carry, segment)
    states = jax.tree.map(lambda c: jnp.where(here, c, 0.0), cotangent.states)
    take = lambda inputs, t, y: sample(config, settings, inputs, tape._replace(t=t, y=y), used, here)
    _, vjp = jax.vjp(take, inputs, tape.t, tape.y)
    # A lane that failed may have parameters whose step is NaN; without samples it has no cotangent.
    of_inputs, t, y = where(jnp.any(here), vjp(states), jax.tree.map(jnp.zeros_like, (inputs, tape.t, tape.y)))
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
    cut = lambda tree, i: jax.tree.map(lambda b: jax.lax.dynamic_slice_in_dim(b, i, BLOCK, 0), tree)

    def block_body(state: Any) -> Any:
        last, adjoint = state
        first = (last // BLOCK) * BLOCK
        block = cut((tape, pull.rows), first)

        def row_body(state: Any) -> Any:
            i, adjoint = state
            row, rows = read_row(block, i - first)
            return i - 1, _turn_back(config, inputs, settings, row, pull.spike_times, rows, adjoint)

        return while_loop(lambda s: s[0] >= first, row_body, (last, adjoint))

    return while_loop(lambda s: s[0] >= 0, block_body, (used - 1, adjoint))[1]


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
    again = lambda inputs, moving: retake(config, settings.solver, harmless(config, inputs, live), row, moving)
    _, vjp = jax.vjp(again, inputs, start)
    of_inputs, moving = vjp(out)
    gathered = jax.tree.map(lambda total, x: total + jnp.where(live, x, 0.0), adjoint.inputs, of_inputs)
    moving = where(live, moving, out)
    if rows is not None:
        moving = jax.tree.map(jnp.add, moving, rows)
    return Adjoint(moving, gathered, jnp.where(spike, number, adjoint.num_spikes).astype(jnp.int32))
