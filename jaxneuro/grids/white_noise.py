"""A neuron in Gaussian white noise on steps of one length, without the bias of a threshold looked at between steps only."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from equinox.internal import nondifferentiable
from jax.core import Tracer

from jaxneuro.grids.noisy_step import Job, Lane, take_turn
from jaxneuro.grids.simulate import GridSolution, _result, _scalars
from jaxneuro.model import NeuronModel, valid_params
from jaxneuro.results import RESULTS, every
from jaxneuro.stimuli import Stimulus, as_stimulus
from jaxneuro.types import KeyLike, Params, Scalar, ScalarLike, State, checked_key


def simulate_white_noise(
    model: NeuronModel,
    params: Params,
    current: Stimulus | ScalarLike,
    t1: ScalarLike,
    *,
    noise: ScalarLike,
    dt: ScalarLike,
    key: KeyLike,
    bridge: bool = True,
    t0: ScalarLike = 0.0,
    state0: State | None = None,
    max_spikes: int = 256,
) -> GridSolution:
    """Run one neuron from t0 to t1 with white noise on its first variable.

        dv = f(t, v) dt + noise dW

    A step is the exact one where f is linear in v (LIF), else of weak order 2 by local linearisation. A path that is below
    threshold at both ends of a step of length h may have been above in between: for Brownian motion with probability
    exp(-2 (v_th - v_0)(v_th - v_1)/(noise^2 h)). Without this (`bridge=False`, the test of grid simulators) spikes are missed
    and the rate is too low by O(sqrt(dt)). With it a crossing is drawn with the probability of the linearised process,
    and its time within the step from its law; the next step begins at the end of the refractory period, off any grid.

    Args:
        model: a neuron with a reset; where it has further variables, these have no noise and are of first order in dt.
        params: its parameters, scalars of one dtype, in which everything is computed.
        current: a number, or a stimulus, in the model's unit. Steps end on its breakpoints.
        t1, t0: end and start of the run, ms, t1 >= t0.
        noise: intensity, mV/sqrt(ms), >= 0. A LIF neuron without threshold has the stationary variance noise^2 tau_m/2.
        dt: step, ms, > 0. Steps are shorter where the drift runs away from itself (df/dv > 1/(8 dt)): the upstroke of an
            EIF spike.
        key: a JAX random key; many runs are a `jax.vmap` over keys.
        bridge: whether to look for crossings between steps. If not, a spike carries the end of its step.
        state0: the state at t0; None is `model.init_state(params)`. At or above threshold it makes no spike.
        max_spikes: how many spike times are kept.

    Returns:
        A `GridSolution` (its ts and states are None). More spikes than `max_spikes`, a non-finite state and bad values are
        named in its `result`.

    Raises:
        ValueError: a model without a reset (white noise crosses a threshold infinitely often); values that are not scalar;
            dt <= 0, noise < 0 or t1 < t0, where known while tracing; max_spikes < 1.
        TypeError: a key that is none.

    Differentiable: no (it raises): the paths jump where a crossing appears. For the LIF rate use
        `jn.analysis.siegert_rate`, for spike times `jn.ou_noise` with `jn.simulate`.

    Source: local linearisation with the curvature term of Shoji & Ozaki (1998), Stoch. Anal. Appl. 16:733,
        doi:10.1080/07362999808809559; crossings of a bridge as in Giraudo & Sacerdote (1999), Commun. Stat. Simul. 28:1135,
        doi:10.1080/03610919908813596. Deviation: the linearised process is mapped to Brownian motion by its own clock
        (Doob), in which the threshold is taken as a straight line over one step; the crossing time is then an
        inverse Gaussian variable.

    Example:
        >>> import jax, jaxneuro as jn
        >>> sol = jn.simulate_white_noise(  # at rheobase, where it never fires without noise
        ...     jn.LIF, jn.LIF.default_params(), 2.0, 1000.0, noise=1.0, dt=0.1, key=jax.random.key(0)
        ... )
        >>> bool(sol.result == jn.RESULTS.successful), bool(sol.num_spikes > 10)
        (True, True)
    """
    if isinstance(max_spikes, bool) or not isinstance(max_spikes, int | np.integer) or max_spikes < 1:
        raise ValueError(f"max_spikes must be an integer >= 1; it is {max_spikes!r}.")
    dtype = jnp.result_type(*jax.tree.leaves(params))
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
    params = _scalars("params", params, dtype)
    y = model.init_state(params)
    if state0 is not None and jax.tree.structure(state0) != jax.tree.structure(y):
        raise ValueError(f"state0 must be a {type(y).__name__} of scalars; it is {state0!r}.")
    y = _scalars("state0", y if state0 is None else state0, dtype)
    _check_reset(model, params, y)
    stim = jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, as_stimulus(current))
    numbers = _scalars("", dict(t0=t0, t1=t1, dt=dt, noise=noise), dtype)
    _check_values(**numbers)
    params, stim, numbers, y = nondifferentiable((params, stim, numbers, y), msg=_NO_DERIVATIVE)
    return _run(model, bool(bridge), int(max_spikes), params, stim, numbers, y, checked_key(key))


_BLOCK = 16  # turns whose random numbers are drawn together
_NO_DERIVATIVE = (
    "simulate_white_noise has no derivative: its paths jump where a crossing appears. For the rate of a LIF neuron use "
    "jn.analysis.siegert_rate, for spike times in coloured noise jn.simulate with jn.ou_noise."
)


def _check_reset(model: NeuronModel, params: Params, state: State) -> None:
    jaxpr = jax.make_jaxpr(lambda v: model.reset(state._replace(**{state._fields[0]: v}), params)[0])(state[0]).jaxpr
    if jaxpr.outvars[0] is jaxpr.invars[0]:
        raise ValueError(
            f"{model.name} does not reset {state._fields[0]!r}: white noise crosses its threshold infinitely often, so its "
            "spikes cannot be counted. Give it a current jn.ou_noise in jn.simulate, whose voltage is smooth."
        )


def _check_values(t0: Scalar, t1: Scalar, dt: Scalar, noise: Scalar) -> None:
    if not isinstance(dt, Tracer) and not 0 < dt < jnp.inf:
        raise ValueError(f"dt must be > 0 ms and finite; it is {dt}.")
    if not isinstance(noise, Tracer) and not 0 <= noise < jnp.inf:
        raise ValueError(f"noise must be >= 0 mV/sqrt(ms) and finite; it is {noise}.")
    if not isinstance(t0, Tracer) and not isinstance(t1, Tracer) and not -jnp.inf < t0 <= t1 < jnp.inf:
        raise ValueError(f"The run must have finite t0 <= t1; t0 is {t0} and t1 is {t1}.")


@eqx.filter_jit
def _run(
    model: NeuronModel,
    bridge: bool,
    max_spikes: int,
    params: Params,
    stim: Stimulus,
    numbers: dict[str, Scalar],
    state0: State,
    key: Any,
) -> GridSolution:
    t0, t1, dt, noise = (numbers[name] for name in ("t0", "t1", "dt", "noise"))
    good_times = (t0 <= t1) & (dt > 0) & every([jnp.isfinite(x) for x in (t0, t1, dt)])
    good_params = valid_params(model, params) & (noise >= 0) & (noise < jnp.inf)
    good_state = every(jnp.isfinite(x) for x in state0)
    good = good_times & good_params & good_state & stim.valid()
    job = Job(model, params, stim, t1, dt, noise, bridge)
    lane = Lane(
        jnp.where(good, t0, t1), jnp.zeros_like(t0), state0, jnp.zeros_like(t0),
        tuple(jnp.sum(clock <= t0).astype(jnp.int32) for clock in stim.clocks()),
        jnp.zeros((), jnp.int32), jnp.full(max_spikes, jnp.inf, t0.dtype),
    )  # fmt: skip
    # One predicate for all lanes of a vmap: else each turn would select every buffer, lane by lane.
    lane, _ = jax.lax.while_loop(
        lambda carry: eqx.internal.unvmap_any(carry[0].t < t1),
        lambda carry: (_block(job, carry[0], jax.random.fold_in(key, carry[1])), carry[1] + 1),
        (lane, jnp.zeros((), jnp.int32)),
    )
    result = _result(model, params, stim, lane.y, lane.count > max_spikes)
    for fine, item in (
        (good_state, RESULTS.bad_state),
        (good_params, RESULTS.bad_parameters),
        (good_times, RESULTS.bad_times),
    ):
        result = RESULTS.where(fine, result, item)
    return GridSolution(lane.spike_times, jnp.minimum(lane.count, max_spikes), None, None, lane.y, result)


def _block(job: Job, lane: Lane, key: Any) -> Lane:
    """Take some turns with random numbers drawn at once: drawn turn by turn they would cost five times more."""
    for_normal, for_uniform = jax.random.split(key)
    normal = jax.random.normal(for_normal, (_BLOCK, 2), lane.t.dtype)
    uniform = jax.random.uniform(for_uniform, (_BLOCK,), lane.t.dtype)
    return jax.lax.scan(lambda lane, x: (take_turn(job, lane, *x), None), lane, (normal, uniform))[0]
