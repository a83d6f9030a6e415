"""Where a neuron begins to spike as a step or a pulse of current grows: the search, and the root that it found.

At the least current that evokes a spike the spike condition g is zero at one time t of the run from rest,

    g(y(t; I, p), p) = 0   together with   graze:      dg/dt = 0         (g rises to zero and falls again)
                                           pulse end:  t = width         (g turns down at the end of the pulse)
                                           separatrix: t fixed, late     (the run lingers at a saddle, which holds its distance)

For a separatrix dI/dp = -(dg/dp)/(dg/dI) at fixed t: both grow as exp(lambda t) along the saddle's unstable direction, and
what else they hold is smaller by that factor, which at the last current of the search is about 1e-13.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import diffrax as dfx
import jax
import jax.numpy as jnp

from jaxneuro.analysis.dense import solve
from jaxneuro.analysis.implicit import implicit_root
from jaxneuro.analysis.roots import flat_model
from jaxneuro.hybrid import simulate
from jaxneuro.hybrid.problem import where
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS
from jaxneuro.stimuli import step
from jaxneuro.types import Array, BoolScalar, Params, Scalar, State

LANES = 32  # currents tried at once; each round narrows the bracket by LANES - 1


class Onset(NamedTuple):
    """The lowest current that spikes, to rounding, and how the spike comes about."""

    current: Scalar
    time: Scalar  # of its spike, ms; at a graze of the maximum of g
    grazes: BoolScalar
    at_end: BoolScalar  # g turns down at the end of the pulse
    result: Any


class Search(NamedTuple):
    """The bracket between two rounds, and the run at its upper end."""

    low: Scalar
    high: Scalar
    time: Scalar
    state: State  # at the spike, before a reset
    result: Any


@functools.cache
def without_reset(model: NeuronModel) -> NeuronModel:
    """Return the model whose spikes are counted and change nothing (one record per model: it is a key of compiled code)."""
    return dataclasses.replace(model, reset=lambda state, params: state, refractory=None)


@functools.cache
def without_spikes(model: NeuronModel) -> NeuronModel:
    """Return the model that only flows."""
    never = lambda state, params: -jnp.ones_like(jax.tree.leaves(state)[0])
    return dataclasses.replace(without_reset(model), spike_condition=never)


def tight(dtype: Any) -> Any:
    """Return the step-size control of all runs here."""
    tolerance = 1e-12 if dtype == jnp.float64 else 3e-6
    return dfx.PIDController(rtol=tolerance, atol=tolerance)


def default_bracket(model: NeuronModel, params: Params, rest: State, width: Scalar) -> tuple[Scalar, Scalar]:
    """Return (0, twice the sum of the linear estimates of the threshold for long and for short pulses).

    Linearised at rest, a constant current I moves the spike condition by gain I at last and by rate I t at first.
    """
    _, unravel, field = flat_model(model, params)
    x = jnp.stack(jax.tree.leaves(rest))
    zero = jnp.zeros_like(width)
    g, slope = jax.value_and_grad(lambda x: model.spike_condition(unravel(x), params))(x)
    by_x, by_current = jax.jacfwd(field, argnums=(0, 2))(x, params, zero)
    gain, rate = -slope @ solve(by_x, by_current), slope @ by_current
    finite = lambda x: jnp.where(jnp.isfinite(x), jnp.abs(x), 0.0)
    top = 2 * (finite(g / gain) + finite(g / (rate * width)))
    return zero, jnp.where(top > 0, top, 1.0)


def first_to_spike(
    model: NeuronModel, params: Params, rest: State, width: Scalar, bracket: tuple[Scalar, Scalar], t1: Scalar
) -> Onset:
    """Find the lowest current of the bracket that spikes, to rounding, in rounds of LANES currents each."""
    dtype, counted = t1.dtype, without_reset(model)
    low, high = bracket
    fractions, index = jnp.linspace(0.0, 1.0, LANES, dtype=dtype), jnp.arange(LANES)

    def run(current: Scalar) -> Any:
        sol = simulate(
            counted, params, step(current, 0.0, width), t1, state0=rest, max_spikes=1, stop_after=1,
            stepsize_controller=tight(dtype), throw=False,
        )  # fmt: skip
        return sol.spike_times[0], sol.final_state, sol.result

    def narrow(search: Search, number: Array) -> tuple[Search, None]:
        # The first round is denser at its lower end: a threshold may be far below the linear estimate.
        parts = jnp.where(number == 0, fractions**2, fractions)
        currents = search.low + (search.high - search.low) * parts
        times, states, results = jax.vmap(run)(currents)
        spiked = jnp.isfinite(times)
        first = jnp.argmax(spiked)
        failed = (results != RESULTS.successful) & (index <= first)
        # Sums over one entry, not an index: that would be a gather in each lane of a vmap.
        pick = lambda at, tree: jax.tree.map(lambda x: jnp.sum(jnp.where(index == at, x, 0)).astype(x.dtype), tree)
        at_fault = pick(jnp.argmax(failed), results)
        bracketed = jnp.any(spiked) & (first > 0)
        result = RESULTS.where(bracketed, RESULTS.successful, RESULTS.not_bracketed)
        result = RESULTS.where(jnp.any(failed), at_fault, result)
        # Once found, the ends are what they were: with no current left between them, the runs may differ by rounding.
        high, time, state = pick(first, (currents, times, states))
        narrowed = Search(pick(first - 1, currents), high, time, state, result)
        keep = (number > 0) & ((search.result != RESULTS.successful) | ~bracketed | jnp.any(failed))
        return _choose(keep, search, narrowed), None

    rounds = 2 + math.ceil(-math.log(float(jnp.finfo(dtype).eps)) / math.log(LANES - 1))
    start = Search(low, high, jnp.full_like(t1, jnp.inf), rest, RESULTS.successful)
    search, _ = jax.lax.scan(narrow, start, jnp.arange(rounds))
    return _how(model, params, rest, width, search)


def _choose(keep: BoolScalar, a: Search, b: Search) -> Search:
    chosen = where(keep, a._replace(result=None), b._replace(result=None))
    return chosen._replace(result=RESULTS.where(keep, a.result, b.result))


def _how(model: NeuronModel, params: Params, rest: State, width: Scalar, search: Search) -> Onset:
    """Tell how the spike at the upper end of the bracket comes about, from g and its slopes there."""
    current, time, y = search.high, search.time, search.state
    on = time <= width
    slope = lambda y, current: slope_of(model, params, y, current)
    flow = lambda current: model.vector_field(time, y, params, current)
    g_t, g_tt = jax.jvp(lambda y: slope(y, jnp.where(on, current, 0.0)), (y,), (flow(jnp.where(on, current, 0.0)),))
    # At the last current of the search g has hardly further to go, even where it depends on the current as steeply as in
    # Hodgkin & Huxley's axon (1e10 mV per uA/cm2); on the upstroke of a spike it has.
    small = 1e-3 * jnp.abs(model.spike_condition(rest, params))
    peak = time - g_t / jnp.where(g_tt < 0, g_tt, -1.0)
    grazes = (g_tt < 0) & (g_t >= 0) & (g_t * (peak - time) < 2 * small) & (~on | (peak < width))
    left = jnp.where(on & jnp.isfinite(width), width - time, jnp.inf)
    at_end = ~grazes & (g_t > 0) & (g_t * left < small) & (slope(y, jnp.zeros_like(current)) < 0)
    time = jnp.where(grazes, peak, jnp.where(at_end, width, time))
    return Onset(current, time, grazes, at_end, search.result)


def slope_of(model: NeuronModel, params: Params, y: State, current: Scalar) -> Scalar:
    """Return dg/dt along the flow."""
    rate = model.vector_field(jnp.zeros_like(current), y, params, current)
    return jax.jvp(lambda y: model.spike_condition(y, params), (y,), (rate,))[1]


def root_of(model: NeuronModel, params: Params, rest: State, width: Scalar, onset: Onset) -> tuple[Scalar, Scalar]:
    """Return the current and the time of an onset, as differentiable functions of params, rest and width."""
    flows, usable = without_spikes(model), onset.result == RESULTS.successful
    fixed = jnp.where(usable, onset.time, 0.0)
    root = jnp.stack([jnp.where(usable, onset.current, 0.0), fixed])

    def residual(x: Array, theta: Any) -> Array:
        params, rest, width = theta
        current, time = x
        sol = simulate(
            flows, params, step(current, 0.0, width), time, state0=rest, max_spikes=1,
            stepsize_controller=tight(time.dtype), throw=False,
        )  # fmt: skip
        g = model.spike_condition(sol.final_state, params)
        slope = slope_of(model, params, sol.final_state, jnp.where(time <= width, current, 0.0))
        second = jnp.where(onset.grazes, slope, time - jnp.where(onset.at_end, width, fixed))
        return jnp.where(usable, jnp.stack([g, second]), x - root)

    current, time = implicit_root(residual, root, (params, rest, width))
    return current, time
