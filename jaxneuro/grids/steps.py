"""The loop over the grid: steps, their inputs, and the record of spikes as bits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxneuro.grids.schemes import Scheme
from jaxneuro.model import NeuronModel
from jaxneuro.stimuli import Scaled, Stimulus, Sum
from jaxneuro.types import Array, Int, IntScalar, Params, Scalar, State, Times

# Steps per block: their spikes are the bits of one uint32, so recording costs no memory traffic per step.
_BLOCK = 32


class Job(NamedTuple):
    """What stays the same in every step."""

    model: NeuronModel
    rule: Scheme
    params: Params
    stim: Stimulus
    dt: Scalar
    held: tuple[str, ...]
    hold_steps: IntScalar
    rows: Int[Array, " samples"] | None  # the step numbers of the samples, ascending


def _step(job: Job, carry: Any, x: Any) -> tuple[Any, None]:
    """Update, test, reset; note the spike as a bit and the state in the row of the next sample."""
    y, left, word, saved = carry
    t, positions, bit, row = x
    model, params = job.model, job.params
    new = job.rule.update(model, t, job.dt, y, params, job.stim.value(t, positions))
    guard = model.spike_condition(new, params)
    # A state that ran away to infinity is no spike: the reset would hide it from the result.
    spike = (guard >= 0) & (guard < jnp.inf) & (model.spike_condition(y, params) < 0)
    if job.held:
        spike = spike & (left == 0)
        new = new._replace(**{f: jnp.where(left > 0, getattr(y, f), getattr(new, f)) for f in job.held})
        left = jnp.where(spike, job.hold_steps, jnp.maximum(left - 1, 0))
    y = jax.tree.map(lambda a, b: jnp.where(spike, a, b), model.reset(new, params), new)
    if saved is not None:
        saved = jax.tree.map(lambda rows, a: lax.dynamic_update_index_in_dim(rows, a, row, 0), saved, y)
    return (y, left, word | (spike.astype(jnp.uint32) << bit), saved), None


def _inputs(job: Job, t: Times, n: Int[Array, " steps"]) -> Any:
    """Return the input of steps n, which start at t: t, positions on the clocks, bit, row of next sample."""
    # Rounding must not decide whether a breakpoint lies on the grid: 3 * 0.7 is a little less than 2.1.
    slack = 1e-6 * job.dt + 4 * jnp.finfo(t.dtype).eps * jnp.abs(t)
    edge = {"left": t - slack, "right": t + slack}
    sides = _sides(job.stim, job.rule.open_windows)
    positions = tuple(search(clock, edge[side], side) for clock, side in zip(job.stim.clocks(), sides, strict=True))
    bits = jnp.arange(t.shape[0], dtype=jnp.uint32)
    return t, positions, bits, None if job.rows is None else search(job.rows, n + 1, "left")


def _sides(stim: Stimulus, open_windows: bool) -> tuple[str, ...]:
    """Return for each clock whether a breakpoint at t has passed at t ("right") or not ("left")."""
    if isinstance(stim, Sum):
        return tuple(side for part in stim.parts for side in _sides(part, open_windows))
    if isinstance(stim, Scaled):
        return _sides(stim.part, open_windows)
    clocks = len(stim.clocks())
    # Two clocks make a window, on and off: open means off at both ends.
    return ("left", "right") if open_windows and clocks == 2 else ("right",) * clocks


def run_steps(job: Job, state0: State, ts: Times) -> tuple[State, Any, IntScalar, Array]:
    """Run all steps; return the last state, the saved rows, the number of spikes and their bits by block."""
    saved = None
    if job.rows is not None:  # one row more, for the states after the last sample
        shape = (job.rows.shape[0] + 1,)
        saved = jax.tree.map(lambda a: jnp.full(shape, a), state0)
    carry = (state0, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.uint32), saved)
    # Typed like what a step makes of it (varying over the same mesh axes): so the loop traces in shard_map.
    first = jax.tree.map(lambda x: x[0], _inputs(job, ts[:1], jnp.arange(1)))
    y, left, zero, saved = jax.tree.map(lambda a, b: jnp.where(True, a, b), carry, _step(job, carry, first)[0])

    def block(carry: Any, x: Any) -> Any:
        y, left, saved, count = carry
        start = (y, left, zero, saved)
        (y, left, word, saved), _ = lax.scan(lambda c, x: _step(job, c, x), start, _inputs(job, *x))
        return (y, left, saved, count + lax.population_count(word)), word

    steps = ts.shape[0] - 1
    inputs, whole = (ts[:-1], jnp.arange(steps)), steps - steps % _BLOCK
    carry, words = lax.scan(block, (y, left, saved, zero), [x[:whole].reshape(-1, _BLOCK) for x in inputs])
    if whole < steps:
        carry, last = block(carry, [x[whole:] for x in inputs])
        words = jnp.append(words, last)
    y, _, saved, count = carry
    return y, saved, count.astype(jnp.int32), jnp.append(words, zero)


def search(edges: Array, x: Array, side: str) -> Int[Array, " points"]:
    """Count the edges that are < x ("left") or <= x ("right")."""
    return jnp.searchsorted(edges, x, side=side, method="compare_all" if edges.shape[0] <= 16 else "scan")


def spike_steps(words: Array, max_spikes: int) -> Int[Array, " spikes"]:
    """Return the numbers of the steps whose bits are set, ascending; then numbers past the end.

    Walks a linked list of the words that are not empty, one bit per turn: a scatter per step would cost far
    more. The last word must be empty: the list ends there.
    """
    numbers = jnp.arange(words.shape[0], dtype=jnp.int32)
    nil = words[-1].astype(jnp.int32) + numbers[-1]
    link = lambda later, x: (jnp.where(x[0] != 0, x[1], later), later)
    block, later = lax.scan(link, nil, (words, numbers), reverse=True)

    def take(carry: Any, _: None) -> Any:
        block, word = carry
        lowest = lax.population_count(~word & (word - 1)).astype(jnp.int32)
        rest = word & (word - 1)
        then = jnp.where(rest == 0, later[block], block)
        return (then, jnp.where(rest == 0, words[then], rest)), block * _BLOCK + lowest

    return lax.scan(take, (block, words[block]), None, length=max_spikes)[1]
