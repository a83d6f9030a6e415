"""Bad input and failing runs: a clear sentence, or a code in `result`, and never harm to another lane."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import lif_spike_time

import jaxneuro as jn
from jaxneuro.hybrid import prepare

LIF, R = jn.LIF, jn.RESULTS
P = LIF.default_params()


def run(params=P, current: Any = 3.0, t1=50.0, **settings):
    return jn.simulate(LIF, params, current, t1, **settings)


STATIC = [
    (dict(params=P._replace(tau_m=jnp.ones(3))), ValueError, r"params.tau_m has shape \(3,\)"),
    (dict(params=P._replace(tau_m="ten")), TypeError, "params.tau_m must be a number"),
    (dict(params=jax.tree.map(lambda x: x.astype(jnp.float16), P)), ValueError, "needs float32 or float64"),
    (dict(current=jnp.ones(3)), ValueError, "current must be a real scalar"),
    (dict(t1=jnp.ones(2)), ValueError, "t1 must be a real scalar"),
    (dict(saveat=jnp.ones((2, 2))), ValueError, r"array of times \(n,\)"),
    (dict(saveat=dfx.SaveAt(dense=True)), ValueError, "ts, t0, t1 and steps"),
    (dict(saveat=dfx.SaveAt(t1=True, fn=lambda t, y, args: y)), ValueError, "ts, t0, t1 and steps"),
    (dict(max_spikes=0), ValueError, "max_spikes must be at least 1"),
    (dict(max_steps=0), ValueError, "max_steps must be at least 1"),
    (dict(tape_steps=0), ValueError, "tape_steps must be at least 1"),
    (dict(stop_after=9, max_spikes=3), ValueError, "needs max_spikes >= 9"),
    (dict(state0=(1.0, 2.0)), ValueError, "state0 must be a LIFState"),
    (dict(solver=dfx.LeapfrogMidpoint()), ValueError, "cannot use the solver"),
    (dict(solver=dfx.SemiImplicitEuler()), ValueError, "cannot use the solver"),
    (dict(solver=dfx.KenCarp4()), ValueError, "cannot use the solver"),
    (dict(solver=dfx.ReversibleHeun()), ValueError, "cannot use the solver"),
    (dict(solver=dfx.Euler()), ValueError, "no error estimate"),
    (dict(stepsize_controller=dfx.ConstantStepSize()), ValueError, "pass dt0"),
    (dict(stepsize_controller=3), ValueError, "cannot use the controller"),
    (
        dict(stepsize_controller=dfx.ClipStepSizeController(dfx.PIDController(1e-6, 1e-6), step_ts=jnp.ones(1))),
        ValueError,
        "cannot use the controller",
    ),
    (dict(adjoint=dfx.DirectAdjoint()), ValueError, "must be None"),
]


@pytest.mark.parametrize("bad, error, message", STATIC, ids=[m for _, _, m in STATIC])
def test_known_while_tracing(bad, error, message):
    with pytest.raises(error, match=message):
        run(**bad)


def test_wrong_kinds():
    # Called directly: in the tests the annotations of `simulate` itself would object first, in their own words.
    with pytest.raises(TypeError, match="current must be a number; it is '3'"):
        prepare.scalar("current", "3", jnp.float64)
    with pytest.raises(TypeError, match="max_spikes must be a Python integer"):
        prepare.positive("max_spikes", 2.0)


def test_bad_stimuli_known_while_tracing():
    with pytest.raises(ValueError, match="t_on must be a scalar"):
        jn.step(1.0, jnp.ones(2), 3.0)
    with pytest.raises(ValueError, match="onsets must be an array"):
        jn.pulses(1.0, 3.0, 1.0)
    with pytest.raises(ValueError, match='"linear" or "hold"'):
        jn.sampled(jnp.arange(2.0), jnp.arange(2.0), "cubic")
    with pytest.raises(ValueError, match="of one shape"):
        jn.sampled(jnp.arange(3.0), jnp.arange(2.0))
    with pytest.raises(TypeError, match="scaled by a number"):
        _ = jn.constant(1.0) * jn.constant(2.0)


down = jnp.array([0.0, 2.0, 1.0])
VALUES = [
    (dict(params=P._replace(tau_m=jnp.asarray(-1.0))), R.bad_parameters, "Broken here: tau_m > 0"),
    (dict(params=P._replace(tau_m=jnp.asarray(jnp.nan))), R.bad_parameters, "NaN"),
    (dict(params=P._replace(v_reset=jnp.asarray(-50.0))), R.bad_parameters, "v_reset < v_thresh"),
    (dict(current=jnp.inf), R.bad_stimulus, "stimulus is not finite"),
    (dict(current=jn.step(jnp.nan, 1.0, 2.0)), R.bad_stimulus, "stimulus is not finite"),
    (dict(current=jn.step(jnp.inf, 1.0, 2.0)), R.bad_stimulus, "stimulus is not finite"),
    (dict(current=jn.sampled(down, down)), R.bad_stimulus, "sample times must not decrease"),
    (dict(current=jn.pulses(1.0, down, -1.0)), R.bad_stimulus, "pulse widths"),
    (dict(saveat=down), R.bad_times, "not decreasing"),
    (dict(saveat=jnp.array([60.0])), R.bad_times, "inside"),
    (dict(t1=-1.0), R.bad_times, "t0 <= t1"),
    (dict(t1=jnp.inf), R.bad_times, "finite"),
    (dict(dt0=-0.1), R.bad_times, "dt0 > 0"),
    (dict(state0=LIF.init_state(P)._replace(v=jnp.asarray(jnp.nan))), R.bad_state, "initial state"),
    (dict(refrac_until0=jnp.nan), R.bad_state, "refrac_until0"),
    (dict(saveat=dfx.SaveAt(ts=down, steps=True)), R.bad_times, "not decreasing"),
    (dict(stepsize_controller=dfx.StepTo(ts=jnp.linspace(0.0, 30.0, 301))), R.bad_times, "increasing from t0 to t1"),
    (
        dict(stepsize_controller=dfx.StepTo(ts=jnp.array([0.0, 2.0, 1.0, 50.0]))),
        R.bad_times,
        "increasing from t0 to t1",
    ),
    (dict(max_spikes=2), R.max_spikes_reached, "larger max_spikes"),
    (dict(max_steps=5), R.max_steps_reached, "larger max_steps"),
]


@pytest.mark.parametrize("bad, code, message", VALUES, ids=[m for _, _, m in VALUES])
def test_bad_values_are_a_result_and_raise_eagerly(bad, code, message):
    with pytest.raises(RuntimeError, match=message):
        run(**bad)
    sol = run(**bad, throw=False)
    assert bool(sol.result == code) and all(bool(jnp.all(~jnp.isnan(x))) for x in [sol.spike_times, sol.final_time])


def explosive():
    """dv/dt = v^2, without a threshold: infinite at t = 1/v(0)."""
    field = lambda t, s, p, i: s._replace(v=s.v * s.v * p.tau_m)
    return jn.NeuronModel("explosive", LIF.default_params, LIF.init_state, field, LIF.spike_condition, LIF.reset)


def test_a_state_that_blows_up():
    model, params = (
        explosive(),
        P._replace(v_thresh=jnp.asarray(jnp.inf), tau_m=jnp.asarray(1.0), v_rest=jnp.asarray(1.0)),
    )
    sol = jn.simulate(model, params, 0.0, 3.0, throw=False)
    assert bool(sol.result == R.step_too_small) and abs(float(sol.final_time) - 1.0) < 1e-4
    fixed = jn.simulate(model, params, 0.0, 9.0, throw=False, stepsize_controller=dfx.ConstantStepSize(), dt0=0.1)
    assert bool(fixed.result == R.nonfinite_state) and bool(jnp.isfinite(fixed.final_state.v))


def test_a_first_step_that_overflows_is_taken_again_smaller():
    field = lambda t, s, p, i: s._replace(v=jnp.exp(s.v))  # v = -log(e - t) from v = -1: infinite at t = e
    model = jn.NeuronModel("exponential", LIF.default_params, LIF.init_state, field, LIF.spike_condition, LIF.reset)
    start = LIF.init_state(P)._replace(v=jnp.asarray(-1.0))
    for controller in (None, dfx.PIDController(rtol=1e-6, atol=1e-6)):
        sol = jn.simulate(
            model,
            P._replace(v_thresh=jnp.asarray(jnp.inf)),
            0.0,
            2.0,
            state0=start,
            dt0=1e5,
            stepsize_controller=controller,
        )
        np.testing.assert_allclose(sol.final_state.v, -np.log(np.e - 2.0), rtol=1e-4)


@pytest.mark.parametrize(
    "solver", [None, dfx.ImplicitEuler(), dfx.Kvaerno3()], ids=["default", "ImplicitEuler", "Kvaerno3"]
)
def test_lanes_with_impossible_parameters_under_every_kind_of_solver(solver):
    """A division by zero in one lane: no raise from a linear solver, no NaN in its samples' gradients, the rest as alone."""
    controller = None if solver is None else dfx.PIDController(rtol=1e-5, atol=1e-5)

    def total(tau):
        sol = jn.simulate(
            LIF, P._replace(tau_m=tau), 3.0, 30.0, solver=solver, stepsize_controller=controller,
            saveat=jnp.array([0.0, 1.0, 5.0]), max_spikes=4,
        )  # fmt: skip
        spike = jnp.where(jnp.isfinite(sol.spike_times[0]), sol.spike_times[0], 0.0)
        states = jnp.where(sol.result == R.successful, sol.states.v, 0.0)
        return spike + jnp.sum(states) + sol.final_state.v, sol.result

    batch = jax.jit(jax.vmap(jax.value_and_grad(total, has_aux=True)))
    (value, result), slope = batch(jnp.array([10.0, 0.0, -1.0, jnp.nan]))
    (value_good, _), slope_good = batch(jnp.full(4, 10.0))
    assert (result == R.bad_parameters).tolist() == [False, True, True, True]
    assert float(value[0]) == float(value_good[0]) and float(slope[0]) == float(slope_good[0])
    assert bool(jnp.all(jnp.isfinite(slope)))
    assert value[1:].tolist() == [-70.0] * 3  # left as it was given


