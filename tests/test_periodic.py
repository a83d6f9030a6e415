"""Periodic firing: closed forms, published rates, multipliers, derivatives, and an orbit that no run would settle on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, draws
from helpers import TIGHT, assert_close

import jaxneuro as jn
from jaxneuro.analysis import orbit_samples, periodic_orbit

ADEX = jn.AdEx.default_params(
    cm=0.281, g_leak=0.03, e_leak=-70.6, v_thresh=-50.4, delta_t=2.0, tau_w=40.0, a=0.004, b=0.08, v_peak=-40.4, tau_refrac=0.1,
)  # fmt: skip
"""Touboul & Brette (2008), figure 8B, with some refractoriness; v_reset is the parameter of the bifurcation."""


def stencil(theta):
    """Return theta and its neighbours for `slopes`, stacked: steps of 1e-3 |x| and half of it, both ways."""
    leaves, tree = jax.tree.flatten(theta)
    steps = [1e-3 * (abs(float(x)) or 1.0) for x in leaves]
    move = lambda i, by: [x + by * (i == j) for j, x in enumerate(leaves)]
    points = [leaves] + [move(i, s * h) for i, h in enumerate(steps) for s in (1.0, -1.0, 0.5, -0.5)]
    return jax.tree.unflatten(tree, [jnp.stack(p) for p in zip(*points, strict=True)]), steps


def slopes(values, steps):
    """Return the derivatives at the first of the values: central differences of order 2 extrapolated to 4."""
    v = np.asarray(values)[1:].reshape(len(steps), 4)
    wide, narrow = (v[:, 0] - v[:, 1]) / (2 * np.array(steps)), (v[:, 2] - v[:, 3]) / np.array(steps)
    return (4 * narrow - wide) / 3


def succeeded(found):
    return np.asarray(found.result == jn.RESULTS.successful)


def each(fn, lanes):
    """Return what `vmap` would, lane by lane: the program of one lane compiles in half the time."""
    number = len(jax.tree.leaves(lanes)[0])
    found = [fn(jax.tree.map(lambda x, k=k: x[k], lanes)) for k in range(number)]
    return jax.tree.map(lambda *x: jnp.stack(x), *found)


def with_gradient(model, **options):
    """Return ((params, current), state0) -> (period's gradient, orbit), of one lane."""

    def period(theta, state0):
        orbit = periodic_orbit(model, *theta, state0=state0, **options)
        return orbit.period, orbit

    return jax.grad(period, has_aux=True)


CLOSED = [
    pytest.param(c, marks=[pytest.mark.slow] * (c.model is jn.Theta), id=c.model.name) for c in CASES if c.spike_time
]


@pytest.mark.parametrize("case", CLOSED)
def test_period_and_its_derivatives_have_their_closed_form(case):
    params = draws(case, 10)
    current = jnp.full(10, case.current).at[-1].set(-1.0)  # the last one does not fire
    find = jax.jit(jax.vmap(with_gradient(case.model)))
    gradient, orbit = find((params, current), jax.vmap(case.model.init_state)(params))
    interval = lambda p, i: case.spike_time(p, i, 2) - case.spike_time(p, i, 1)
    fires, silent = (lambda tree, part=part: jax.tree.map(lambda x: x[part], tree) for part in (slice(9), 9))
    expected = jax.vmap(interval)(*fires((params, current)))
    np.testing.assert_allclose(orbit.period[:9], expected, rtol=1e-9)
    np.testing.assert_allclose(orbit.rate[:9], 1e3 / expected, rtol=1e-9)
    assert_close(fires(gradient), jax.vmap(jax.grad(interval, (0, 1)))(*fires((params, current))), rtol=1e-7, atol=1e-9)
    assert np.all(succeeded(orbit)[:9]) and np.all(orbit.stable[:9])
    assert np.max(np.abs(orbit.multipliers[:9])) < 1e-15  # a reset that leaves nothing of what was before

    assert (orbit.result == jn.RESULTS.no_spikes)[9] and not orbit.stable[9]
    assert orbit.period[9] == jnp.inf and orbit.rate[9] == 0
    assert np.all([x == 0 for x in jax.tree.leaves(silent(gradient))])


def test_multipliers_and_derivatives_of_adex():
    """A period of one spike at V_r = -49, unstable at -48.6; the multiplier against differences of the map itself."""
    theta, steps = stencil((ADEX._replace(v_reset=jnp.asarray(-49.0)), jnp.asarray(0.8)))
    theta = jax.tree.map(lambda x: jnp.append(x, x[0]), theta)
    theta = theta[0]._replace(v_reset=theta[0].v_reset.at[-1].set(-48.6)), theta[1]
    find = jax.jit(lambda lane: with_gradient(jn.AdEx)(*lane))
    gradient, orbit = each(find, (theta, jax.vmap(jn.AdEx.init_state)(theta[0])))
    assert np.all(succeeded(orbit))
    assert orbit.stable.tolist() == [True] * (orbit.stable.size - 1) + [False]
    found = [x[0] for x in jax.tree.leaves(gradient)]
    np.testing.assert_allclose(found, slopes(orbit.period[:-1], steps), rtol=1e-6, atol=1e-8)

    @jax.jit
    @jax.vmap
    def back(v_reset, w):
        params = ADEX._replace(v_reset=v_reset)
        state = jn.AdEx.init_state(params)._replace(v=v_reset, w=w)
        sol = jn.simulate(
            jn.AdEx, params, 0.8, 1e3, state0=state, refrac_until0=0.1, stop_after=1, max_spikes=1, throw=False, **TIGHT
        )
        return sol.final_state.w

    v_reset, w = (jnp.repeat(x[jnp.array([0, -1])], 5) for x in (theta[0].v_reset, orbit.state.w))
    w = (w.reshape(2, 5) + 1e-4 * jnp.array([[0.0, 1.0, -1.0, 0.5, -0.5]])).ravel()
    image = np.asarray(back(v_reset, w)).reshape(2, 5)
    np.testing.assert_allclose(image[:, 0], w.reshape(2, 5)[:, 0], rtol=1e-8)
    slope = [slopes(v, [1e-4])[0] for v in image]
    np.testing.assert_allclose(orbit.multipliers[jnp.array([0, -1])].real[:, 0], slope, rtol=1e-6)
    assert np.all(orbit.multipliers[:, 1] == 0) and slope[1] < -1 < slope[0] < 0


def test_derivatives_survive_a_long_upstroke():
    """AdEx to 20 mV, where dv/dt is 1e14 mV/ms: the error of a step there hardly moves the spike, but counts in its derivative.

    Expected: scipy, DOP853 at 1e-13, from -45 mV on with v as the independent variable; the multiplier by central differences.
    """
    orbit = periodic_orbit(jn.AdEx, jn.AdEx.default_params(a=0.008, tau_w=60.0), 0.92203544)
    assert_close(orbit.period, 30.802967644150737, rtol=1e-9)
    assert_close(orbit.multipliers[0].real, 0.41167637, rtol=1e-7)


def test_hodgkin_huxley():
    """Rates of references, trains that end, and an unstable orbit between rest and spiking."""
    currents = jnp.array([6.5, 10.0, 20.0, 5.0, 6.2, 9.0])
    # The unstable orbit is small: its section lies 1 mV above rest, and is crossed near the state below.
    v_thresh = jnp.zeros(6).at[-1].set(-58.95075292971822)
    near = (-58.95, 0.1017, 0.4234, 0.3913)
    rest = jn.HodgkinHuxley.init_state(jn.HodgkinHuxley.default_params())
    state0 = jax.tree.map(lambda x, y: jnp.full(6, x).at[-1].set(y), rest, type(rest)(*near))

    @jax.jit
    def find(lane):
        current, v_thresh, state0 = lane
        params = jn.HodgkinHuxley.default_params(v_thresh=v_thresh)
        return periodic_orbit(jn.HodgkinHuxley, params, current, state0=state0, settle=3)

    orbit = each(find, (currents, v_thresh, state0))
    np.testing.assert_allclose(orbit.rate[:3], [55.057, 68.3237, 86.4701], atol=5e-4)
    assert succeeded(orbit).tolist() == [True, True, True, False, False, True]
    assert orbit.stable.tolist() == [True, True, True, False, False, False]
    for lane in (3, 4):  # one spike, and three
        assert (orbit.result == jn.RESULTS.no_spikes)[lane] and orbit.rate[lane] == 0
    # SciPy, DOP853 at 1e-13 with Newton's method of its own: period, and multipliers in the section by differences.
    np.testing.assert_allclose(orbit.period[-1], 11.692052897, rtol=1e-9)
    np.testing.assert_allclose(orbit.multipliers[-1, :2], [1.5593664, 0.2110131], rtol=1e-6)
    np.testing.assert_allclose(orbit.state.n[-1], 0.3912816, rtol=1e-6)
    assert np.max(np.abs(orbit.multipliers[-1, 2:])) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "current"), [(jn.HodgkinHuxley, 10.0), (jn.MorrisLecar, 130.0), (jn.WangBuzsaki, 1.0)]
)
def test_derivatives_without_reset(model, current):
    theta, steps = stencil((model.default_params(), jnp.asarray(current)))
    find = jax.jit(lambda lane: with_gradient(model)(*lane))
    gradient, orbit = each(find, (theta, jax.vmap(model.init_state)(theta[0])))
    found = np.array([x[0] for x in jax.tree.leaves(gradient)])
    assert np.all(succeeded(orbit))
    np.testing.assert_allclose(found, slopes(orbit.period, steps), rtol=1e-6, atol=1e-7)
    assert abs(gradient[0].v_thresh[0]) < 1e-8  # where the section lies is of no importance


