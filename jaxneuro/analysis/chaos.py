"""Lyapunov exponents through spikes and resets: of the flow per ms, of the return map per spike."""

from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxneuro.analysis.implicit import raise_eagerly
from jaxneuro.analysis.returns import onto_section, refractory_duration, return_map, run_options
from jaxneuro.hybrid import prepare, simulate
from jaxneuro.hybrid.problem import where
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS, from_code
from jaxneuro.stimuli import Stimulus
from jaxneuro.types import Array, Params, Scalar, ScalarLike, State


class LyapunovExponent(NamedTuple):
    """What `lyapunov_exponent` returns; under `vmap` every array has the lanes in front."""

    exponent: Scalar  # 1/ms
    growth: Array  # ln of the perturbation's growth in each window, (num_windows,)
    rate: Scalar  # Hz, spikes over time in the windows
    result: Any  # an item of RESULTS


class ReturnMapExponent(NamedTuple):
    """What `return_map_exponent` returns; under `vmap` every array has the lanes in front."""

    exponent: Scalar  # 1/spike
    growth: Array  # ln of the perturbation's growth from spike to spike, (num_spikes,)
    intervals: Array  # ms before each spike, (num_spikes,)
    states: State  # just after each spike: a State of arrays (num_spikes,)
    result: Any  # an item of RESULTS


class _Flow(NamedTuple):
    """A neuron between two windows, and a perturbation of it (of the end of refractoriness, too)."""

    t: Scalar
    state: State
    refrac_until: Scalar
    along: Array
    result: Any


def lyapunov_exponent(
    model: NeuronModel, params: Params, current: Stimulus | ScalarLike, *, state0: State | None = None,
    window: ScalarLike = 20.0, num_windows: int = 200, transient: int = 50, max_spikes: int = 256, throw: bool | None = None,
    **options: Any,
) -> LyapunovExponent:  # fmt: skip
    """Estimate the largest Lyapunov exponent of the flow with its spikes and resets.

        exponent = (1/(num_windows window)) sum_k ln |M_k a_k|,   a_(k+1) = M_k a_k/|M_k a_k|

    M_k is the derivative of the state after a window in that before it (taken through spikes and resets, so the saltation
    at a spike is exact). Positive: chaos. Negative: rest. Zero: periodic firing, of which only a shift in time survives; how
    fast it is approached is `return_map_exponent`.

    Args:
        model: a `NeuronModel` record.
        params: its parameters, scalars of one dtype.
        current: a number or a stimulus, which goes on all the time (t from 0).
        state0: where to start; `model.init_state(params)` if None.
        window: length of a window, ms, > 0; short enough that a perturbation neither overflows nor vanishes.
        num_windows: windows to average over, >= 1.
        transient: windows before those, in which the neuron settles and the perturbation turns to where it grows most.
        max_spikes: most spikes in a window.
        throw: None: raise when called eagerly and a run fails; False: never. What is not raised is in `result`.
        **options: solver, stepsize_controller, dt0, max_steps, tape_steps of the runs; the tolerance is 1e-10 in float64.

    Returns:
        A `LyapunovExponent`. The error falls as 1/time for periodic firing, as 1/sqrt(time) in chaos. -inf: a reset
        erased the perturbation.

    Raises:
        ValueError, TypeError: what is known while tracing.
        RuntimeError: a run failed (see `throw`).

    Differentiable: no; a Lyapunov exponent need not even be continuous in the parameters.

    Source: Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15:9, doi:10.1007/BF02128236.

    Example:
        >>> import jaxneuro as jn
        >>> passive = jn.LIF.default_params(v_thresh=jnp.inf)
        >>> round(float(lyapunov_exponent(jn.LIF, passive, 1.0, num_windows=10).exponent), 6)  # -1/tau_m
        -0.1
    """
    dtype = prepare.float_dtype(params)
    current = prepare.stimulus(current, dtype)
    found: Any = _of_flow(
        model, jax.tree.map(lambda x: jnp.asarray(x, dtype), params), current, state0, prepare.scalar("window", window, dtype),
        prepare.positive("num_windows", num_windows), _not_negative(transient), prepare.positive("max_spikes", max_spikes),
        run_options(dtype, options),
    )  # fmt: skip
    raise_eagerly(f"lyapunov_exponent({model.name})", found.result, throw)
    return found


def return_map_exponent(
    model: NeuronModel, params: Params, current: ScalarLike, *, state0: State | None = None, num_spikes: int = 500,
    transient: int = 100, max_interval: ScalarLike = 1_000.0, throw: bool | None = None, **options: Any,
) -> ReturnMapExponent:  # fmt: skip
    """Estimate the largest Lyapunov exponent of the return map, from just after one spike to just after the next.

        exponent = (1/n) sum_k ln |DP(x_k) a_k|,   a_(k+1) = DP(x_k) a_k/|DP(x_k) a_k|

    Negative: periodic firing, of k spikes, with largest Floquet multiplier mu: exponent = ln|mu|/k. Zero: a bifurcation, such
    as a period doubling. Positive: chaos; divided by the mean interval that is the exponent of the flow.

    Args:
        model: a `NeuronModel` record.
        params: its parameters, scalars of one dtype.
        current: constant current, in the model's unit.
        state0: where to start; `model.init_state(params)` if None.
        num_spikes: spikes to average over, >= 1.
        transient: spikes before those.
        max_interval: longest time to wait for a spike, ms.
        throw, **options: as in `lyapunov_exponent`.

    Returns:
        A `ReturnMapExponent`, with the state at every spike. -inf: the reset erases all that was before, as in LIF and QIF.

    Raises:
        ValueError, TypeError: what is known while tracing.
        RuntimeError: the train ended, or a run failed (see `throw`).

    Differentiable: no.

    Source: Touboul & Brette (2008), Biol. Cybern. 99:319, doi:10.1007/s00422-008-0267-4 (the map); Benettin et al. (1980),
        Meccanica 15:9, doi:10.1007/BF02128236 (the exponent).

    Example:
        >>> import jaxneuro as jn
        >>> found = return_map_exponent(jn.LIF, jn.LIF.default_params(), 3.0, num_spikes=5, transient=1)
        >>> float(found.exponent), round(float(found.intervals[0]), 3)
        (-inf, 12.986)
    """
    dtype = prepare.float_dtype(params)
    found: Any = _of_map(
        model, jax.tree.map(lambda x: jnp.asarray(x, dtype), params), prepare.scalar("current", current, dtype), state0,
        prepare.positive("num_spikes", num_spikes), _not_negative(transient),
        prepare.scalar("max_interval", max_interval, dtype), run_options(dtype, options),
    )  # fmt: skip
    raise_eagerly(f"return_map_exponent({model.name})", found.result, throw)
    return found


