"""`simulate`: one neuron, its spikes exact to solver accuracy, everything differentiable."""

import dataclasses
import warnings
from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxneuro.hybrid import prepare
from jaxneuro.hybrid.problem import Config, Inputs, where
from jaxneuro.hybrid.reverse import Outputs, solve_forward, solve_reverse
from jaxneuro.hybrid.run import step_times
from jaxneuro.hybrid.turn import Moving
from jaxneuro.hybrid.varying import vary_together
from jaxneuro.model import NeuronModel, constraints_of
from jaxneuro.results import RESULTS, RUNNING, from_code
from jaxneuro.stimuli import Stimulus
from jaxneuro.types import IntScalar, Params, Scalar, ScalarLike, SpikeTimes, State, Times


class SpikeSolution(NamedTuple):
    """What `simulate` returns; under `vmap` every array has the lanes in front."""

    spike_times: SpikeTimes  # ms, (max_spikes,), padded with inf
    num_spikes: IntScalar
    ts: Any  # Times or None: sample times, ms; inf where the run did not get there
    states: Any  # None, or a State of arrays over ts; NaN where the run did not get there
    final_state: State  # at final_time, after the jump if it ended with a spike
    final_time: Scalar  # ms: t1, or where the run ended before
    final_refrac_until: Scalar  # ms: pass it on as refrac_until0 to continue
    result: Any  # an item of RESULTS
    stats: dict[str, IntScalar]  # num_steps, num_accepted, num_rejected


def simulate(
    model: NeuronModel,
    params: Params,
    current: Stimulus | ScalarLike,
    t1: ScalarLike,
    *,
    t0: ScalarLike = 0.0,
    state0: State | None = None,
    refrac_until0: ScalarLike | None = None,
    max_spikes: int = 256,
    saveat: Any = None,
    solver: Any = None,
    stepsize_controller: Any = None,
    dt0: ScalarLike | None = None,
    adjoint: Any = None,
    max_steps: int = 65_536,
    tape_steps: int = 4_096,
    stop_after: Any = None,
    throw: bool | None = None,
) -> SpikeSolution:
    """Simulate one neuron from t0 to t1 and return its spikes, exact to the solver's accuracy.

        d(state)/dt = vector_field(t, state, params, current);  a spike is an upward zero of spike_condition, then reset

    A crossing is found between steps too (up and down within one), and located until Newton's correction is below the
    tolerance. Refractoriness and breakpoints of the stimulus end steps exactly. For many neurons use `jax.vmap`, for
    grids `jn.sweep`.

    Args:
        model: a `NeuronModel` record, such as `jn.LIF`.
        params: its parameters, scalars of one dtype, in which everything is computed.
        current: a number, or a stimulus (`jn.step`, `jn.sampled`, ...), in the model's unit.
        t1: end of the run, ms, >= t0.
        t0: start of the run, ms.
        state0: initial state; `model.init_state(params)` if None. At or above threshold it makes no spike.
        refrac_until0: refractory until then, ms (from `final_refrac_until` of a run to be continued); None: not refractory.
        max_spikes: slots for spikes. Exactly that many is success; one more ends the run there, and `result` says so.
        saveat: times (n,), not decreasing, in [t0, t1], or a `diffrax.SaveAt` with ts, t0, t1, steps (each accepted step,
            padded to max_steps; the run is done twice). A sample at a spike is the state before the jump.
        solver: a one-step diffrax solver, explicit or diagonally implicit, or `jn.solvers.RushLarsen`; None: Tsit5, unrolled.
        stepsize_controller: `diffrax.PIDController`, `ConstantStepSize` (with dt0) or `StepTo`; None: predictive control
            with rtol = atol = 1e-7 in float64, 3e-6 in float32.
        dt0: first step, ms; None: chosen.
        adjoint: None for reverse mode (`jax.grad`), `diffrax.ForwardMode()` for forward mode (`jax.jvp`, `jax.jacfwd`).
        max_steps: most solver steps.
        tape_steps: steps that the gradient keeps in memory: it repeats the run from checkpoints, piece by piece, last first.
        stop_after: end the run at this spike.
        throw: raise if the run fails. None: when called eagerly; True: always, also inside `jit` and gradients; False:
            never. What is not raised is in `result`.

    Returns:
        A `SpikeSolution`.

    Raises:
        ValueError, TypeError: what is known while tracing (shapes, names, unsupported solvers).
        RuntimeError: the run failed (see `throw`); the message is that of its `RESULTS` code.

    Differentiable: spike_times, states, final_state, final_time, final_refrac_until in params, current (amplitudes and
        timing), t0, t1, state0, refrac_until0 and saveat.ts, to second order (`jacfwd(grad)`, or `jacfwd(jacfwd)` with
        ForwardMode). Step sizes are held constant. Not where a spike appears or vanishes (a grazing threshold), where the
        true derivative does not exist; the padding has derivative zero.

    Example:
        >>> import jaxneuro as jn
        >>> sol = jn.simulate(jn.LIF, jn.LIF.default_params(), 3.0, 50.0)
        >>> [round(float(t), 3) for t in sol.spike_times[:3]]
        [10.986, 23.972, 36.958]
    """
    dtype = prepare.float_dtype(params)
    cast = lambda name, value: prepare.scalar(name, value, dtype)
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), params)
    t0, t1 = cast("t0", t0), cast("t1", t1)
    solver, controller = prepare.solver_and_controller(solver, stepsize_controller, dt0, dtype)
    _warn_tolerance(controller, dtype)
    save = prepare.what_to_save(saveat, t0, t1, dtype)
    if not (adjoint is None or isinstance(adjoint, dfx.ForwardMode)):
        raise ValueError(f"adjoint must be None (reverse mode) or diffrax.ForwardMode(); it is {adjoint!r}.")
    max_spikes = prepare.positive("max_spikes", max_spikes)
    if stop_after is not None:
        if not isinstance(stop_after, jax.Array) and prepare.positive("stop_after", stop_after) > max_spikes:
            raise ValueError(f"stop_after={stop_after} needs max_spikes >= {stop_after}; it is {max_spikes}.")
        stop_after = jnp.asarray(stop_after, jnp.int32)
    stim_arrays, stim = eqx.partition(prepare.stimulus(current, dtype), eqx.is_inexact_array)
    arrays, (solver, controller) = prepare.split((solver, controller))
    state0 = prepare.initial_state(model, params, state0, dtype)
    config = Config(
        model=model, solver=solver, controller=controller, stim=stim, max_spikes=max_spikes,
        max_steps=prepare.positive("max_steps", max_steps), tape_steps=prepare.positive("tape_steps", tape_steps),
        dtype=dtype, adaptive=isinstance(controller, dfx.AbstractAdaptiveStepSizeController), throw=throw is True,
        num_fields=len(jax.tree.leaves(state0)),
    )  # fmt: skip
    inputs = Inputs(
        params, stim_arrays, t0, t1, state0,
        t0 if refrac_until0 is None else cast("refrac_until0", refrac_until0), jnp.zeros(0, dtype) if save is None else save.ts,
    )  # fmt: skip
    dt0 = None if dt0 is None else cast("dt0", dt0)
    forward = isinstance(adjoint, dfx.ForwardMode)
    asked = inputs.ts
    if save is not None and save.steps:
        steps = _step_times(dataclasses.replace(config, throw=False), inputs, arrays, dt0, stop_after)
        inputs = inputs._replace(ts=jnp.sort(jnp.concatenate([inputs.ts, jax.lax.stop_gradient(steps)])))
    sol = _simulate(config, inputs, arrays, dt0, stop_after, forward, asked)
    if save is None:
        sol = sol._replace(ts=None, states=None)
    if throw is None:
        _raise_eagerly(model, params, sol)
    return sol


