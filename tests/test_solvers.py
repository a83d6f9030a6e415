"""Every accepted solver and controller, with value, gradient, forward mode and vmap(grad)."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from cases import lif_spike_time

import jaxneuro as jn
from jaxneuro.solvers import PredictiveController, RushLarsen, Unrolled, rough_power

# solver, error of the second spike at dt0 = 0.05 and at rtol = atol = 1e-6 (ms; generous by a factor of about 5)
SOLVERS = {
    "Heun": (dfx.Heun(), 2e-4, 1e-2),
    "Bosh3": (dfx.Bosh3(), 1e-5, 1e-3),
    "Tsit5": (dfx.Tsit5(), 1e-5, 1e-3),
    "Dopri5": (dfx.Dopri5(), 1e-5, 1e-3),
    "Dopri8": (dfx.Dopri8(), 1e-5, 1e-3),
    "ImplicitEuler": (dfx.ImplicitEuler(), 2e-1, 2e-1),
    "Kvaerno3": (dfx.Kvaerno3(), 1e-5, 1e-3),
    "Kvaerno5": (dfx.Kvaerno5(), 1e-5, 1e-3),
    "RushLarsen": (RushLarsen(), 1e-8, 1e-8),  # exact for this neuron
}
PARAMS = jn.LIF.default_params(tau_refrac=1.0)


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "PID"])
@pytest.mark.parametrize("name", SOLVERS)
def test_value_and_both_modes(name, constant):
    solver, fixed_error, adaptive_error = SOLVERS[name]
    if constant:
        settings: dict[str, Any] = dict(solver=solver, stepsize_controller=dfx.ConstantStepSize(), dt0=0.05)
    else:
        settings = dict(solver=solver, stepsize_controller=dfx.PIDController(rtol=1e-6, atol=1e-6))
    error = fixed_error if constant else adaptive_error

    def second(p, adjoint=None):
        sol = jn.simulate(
            jn.LIF, p, 3.0, 26.0, max_spikes=4, stop_after=2, adjoint=adjoint, tape_steps=1024, **settings
        )
        return sol.spike_times[1]

    def everything(p):
        value, reverse = jax.value_and_grad(second)(p)
        return value, reverse, jax.jacfwd(lambda p: second(p, dfx.ForwardMode()))(p)

    batch = jax.tree.map(lambda x: jnp.stack([x, 1.1 * x]), PARAMS)
    value, reverse, forward = jax.jit(jax.vmap(everything))(batch)
    assert abs(float(value[0]) - float(lif_spike_time(PARAMS, 3.0, 2))) < error
    jax.tree.map(lambda r, f: np.testing.assert_allclose(r, f, rtol=1e-8, atol=1e-10), reverse, forward)
    exact = jax.grad(lambda p: lif_spike_time(p, 3.0, 2))(PARAMS)
    jax.tree.map(lambda r, e: np.testing.assert_allclose(r[0], e, rtol=30 * error, atol=30 * error), reverse, exact)


@pytest.mark.parametrize("name", ["Heun", "Tsit5", "ImplicitEuler", "Kvaerno3", "RushLarsen"])
def test_constant_steps_have_the_derivative_of_their_own_discretisation(name):
    """Spikes and landmarks included: the computed function itself, against central differences of it."""
    solver = SOLVERS[name][0]
    if name in ("ImplicitEuler", "Kvaerno3"):  # solved to rounding, so that a difference quotient sees no noise
        solver = type(solver)(root_finder=optx.Newton(rtol=1e-13, atol=1e-13))

    def fn(x):
        params = jn.QIF.default_params(tau_m=x[0])
        settings: dict[str, Any] = dict(
            solver=solver, stepsize_controller=dfx.ConstantStepSize(), dt0=0.1, tape_steps=1024
        )
        sol = jn.simulate(jn.QIF, params, jn.step(x[1], x[2], 28.03), 35.0, max_spikes=32, **settings)
        return jnp.stack([sol.spike_times[0], sol.spike_times[2], sol.final_state.v])

    # (Not in t1, which moves diffrax's whole grid: the true derivative of a spike in it is zero, that of the grid is not.)
    x = jnp.array([10.0, 7.0, 1.003])
    steps = 1e-5 * jnp.eye(3)
    points = jax.jit(jax.vmap(fn))(jnp.concatenate([x[None] + steps, x[None] - steps]))
    assert bool(jnp.all(jnp.isfinite(points)))
    expected = (points[:3] - points[3:]) / 2e-5
    np.testing.assert_allclose(jax.jit(jax.jacrev(fn))(x).T, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("solver", [dfx.Euler(), dfx.Heun()], ids=["Euler", "Heun"])
def test_constant_steps_with_refractoriness(solver):
    """The grid's next point may lie within refractoriness: a turn of no length, through which time carries its tangent."""
    fixed: dict[str, Any] = dict(solver=solver, stepsize_controller=dfx.ConstantStepSize(), dt0=0.3)
    spikes = lambda i: jn.simulate(jn.LIF, PARAMS, i, 80.0, **fixed).spike_times[:4]
    h = 1e-5
    expected = (spikes(3.0 + h) - spikes(3.0 - h)) / (2 * h)
    np.testing.assert_allclose(jax.jacrev(spikes)(3.0), expected, rtol=1e-6)