@pytest.mark.slow
def test_published_rates():
    snlc = [periodic_orbit(jn.MorrisLecar, jn.morris_lecar_snlc(), i) for i in (45.0, 60.0)]
    params = jn.WangBuzsaki.default_params()
    wang_buzsaki = [periodic_orbit(jn.WangBuzsaki, params, i) for i in (0.2, 1.0)]
    np.testing.assert_allclose([x.rate for x in snlc], [10.06966, 17.05860], atol=1e-4)
    np.testing.assert_allclose([x.rate for x in wang_buzsaki], [8.62062, 59.70149], atol=1e-4)


def test_burst_and_samples():
    """Chattering, five spikes in a period: the samples begin and end where the spikes lie."""
    params = jn.Izhikevich.default_params(c=-50.0, d=2.0)
    orbit = periodic_orbit(jn.Izhikevich, params, 10.0, spikes_per_period=5)
    sol = jn.simulate(jn.Izhikevich, params, 10.0, 600.0, **TIGHT)
    assert orbit.stable and sol.num_spikes > 40
    late = sol.spike_times[34:40]
    np.testing.assert_allclose(orbit.period, late[5] - late[0], rtol=1e-8)
    np.testing.assert_allclose(orbit.rate, 5e3 / (late[5] - late[0]), rtol=1e-8)
    samples = orbit_samples(jn.Izhikevich, params, 10.0, orbit, 50)
    first, last = (jax.tree.map(lambda x, k=k: x[k], samples.states) for k in (0, -1))
    assert_close(first, orbit.state, rtol=1e-12)
    assert_close(jn.Izhikevich.reset(last, params), orbit.state, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([samples.ts[0], samples.ts[-1], last.v], [0.0, float(orbit.period), 30.0], rtol=1e-5)


def test_single_precision():
    params = jn.LIF.default_params(tau_m=jnp.float32(10.0))
    orbit = periodic_orbit(jn.LIF, params, 3.0)
    assert all(x.dtype == jnp.float32 for x in (orbit.period, orbit.rate, orbit.state.v, orbit.residual))
    np.testing.assert_allclose(orbit.period, 2 + 10 * np.log(3), rtol=1e-5)


def test_bad_input():
    lif = jn.LIF.default_params()
    wrong: Any = (
        (dict(spikes_per_period=0), ValueError, "spikes_per_period must be at least 1"),
        (dict(settle=0), ValueError, "settle must be at least 1"),
        (dict(tolerance=1e-3), TypeError, "Unknown option 'tolerance'; runs take solver"),
        (dict(state0=(1.0,)), ValueError, "state0 must be a LIFState"),
    )
    for options, error, message in wrong:
        with pytest.raises(error, match=message):
            periodic_orbit(jn.LIF, lif, 3.0, **options)
    stimulus: Any = jn.sine(1.0, 10.0)
    with pytest.raises(TypeError):
        periodic_orbit(jn.LIF, lif, stimulus)
    with pytest.raises(RuntimeError, match="does not fire"):
        periodic_orbit(jn.LIF, lif, 1.0)
    silent = periodic_orbit(jn.LIF, lif, 1.0, throw=False)
    assert jnp.isnan(orbit_samples(jn.LIF, lif, 1.0, silent, 3).states.v).all()
    for params, result in (
        (lif._replace(tau_m=-lif.tau_m), jn.RESULTS.bad_parameters),
        (lif, jn.RESULTS.not_converged),
    ):
        orbit = periodic_orbit(jn.LIF, params, 3.0, throw=False, max_iterations=2)
        assert orbit.result == result and jnp.isnan(orbit.period) and jnp.isnan(orbit.rate)
    with pytest.raises(ValueError, match="num_samples must be at least 2"):
        orbit_samples(jn.LIF, lif, 3.0, silent, 1)
