"""The exponential solver: exact where it should be, of second order elsewhere, with events and derivatives."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import TIGHT
from scipy.integrate import solve_ivp

import jaxneuro as jn
from jaxneuro.solvers import PredictiveController, RushLarsen

HH = jn.HodgkinHuxley
PARAMS = HH.default_params()
FIXED: dict[str, Any] = dict(solver=RushLarsen(), stepsize_controller=dfx.ConstantStepSize())


def solve(rate, y0, ts, dt0, **options) -> Any:
    """Return the states at `ts` with constant steps in diffeqsolve."""
    term, saveat = dfx.ODETerm(rate), dfx.SaveAt(ts=ts)
    return dfx.diffeqsolve(term, RushLarsen(), ts[0], ts[-1], dt0, y0, saveat=saveat, **options).ys


def test_exact_for_linear_equations_at_any_step():
    """Each variable of its own, relaxing in a thousandth of the step or growing; between the steps too."""
    ts = jnp.linspace(0.0, 2.0, 21)
    rates = jnp.array([-1e3, -1.0, 0.0, 2.0])
    y = jax.jit(jax.vmap(lambda a: solve(lambda t, y, args: a * y + 3.0, jnp.asarray(5.0), ts, 0.5)))(rates)
    a = np.asarray(rates)[:, None]
    safe = np.where(a == 0, 1.0, a)
    flow = np.where(a == 0, np.asarray(ts), np.expm1(safe * np.asarray(ts)) / safe)
    np.testing.assert_allclose(y, 5.0 + (5.0 * a + 3.0) * flow, rtol=1e-12)


def test_second_order_between_steps_and_backwards_in_time():
    """A pendulum whose friction grows with time: SciPy's solution, at times that are no ends of steps."""
    rate = lambda t, y, args: (y[1], -jnp.sin(y[0]) - 0.3 * t * y[1])
    plain = lambda t, y: [y[1], -np.sin(y[0]) - 0.3 * t * y[1]]
    start = (jnp.asarray(1.0), jnp.asarray(0.0))
    for end in (3.0, -2.0):
        ts = jnp.linspace(0.0, end, 8)
        exact = solve_ivp(plain, (0.0, end), [1.0, 0.0], "DOP853", t_eval=ts, rtol=1e-12, atol=1e-13).y
        run = jax.jit(lambda h, ts=ts: jnp.stack(solve(rate, start, ts, h)))
        coarse, fine = (np.abs(run(jnp.sign(end) * h) - exact).max() for h in (0.02, 0.01))
        assert fine < 1e-4 and 3.6 < coarse / fine < 4.4


def test_refuses_a_state_that_is_an_array():
    with pytest.raises(ValueError, match=r"state of scalars.*shape \(3,\)"):
        solve(lambda t, y, args: -y, jnp.ones(3), jnp.array([0.0, 1.0]), 0.1)
    with pytest.raises(ValueError, match="RushLarsen"):
        jn.simulate(jn.LIF, jn.LIF.default_params(), 3.0, 5.0, solver=dfx.SemiImplicitEuler())


def exact_spikes(current, t1):
    """Return SciPy's upward crossings of 0 mV."""
    field = jax.jit(
        lambda y: jnp.stack(
            HH.vector_field(jnp.zeros(()), HH.init_state(PARAMS)._make(y), PARAMS, jnp.asarray(current))
        )
    )
    crossing: Any = lambda t, y: y[0]
    crossing.direction = 1
    y0 = np.stack(HH.init_state(PARAMS))
    sol = solve_ivp(lambda t, y: field(y), (0, t1), y0, "DOP853", rtol=1e-11, atol=1e-12, events=crossing)
    return sol.t_events[0]


def test_second_order_of_spike_times():
    exact = exact_spikes(10.0, 40.0)
    assert exact.shape == (3,)
    run = lambda h: jn.simulate(HH, PARAMS, 10.0, 40.0, dt0=h, max_spikes=8, **FIXED).spike_times
    error = np.asarray(jax.jit(jax.vmap(run))(jnp.array([0.02, 0.01, 0.005])))[:, :3] - exact
    assert np.all(np.abs(error[2]) < 2e-3)
    assert np.all((error[0] / error[1] > 3.7) & (error[0] / error[1] < 4.1))
    assert np.all((error[1] / error[2] > 3.85) & (error[1] / error[2] < 4.05))


def test_adaptive_spike_times_and_their_derivatives():
    """Errors follow the tolerance; derivatives in all parameters are those of Tsit5 at 1e-12, through three spikes."""

    def last(params, settings):
        return jn.simulate(HH, params, 10.0, 40.0, max_spikes=8, tape_steps=16_384, **settings).spike_times[2]

    run = lambda tol: jax.value_and_grad(last)(
        PARAMS, dict(solver=RushLarsen(), stepsize_controller=PredictiveController(tol, tol))
    )
    # With the exact ones in one dtype: a tolerance may be vmapped over.
    tolerances = jnp.array([1e-4, 1e-5, 1e-6])
    value, rate = jax.jit(jax.vmap(run))(tolerances)
    exact, exact_rate = jax.jit(lambda p: jax.value_and_grad(last)(p, TIGHT))(PARAMS)
    error = np.abs(value - exact)
    assert np.all(error < 600 * tolerances) and error[2] > 1e-6  # (of the method, not zero by luck)
    for name, r, e in zip(type(PARAMS)._fields, rate, exact_rate, strict=True):
        assert np.all(np.abs(r / e - 1) < np.array([3e-2, 3e-3, 3e-4])), (name, r, e)


def test_refractoriness_resets_and_float32():
    """LIF is exact at any step; the threshold is found between the ends, the reset and the hold are as for others."""
    params = jn.LIF.default_params()
    for dtype, tolerance in (("float64", 1e-11), ("float32", 2e-6)):
        p = jax.tree.map(lambda x, dtype=dtype: x.astype(dtype), params)
        times = jn.simulate(jn.LIF, p, 3.0, 60.0, dt0=0.7, max_spikes=4, **FIXED).spike_times
        expected = 10 * np.log(3) * np.arange(1, 5) + 2 * np.arange(4)
        assert times.dtype == dtype
        np.testing.assert_allclose(times, expected, rtol=tolerance)
