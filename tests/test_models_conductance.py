"""Conductance-based models against SciPy on equations written apart from the library, and against published values."""

from functools import cache, partial
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, draws
from conductance_equations import EQUATIONS
from scipy.integrate import solve_ivp

import jaxneuro as jn
from jaxneuro.neurons import connor_stevens, hodgkin_huxley, morris_lecar, pospischil, traub_miles, wang_buzsaki
from jaxneuro.numerics import linoid

FINE: dict[str, Any] = dict(stepsize_controller=dfx.PIDController(rtol=1e-11, atol=1e-11), max_spikes=64)
CASE = {case.model.name: case for case in CASES}
DRAWS, END = 2, 60.0  # drawn cells of each model, and how long they run, ms
# References: model, parameters, currents, duration of the run in ms.
PUBLISHED = {
    "HodgkinHuxley": (jn.HodgkinHuxley.default_params(), (5.0, 6.0, 6.2, 6.5, 10.0, 20.0), 300.0),
    "WangBuzsaki": (jn.WangBuzsaki.default_params(), (0.2, 1.0), 360.0),
    "MorrisLecar": (jn.morris_lecar_snlc(), (45.0, 60.0), 600.0),
}
by_name = pytest.mark.parametrize("name", EQUATIONS)


@cache
def runs(name):
    """Simulate the drawn cells and those of the references in one compile; return parameters and solutions."""
    case = CASE[name]
    params, currents, end = PUBLISHED.get(name, (case.model.default_params(), (), END))
    tiled = jax.tree.map(lambda x, y: jnp.concatenate([x, jnp.full(len(currents), y)]), draws(case, DRAWS, 5), params)
    run = lambda p, i, t1: jn.simulate(case.model, p, i, t1, **FINE)
    currents = jnp.array((case.current,) * DRAWS + currents)
    sol = jax.jit(jax.vmap(run))(tiled, currents, jnp.where(jnp.arange(len(currents)) < DRAWS, END, end))
    assert bool(jnp.all(sol.result == jn.RESULTS.successful))
    return tiled, currents, sol


def published(name):
    """Return the solutions of the references' cells."""
    return jax.tree.map(lambda x: np.asarray(x)[DRAWS:], runs(name)[2])


@by_name
def test_spike_times_against_scipy(name):
    params, currents, sol = runs(name)
    for k in range(DRAWS):
        p = jax.tree.map(lambda x, k=k: float(x[k]), params)
        start = [float(x[k]) for x in jax.vmap(CASE[name].model.init_state)(params)]
        crossing = lambda t, y, p=p: y[0] - p.v_thresh
        crossing.direction = 1  # pyright: ignore[reportFunctionMemberAccess]
        rhs = EQUATIONS[name](p, float(currents[k]))
        true = solve_ivp(rhs, (0, END), start, "LSODA", events=crossing, rtol=1e-11, atol=1e-11)
        times = true.t_events[0]
        assert len(times) == int(sol.num_spikes[k]) >= 1
        np.testing.assert_allclose(sol.spike_times[k, : len(times)], times, rtol=1e-7)
        np.testing.assert_allclose([x[k] for x in sol.final_state], true.y[:, -1], rtol=1e-5)


def rates_of(sol):
    """Return 1e3/(last interval), Hz."""
    last = sol.num_spikes - 1
    lane = np.arange(len(last))
    return 1e3 / (sol.spike_times[lane, last] - sol.spike_times[lane, last - 1])


def test_hodgkin_huxley_spikes_of_the_references():
    """First crossings and steady rates (references, SciPy); one, two and three spikes below the band of firing."""
    sol = published("HodgkinHuxley")
    assert sol.num_spikes[:3].tolist() == [1, 2, 3]
    np.testing.assert_allclose(sol.spike_times[3:, 0], [2.493843, 1.900972, 1.270734], atol=1.1e-6)
    np.testing.assert_allclose(rates_of(sol)[3:], [55.057, 68.3237, 86.4701], atol=1e-3)


@pytest.mark.parametrize(
    "name, expected", [("WangBuzsaki", (8.62062, 59.70149)), ("MorrisLecar", (10.06966, 17.05860))]
)
def test_rates_of_the_references(name, expected):
    np.testing.assert_allclose(rates_of(published(name)), expected, atol=2e-5)