def lane(p, amplitude, width, t1):
    sol = jn.simulate(LIF, p, jn.pulses(amplitude, jnp.array([1.0, 30.0]), width), t1, max_spikes=4)
    return sol


def loss(p, amplitude, width, t1):
    sol = lane(p, amplitude, width, t1)
    return jnp.sum(jnp.where(jnp.isfinite(sol.spike_times), sol.spike_times, 0.0)) + sol.final_state.v


def test_failing_lanes_leave_the_others_bitwise_unchanged():
    n = 7
    good = (jax.tree.map(lambda x: jnp.full(n, x), P), jnp.full(n, 3.0), jnp.full(n, 20.0), jnp.linspace(40.0, 60.0, n))
    params, amplitude, width, t1 = good
    bad = (
        params._replace(tau_m=params.tau_m.at[1].set(-10.0)),
        amplitude.at[2].set(jnp.nan).at[5].set(30.0),
        width.at[3].set(-1.0),
        t1.at[4].set(-5.0),
    )
    both = jax.jit(jax.vmap(lambda *x: (lane(*x), jax.grad(loss, argnums=(0, 1, 2, 3))(*x))))
    (sol, grads), (sol_good, grads_good) = both(*bad), both(*good)
    failed = {1: R.bad_parameters, 2: R.bad_stimulus, 3: R.bad_stimulus, 4: R.bad_times, 5: R.max_spikes_reached}
    for k, code in failed.items():
        assert bool((sol.result == code)[k]), k
    healthy = jnp.array([0, 6])
    same = lambda a, b: np.testing.assert_array_equal(np.asarray(a)[healthy], np.asarray(b)[healthy])
    jax.tree.map(same, (sol._replace(result=None), grads), (sol_good._replace(result=None), grads_good))
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in jax.tree.leaves(grads))
    # What the lane with too many spikes had recorded is kept.
    assert int(sol.num_spikes[5]) == 4 and bool(jnp.all(jnp.isfinite(sol.spike_times[5])))