@eqx.filter_jit
def _simulate(
    config: Config, inputs: Inputs, arrays: Any, dt0: Any, stop_after: Any, forward: bool, asked: Times
) -> SpikeSolution:
    stim = eqx.combine(inputs.stim, config.stim)
    settings = prepare.settings_of(config, inputs, stim, arrays, dt0, stop_after, asked)
    solve = solve_forward if forward else solve_reverse
    out = solve(config, *vary_together((prepare.harmless(config, inputs, settings.result0 == RUNNING), settings)))
    # A lane that could not start is left as it was given.
    given = Moving(inputs.t0, inputs.state0, inputs.refrac_until0)
    return _solution(inputs, out._replace(final=where(settings.result0 == RUNNING, out.final, given)))


def _solution(inputs: Inputs, out: Outputs) -> SpikeSolution:
    num_spikes, num_steps, num_rejected, result, reached = out.counts
    return SpikeSolution(
        spike_times=out.spike_times, num_spikes=num_spikes, ts=jnp.where(reached, inputs.ts, jnp.inf), states=out.states,
        final_state=out.final.y, final_time=out.final.t, final_refrac_until=out.final.refrac_until,
        result=from_code(result),
        stats={"num_steps": num_steps, "num_accepted": num_steps - num_rejected, "num_rejected": num_rejected},
    )  # fmt: skip


@eqx.filter_jit
def _step_times(config: Config, inputs: Inputs, arrays: Any, dt0: Any, stop_after: Any) -> Times:
    stim = eqx.combine(inputs.stim, config.stim)
    settings = prepare.settings_of(config, inputs, stim, arrays, dt0, stop_after, inputs.ts)
    return step_times(config, prepare.harmless(config, inputs, settings.result0 == RUNNING), settings)


def _warn_tolerance(controller: Any, dtype: Any) -> None:
    rtol = getattr(controller, "rtol", None)
    if dtype == jnp.float32 and isinstance(rtol, float) and rtol < 1e-6:
        warnings.warn(
            f"rtol={rtol} is below what float32 holds (about 1e-6): steps will be rejected without end. "
            "Use float64 (jax.config.update('jax_enable_x64', True) and float64 parameters) or a larger tolerance.",
            stacklevel=3,
        )


def _raise_eagerly(model: NeuronModel, params: Params, sol: SpikeSolution) -> None:
    """Raise on the host when the call was eager and failed; under a transformation do nothing."""
    failed = sol.result != RESULTS.successful
    if isinstance(failed, Tracer) or not bool(failed):
        return
    message = RESULTS[sol.result]
    if bool(sol.result == RESULTS.bad_parameters):
        broken = [n for n, ok in constraints_of(model, params).items() if not bool(ok)]
        message += f" Broken here: {', '.join(broken) or 'a NaN'}; params = {params}."
    raise RuntimeError(
        f"simulate({model.name}) failed at t = {float(sol.final_time):.6g} ms after {int(sol.num_spikes)} spikes: "
        f"{message} (throw=False returns what was computed, with this in `result`.)"
    )