def test_homoclinic_set_is_bistable_below_the_fold():
    """At I = 37 < 39.96 rest is stable; beside it stands a cycle with phi = 0.23, not with 1/15."""

    def late_spikes(phi, v, w):
        start = jn.MorrisLecar.init_state(jn.morris_lecar_homoclinic())._replace(v=v, w=w)
        sol = jn.simulate(jn.MorrisLecar, jn.morris_lecar_homoclinic(phi=phi), 37.0, 1000.0, state0=start)
        return jnp.sum((sol.spike_times > 500) & (sol.spike_times < 1000))

    phi = jn.morris_lecar_homoclinic().phi
    found = jax.jit(jax.vmap(late_spikes))(
        jnp.array([phi, phi, 1 / 15]), jnp.array([-60.0, -5, -5]), jnp.array([0, 0.1, 0.1])
    )
    assert found[0] == 0 and found[1] > 10 and found[2] == 0


POINTS = [  # (model, parameters, V, I, "Hopf" or "fold"), references
    (jn.HodgkinHuxley, jn.HodgkinHuxley.default_params(), -64.996379, 0.0, None),
    (jn.HodgkinHuxley, jn.HodgkinHuxley.default_params(), -59.65414, 9.77544, "Hopf"),
    (jn.MorrisLecar, jn.morris_lecar_hopf(), -25.2701, 93.85762, "Hopf"),
    (jn.MorrisLecar, jn.morris_lecar_snlc(), -29.3898, 39.96315, "fold"),
    (jn.MorrisLecar, jn.morris_lecar_homoclinic(), -29.3898, 39.96315, "fold"),
    (jn.WangBuzsaki, jn.WangBuzsaki.default_params(), -59.96582, 0.160086, "fold"),
]


@partial(jax.jit, static_argnums=0)
def steady_flow(model, params, v, current):
    """Return d(state)/dt and its Jacobian at v with the gates steady there."""
    if model is jn.MorrisLecar:
        gates = dict(w=morris_lecar.w_inf(v, params))
    else:
        rates = {jn.HodgkinHuxley: hodgkin_huxley, jn.WangBuzsaki: wang_buzsaki}[model].rates(v, params)
        gates = dict(zip("mhn", (a / (a + b) for a, b in rates), strict=True))
    start = model.init_state(params)
    state = start._replace(v=v, **{k: x for k, x in gates.items() if k in start._fields})
    field = lambda x: jnp.stack(model.vector_field(jnp.zeros(()), type(start)(*x), params, current))
    return field(jnp.stack(state)), jax.jacfwd(field)(jnp.stack(state))


@pytest.mark.parametrize("model, params, v, current, kind", POINTS)
def test_fixed_points_of_the_references(model, params, v, current, kind):
    """The published state is a fixed point, and its Jacobian has the published zero (fold) or imaginary pair (Hopf)."""
    flow, jacobian = steady_flow(model, params, jnp.asarray(v), jnp.asarray(current))
    np.testing.assert_allclose(flow, 0.0, atol=1e-5)
    values = np.linalg.eigvals(jacobian)
    if kind == "Hopf":
        pair = values[np.abs(values.imag) > 0]
        assert len(pair) == 2 and np.all(np.abs(pair.real) < 1e-5)
    elif kind == "fold":
        assert np.min(np.abs(values)) < 1e-4
    else:
        assert np.all(values.real < 0)


def test_linoid_at_and_around_its_singular_point():
    """Value and two derivatives against extended precision, in both dtypes; 1, 1/2, 1/6 at 0."""
    x = np.concatenate([np.linspace(-20, 20, 401)[np.arange(401) != 200], [0.4999, 0.5, -0.5, 0.5001]])
    derivatives = jax.jit(lambda y: [jax.vmap(f)(y) for f in (linoid, jax.grad(linoid), jax.grad(jax.grad(linoid)))])
    for dtype, rtol in ((jnp.float64, 4e-15), (jnp.float32, 2e-6)):
        points = jnp.asarray(np.concatenate([x, [0.0]]), dtype)
        z = np.asarray(points)[:-1].astype(np.longdouble)
        f = z / -np.expm1(-z)
        d = f * (1 + 1 / z - f / z)
        d2 = d * (1 + 1 / z - f / z) + f * (-1 / z**2 - d / z + f / z**2)
        for order, (found, true) in enumerate(zip(derivatives(points), (f, d, d2), strict=True)):
            assert found.dtype == dtype
            np.testing.assert_allclose(found[:-1], true.astype(float), rtol=rtol, atol=10**order * rtol)
            np.testing.assert_allclose(found[-1], [1, 1 / 2, 1 / 6][order], rtol=rtol)