def test_unrolled_is_the_same_method_in_diffeqsolve():
    term = dfx.ODETerm(lambda t, y, args: (-y[1] + jnp.sin(t), y[0]))
    start = (jnp.asarray(1.0), jnp.asarray(0.0))
    solve: Any
    for method in (dfx.Tsit5(), dfx.Heun(), dfx.Dopri8()):
        solve = lambda solver: dfx.diffeqsolve(
            term, solver, 0.0, 3.0, None, start, saveat=dfx.SaveAt(ts=jnp.linspace(0.0, 3.0, 7)),
            stepsize_controller=dfx.PIDController(rtol=1e-6, atol=1e-6), max_steps=100_000,
        ).ys  # fmt: skip
        for a, b in zip(solve(Unrolled(method)), solve(method), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_predictive_controller_in_diffeqsolve():
    term = dfx.ODETerm(lambda t, y, args: -y)
    sol: Any = dfx.diffeqsolve(
        term, Unrolled(), 0.0, 5.0, None, jnp.asarray(1.0), stepsize_controller=PredictiveController(1e-9, 1e-9)
    )
    np.testing.assert_allclose(sol.ys, jnp.exp(-5.0), rtol=1e-7)


def test_a_variable_faster_than_the_shift_in_time_is_held_to_its_error():
    """x follows y within 1e-7 ms: to let errors pass that shift time by rtol * 10 ms = 1e-6 ms let x grow to 1e300."""
    term = dfx.ODETerm(lambda t, state, args: (-1e7 * (state[0] - state[1]), -state[1]))
    sol: Any = dfx.diffeqsolve(
        term, Unrolled(), 0.0, 3e-4, None, (jnp.asarray(0.5), jnp.asarray(1.0)),
        stepsize_controller=PredictiveController(1e-7, 1e-7),
    )  # fmt: skip
    np.testing.assert_allclose([float(x[0]) for x in sol.ys], jnp.exp(-3e-4), rtol=1e-6)


def test_rough_power():
    for dtype in (jnp.float32, jnp.float64):
        x = jnp.geomspace(1e-20, 1e20, 2001, dtype=dtype)
        for exponent in (-0.5, -0.25, -0.1, -1 / 16):
            ratio = jax.vmap(lambda x, e=exponent: rough_power(x, e))(x) / x**exponent
            assert ratio.dtype == dtype and 0.99 < float(jnp.min(ratio)) and float(jnp.max(ratio)) < 1.09
