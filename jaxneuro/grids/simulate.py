"""Published fixed-step schemes: a neuron on a time grid, as grid simulators and published programs run it.

Their spike times lie on the grid, hence are wrong by O(dt) and not differentiable. They are here to
reproduce papers and for very large populations; `jn.simulate` gives the spike times and derivatives of the
equations themselves.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxneuro.grids.schemes import SCHEMES
from jaxneuro.grids.steps import Job, run_steps, search, spike_steps
from jaxneuro.model import NeuronModel, valid_params
from jaxneuro.results import RESULTS, every
from jaxneuro.stimuli import Stimulus, as_stimulus
from jaxneuro.types import Array, Int, IntScalar, Params, Scalar, ScalarLike, SpikeTimes, State, Times


class GridSolution(NamedTuple):
    """What `simulate_grid` returns; all arrays in the dtype of the parameters."""

    spike_times: SpikeTimes  # ms, ascending, padded with inf
    num_spikes: IntScalar  # number of finite entries of spike_times
    ts: Any  # None, or grid times nearest to saveat, ms
    states: Any  # None, or the state there, one array (times,) per field; at a spike, after the reset
    final_state: State
    result: Any  # a RESULTS


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
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(map(repr, SCHEMES))}; it is {scheme!r}.")
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
    rule = SCHEMES[scheme]
    duration, held = (jnp.zeros_like(dt), ()) if model.refractory is None else model.refractory(params)
    hold_steps = jnp.floor(duration / dt + 0.5).astype(jnp.int32)
    rows = None if samples is None else jnp.sort(samples)
    job = Job(model, rule, params, stim, dt, held, hold_steps, rows)
    y, states, count, words = run_steps(job, state0, ts)
    starts = spike_steps(words, max_spikes)
    times = jnp.append(ts[1:] if rule.at_end else ts[:-1], jnp.inf)  # no step, no spike: never empty
    spike_times = times.at[starts].get(mode="fill", fill_value=jnp.inf)
    saved_ts = None
    if samples is not None and rows is not None:
        # A sample outside the run, possible only when traced, gets inf and NaN.
        saved_ts = ts.at[samples].get(mode="fill", fill_value=jnp.inf)
        row = jnp.where(samples < len(ts), search(rows, samples, "left"), len(rows) + 1)
        states = jax.tree.map(lambda a: a.at[row].get(mode="fill", fill_value=jnp.nan), states)
    result = _result(model, params, stim, y, count > max_spikes)
    return GridSolution(spike_times, jnp.minimum(count, max_spikes), saved_ts, states, y, result)


def _result(model: NeuronModel, params: Params, stim: Stimulus, final_state: State, more: Array) -> Any:
    """Return what is wrong with the run, the values given before what came of them."""
    checks = (
        (every(jnp.isfinite(x) for x in final_state), RESULTS.nonfinite_state),
        (stim.valid(), RESULTS.bad_stimulus),
        (valid_params(model, params), RESULTS.bad_parameters),
    )
    result = RESULTS.where(more, RESULTS.max_spikes_reached, RESULTS.successful)
    for good, item in checks:
        result = RESULTS.where(good, result, item)
    return result
