"""Phase response: by how much a kick at a phase of periodic firing advances all later spikes."""

from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp

from jaxneuro.analysis.dense import solve
from jaxneuro.analysis.implicit import raise_eagerly
from jaxneuro.analysis.periodic import PeriodicOrbit, periodic_orbit
from jaxneuro.analysis.returns import (
    OPTIONS,
    onto_section,
    refractory_duration,
    return_map,
    run_options,
)
from jaxneuro.hybrid import prepare, simulate
from jaxneuro.hybrid.problem import where
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS
from jaxneuro.types import Array, IntScalar, Params, Scalar, ScalarLike, State


class PhaseResponse(NamedTuple):
    """What `phase_response` returns; under `vmap` every array has the lanes in front."""

    phases: Array  # in [0, 1), (phases,)
    ts: Array  # ms since the spike that begins the period, (phases,)
    period: Scalar  # ms
    response: State  # advance of all later spikes, ms per unit of each field: a State of arrays (phases,)
    result: Any  # an item of RESULTS


class Asked(NamedTuple):
    """What a phase response is asked of."""

    params: Params
    current: Scalar
    phases: Array
    spikes: int  # in a period
    limit: Scalar  # longest interval, ms
    options: dict[str, Any]  # of the runs


class Start(NamedTuple):
    """The neuron at one phase."""

    t: Scalar  # since the beginning of the period, ms
    state: State
    wait: Scalar  # refractory for so long, ms
    passed: IntScalar  # spikes of the period that have passed, without that which begins it


def phase_response(
    model: NeuronModel, params: Params, current: ScalarLike, phases: Any, *, throw: bool | None = None, **search: Any
) -> PhaseResponse:
    """Return the infinitesimal phase response Z of stable periodic firing, the gradient of a spike time.

        Z(t) = -d t_inf/dy(t),   d t_inf/dy = dt_1/dy + (dT/dx) (1 - DP)^-1 dx_1/dy

    t_1 and x_1 are time and state just after the spike that ends the period, P and T the return map and its time: so the kick's
    effect on every later spike is in it, not only that on the next. In each field Z is the advance in ms per unit of a small
    kick (of v: ms/mV; divide by the period for phase). A field held during refractoriness does not feel a kick: 0 there.

    Args:
        model: a `NeuronModel` record.
        params: its parameters, scalars of one dtype.
        current: constant current, in the model's unit.
        phases: fractions of the period since the spike that begins it, (phases,), taken modulo 1.
        throw: None: raise when called eagerly and it fails; False: never. What is not raised is in `result`.
        **search: how to find the orbit, as in `periodic_orbit` (state0, spikes_per_period, settle, solver, ...).

    Returns:
        A `PhaseResponse`; its response is NaN where `result` is a failure.

    Raises:
        ValueError, TypeError: what is known while tracing.
        RuntimeError: no orbit was found (see `throw`); an attempt to differentiate the response, which is not supported.

    Source: Ermentrout & Terman (2010), Mathematical Foundations of Neuroscience, chapter 8, doi:10.1007/978-0-387-87708-2
        (the adjoint); here the derivative is taken through steps, spikes and resets.

    Example:
        >>> import jax.numpy as jnp, jaxneuro as jn
        >>> params = jn.LIF.default_params(tau_refrac=0.0)
        >>> found = phase_response(jn.LIF, params, 3.0, jnp.array([0.0, 0.5]))
        >>> [round(float(z), 4) for z in found.response.v]  # 1/V' = exp(t/tau)/3
        [0.3333, 0.5774]
    """
    orbit, asked = orbit_and_inputs(model, params, current, phases, search)
    found: Any = _respond(model, orbit, asked)
    raise_eagerly(f"phase_response({model.name})", found.result, throw)
    return found


