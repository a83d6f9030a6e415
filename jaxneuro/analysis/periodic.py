"""Periodic firing, with and without a reset, as a fixed point of the return map."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxneuro.analysis.implicit import implicit_root, raise_eagerly
from jaxneuro.analysis.newton import fixed_return
from jaxneuro.analysis.returns import onto_section, refractory_duration, return_map, run_options
from jaxneuro.hybrid import prepare, simulate
from jaxneuro.hybrid.problem import where
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS
from jaxneuro.types import Array, BoolScalar, IntScalar, Params, Scalar, ScalarLike, State


class PeriodicOrbit(NamedTuple):
    """What `periodic_orbit` returns; under `vmap` every array has the lanes in front."""

    period: Scalar  # ms; inf where the neuron does not fire
    rate: Scalar  # Hz, 1000 spikes_per_period/period; 0 where the neuron does not fire
    state: State  # just after the spike that begins the period
    multipliers: Array  # Floquet multipliers (fields of the state,), complex, largest modulus first
    stable: BoolScalar  # all multipliers lie inside the unit circle
    jacobian: (
        Array  # of (state, time) after one period in the state at its beginning, (fields of the state + 1, fields)
    )
    num_iterations: IntScalar  # evaluations of the return map
    residual: Scalar  # largest |P(x) - x|/(1 + |x|) before Newton's last step
    result: Any  # an item of RESULTS


class Orbit(NamedTuple):
    """One period in samples."""

    ts: Array  # ms since the spike that begins the period, (samples,)
    states: State  # a State of arrays (samples,)


def periodic_orbit(
    model: NeuronModel, params: Params, current: ScalarLike, *, state0: State | None = None, spikes_per_period: int = 1,
    settle: int = 20, max_interval: ScalarLike = 1_000.0, max_iterations: int = 30, throw: bool | None = None, **options: Any,
) -> PeriodicOrbit:  # fmt: skip
    """Find periodic firing at constant current by Newton's method on the return map, stable or not.

        P(x) = x,   x the state just after a spike, P(x) the state just after the spikes_per_period-th spike from there

    Without a reset, "just after a spike" is the upward crossing of the spike condition. `settle` spikes lead from `state0` to
    the first guess, so a stable orbit is found from rest; an unstable one needs a `state0` near it and settle=1. A step
    that does not bring P(x) nearer to x is halved.

    The Floquet multipliers are the eigenvalues of DP, one for each field of the state. One of them is 0, because P ends on a
    section: a model without a reset has 0 in place of its flow's trivial multiplier 1, one with a reset in the direction
    that the reset erases (so LIF and QIF have 0 and no other).

    Args:
        model: a `NeuronModel` record.
        params: its parameters, scalars of one dtype.
        current: constant current, in the model's unit.
        state0: where to start; `model.init_state(params)` if None.
        spikes_per_period: spikes in one period, >= 1 (a burst of 3: 3).
        settle: spikes before Newton's method begins, >= 1.
        max_interval: longest interval between spikes, ms, on the average of a run; beyond it the neuron counts as silent.
        max_iterations: most evaluations of P, the first run included.
        throw: None: raise when called eagerly and no orbit is found; False: never. What is not raised is in `result`.
        **options: solver, stepsize_controller, dt0, max_steps, tape_steps of the runs, as in `jn.simulate`; by default the
            tolerance is 1e-10 in float64 (the period is good to about 1e-9 of itself), that of `simulate` in float32.

    Returns:
        A `PeriodicOrbit`. Where `result` is `no_spikes` the period is inf and the rate 0; where it is another failure
        (`not_converged`, or that of a run) they are NaN.

    Raises:
        ValueError, TypeError: what is known while tracing.
        RuntimeError: no orbit was found (see `throw`).

    Differentiable: period, rate and state in params and current, by the implicit function theorem, whatever Newton's
        path, to second order; derivative 0 where no orbit was found. Multipliers and jacobian carry no derivative.

    Source: Guckenheimer & Holmes (1983), Nonlinear Oscillations, Dynamical Systems, and Bifurcations of Vector Fields,
        section 1.5, doi:10.1007/978-1-4612-1140-2 (return map, multipliers); through resets, Touboul & Brette (2008),
        Biol. Cybern. 99:319, doi:10.1007/s00422-008-0267-4.

    Example:
        >>> import jaxneuro as jn
        >>> orbit = periodic_orbit(jn.LIF, jn.LIF.default_params(), 3.0)
        >>> round(float(orbit.rate), 3), bool(orbit.stable)  # 1000/(2 + 10 ln 3)
        (77.005, True)
    """
    dtype = prepare.float_dtype(params)
    orbit = _find(
        model, jax.tree.map(lambda x: jnp.asarray(x, dtype), params), prepare.scalar("current", current, dtype), state0,
        prepare.positive("spikes_per_period", spikes_per_period),
        prepare.positive("settle", settle), prepare.scalar("max_interval", max_interval, dtype),
        jnp.asarray(prepare.positive("max_iterations", max_iterations)), run_options(dtype, options),
    )  # fmt: skip
    raise_eagerly(f"periodic_orbit({model.name})", orbit.result, throw)
    return orbit


@eqx.filter_jit
def _find(
    model: NeuronModel, params: Params, current: Scalar, state0: State | None, spikes: int, settle: int, max_interval: Scalar,
    max_iterations: Array, options: dict[str, Any],
) -> PeriodicOrbit:  # fmt: skip
    """Find the orbit without derivatives, then give it those of the fixed point."""
    dtype = current.dtype
    start = prepare.initial_state(model, params, state0, dtype)
    limit = max_interval * spikes
    fixed = jax.lax.stop_gradient((params, current, start, max_interval))
    found = fixed_return(model, *fixed, spikes, settle, max_iterations, options)
    unravel = ravel_pytree(start)[1]
    good = found.result == RESULTS.successful
    # Where nothing was found, the derivatives below are those of a run of no length from a harmless state.
    start = where(good, unravel(found.x + found.step), jax.lax.stop_gradient(model.init_state(params)))
    period = jnp.where(good, found.period, 1.0)

    def residual(root: Any, theta: Any) -> Any:
        params, current, good, limit = theta
        at = onto_section(model, params, current, root[0])
        back = return_map(
            model, params, current, at, refractory_duration(model, params), spikes, limit * good,
            max_spikes=spikes, forward=False, options=options,
        )  # fmt: skip
        moved = jax.tree.map(jnp.subtract, (back.state, back.time), root)
        return where(good > 0, moved, root)

    theta = (params, current, *jax.lax.stop_gradient((good.astype(dtype), limit)))
    state, period = implicit_root(residual, jax.lax.stop_gradient((start, period)), theta)
    lost = jnp.where(good, 0.0, jnp.nan)
    silent = found.result == RESULTS.no_spikes
    period = jnp.where(silent, jnp.inf, period + lost)
    jacobian = jnp.where(good, found.jacobian, 0.0)
    multipliers = jnp.linalg.eigvals(jacobian[:-1])
    multipliers = multipliers[jnp.argsort(-jnp.abs(multipliers))] + lost
    return PeriodicOrbit(
        period=period, rate=jnp.where(silent, 0.0, 1e3 * spikes / period), state=jax.tree.map(lambda x: x + lost, state),
        multipliers=multipliers, stable=good & jnp.all(jnp.abs(multipliers) < 1), jacobian=jacobian + lost,
        num_iterations=found.turn, residual=found.error, result=found.result,
    )  # fmt: skip


def orbit_samples(
    model: NeuronModel,
    params: Params,
    current: ScalarLike,
    orbit: PeriodicOrbit,
    num_samples: int = 200,
    **options: Any,
) -> Orbit:
    """Return one period of a periodic orbit in samples at equal distances, from just after a spike to the next.

    Args:
        model, params, current: as given to `periodic_orbit`.
        orbit: what it returned; of an orbit that was not found the samples are NaN.
        num_samples: at least 2; the last lies at the period, before the reset.
        **options: as in `periodic_orbit`.

    Differentiable: in params, current and orbit.

    Example:
        >>> import jaxneuro as jn
        >>> params = jn.LIF.default_params()
        >>> samples = orbit_samples(jn.LIF, params, 3.0, periodic_orbit(jn.LIF, params, 3.0), 3)
        >>> [round(float(v), 2) for v in samples.states.v]
        [-70.0, -59.14, -50.0]
    """
    dtype = prepare.float_dtype(params)
    if prepare.positive("num_samples", num_samples) < 2:
        raise ValueError(f"num_samples must be at least 2, the two ends of the period; it is {num_samples}.")
    found = orbit.result == RESULTS.successful
    period = jnp.where(found, orbit.period, jnp.zeros_like(orbit.period))
    # A hair's breadth before the spike that ends the period, so that rounding does not put the last sample after it.
    last = 1 - float(jnp.finfo(dtype).eps) ** 0.5
    ts = period * jnp.linspace(0, last, num_samples, dtype=dtype)
    current = prepare.scalar("current", current, dtype)
    state = where(found, orbit.state, model.init_state(params))
    sol = simulate(
        model, params, current, period, state0=onto_section(model, params, current, state), saveat=ts,
        refrac_until0=refractory_duration(model, params), throw=False, **run_options(dtype, options),
    )  # fmt: skip
    lost = jnp.where(found & (sol.result == RESULTS.successful), 0.0, jnp.nan)
    return Orbit(ts + lost, jax.tree.map(lambda x: x + lost, sol.states))
