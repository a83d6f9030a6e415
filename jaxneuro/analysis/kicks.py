"""Phase response to a finite kick, by direct perturbation."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.analysis.implicit import raise_eagerly
from jaxneuro.analysis.inputs import known_to_fail
from jaxneuro.analysis.periodic import PeriodicOrbit
from jaxneuro.analysis.phases import Asked, Start, held_fields, orbit_and_inputs, starts_at
from jaxneuro.analysis.returns import Return, on_section, refractory_duration, return_map
from jaxneuro.hybrid import prepare
from jaxneuro.hybrid.problem import where
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS
from jaxneuro.types import Array, Params, Scalar, ScalarLike


class PerturbedPhaseResponse(NamedTuple):
    """What `perturbed_phase_response` returns; under `vmap` every array has the lanes in front."""

    phases: Array  # in [0, 1), (phases,)
    ts: Array  # ms since the spike that begins the period, (phases,)
    period: Scalar  # ms
    advance: Array  # of all later spikes by the kick, ms, (phases,)
    opposite: Array  # the same by a kick of the opposite sign
    response: Array  # (advance - opposite)/(2 kick), ms per unit
    residual: Array  # largest distance |x - x_orbit|/(1 + |x_orbit|) from the orbit at the end, of both kicks
    result: Any  # an item of RESULTS


def perturbed_phase_response(
    model: NeuronModel, params: Params, current: ScalarLike, phases: Any, *, field: str, kick: ScalarLike,
    num_periods: int = 20, throw: bool | None = None, **search: Any,
) -> PerturbedPhaseResponse:  # fmt: skip
    """Return the phase response to a finite kick, by direct perturbation: kick, run on, and compare the spikes.

        advance = num_periods T - (t + time from the kick to the spike that ends the last period)

    A kick across the threshold makes a spike at once, with its reset, and that spike ends the period. A model with a reset counts
    its spikes, so a kick may delay by more than a period. Without a reset there is no telling a spike that came early from
    one that came twice: the advance is then given modulo T, in (-T/2, T/2].

    Args:
        model, params, current, phases: as in `phase_response`.
        field: name of the state's field that is kicked.
        kick: size of the kick, in the unit of that field; the opposite kick is applied, too.
        num_periods: periods to run on, >= 2, until the kick has died away (see `residual`).
        throw, **search: as in `phase_response`.

    Returns:
        A `PerturbedPhaseResponse`. A kick that silences the neuron has a NaN there and the result `no_spikes`; a traced kick
        that is 0 or not finite has `bad_stimulus`.

    Raises:
        ValueError, TypeError: what is known while tracing.
        RuntimeError: no orbit was found, or a kick silenced the neuron (see `throw`).

    Differentiable: in nothing; use it to check `phase_response`, and for strong kicks.

    Source: Galan, Ermentrout & Urban (2005), Phys. Rev. Lett. 94:158101, doi:10.1103/PhysRevLett.94.158101 (the direct
        method in an experiment).

    Example:
        >>> import jax.numpy as jnp, jaxneuro as jn
        >>> found = perturbed_phase_response(
        ...     jn.LIF, jn.LIF.default_params(tau_refrac=0.0), 3.0, jnp.array([0.5]), field="v", kick=1e-3)
        >>> round(float(found.response[0]), 4)
        0.5774
    """
    fields = type(model.init_state(params))._fields
    if field not in fields:
        raise ValueError(f"field must be one of {', '.join(fields)}, the state of {model.name}; it is {field!r}.")
    if prepare.positive("num_periods", num_periods) < 2:
        raise ValueError(f"num_periods must be at least 2; it is {num_periods}.")
    orbit, asked = orbit_and_inputs(model, params, current, phases, search)
    kick = prepare.scalar("kick", kick, asked.current.dtype)
    if known_to_fail((kick != 0) & jnp.isfinite(kick)):
        raise ValueError(f"kick must be finite and not 0, in the unit of {field}; it is {kick}.")
    found: Any = _perturb(model, orbit, asked, field, kick, num_periods)
    raise_eagerly(f"perturbed_phase_response({model.name})", found.result, throw)
    return found


@eqx.filter_jit
def _perturb(
    model: NeuronModel, orbit: PeriodicOrbit, asked: Asked, field: str, kick: Scalar, num_periods: int
) -> PerturbedPhaseResponse:
    """Kick both ways at every phase."""
    params, current, phases, spikes, limit, options = asked
    starts, result = starts_at(model, orbit, asked)
    good = result == RESULTS.successful
    period, total = jnp.where(good, orbit.period, 0.0), spikes * num_periods
    smooth = on_section(model, params, current, orbit.state)
    condition = lambda state: model.spike_condition(state, params)

    def advance(start: Start, kick: Scalar) -> tuple[Scalar, Scalar, Any]:
        deaf = (field in held_fields(model, params)) & (start.wait > 0)
        kicked = start.state._replace(**{field: getattr(start.state, field) + jnp.where(deaf, 0.0, kick)})
        at_once = (start.t > 0) & (start.wait <= 0) & (condition(start.state) < 0) & (condition(kicked) >= 0)
        back: Return = return_map(
            model, params, current, where(at_once, model.reset(kicked, params), kicked),
            jnp.where(at_once, refractory_duration(model, params), start.wait), total - start.passed - at_once,
            limit * total * good, max_spikes=total, forward=True, options=options,
        )  # fmt: skip
        ahead = num_periods * period - start.t - back.time
        ahead = jnp.where(smooth, ahead - period * jnp.ceil(ahead / jnp.where(good, period, 1.0) - 0.5), ahead)
        off = [jnp.abs(x - y) / (1 + jnp.abs(y)) for x, y in zip(back.state, orbit.state, strict=True)]
        return jnp.where(back.there, ahead, jnp.nan), jnp.max(jnp.stack(off)), back.there

    both = jax.vmap(jax.vmap(advance, (None, 0)), (0, None))(starts, jnp.stack([kick, -kick]))
    (advance_, opposite), residual, there = both[0].T, jnp.max(both[1], axis=1), jnp.all(both[2])
    result = RESULTS.where(~good | there, result, RESULTS.no_spikes)
    result = RESULTS.where((kick != 0) & jnp.isfinite(kick), result, RESULTS.bad_stimulus)
    lost = jnp.where(good, 0.0, jnp.nan)
    return PerturbedPhaseResponse(
        phases, starts.t + lost, orbit.period, advance_ + lost, opposite + lost, (advance_ - opposite) / (2 * kick) + lost,
        residual, result,
    )  # fmt: skip