SINGULAR = [  # rates, parameters, gate, which of (alpha, beta), V of 0/0, value, slope there: k x/(1 - exp(-x/c)) = k c + k x/2
    (hodgkin_huxley, jn.HodgkinHuxley, 0, 0, -40.0, 1.0, 0.05),
    (hodgkin_huxley, jn.HodgkinHuxley, 2, 0, -55.0, 0.1, 0.005),
    (wang_buzsaki, jn.WangBuzsaki, 0, 0, -35.0, 1.0, 0.05),
    (wang_buzsaki, jn.WangBuzsaki, 2, 0, -34.0, 5 * 0.1, 5 * 0.005),
    (connor_stevens, jn.ConnorStevens, 0, 0, -29.7, 3.8, 0.19),
    (connor_stevens, jn.ConnorStevens, 2, 0, -45.7, 0.2, 0.01),
    (traub_miles, jn.TraubMiles, 0, 0, -50.0, 1.28, 0.16),
    (traub_miles, jn.TraubMiles, 0, 1, -23.0, 1.4, -0.14),
    (traub_miles, jn.TraubMiles, 2, 0, -48.0, 0.16, 0.016),
    (pospischil, jn.Pospischil, 2, 0, -41.2, 0.16, 0.016),
]


def test_rates_at_their_singular_points():
    def rate(module, model, gate, which):
        return jax.value_and_grad(lambda v: module.rates(v, model.default_params())[gate][which])

    for_v = lambda dv: [rate(*row[:4])(row[4] + dv) for row in SINGULAR]
    found = jax.jit(jax.vmap(for_v))(jnp.array([0.0, 1e-9, -1e-9]))
    for row, (value, slope) in zip(SINGULAR, found, strict=True):
        np.testing.assert_allclose(value, row[5], rtol=1e-8, err_msg=str(row))
        np.testing.assert_allclose(slope, row[6], rtol=1e-8, err_msg=str(row))


@by_name
def test_rates_do_not_overflow(name):
    """Vector field and its slope in v are finite for v in [-150, 100], singular points among them, in both dtypes."""
    model = CASE[name].model
    field = lambda v, p: model.vector_field(v, model.init_state(p)._replace(v=v), p, v)
    both = jax.jit(jax.vmap(lambda v, p: jax.jvp(lambda v: field(v, p), (v,), (jnp.ones_like(v),)), in_axes=(0, None)))
    for dtype in (jnp.float64, jnp.float32):
        params = jax.tree.map(lambda x, dtype=dtype: x.astype(dtype), model.default_params())
        for value in jax.tree.leaves(both(jnp.linspace(-150, 100, 2501, dtype=dtype), params)):
            assert value.dtype == dtype and bool(jnp.all(jnp.isfinite(value)))


def test_temperature_multiplies_all_rates_by_three_per_ten_degrees():
    cold, warm = jn.HodgkinHuxley.default_params(), jn.HodgkinHuxley.default_params(temperature=16.3)
    v = jnp.asarray(-50.0)
    np.testing.assert_allclose(hodgkin_huxley.rates(v, warm), 3 * np.array(hodgkin_huxley.rates(v, cold)), rtol=1e-14)
    slope = jax.jacfwd(lambda t: jnp.stack(jax.tree.leaves(hodgkin_huxley.rates(v, cold._replace(temperature=t)))))
    expected = np.log(3) / 10 * np.array(jax.tree.leaves(hodgkin_huxley.rates(v, cold)))
    np.testing.assert_allclose(slope(jnp.asarray(6.3)), expected, rtol=1e-14)
