"""Running the loop: blocks of turns, segments of blocks, and what is kept of them.

Under `vmap` a lane's buffer lies together in memory, so writing one turn of all lanes strides through all of it. Turns
are therefore written into a block of 16, which stays in cache, and blocks into the segment's buffer. After a segment the
spikes are collected from the buffer, and samples are taken from it. Loop predicates and counters are the same for all
lanes (`unvmap_any`), so under `vmap` they stay scalars and finished lanes mask themselves.
"""

import dataclasses
from typing import Any, NamedTuple

import equinox.internal as eqxi
import jax
import jax.numpy as jnp

from jaxneuro.hybrid.attempt import start
from jaxneuro.hybrid.buffers import read_row, write_row, write_rows
from jaxneuro.hybrid.loop import one_turn
from jaxneuro.hybrid.problem import END, FREE, Carry, Config, Inputs, Row, Settings, SpikeRow, where
from jaxneuro.hybrid.turn import Flow, Start, advance, step
from jaxneuro.hybrid.varying import while_loop
from jaxneuro.results import RESULTS, RUNNING, code
from jaxneuro.types import Array, Bool, BoolScalar, IntScalar, Scalar, SpikeTimes, State, Times

BLOCK = 16
_SPIKE_ROWS = 1024  # turns between two collections of spikes where no tape is kept


class Segment(NamedTuple):
    """The buffers of one segment, leading axis turns; None what is not recorded."""

    spikes: SpikeRow | None
    tape: Row | None


class Samples(NamedTuple):
    """The states at `ts`, and which of them the run has reached."""

    states: State
    reached: Bool[Array, " times"]


class Progress(NamedTuple):
    """The loop over segments."""

    carry: Carry
    turn: IntScalar
    segment: IntScalar
    buffers: Segment
    checkpoints: Carry | None  # the lane at the start of each tape, leading axis tapes
    spike_times: SpikeTimes
    samples: Samples


