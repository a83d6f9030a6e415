"""The f-I curve: how fast a neuron fires at each of many constant currents."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxneuro import spikes
from jaxneuro.analysis.implicit import raise_eagerly
from jaxneuro.analysis.returns import run_options
from jaxneuro.hybrid import prepare, simulate
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS
from jaxneuro.types import Array, Float, Int, Params, Scalar, ScalarLike, SpikeTimes, State

_SILENCE = 2.0  # a cell that is silent for longer than so many of its longest intervals has stopped firing


class FICurve(NamedTuple):
    """What `fi_curve` returns."""

    currents: Float[Array, " currents"]  # in the model's unit
    rate: Float[Array, " currents"]  # Hz, of lasting firing; 0 where the neuron rests, or comes to rest
    num_spikes: Int[Array, " currents"]  # in the whole run
    result: Any  # items of RESULTS, one per current


def fi_curve(
    model: NeuronModel, params: Params, currents: Any, t1: ScalarLike = 1000.0, *, transient: ScalarLike | None = None,
    state0: State | None = None, max_spikes: int = 512, throw: bool | None = None, **options: Any,
) -> FICurve:  # fmt: skip
    """Return the firing rate at each of many constant currents, switched on at `state0`.

        rate = 1000 (n - 1)/(t_n - t_1),   the n spikes after the transient

    from first to last spike, so it has no step of 1/t1 as a count has. The rate is that of lasting firing: it is 0 with fewer
    than two spikes after the transient, and where the silence between the last spike and t1 is longer than twice the longest
    interval, because the cell has come to rest.

    Args:
        model: a `NeuronModel` record.
        params: its parameters, scalars of one dtype.
        currents: (n,), in the model's unit; one vmapped run of all.
        t1: length of the runs, ms.
        transient: spikes before it do not count, ms, >= 0, < t1; None: t1/5.
        state0: where every run starts; `model.init_state(params)` if None.
        max_spikes: slots for spikes of one run.
        throw: raise if a run failed. None: when called eagerly; True: also ask for it; False: never, see `result`.
        **options: solver, stepsize_controller, dt0, max_steps, tape_steps, as in `jn.simulate`; by default the tolerance is
            1e-10 in float64, that of `simulate` in float32.

    Returns:
        FICurve(currents, rate, num_spikes, result); the rate is NaN where `result` is not successful.

    Raises:
        ValueError, TypeError: what is known while tracing, such as currents of another shape than (n,).
        RuntimeError: a run failed (see `throw`).

    Differentiable: rate in params, currents and state0; derivative 0 where it is 0. Not where a spike enters or leaves the
        window between transient and t1: there the rate of an adapting cell has a small step.

    Source: Gerstner, Kistler, Naud & Paninski (2014), Neuronal Dynamics, section 2.2 (gain function, f-I curve),
    doi:10.1017/CBO9781107447615.

    Example:
        >>> import jaxneuro as jn
        >>> found = fi_curve(jn.LIF, jn.LIF.default_params(), jnp.array([1.9, 3.0]))
        >>> [round(float(f), 3) for f in found.rate]  # 1000/(2 + 10 ln 3)
        [0.0, 77.005]
    """
    dtype = prepare.float_dtype(params)
    currents = jnp.asarray(currents, dtype)
    if currents.ndim != 1:
        raise ValueError(
            f"currents must be an array (n,); its shape is {currents.shape}. For one current write [current]."
        )
    t1 = prepare.scalar("t1", t1, dtype)
    transient = 0.2 * t1 if transient is None else prepare.scalar("transient", transient, dtype)
    options = {"max_spikes": prepare.positive("max_spikes", max_spikes), **run_options(dtype, options)}
    found = _fi_curve(model, params, currents, t1, transient, state0, options)
    failed = found.result != RESULTS.successful
    if currents.size and not isinstance(failed, Tracer):
        first = int(jnp.argmax(failed))
        result = jax.tree.map(lambda x: x[first], found.result)
        raise_eagerly(f"fi_curve({model.name}) at currents[{first}]", result, throw)
    return found


@eqx.filter_jit
def _fi_curve(
    model: NeuronModel,
    params: Params,
    currents: Array,
    t1: Scalar,
    transient: Scalar,
    state0: Any,
    options: dict[str, Any],
) -> FICurve:
    def one(current: Scalar) -> tuple[Scalar, Array, Any]:
        sol = simulate(model, params, current, t1, state0=state0, throw=False, **options)
        result = RESULTS.where((transient >= 0) & (transient < t1), sol.result, RESULTS.bad_times)
        rate = lasting_rate(sol.spike_times, transient, t1)
        return jnp.where(result == RESULTS.successful, rate, jnp.nan), sol.num_spikes, result

    return FICurve(currents, *jax.vmap(one)(currents))


def lasting_rate(spike_times: SpikeTimes, transient: Scalar, t1: Scalar) -> Scalar:
    """Return the rate of the spikes after the transient, Hz; 0 where they are fewer than two, or firing has stopped."""
    # A train without its first spikes: those moved to its padding, in order.
    early = jnp.sum(spike_times < transient)
    counted = jnp.where(spike_times >= transient, spike_times, jnp.inf)
    train = jnp.where(jnp.arange(counted.size) < counted.size - early, jnp.roll(counted, -early), jnp.inf)
    gaps = spikes.intervals(train)
    longest = jnp.max(jnp.where(jnp.isfinite(gaps), gaps, 0.0), initial=0.0)
    last = jnp.max(jnp.where(jnp.isfinite(train), train, 0.0))
    return jnp.where(t1 - last <= _SILENCE * longest, spikes.rate(train), 0.0)