def orbit_and_inputs(
    model: NeuronModel, params: Params, current: Any, phases: Any, search: dict[str, Any]
) -> tuple[PeriodicOrbit, Asked]:
    """Find the orbit, and put in order what is asked of it."""
    dtype = prepare.float_dtype(params)
    phases = jnp.asarray(phases, dtype)
    if phases.ndim != 1 or phases.size == 0:
        raise ValueError(f"phases must be an array (phases,) with at least one; its shape is {phases.shape}.")
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), params)
    params, current = eqxi.nondifferentiable((params, prepare.scalar("current", current, dtype)), name="phase response")
    orbit = periodic_orbit(model, params, current, throw=False, **search)
    options = run_options(dtype, {name: x for name, x in search.items() if name in OPTIONS})
    limit = prepare.scalar("max_interval", search.get("max_interval", 1_000.0), dtype)
    return orbit, Asked(params, current, phases - jnp.floor(phases), search.get("spikes_per_period", 1), limit, options)


def starts_at(model: NeuronModel, orbit: PeriodicOrbit, asked: Asked) -> tuple[Start, Any]:
    """Return the neuron at each phase, as arrays (phases,), and the result of the run through the period."""
    params, current, phases, spikes, _, options = asked
    good = orbit.result == RESULTS.successful
    period = jnp.where(good, orbit.period, 0.0)
    state0 = onto_section(model, params, current, where(good, orbit.state, model.init_state(params)))
    duration = refractory_duration(model, params)
    order = jnp.argsort(phases)
    ts = period * phases
    sol = simulate(
        model, params, current, period, state0=state0, refrac_until0=duration, saveat=ts[order], max_spikes=spikes + 1,
        throw=False, **options,
    )  # fmt: skip
    states = jax.tree.map(lambda x: x[jnp.argsort(order)], sol.states)

    def start(t: Scalar, state: State) -> Start:
        before = sol.spike_times <= t
        last = jnp.max(jnp.where(before, sol.spike_times, 0.0))
        # A sample at a spike is the state before the jump.
        state = where((last == t) & (t > 0), model.reset(state, params), state)
        return Start(t, state, jnp.maximum(duration - (t - last), 0.0), jnp.sum(before))

    result = RESULTS.where(good, sol.result, orbit.result)
    return jax.vmap(start)(ts, states), result


def held_fields(model: NeuronModel, params: Params) -> tuple[str, ...]:
    return () if model.refractory is None else model.refractory(params).held


@eqx.filter_jit
def _respond(model: NeuronModel, orbit: PeriodicOrbit, asked: Asked) -> PhaseResponse:
    params, current, phases, spikes, limit, options = asked
    starts, result = starts_at(model, orbit, asked)
    good = result == RESULTS.successful
    jacobian = jnp.where(good, orbit.jacobian, 0.0)
    of_state, of_time = jacobian[:-1], jacobian[-1]
    # What a state off the orbit at the end of the period adds to the time of all later spikes.
    later = solve(jnp.eye(of_time.size, dtype=of_time.dtype) - of_state.T, of_time)

    def advance(start: Start) -> tuple[State, Any]:
        def arrival(state: State) -> Any:
            back = return_map(
                model, params, current, state, start.wait, spikes - start.passed, limit * spikes,
                max_spikes=spikes, forward=True, options=options,
            )  # fmt: skip
            after = sum(a * x for a, x in zip(later, jax.tree.leaves(back.state), strict=True))
            return back.time + after, back.there

        slope, there = jax.jacfwd(arrival, has_aux=True)(start.state)
        z = jax.tree.map(jnp.negative, slope)
        deaf = {name: jnp.where(start.wait > 0, 0.0, getattr(z, name)) for name in held_fields(model, params)}
        return z._replace(**deaf), there

    response, there = jax.vmap(advance)(starts)
    result = RESULTS.where(~good | jnp.all(there), result, RESULTS.not_converged)
    lost = jnp.where(result == RESULTS.successful, 0.0, jnp.nan)
    return PhaseResponse(phases, starts.t + lost, orbit.period, jax.tree.map(lambda x: x + lost, response), result)
