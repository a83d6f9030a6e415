"""Spike times against closed forms, SciPy, and published exact values."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, draws, lif_spike_time, qif_spike_time
from helpers import TIGHT
from scipy.integrate import solve_ivp

import jaxneuro as jn

CLOSED = [case for case in CASES if case.spike_time is not None]


def slope_at_threshold(case, params):
    """The slope of a one-variable model just before the spike, per ms: below 1 the spike time is the harder to know."""
    start = case.model.init_state(params)
    guard = case.model.spike_condition(start, params)
    at_threshold = start._make([start[0] - guard])  # the guard is the variable less a constant
    return case.model.vector_field(jnp.zeros(()), at_threshold, params, jnp.asarray(case.current))[0]


@pytest.mark.parametrize("case", CLOSED, ids=lambda case: case.model.name)
def test_hundred_spikes_against_closed_form(case):
    params, n = draws(case, 20), jnp.arange(1, 101)
    tight: dict[str, Any] = dict(stepsize_controller=dfx.PIDController(rtol=1e-12, atol=1e-12))
    run = lambda p: jn.simulate(case.model, p, case.current, 4000.0, max_spikes=100, stop_after=100, **tight)
    sol = jax.jit(jax.vmap(run))(params)
    exact = jax.vmap(lambda p: case.spike_time(p, case.current, n))(params)
    assert bool(jnp.all(sol.result == jn.RESULTS.successful)) and bool(jnp.all(sol.num_spikes == 100))
    worst = jnp.max(jnp.abs(sol.spike_times - exact), axis=1)
    allowed = 1e-9 * jnp.maximum(1.0, 1 / jax.vmap(lambda p: slope_at_threshold(case, p))(params))
    assert bool(jnp.all(worst <= allowed)), worst / allowed


@pytest.mark.parametrize("case", CLOSED, ids=lambda case: case.model.name)
def test_default_tolerance_over_one_second(case):
    params, n = draws(case, 20, seed=1), jnp.arange(1, 257)
    sol = jax.jit(jax.vmap(lambda p: jn.simulate(case.model, p, case.current, 1000.0)))(params)
    exact = jax.vmap(lambda p: case.spike_time(p, case.current, n))(params)
    exact = jnp.where(exact <= 1000.0, exact, jnp.inf)
    assert bool(jnp.all(jnp.isfinite(exact) == jnp.isfinite(sol.spike_times)))
    error = jnp.where(jnp.isfinite(exact), jnp.abs(sol.spike_times - jnp.where(jnp.isfinite(exact), exact, 0.0)), 0.0)
    assert float(jnp.max(error)) <= 1e-3


def test_error_falls_with_tolerance():
    params = draws(CLOSED[1], 20, seed=2)
    exact = jax.vmap(lambda p: qif_spike_time(p, 3.0, 10))(params)

    tolerances = jnp.array([1e-4, 1e-6, 1e-8, 1e-10])
    errors = [float(e) for e in jax.jit(jax.vmap(lambda t: _worst_qif(params, exact, t)))(tolerances)]
    assert all(b < 0.1 * a for a, b in zip(errors, errors[1:], strict=False)), errors


def _worst_qif(params, exact, tolerance):
    control = dfx.PIDController(rtol=tolerance, atol=tolerance)
    run = lambda p: jn.simulate(jn.QIF, p, 3.0, 2000.0, max_spikes=10, stop_after=10, stepsize_controller=control)
    return jnp.max(jnp.abs(jax.vmap(run)(params).spike_times[:, 9] - exact))


def test_nest_direct_current_case():
    # NEST's test of the precise LIF: v_rest 0, v_thresh 15 mV, 1 nA, tau 10 ms, C 0.25 nF (R = tau/C = 40 MOhm).
    params = jn.LIF.default_params(tau_m=10.0, v_rest=0.0, v_reset=0.0, v_thresh=15.0, r_m=40.0)
    sol = jn.simulate(jn.LIF, params, 1.0, 6.0, **TIGHT)
    assert abs(float(sol.spike_times[0]) - 4.700036292457356) < 1e-10


# Izhikevich (2004), doi:10.1109/TNN.2004.832719: exact solution of the published equations (not of the published scheme),
# from SciPy's DOP853: a b c d, V0, T, input, k1, k0, number of spikes, first spikes, last spike (ms).
RAMP_G, RAMP_H = jn.ramp(0.075, 30.0, jnp.inf), -0.5 + jn.ramp(0.015, 30.0, jnp.inf)
PANELS = {
    "A": (
        0.02,
        0.2,
        -65.0,
        6.0,
        -70.0,
        100.0,
        jn.step(14.0, 10.0),
        5.0,
        140.0,
        5,
        (12.630524, 16.117146),
        82.664650,
    ),
    "B": (0.02, 0.25, -65.0, 6.0, -64.0, 200.0, jn.step(0.5, 20.0), 5.0, 140.0, 1, (42.746376,), 42.746376),
    "C": (
        0.02,
        0.2,
        -50.0,
        2.0,
        -70.0,
        220.0,
        jn.step(15.0, 22.0),
        5.0,
        140.0,
        29,
        (24.493590, 25.635949),
        187.914841,
    ),
    "D": (
        0.02,
        0.25,
        -55.0,
        0.05,
        -64.0,
        200.0,
        jn.step(0.6, 20.0),
        5.0,
        140.0,
        8,
        (38.239657, 41.418330),
        68.833952,
    ),
    "E": (
        0.02,
        0.2,
        -55.0,
        4.0,
        -70.0,
        160.0,
        jn.step(10.0, 16.0),
        5.0,
        140.0,
        7,
        (19.451625, 21.577507),
        155.877673,
    ),
    "F": (
        0.01,
        0.2,
        -65.0,
        8.0,
        -70.0,
        85.0,
        jn.step(30.0, 8.5),
        5.0,
        140.0,
        6,
        (9.991406, 11.622299),
        68.249672,
    ),
    "G": (0.02, -0.1, -55.0, 6.0, -60.0, 300.0, RAMP_G, 4.1, 108.0, 10, (83.941615,), 290.492895),
    "H": (0.2, 0.26, -65.0, 0.0, -64.0, 300.0, RAMP_H, 5.0, 140.0, 18, (104.337874,), 299.977476),
    "I": (
        0.02,
        0.2,
        -65.0,
        6.0,
        -70.0,
        100.0,
        jn.step(7.04, 10.0, 13.0),
        5.0,
        140.0,
        1,
        (16.592594,),
        16.592594,
    ),
}


def run_panel(params, v0, t1, stim):
    state0 = jn.Izhikevich.init_state(params)._replace(v=v0, u=params.b * v0)
    return jn.simulate(jn.Izhikevich, params, stim, t1, state0=state0, max_spikes=40, throw=False, **TIGHT)


def test_izhikevich_2004_exact_columns():
    rows = list(PANELS.values())

    # One stimulus for all panels, so that they share a compile: a step plus a ramp on a pedestal, some of them zero.
    def as_one(stim):
        zero = (0.0, 0.0, 1.0)
        if stim is RAMP_G:
            return jnp.array([*zero, 0.075, 0.0])
        if stim is RAMP_H:
            return jnp.array([*zero, 0.015, -0.5])
        return jnp.array([stim.amplitude, stim.t_on, stim.t_off, 0.0, 0.0])

    table = jnp.stack([as_one(r[6]) for r in rows])
    stim = lambda x: jn.step(x[0], x[1], x[2]) + jn.ramp(x[3], 30.0, jnp.inf) + jn.constant(x[4])
    params = [jn.Izhikevich.default_params(a=r[0], b=r[1], c=r[2], d=r[3], k1=r[7], k0=r[8]) for r in rows]
    params = jax.tree.map(lambda *x: jnp.stack(x), *params)
    v0, t1 = jnp.array([r[4] for r in rows]), jnp.array([r[5] for r in rows])
    sol = jax.jit(jax.vmap(lambda p, v, t, x: run_panel(p, v, t, stim(x))))(params, v0, t1, table)
    for i, (name, row) in enumerate(PANELS.items()):
        times = np.asarray(sol.spike_times[i])
        times = times[np.isfinite(times)]
        assert len(times) == row[9], (name, times)
        np.testing.assert_allclose(times[: len(row[10])], row[10], atol=1e-5, rtol=0, err_msg=name)
        np.testing.assert_allclose(times[-1], row[11], atol=1e-5, rtol=0, err_msg=name)


def scipy_izhikevich(p, current, t1):
    """Spike times by DOP853 with event location, restarted after each reset."""
    f = lambda t, y: [
        (p.k2 * y[0] ** 2 + p.k1 * y[0] + p.k0 - y[1] + current) / p.tau_a,
        p.a * (p.b * y[0] - y[1]) / p.tau_b,
    ]
    peak = lambda t, y: y[0] - p.v_peak
    peak.terminal, peak.direction = True, 1
    t, y, times = 0.0, [p.c, p.b * p.c], []
    while t < t1:
        s = solve_ivp(f, (t, t1), y, method="DOP853", rtol=1e-12, atol=1e-12, events=peak)
        t = s.t[-1]
        if s.status != 1:
            break
        times.append(t)
        y = [p.c, s.y[1, -1] + p.d]
    return np.array(times)


def test_izhikevich_random_parameters_against_scipy():
    case = CASES[2]
    params = draws(case, 5, seed=3)
    sol = jax.jit(jax.vmap(lambda p: jn.simulate(case.model, p, case.current, 200.0, **TIGHT)))(params)
    for i in range(5):
        p = jax.tree.map(lambda x, i=i: float(x[i]), params)
        expected = scipy_izhikevich(p, case.current, 200.0)
        assert int(sol.num_spikes[i]) == len(expected) >= 3
        np.testing.assert_allclose(sol.spike_times[i, : len(expected)], expected, atol=1e-7, rtol=0)


def test_float32_under_x64():
    params = jax.tree.map(lambda x: x.astype(jnp.float32), jn.LIF.default_params())
    sol = jn.simulate(jn.LIF, params, 3.0, 1000.0)
    exact = lif_spike_time(jn.LIF.default_params(), 3.0, jnp.arange(1, 78))
    assert sol.spike_times.dtype == jnp.float32 and int(sol.num_spikes) == 77
    # The tolerance is ten times that of float64; one rounding of a time near 1000 ms is 6e-5 ms.
    assert float(jnp.max(jnp.abs(sol.spike_times[:77] - exact))) < 1e-2


def test_derivatives_at_default_tolerance_through_a_long_upstroke():
    """AdEx to 20 mV, where dv/dt is 1e14 mV/ms: what hardly moves a spike there counts in its derivative."""

    def times(g_leak, **settings):
        params = jn.AdEx.default_params(a=0.008, tau_w=60.0)._replace(g_leak=g_leak)
        return jn.simulate(
            jn.AdEx, params, 0.922, 100.0, max_spikes=4, adjoint=dfx.ForwardMode(), **settings
        ).spike_times

    along = lambda **settings: jax.jit(lambda g: jax.jvp(lambda g: times(g, **settings), (g,), (1.0,)))
    g_leak = jn.AdEx.default_params().g_leak
    (value, slope), (exact, exact_slope) = along()(g_leak), along(**TIGHT)(g_leak)
    np.testing.assert_allclose(value[:3], exact[:3], atol=3e-4, rtol=0)
    np.testing.assert_allclose(slope[:3], exact_slope[:3], rtol=5e-4)