def _not_negative(transient: Any) -> int:
    if isinstance(transient, bool) or not isinstance(transient, int) or transient < 0:
        raise ValueError(f"transient must be a Python integer >= 0; it is {transient!r}.")
    return transient


def _first(size: int, like: Array) -> Array:
    """Return a perturbation in no special direction."""
    along = jnp.cos(jnp.arange(size, dtype=like.dtype))
    return along / jnp.linalg.norm(along)


def _normed(along: Array) -> tuple[Array, Array]:
    """Return a perturbation at length 1 (0 if it has died out), and the ln of its length."""
    size = jnp.linalg.norm(along)
    return along / jnp.where(size > 0, size, 1.0), jnp.log(size)


def _worse(before: Any, result: Any) -> Any:
    return RESULTS.where(before == RESULTS.successful, result, before)


def _successful() -> Any:
    return from_code(jnp.zeros((), jnp.int32))


@eqx.filter_jit
def _of_flow(
    model: NeuronModel, params: Params, current: Stimulus, state0: State | None, window: Scalar, num_windows: int,
    transient: int, max_spikes: int, options: dict[str, Any],
) -> LyapunovExponent:  # fmt: skip
    zero = jnp.zeros_like(window)
    state0 = prepare.initial_state(model, params, state0, window.dtype)
    flat0, unravel = ravel_pytree((state0, zero))

    def body(now: _Flow, _: None) -> tuple[_Flow, Any]:
        def run(flat: Array) -> Any:
            state, refrac_until = unravel(flat)
            sol = simulate(
                model, params, current, now.t + window, t0=now.t, state0=state, refrac_until0=refrac_until,
                max_spikes=max_spikes, adjoint=dfx.ForwardMode(), throw=False, **options,
            )  # fmt: skip
            return ravel_pytree((sol.final_state, sol.final_refrac_until))[0], (sol.num_spikes, sol.result)

        before = ravel_pytree((now.state, now.refrac_until))[0]
        flat, along, (count, result) = jax.jvp(run, (before,), (now.along,), has_aux=True)
        state, refrac_until = unravel(flat)
        # A refractory period that is over leaves no trace.
        along, growth = _normed(along.at[-1].multiply(refrac_until > now.t + window))
        after = _Flow(now.t + window, state, refrac_until, along, _worse(now.result, result))
        return after, (growth, count)

    begin = _Flow(zero, state0, zero, _first(flat0.size, zero).at[-1].set(0.0), _successful())
    end, (growth, count) = jax.lax.scan(body, begin, None, length=transient + num_windows)
    growth, count = growth[transient:], count[transient:]
    result = RESULTS.where(window > 0, end.result, RESULTS.bad_times)
    lost = jnp.where(result == RESULTS.successful, 0.0, jnp.nan)
    time = num_windows * window
    return LyapunovExponent(jnp.sum(growth) / time + lost, growth + lost, 1e3 * jnp.sum(count) / time + lost, result)


@eqx.filter_jit
def _of_map(
    model: NeuronModel, params: Params, current: Scalar, state0: State | None, num_spikes: int, transient: int,
    max_interval: Scalar, options: dict[str, Any],
) -> ReturnMapExponent:  # fmt: skip
    start = prepare.initial_state(model, params, state0, current.dtype)
    flat0, unravel = ravel_pytree(start)

    def body(now: tuple, number: Array) -> tuple[tuple, Any]:
        flat, along, result = now
        first = number == 0  # from anywhere to the first spike
        state = unravel(flat)
        state = where(first, state, onto_section(model, params, current, state))
        wait = jnp.where(first, 0.0, refractory_duration(model, params))

        def run(flat: Array) -> Any:
            back = return_map(
                model,
                params,
                current,
                unravel(flat),
                wait,
                1,
                max_interval,
                max_spikes=1,
                forward=True,
                options=options,
            )
            return ravel_pytree(back.state)[0], (back.time, back.result)

        flat, along, (time, ended) = jax.jvp(run, (ravel_pytree(state)[0],), (along,), has_aux=True)
        along, growth = _normed(along)
        return (flat, along, _worse(result, ended)), (flat, growth, time)

    begin = (flat0, _first(flat0.size, flat0), _successful())
    numbers = jnp.arange(transient + 1 + num_spikes)
    (_, _, result), (flat, growth, time) = jax.lax.scan(body, begin, numbers)
    flat, growth, time = flat[-num_spikes:], growth[-num_spikes:], time[-num_spikes:]
    lost = jnp.where(result == RESULTS.successful, 0.0, jnp.nan)
    states = jax.vmap(unravel)(flat + lost)
    return ReturnMapExponent(jnp.mean(growth) + lost, growth + lost, time + lost, states, result)
