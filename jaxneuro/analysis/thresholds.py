"""The least current that evokes a spike, constant or as a pulse: a solved quantity with derivatives in every parameter."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.analysis.critical import BIFURCATIONS
from jaxneuro.analysis.implicit import raise_eagerly
from jaxneuro.analysis.inputs import interval
from jaxneuro.analysis.limits import stability_limit
from jaxneuro.analysis.onset import Onset, default_bracket, first_to_spike, root_of
from jaxneuro.analysis.rest import resting_state
from jaxneuro.hybrid import prepare
from jaxneuro.hybrid.problem import where
from jaxneuro.model import NeuronModel, valid_params
from jaxneuro.results import RESULTS
from jaxneuro.types import BoolScalar, Params, Scalar, ScalarLike, State


class THRESHOLDS(eqx.Enumeration):
    """What happens at the least current that evokes a spike; compare with `kind == THRESHOLDS.graze`."""

    graze = "The spike condition rises to zero, touches it and falls again (Hodgkin-Huxley)."
    pulse_end = (
        "The spike condition reaches zero at the end of the pulse and falls from there (leaky integrate-and-fire)."
    )
    separatrix = (
        "The trajectory ends on the border of two basins, the stable manifold of a saddle or of an unstable orbit: just above, "
        "the spike comes after a delay that grows without bound, as the logarithm of the distance (Izhikevich, AdEx)."
    )
    fold = "Rest itself vanishes in a fold: just above, the spike comes after a long slow passage (QIF, Wang-Buzsaki)."
    hopf = "Rest itself becomes unstable in a Hopf bifurcation: just above, the oscillation grows slowly to the spike."
    rest_at_threshold = "Rest itself reaches the spike threshold (leaky integrate-and-fire)."


class Threshold(NamedTuple):
    """What `rheobase` and `pulse_threshold` return; under `vmap` every array has the lanes in front."""

    current: Scalar  # the least current that evokes a spike, in the model's unit; NaN where none was found
    kind: Any  # an item of THRESHOLDS
    spike_time: (
        Scalar  # ms after the onset, at the threshold; inf where the delay grows without bound, or none was found
    )
    result: Any  # an item of RESULTS


def rheobase(
    model: NeuronModel, params: Params, *, bracket: Any = None, t1: ScalarLike = 1000.0,
    state0: State | None = None, throw: bool | None = None,
) -> Threshold:  # fmt: skip
    """Return the lowest constant current, switched on at rest, that evokes a spike.

    Found by a search with runs of `t1` ms at a tolerance of 1e-12 (float64), refined to rounding. Where the spike at the
    current found comes only at the end of the run, however long, rest itself is lost there: then the rheobase is
    `stability_limit`, solved. The two differ where rest is still stable but the step's overshoot spikes
    (Hodgkin-Huxley: 2.3 and 9.8 uA/cm2), or where rest loses stability to small oscillations.

    Args:
        model: a `NeuronModel` record.
        params: its parameters, scalars of one dtype.
        bracket: (lowest, highest) current to consider, in the model's unit: the first must evoke no spike. 32 currents between
            them are tried, denser towards the first, and the lowest that spikes is refined: a window of spiking that is
            narrower than their distance may be missed. None: from 0 to twice the current that would hold the linearised rest
            at threshold.
        t1: length of the runs, ms: many times the slowest time constant.
        state0: where to start; None: the stable fixed point at zero current that the flow from `init_state` leads to.
        throw: raise if there is no threshold. None: when called eagerly; True: also ask for it; False: never, see `result`.

    Returns:
        Threshold(current, kind, spike_time, result).

    Raises:
        ValueError, TypeError: what is known while tracing.
        RuntimeError: no_fixed_point (no rest at zero current), not_bracketed, not_converged (the spike comes at the very end of
            the run, but rest is stable there: take a longer t1), or the failure of a run.

    Differentiable: current in every parameter and state0 by the implicit function theorem, to second order
        (`jacfwd(grad)`), also under jit and vmap.

    Source: Gerstner, Kistler, Naud & Paninski (2014), Neuronal Dynamics, sections 4.1 and 5.1,
    doi:10.1017/CBO9781107447615.

    Example:
        >>> import jaxneuro as jn
        >>> found = rheobase(jn.LIF, jn.LIF.default_params())  # (v_thresh - v_rest)/r_m
        >>> round(float(found.current), 9), bool(found.kind == THRESHOLDS.rest_at_threshold)
        (2.0, True)
    """
    dtype = prepare.float_dtype(params)
    t1, bracket = prepare.scalar("t1", t1, dtype), interval("bracket", bracket, dtype)
    found = _rheobase(model, params, bracket, t1, state0)
    raise_eagerly(f"rheobase({model.name})", found.result, throw)
    return found


def pulse_threshold(
    model: NeuronModel, params: Params, width: ScalarLike, *, bracket: Any = None, t1: ScalarLike | None = None,
    state0: State | None = None, throw: bool | None = None,
) -> Threshold:  # fmt: skip
    """Return the least amplitude of a rectangular pulse, switched on at rest, that evokes a spike, also after its end.

    The threshold against `width` is the strength-duration curve: `jax.vmap` over widths. It tends to the rheobase for long
    pulses, and to a constant charge, amplitude times width, for short ones; the chronaxie is the width at which it is
    twice the rheobase.

    Args:
        model: a `NeuronModel` record.
        params: its parameters, scalars of one dtype.
        width: length of the pulse, ms, > 0.
        bracket: as in `rheobase`. None: from 0 to twice the sum of the linear estimates for long and for short pulses.
        t1: end of the runs, ms after the onset; None: 1000 ms after the pulse.
        state0, throw: as in `rheobase`.

    Returns:
        Threshold(current, kind, spike_time, result).

    Raises:
        ValueError, TypeError: what is known while tracing.
        RuntimeError: as `rheobase`; bad_stimulus where the width is not positive and finite.

    Differentiable: current in every parameter, in width and state0, as `rheobase`.

    Source: Lapicque (1907), translated by Brunel & van Rossum (2007), Biol. Cybern. 97:341, doi:10.1007/s00422-007-0189-6; LIF:
    (v_thresh - v_rest)/(r_m (1 - exp(-width/tau_m))).

    Example:
        >>> import jaxneuro as jn  # the chronaxie of LIF is tau_m ln 2
        >>> found = pulse_threshold(jn.LIF, jn.LIF.default_params(), 10.0 * jnp.log(2.0))
        >>> round(float(found.current), 9), bool(found.kind == THRESHOLDS.pulse_end)
        (4.0, True)
    """
    dtype = prepare.float_dtype(params)
    width, bracket = prepare.scalar("width", width, dtype), interval("bracket", bracket, dtype)
    t1 = width + 1000.0 if t1 is None else prepare.scalar("t1", t1, dtype)
    found = _pulse_threshold(model, params, width, bracket, t1, state0)
    raise_eagerly(f"pulse_threshold({model.name})", found.result, throw)
    return found


@eqx.filter_jit
def _rheobase(model: NeuronModel, params: Params, bracket: Any, t1: Scalar, state0: Any) -> Threshold:
    onset, current, time, result = _search(model, params, jnp.full_like(t1, jnp.inf), bracket, t1, state0)
    ok = result == RESULTS.successful
    limit = stability_limit(model, _usable(model, params, ok), throw=False)
    plain = jax.lax.stop_gradient
    close = 10 * jnp.finfo(t1.dtype).eps ** 0.6  # 4e-9; 7e-4 in float32
    gap = plain(onset.current - limit.current) / jnp.abs(plain(limit.current))
    slow = onset.time > t1 * (1 - close)
    lost = (limit.result == RESULTS.successful) & (gap > -close) & (slow | (gap < close))
    result = RESULTS.where(ok & slow & ~lost, RESULTS.not_converged, result)
    choose, kinds = THRESHOLDS.where, THRESHOLDS
    fold, hopf = limit.kind == BIFURCATIONS.fold, limit.kind == BIFURCATIONS.hopf
    limit_kind = choose(fold, kinds.fold, choose(hopf, kinds.hopf, kinds.rest_at_threshold))
    current = jnp.where(lost, limit.current, current)
    time = jnp.where(lost, jnp.inf, time)
    return _threshold(current, choose(lost, limit_kind, _kind(onset)), time, result)


@eqx.filter_jit
def _pulse_threshold(
    model: NeuronModel, params: Params, width: Scalar, bracket: Any, t1: Scalar, state0: Any
) -> Threshold:
    onset, current, time, result = _search(model, params, width, bracket, t1, state0)
    good = (width > 0) & jnp.isfinite(width)
    result = RESULTS.where(good, result, RESULTS.bad_stimulus)
    return _threshold(current, _kind(onset), time, result)


def _usable(model: NeuronModel, params: Params, ok: BoolScalar) -> Params:
    """Return the parameters, where they are of no use the default ones: a lane that failed has a derivative of 0, not NaN."""
    default = jax.tree.map(lambda x, p: jnp.asarray(x, jnp.result_type(p)), model.default_params(), params)
    return where(ok, params, default)


def _threshold(current: Scalar, kind: Any, time: Scalar, result: Any) -> Threshold:
    ok = result == RESULTS.successful
    return Threshold(jnp.where(ok, current, jnp.nan), kind, jnp.where(ok, time, jnp.inf), result)


def _kind(onset: Onset) -> Any:
    return THRESHOLDS.where(
        onset.grazes, THRESHOLDS.graze,
        THRESHOLDS.where(onset.at_end, THRESHOLDS.pulse_end, THRESHOLDS.separatrix),
    )  # fmt: skip


def _search(
    model: NeuronModel, params: Params, width: Scalar, bracket: Any, t1: Scalar, state0: Any
) -> tuple[Onset, Scalar, Scalar, Any]:
    """Return what was found, and from it the current and the time of the spike, differentiable."""
    params = jax.tree.map(lambda x: jnp.asarray(x, t1.dtype), params)
    valid = valid_params(model, params)
    params = _usable(model, params, valid)
    rest, found = resting_state(model, params)
    if state0 is not None:
        rest, found = prepare.initial_state(model, params, state0, t1.dtype), jnp.asarray(True)
    plain_params, plain_rest, plain_width = jax.lax.stop_gradient((params, rest, width))
    if bracket is None:
        bracket = default_bracket(model, plain_params, plain_rest, plain_width)
    onset = first_to_spike(model, plain_params, plain_rest, plain_width, bracket, t1)
    current, time = root_of(model, params, rest, width, onset)
    result = RESULTS.where(found, onset.result, RESULTS.no_fixed_point)
    result = RESULTS.where(valid, result, RESULTS.bad_parameters)
    return onset, current, jnp.where(onset.grazes | onset.at_end, time, jnp.inf), result