def num_rows(config: Config, tape: bool) -> int:
    """Return the number of turns in a segment: a multiple of the block, and a tape's is one of a segment's without tape."""
    most = min(config.tape_steps, config.max_steps)
    rows = -(-min(_SPIKE_ROWS, most) // BLOCK) * BLOCK
    return -(-most // rows) * rows if tape else rows


def running(carry: Carry, turn: IntScalar, config: Config) -> BoolScalar:
    return eqxi.unvmap_any(carry.result == RUNNING) & (turn < config.max_steps)


def run_segment(
    config: Config, inputs: Inputs, settings: Settings, carry: Carry, turn: IntScalar, buffers: Segment
) -> tuple[Carry, IntScalar, IntScalar, Segment]:
    """Run until the segment's buffers are full or no lane is running; return also the number of turns used."""
    rows = jax.tree.leaves(buffers)[0].shape[0]

    def record(carry: Carry, index: IntScalar) -> tuple[Carry, Segment]:
        carry, row, spike = one_turn(config, inputs, settings, carry, index)
        return carry, Segment(None if buffers.spikes is None else spike, None if buffers.tape is None else row)

    def in_block(state: Any) -> BoolScalar:
        carry, turn, used, within, _ = state
        return running(carry, turn, config) & (within < BLOCK)

    def turn_body(state: Any) -> Any:
        carry, turn, used, within, block = state
        carry, written = record(carry, used)
        block = write_row(block, written, within)
        return carry, turn + 1, used + 1, within + 1, block

    def in_segment(state: Any) -> BoolScalar:
        carry, turn, used, _ = state
        return running(carry, turn, config) & (used < rows)

    def block_body(state: Any) -> Any:
        carry, turn, used, buffers = state
        first = used
        block = jax.tree.map(lambda b: jax.lax.dynamic_slice_in_dim(b, first, BLOCK), buffers)
        carry, turn, used, _, block = while_loop(
            in_block, turn_body, (carry, turn, used, jnp.zeros((), jnp.int32), block)
        )
        return carry, turn, used, write_rows(buffers, block, first)

    zero = jnp.zeros((), jnp.int32)
    return while_loop(in_segment, block_body, (carry, turn, zero, buffers))


def empty_segment(config: Config, carry: Carry, *, spikes: bool, tape: bool) -> Segment:
    rows = num_rows(config, tape)
    zeros = lambda tree: jax.tree.map(lambda x: jnp.zeros((rows, *jnp.shape(x)), jnp.asarray(x).dtype), tree)
    row = Row(carry.t, carry.y, carry.t, jnp.zeros((), jnp.int16), carry.held, carry.positions)
    return Segment(
        zeros(SpikeRow(carry.t, carry.last_spike_row)) if spikes else None,
        zeros(row) if tape else None,
    )


def collect_spikes(spike_times: SpikeTimes, before: IntScalar, carry: Carry, rows: SpikeRow) -> SpikeTimes:
    """Return `spike_times` with the spikes of a segment, walking its list of spikes backwards."""
    count = carry.num_spikes - before

    def body(state: Any) -> Any:
        j, at, backwards = state
        backwards = write_row(backwards, rows.t[at], j)
        return j + 1, jnp.maximum(rows.previous[at], 0), backwards

    j, at = jnp.zeros((), jnp.int32), jnp.maximum(carry.last_spike_row, 0)
    _, _, backwards = while_loop(lambda s: eqxi.unvmap_any(s[0] < count), body, (j, at, jnp.zeros_like(spike_times)))
    slot = jnp.arange(spike_times.shape[0])
    here = (slot >= before) & (slot < carry.num_spikes)
    return jnp.where(here, backwards[jnp.clip(carry.num_spikes - 1 - slot, 0, slot.size - 1)], spike_times)


def sample(
    config: Config, settings: Settings, inputs: Inputs, tape: Row, used: IntScalar, here: Bool[Array, " times"]
) -> State:
    """Return the states at those of `inputs.ts` that are `here`, in this segment (the others hold no meaning).

    A sample takes the turn that passed it again, as a step that ends at the sample: accurate as the solution itself. At
    the time of a spike that is the turn before the jump.
    """
    before = jax.lax.stop_gradient(tape.t)
    times = jnp.where(jnp.arange(before.shape[0]) < used, before, jnp.inf)

    def one(ts: Scalar, here: BoolScalar) -> State:
        at = jnp.searchsorted(times, jax.lax.stop_gradient(ts)) - 1
        row = jax.tree.map(lambda x: x[jnp.where(here, jnp.clip(at, 0, times.size - 1), 0)], tape)
        ts = jnp.where(here, ts, row.t)  # a sample of another segment: a step of length zero, which harms nobody
        h = jax.lax.stop_gradient(jnp.maximum(ts - row.t, 0.0))
        row = row._replace(h=h, kind=jnp.asarray(END, jnp.int16))
        start = Start(row.t, row.y, inputs.params, inputs.stim, ts)
        flow = Flow(inputs.params, inputs.stim, row.held, row.positions)
        y1 = jax.lax.stop_gradient(step(config, settings.solver, flow, row.t, row.y, h)[0])
        return advance(config, settings.solver, row, start, jax.lax.stop_gradient(ts), y1)[2]

    return jax.vmap(one)(inputs.ts, here)


def sampled_here(inputs: Inputs, carry0: Carry, carry: Carry, segment: IntScalar) -> Bool[Array, " times"]:
    """Return which samples a segment that went from carry0 to carry has passed."""
    first = (segment == 0) & (inputs.ts == carry0.t)
    return (carry0.result == RUNNING) & (first | ((inputs.ts > carry0.t) & (inputs.ts <= carry.t)))


def run(config: Config, inputs: Inputs, settings: Settings, *, checkpoints: bool) -> Progress:
    """Run a lane to its end. With `checkpoints`, note the lane at each start of a tape, to be run again from there."""
    carry = start(config, inputs, settings)
    tape_rows, sampling = num_rows(config, True), inputs.ts.shape[0] > 0
    noted = None
    if checkpoints:
        number = -(-config.max_steps // tape_rows)
        noted = jax.tree.map(lambda x: jnp.zeros((number, *x.shape), x.dtype), carry)
    nothing = jax.tree.map(lambda y: jnp.full(inputs.ts.shape, jnp.nan, y.dtype), carry.y)
    progress = Progress(
        carry, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32),
        empty_segment(config, carry, spikes=True, tape=sampling), noted,
        jnp.full((config.max_spikes,), jnp.inf, config.dtype), Samples(nothing, jnp.zeros(inputs.ts.shape, bool)),
    )  # fmt: skip

    def body(progress: Progress) -> Progress:
        carry0 = progress.carry._replace(last_spike_row=jnp.full((), -1, jnp.int32))
        noted = progress.checkpoints
        if noted is not None:
            at = progress.turn // tape_rows
            noted = write_row(noted, where(progress.turn % tape_rows == 0, carry0, read_row(noted, at)), at)
        carry, turn, used, buffers = run_segment(config, inputs, settings, carry0, progress.turn, progress.buffers)
        assert buffers.spikes is not None
        spike_times = collect_spikes(progress.spike_times, carry0.num_spikes, carry, buffers.spikes)
        samples = progress.samples
        if buffers.tape is not None:
            here = sampled_here(jax.lax.stop_gradient(inputs), carry0, carry, progress.segment)
            states = sample(config, settings, inputs, buffers.tape, used, here)
            choose = lambda new, old: jnp.where(here, new, old)
            samples = Samples(jax.tree.map(choose, states, samples.states), samples.reached | here)
        return Progress(carry, turn, progress.segment + 1, buffers, noted, spike_times, samples)

    progress = while_loop(lambda p: running(p.carry, p.turn, config), body, progress)
    late = jnp.where(progress.carry.result == RUNNING, code(RESULTS.max_steps_reached), progress.carry.result)
    return progress._replace(carry=progress.carry._replace(result=late.astype(jnp.int32)))


def step_times(config: Config, inputs: Inputs, settings: Settings) -> Times:
    """Return the ends of all accepted steps (max_steps,), padded with inf."""
    config = dataclasses.replace(config, tape_steps=config.max_steps)
    carry = start(config, inputs, settings)
    buffers = empty_segment(config, carry, spikes=True, tape=True)
    _, _, used, buffers = run_segment(config, inputs, settings, carry, jnp.zeros((), jnp.int32), buffers)
    assert buffers.spikes is not None and buffers.tape is not None
    kept = (jnp.arange(buffers.tape.t.shape[0]) < used) & (buffers.tape.kind >= FREE) & (buffers.tape.h > 0)
    return jnp.sort(jnp.where(kept, buffers.spikes.t, jnp.inf))[: config.max_steps]
