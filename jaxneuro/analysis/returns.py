"""The return map: from just after a spike (or from anywhere) to just after the n-th spike to come.

For a model without a reset, "just after a spike" is the upward crossing of its spike condition.
"""

from typing import Any, NamedTuple

import diffrax as dfx
import jax
import jax.numpy as jnp

from jaxneuro.hybrid import simulate
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS
from jaxneuro.solvers import PredictiveController, default_controller
from jaxneuro.types import BoolScalar, Params, Scalar, State

OPTIONS = ("solver", "stepsize_controller", "dt0", "max_steps", "tape_steps")
_ON_SECTION = 1e-3  # ms: a start that is meant to lie on the section misses it by less than that


class Return(NamedTuple):
    """Where and when a run is just after its n-th spike."""

    state: State
    time: Scalar  # since the start, ms
    there: BoolScalar  # the spike came
    result: Any  # of the run; no_spikes where it ended without


def run_options(dtype: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the runs: by default at a tolerance of 1e-10 (in float32 that of `simulate`)."""
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise TypeError(f"Unknown option {', '.join(map(repr, unknown))}; runs take {', '.join(OPTIONS)}.")
    tight = PredictiveController(rtol=1e-10, atol=1e-10) if dtype == jnp.float64 else default_controller(dtype)
    defaults = {"stepsize_controller": tight, "max_steps": 1_000_000}
    return {**defaults, **{name: x for name, x in options.items() if x is not None}}


def refractory_duration(model: NeuronModel, params: Params) -> Scalar:
    """Return how long the neuron is refractory after a spike, ms."""
    if model.refractory is None:
        return jnp.zeros_like(jax.tree.leaves(params)[0])
    return model.refractory(params).duration


def return_map(
    model: NeuronModel, params: Params, current: Scalar, state: State, refrac_until: Scalar, spikes: Any, limit: Scalar, *,
    max_spikes: int, forward: bool, options: dict[str, Any],
) -> Return:  # fmt: skip
    """Return state and time just after the n-th spike (n = `spikes`) of a run from `state`, at most `limit` ms long."""
    sol = simulate(
        model, params, current, limit, state0=state, refrac_until0=refrac_until, max_spikes=max_spikes, stop_after=spikes,
        adjoint=dfx.ForwardMode() if forward else None, throw=False, **options,
    )  # fmt: skip
    ran = sol.result == RESULTS.successful
    there = ran & (sol.num_spikes >= spikes)
    result = RESULTS.where(ran & ~there, RESULTS.no_spikes, sol.result)
    return Return(sol.final_state, sol.final_time, there, result)


def onto_section(model: NeuronModel, params: Params, current: Scalar, state: State) -> State:
    """Return a state that is meant to be just after a spike, moved along the flow by what rounding took it off.

    Only for models without a reset: a start a hair's breadth below the spike condition would spike at once.
    """
    rate, time = _to_section(model, params, current, state)
    time = jax.lax.stop_gradient(jnp.where(jnp.abs(time) < _ON_SECTION, time, 0.0))
    return jax.tree.map(lambda y, f: y + time * jax.lax.stop_gradient(f), state, rate)


def on_section(model: NeuronModel, params: Params, current: Scalar, state: State) -> BoolScalar:
    """Return whether a state just after a spike still lies on the threshold: the model is one without a reset."""
    return jnp.abs(_to_section(model, params, current, state)[1]) < _ON_SECTION


def _to_section(model: NeuronModel, params: Params, current: Scalar, state: State) -> tuple[State, Scalar]:
    """Return the flow, and how long it would take (ms, straight on) to the spike condition; inf if it leads away."""
    rate = model.vector_field(jnp.zeros_like(current), state, params, current)
    g, slope = jax.jvp(lambda y: model.spike_condition(y, params), (state,), (rate,))
    return rate, jnp.where(slope > 0, -g / jnp.where(slope > 0, slope, 1.0), jnp.inf)
