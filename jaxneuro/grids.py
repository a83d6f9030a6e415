"""Published fixed-step schemes: a neuron on a time grid, as grid simulators and published programs run it.

Their spike times lie on the grid, hence are wrong by O(dt) and not differentiable. They are here to
reproduce papers and for very large populations; `jn.simulate` gives the spike times and derivatives of the
equations themselves.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from jaxneuro.model import NeuronModel
from jaxneuro.numerics import exprel
from jaxneuro.stimuli import Scaled, Stimulus, Sum, as_stimulus
from jaxneuro.types import Array, Int, IntScalar, Params, Scalar, ScalarLike, SpikeTimes, State, Times

# Steps per block: their spikes are the bits of one uint32, so recording costs no memory traffic per step.
_BLOCK = 32


class GRID_RESULTS(eqx.Enumeration):  # noqa: N801 (an enumeration of sentences, named as in diffrax)
    """How a run on a grid ended; compare with `sol.result == GRID_RESULTS.successful`."""

    successful = ""
    max_spikes_reached = "More than max_spikes spikes: the first max_spikes are kept. Raise max_spikes."
    nonfinite_state = "The state became infinite or NaN: dt is too large for these parameters and this input."
    bad_parameters = "A parameter is NaN, or breaks a constraint of the model (see model.constraints)."
    bad_stimulus = "The stimulus is not valid: NaN, a negative width, or sample times that decrease."


class GridSolution(NamedTuple):
    """What `simulate_grid` returns; all arrays in the dtype of the parameters."""

    spike_times: SpikeTimes  # ms, ascending, padded with inf
    num_spikes: IntScalar  # number of finite entries of spike_times
    ts: Times | None  # grid times nearest to saveat, ms
    states: State | None  # the state there, one array (times,) per field; at a spike, after the reset
    final_state: State
    result: Any  # a GRID_RESULTS


class _Scheme(NamedTuple):
    update: Callable  # (model, t, dt, state, params, current) -> state one step later
    at_end: bool  # a spike carries the time of the end of its step (else of its start)
    open_windows: bool  # a window of input that starts on the grid acts from the next step on (t > t_on)


def _euler(model: NeuronModel, t: Scalar, dt: Scalar, y: State, params: Params, current: Any) -> State:
    """y + dt f(t, y), every variable from the old state."""
    return jax.tree.map(lambda a, f: a + dt * f, y, model.vector_field(t, y, params, current))


def _gauss_seidel(model: NeuronModel, t: Scalar, dt: Scalar, y: State, params: Params, current: Any) -> State:
    """Forward Euler for the first variable, then for the others from its new value."""
    first = y._replace(**{y._fields[0]: y[0] + dt * model.vector_field(t, y, params, current)[0]})
    slope = model.vector_field(t, first, params, current)
    return y._make([first[0], *(a + dt * f for a, f in zip(y[1:], slope[1:], strict=True))])


def _exponential(model: NeuronModel, t: Scalar, dt: Scalar, y: State, params: Params, current: Any) -> State:
    """y_i + dt f_i exprel(dt df_i/dy_i): the exact flow of each variable with the others held."""

    def advance(i: int) -> Scalar:
        field = lambda y_i: model.vector_field(t, y._make([*y[:i], y_i, *y[i + 1 :]]), params, current)[i]
        slope, rate = jax.jvp(field, (y[i],), (jnp.ones_like(y[i]),))
        return y[i] + dt * slope * exprel(dt * rate)

    return y._make([advance(i) for i in range(len(y))])


_SCHEMES = {
    "euler": _Scheme(_euler, at_end=True, open_windows=False),
    "izhikevich_2004": _Scheme(_gauss_seidel, at_end=False, open_windows=True),
    "exponential": _Scheme(_exponential, at_end=True, open_windows=False),
}


def simulate_grid(
    model: NeuronModel,
    params: Params,
    current: Stimulus | ScalarLike,
    t1: ScalarLike,
    *,
    dt: ScalarLike,
    scheme: str = "euler",
    t0: ScalarLike = 0.0,
    state0: State | None = None,
    max_spikes: int = 256,
    saveat: Any = None,
) -> GridSolution:
    """Run one neuron on the grid t0, t0 + dt, ..., t1 by a published scheme, discretisation error included.

    - "euler": y <- y + dt f(t, y), all variables from the old state. A spike carries the END of its step,
      as in grid simulators; a breakpoint of the input acts from the step that starts on it.
    - "izhikevich_2004": the published program: the first variable by one Euler step, then the others from
      its new value. A spike carries the START of its step, as printed; a window of input (step, pulse,
      ramp) is open, t_on < t < t_off.
    - "exponential": y_i <- y_i + f_i (exp(k_i dt) - 1)/k_i, k_i = df_i/dy_i: exact between spikes for a
      linear model of one variable under a current constant over each step (LIF), of first order otherwise.
      Spikes as in "euler".

    After the step a spike is a guard >= 0 that was < 0 before it, then comes the reset. A refractory neuron
    is held for round(duration/dt) steps, counted down, as grid simulators do.

    Args:
        model, params: the neuron. One of each: populations and sweeps are `jax.vmap`.
        current: a number, or a stimulus; in the model's unit.
        t1, dt, t0: ms, concrete numbers (they fix the number of steps); t1 - t0 a whole number of steps.
        scheme: a name from the list above.
        state0: the state at t0; None is `model.init_state(params)`.
        max_spikes: how many spike times are kept.
        saveat: times on the grid at which to keep the state (the nearest grid point is taken), or None.

    Returns:
        A `GridSolution`. More spikes than `max_spikes`, a non-finite state and bad values are named in its
        `result`.

    Raises:
        ValueError: unknown scheme; t0, t1, dt traced, not finite or not a whole number of steps; max_spikes
            < 1; a state0 of the wrong type; params or state0 not scalars; saveat off the grid.

    Differentiability: the states, between spikes only. A spike time on a grid has derivative 0 where it has
    one, and the states inherit that error after a spike: use `jn.simulate` for gradients.

    Source: "izhikevich_2004": the program of Izhikevich (2004), IEEE Trans. Neural Netw. 15:1063,
    doi:10.1109/TNN.2004.832719. "exponential": Rotter & Diesmann (1999), Biol. Cybern. 81:381,
    doi:10.1007/s004220050570.

    Example:
        >>> from jaxneuro.neurons import LIF
        >>> sol = simulate_grid(LIF, LIF.default_params(), 3.0, 30.0, dt=0.1)
        >>> [round(float(t), 1) for t in sol.spike_times[: int(sol.num_spikes)]]
        [11.0, 24.0]
    """
    if scheme not in _SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(map(repr, _SCHEMES))}; it is {scheme!r}.")
    if isinstance(max_spikes, bool) or not isinstance(max_spikes, int | np.integer) or max_spikes < 1:
        raise ValueError(f"max_spikes must be an integer >= 1; it is {max_spikes!r}.")
    start, stop, step = _number("t0", t0), _number("t1", t1), _number("dt", dt)
    ts = _grid_times(start, stop, step)
    dtype = jnp.result_type(*jax.tree.leaves(params))
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
    params = _scalars("params", params, dtype)
    y = model.init_state(params)
    if state0 is not None and jax.tree.structure(state0) != jax.tree.structure(y):
        raise ValueError(f"state0 must be a {type(y).__name__} of scalars; it is {state0!r}.")
    y = _scalars("state0", y if state0 is None else state0, dtype)
    stim = jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, as_stimulus(current))
    samples = None if saveat is None else _nearest(saveat, start, step, len(ts) - 1)
    ts, step = jnp.asarray(ts, dtype), jnp.asarray(step, dtype)
    return _run(model, scheme, int(max_spikes), params, stim, ts, step, y, samples)


def _scalars(name: str, tree: Any, dtype: Any) -> Any:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if np.ndim(leaf) != 0:
            raise ValueError(
                f"{name}{jax.tree_util.keystr(path)} must be a scalar, since simulate_grid runs one neuron; "
                f"it has shape {np.shape(leaf)}. For many neurons use jax.vmap over simulate_grid."
            )
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)


def _number(name: str, value: Any) -> float:
    if isinstance(value, Tracer):
        raise ValueError(
            f"{name} must be a concrete number, since it fixes the number of steps; it is traced ({value}). "
            f"Pass a Python number, closed over or marked static, not an argument of jit, vmap or grad."
        )
    if np.ndim(value) != 0 or not np.isfinite(value):
        raise ValueError(f"{name} must be one finite number, in ms; it is {value!r}.")
    # By its digits: a float32 0.1 is a tenth here, not 0.10000000149.
    return float(str(np.asarray(value)[()]))


def _grid_times(t0: float, t1: float, dt: float) -> np.ndarray:
    """Return the grid t0, t0 + dt, ..., t1 (steps + 1,) in float64."""
    if dt <= 0:
        raise ValueError(f"dt must be > 0 ms; it is {dt!r}.")
    if t1 < t0:
        raise ValueError(f"t1 must be >= t0; t0 is {t0!r} and t1 is {t1!r}.")
    steps = round((t1 - t0) / dt)
    if abs((t1 - t0) / dt - steps) > 1e-6:
        raise ValueError(
            f"t1 - t0 must be a whole number of steps; {t1 - t0:g} ms are {(t1 - t0) / dt:.6g} steps of "
            f"{dt!r} ms. The nearest t1 is {t0 + steps * dt:g}."
        )
    return t0 + dt * np.arange(steps + 1)


def _nearest(saveat: Any, t0: float, dt: float, steps: int) -> Int[Array, " samples"]:
    """Return the step numbers of the sample times; concrete ones must lie on the grid."""
    if np.ndim(saveat) != 1:
        raise ValueError(f"saveat must be an array of times (n,) or None; its shape is {np.shape(saveat)}.")
    if isinstance(saveat, Tracer):
        index = jnp.round((saveat - t0) / dt)
        return jnp.where((index >= 0) & (index <= steps), index, steps + 1).astype(jnp.int32)
    times = np.asarray(saveat, None if np.issubdtype(np.asarray(saveat).dtype, np.floating) else float)
    exact = (times.astype(float) - t0) / dt
    index = np.round(exact)
    # A sample time cannot be nearer to the grid than its own rounding.
    slack = 1e-6 + np.finfo(times.dtype).eps * np.abs(times) / dt
    off = ~((np.abs(exact - index) <= slack) & (index >= 0) & (index <= steps))
    if off.any():
        raise ValueError(
            f"saveat must hold times on the grid t0 + n dt, n = 0..{steps}, t0 = {t0!r}, dt = {dt!r}; "
            f"it holds {float(times[off][0])!r}."
        )
    return jnp.asarray(index, jnp.int32)


class _Job(NamedTuple):
    """What stays the same in every step."""

    model: NeuronModel
    rule: _Scheme
    params: Params
    stim: Stimulus
    dt: Scalar
    held: tuple[str, ...]
    hold_steps: IntScalar
    rows: Int[Array, " samples"] | None  # the step numbers of the samples, ascending


def _step(job: _Job, carry: Any, x: Any) -> tuple[Any, None]:
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


def _inputs(job: _Job, t: Times, n: Int[Array, " steps"]) -> Any:
    """Return the input of steps n, which start at t: t, positions on the clocks, bit, row of next sample."""
    # Rounding must not decide whether a breakpoint lies on the grid: 3 * 0.7 is a little less than 2.1.
    slack = 1e-6 * job.dt + 4 * jnp.finfo(t.dtype).eps * jnp.abs(t)
    edge = {"left": t - slack, "right": t + slack}
    sides = _sides(job.stim, job.rule.open_windows)
    positions = tuple(_search(clock, edge[side], side) for clock, side in zip(job.stim.clocks(), sides, strict=True))
    bits = jnp.arange(t.shape[0], dtype=jnp.uint32)
    return t, positions, bits, None if job.rows is None else _search(job.rows, n + 1, "left")


def _sides(stim: Stimulus, open_windows: bool) -> tuple[str, ...]:
    """Return for each clock whether a breakpoint at t has passed at t ("right") or not ("left")."""
    if isinstance(stim, Sum):
        return tuple(side for part in stim.parts for side in _sides(part, open_windows))
    if isinstance(stim, Scaled):
        return _sides(stim.part, open_windows)
    clocks = len(stim.clocks())
    # Two clocks make a window, on and off: open means off at both ends.
    return ("left", "right") if open_windows and clocks == 2 else ("right",) * clocks


def _steps(job: _Job, state0: State, ts: Times) -> tuple[State, Any, IntScalar, Array]:
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


@eqx.filter_jit
def _run(
    model: NeuronModel,
    scheme: str,
    max_spikes: int,
    params: Params,
    stim: Stimulus,
    ts: Times,
    dt: Scalar,
    state0: State,
    samples: Int[Array, " samples"] | None,
) -> GridSolution:
    rule = _SCHEMES[scheme]
    duration, held = (jnp.zeros_like(dt), ()) if model.refractory is None else model.refractory(params)
    hold_steps = jnp.floor(duration / dt + 0.5).astype(jnp.int32)
    rows = None if samples is None else jnp.sort(samples)
    job = _Job(model, rule, params, stim, dt, held, hold_steps, rows)
    y, states, count, words = _steps(job, state0, ts)
    starts = _spike_steps(words, max_spikes)
    times = jnp.append(ts[1:] if rule.at_end else ts[:-1], jnp.inf)  # no step, no spike: never empty
    spike_times = times.at[starts].get(mode="fill", fill_value=jnp.inf)
    saved_ts = None
    if samples is not None and rows is not None:
        # A sample outside the run, possible only when traced, gets inf and NaN.
        saved_ts = ts.at[samples].get(mode="fill", fill_value=jnp.inf)
        row = jnp.where(samples < len(ts), _search(rows, samples, "left"), len(rows) + 1)
        states = jax.tree.map(lambda a: a.at[row].get(mode="fill", fill_value=jnp.nan), states)
    result = _result(model, params, stim, y, count > max_spikes)
    return GridSolution(spike_times, jnp.minimum(count, max_spikes), saved_ts, states, y, result)


def _search(edges: Array, x: Array, side: str) -> Int[Array, " points"]:
    """Count the edges that are < x ("left") or <= x ("right")."""
    return jnp.searchsorted(edges, x, side=side, method="compare_all" if edges.shape[0] <= 16 else "scan")


def _spike_steps(words: Array, max_spikes: int) -> Int[Array, " spikes"]:
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


def _result(model: NeuronModel, params: Params, stim: Stimulus, final_state: State, more: Array) -> Any:
    """Return what is wrong with the run, the values given before what came of them."""
    every = lambda checks: jnp.all(jnp.stack([jnp.asarray(True), *(jnp.all(x) for x in checks)]))
    no_nan = lambda tree: every([~jnp.isnan(x) for x in jax.tree.leaves(tree) if eqx.is_inexact_array(x)])
    constraints = {} if model.constraints is None else model.constraints(params)
    checks = (
        (every([jnp.isfinite(x) for x in final_state]), GRID_RESULTS.nonfinite_state),
        (every([stim.valid(), no_nan(stim)]), GRID_RESULTS.bad_stimulus),
        (every([no_nan(params), *constraints.values()]), GRID_RESULTS.bad_parameters),
    )
    result = GRID_RESULTS.where(more, GRID_RESULTS.max_spikes_reached, GRID_RESULTS.successful)
    for good, item in checks:
        result = GRID_RESULTS.where(good, result, item)
    return result


__all__ = ["GRID_RESULTS", "GridSolution", "simulate_grid"]