def test_throw():
    bad = P._replace(tau_m=jnp.asarray(-1.0))
    quiet = jax.jit(lambda p: jn.simulate(LIF, p, 3.0, 50.0).result == R.bad_parameters)
    assert bool(quiet(bad))
    third = lambda p: 2.0 * jn.simulate(LIF, p, 3.0, 50.0, throw=True).spike_times[2]
    batch = jax.tree.map(lambda *x: jnp.stack(x), P, bad)
    for fn, x in ((jax.jit(third), bad), (jax.jit(jax.grad(third)), bad), (jax.jit(jax.vmap(jax.grad(third))), batch)):
        with pytest.raises(Exception, match="outside its valid range"):  # noqa: B017 (the class is JAX's own, and moves)
            jax.block_until_ready(fn(x))
    assert bool(jnp.isfinite(jax.jit(jax.grad(third))(P).tau_m))
    # Forwards too, where the value itself is dead code.
    forwards = jax.jacfwd(
        lambda p: jn.simulate(LIF, p, 3.0, 50.0, throw=True, adjoint=dfx.ForwardMode()).spike_times[2]
    )
    for fn, x in ((jax.jit(forwards), bad), (jax.jit(jax.vmap(forwards)), batch)):
        with pytest.raises(Exception, match="outside its valid range"):  # noqa: B017
            jax.block_until_ready(fn(x))
    assert bool(jnp.isfinite(jax.jit(forwards)(P).tau_m))


def test_an_absolute_tolerance_alone_will_do():
    controller = dfx.PIDController(rtol=0.0, atol=1e-8)
    sol = run(current=jn.step(3.0, 20.0, 80.0), t1=100.0, stepsize_controller=controller)
    np.testing.assert_allclose(sol.spike_times[:4], 20 + lif_spike_time(P, 3.0, jnp.arange(1.0, 5.0)), atol=1e-6)


def test_an_overflow_in_one_lane_of_an_implicit_solver_raises_for_none():
    controller = dfx.PIDController(rtol=1e-6, atol=1e-6)
    first = lambda i: run(current=i, solver=dfx.Kvaerno3(), stepsize_controller=controller, throw=False).spike_times[0]
    slope = jax.jit(jax.vmap(jax.grad(first)))(jnp.array([3.0, 1e308]))
    np.testing.assert_allclose(slope[0], jax.grad(lambda i: lif_spike_time(P, i, 1))(3.0), rtol=1e-4)


def test_float32_warns_of_a_tolerance_it_cannot_hold():
    single = jax.tree.map(lambda x: x.astype(jnp.float32), P)
    with pytest.warns(UserWarning, match="below what float32 holds"):
        run(single, stepsize_controller=dfx.PIDController(rtol=1e-9, atol=1e-9), max_steps=50, throw=False)
