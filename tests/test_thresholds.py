"""f-I curves, rheobase and thresholds of pulses: closed forms, SciPy, and what has no threshold."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, draws
from scipy.optimize import brentq

import jaxneuro as jn
from jaxneuro.analysis import THRESHOLDS, fi_curve, pulse_threshold, rheobase, stability_limit
from jaxneuro.analysis.firing import lasting_rate

CASE = {case.model: case for case in CASES}

# (v_thresh - v_rest)/r_m; the top of the parabola; the top of -g (v - e) + g D exp((v - V_T)/D).
RHEOBASE = {
    jn.LIF: lambda p: (p.v_thresh - p.v_rest) / p.r_m,
    jn.QIF: lambda p: p.a * (p.v_crit - p.v_rest) ** 2 / (4 * p.r_m),
    jn.EIF: lambda p: p.g_leak * (p.v_thresh - p.e_leak - p.delta_t),
}


def in_one_program(fn, *args):
    """Return value and gradient of a threshold in its first argument, over lanes."""

    def current(*args):
        found = fn(*args, throw=False)
        return found.current, found

    return jax.jit(jax.vmap(jax.value_and_grad(current, argnums=tuple(range(len(args))), has_aux=True)))(*args)


def close(actual, expected, rtol=1e-7):
    """Compare derivatives: those that are next to nothing, to the largest."""
    largest = max(float(jnp.max(jnp.abs(x))) for x in jax.tree.leaves(expected))
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=rtol, atol=rtol * largest), actual, expected)


@pytest.mark.parametrize("model", RHEOBASE, ids=lambda model: model.name)
def test_rheobase_in_closed_form(model):
    params = draws(CASE[model], 4, seed=41)
    (current, found), (by_params,) = in_one_program(lambda p, **k: rheobase(model, p, t1=300.0, **k), params)
    exact, exact_by_params = jax.vmap(jax.value_and_grad(RHEOBASE[model]))(params)
    assert bool(jnp.all(found.result == jn.RESULTS.successful)) and bool(jnp.all(jnp.isinf(found.spike_time)))
    lost = THRESHOLDS.rest_at_threshold if model is jn.LIF else THRESHOLDS.fold
    assert bool(jnp.all(found.kind == lost))
    np.testing.assert_allclose(current, exact, rtol=1e-9)
    close(by_params, exact_by_params)


def test_pulse_threshold_of_lif_ends_with_the_pulse():
    params, width = draws(CASE[jn.LIF], 6, seed=42), jnp.array([0.1, 0.5, 2.0, 10.0, 40.0, 100.0])
    lapicque = lambda p, w: (p.v_thresh - p.v_rest) / (p.r_m * (1 - jnp.exp(-w / p.tau_m)))
    solve = lambda p, w, **k: pulse_threshold(jn.LIF, p, w, t1=150.0, **k)
    (current, found), slopes = in_one_program(solve, params, width)
    exact, exact_slopes = jax.vmap(jax.value_and_grad(lapicque, argnums=(0, 1)))(params, width)
    assert bool(jnp.all(found.kind == THRESHOLDS.pulse_end))
    np.testing.assert_array_equal(found.spike_time, width)
    np.testing.assert_allclose(current, exact, rtol=1e-9)
    close(slopes, exact_slopes)


def test_pulse_threshold_of_qif_is_where_the_pulse_ends_at_the_saddle():
    """Closed form: from v_rest to v_crit at constant current takes 2 tau_m/sqrt(a q) atan((v_crit - v_rest)/2 sqrt(a/q))."""
    params, width = draws(CASE[jn.QIF], 4, seed=43), jnp.array([0.5, 2.0, 10.0, 30.0])

    def passage(current, p):
        half = (p.v_crit - p.v_rest) / 2
        q = p.r_m * current - p.a * half**2
        return 2 * p.tau_m / jnp.sqrt(p.a * q) * jnp.arctan(half * jnp.sqrt(p.a / q))

    solve = lambda p, w, **k: pulse_threshold(jn.QIF, p, w, t1=600.0, **k)
    (current, found), (by_params, by_width) = in_one_program(solve, params, width)
    assert bool(jnp.all(found.kind == THRESHOLDS.separatrix)) and bool(jnp.all(jnp.isinf(found.spike_time)))
    for k in range(4):
        p = jax.tree.map(lambda x, k=k: x[k], params)
        least = float(RHEOBASE[jn.QIF](p))
        exact: Any = brentq(
            lambda i, p=p, k=k: float(passage(i, p) - width[k]), least * 1.0001, least * 1e3, xtol=1e-14
        )
        np.testing.assert_allclose(current[k], exact, rtol=1e-9)
        by_current, by_p = jax.grad(passage, argnums=(0, 1))(exact, p)
        close(jax.tree.map(lambda x, k=k: x[k], by_params), jax.tree.map(lambda x, i=by_current: -x / i, by_p))
        np.testing.assert_allclose(by_width[k], 1 / by_current, rtol=1e-7)


# SciPy: DOP853 at rtol = atol = 1e-12 from rest (fsolve), bisected (Brent on the maximum of v for Hodgkin-Huxley); derivatives by
# central differences of that, of order 4.
SCIPY = {
    jn.Izhikevich: (
        2.710326328945264,
        dict(a=13.086949381069246, b=-55.12831981888862, k2=-2900.0592443195746, k1=48.55373299998785, k0=-0.8092288817454218,
             tau_a=0.2617389876191645, tau_b=-0.26173898760399145, c=0.0, d=0.0, v_peak=0.0),
    ),
    jn.AdEx: (
        0.5770022346459978,
        dict(cm=0.06255444861272462, g_leak=17.9326283013492, e_leak=-0.031264338460478575, v_thresh=0.031264338460551384,
             delta_t=-0.02726870112869373, a=5.361396386283773, tau_w=-0.0001220680559755299, b=0.0, v_reset=0.0),
    ),
    jn.HodgkinHuxley: (
        2.2403336243726923,
        dict(g_na=-0.03163301497233823, g_k=0.1108186664827601, g_leak=2.574179092624066, e_na=-0.03497967603798798,
             e_leak=-0.04708229012717698),
    ),
}  # fmt: skip


@pytest.mark.parametrize("model", SCIPY, ids=lambda model: model.name)
def test_rheobase_against_scipy(model):
    """Rest is stable up to higher currents here: the step's overshoot spikes."""
    exact, slopes = SCIPY[model]

    def least(params):
        found = rheobase(model, params, t1=400.0)
        return found.current, found

    (current, found), by_params = jax.jit(jax.value_and_grad(least, has_aux=True))(model.default_params())
    assert bool(found.result == jn.RESULTS.successful)
    np.testing.assert_allclose(current, exact, rtol=1e-9)
    for name, slope in slopes.items():
        np.testing.assert_allclose(getattr(by_params, name), slope, rtol=1e-6, atol=1e-9, err_msg=name)
    graze = model is jn.HodgkinHuxley
    assert bool(found.kind == (THRESHOLDS.graze if graze else THRESHOLDS.separatrix))
    assert bool(jnp.isfinite(found.spike_time)) == graze
    assert float(stability_limit(model, model.default_params()).current) > 1.05 * exact


def test_train_of_a_cell_that_stops():
    rate = lambda times, t1: float(lasting_rate(jnp.array([*times, jnp.inf, jnp.inf]), jnp.array(100.0), jnp.array(t1)))
    assert rate([10, 150, 170, 190], 200.0) == 50.0  # the spike in the transient does not count
    assert rate([10, 150, 170, 190], 229.0) == 50.0 and rate([10, 150, 170, 190], 231.0) == 0.0
    assert rate([10, 90, 150], 200.0) == rate([10, 20], 200.0) == rate([], 200.0) == 0.0
    assert rate([110, 112, 180, 182], 200.0) == pytest.approx(3e3 / 72)  # bursts


def test_fi_curve_of_lif():
    params, currents = jn.LIF.default_params(tau_refrac=3.0), jnp.array([-1.0, 1.9, 2.1, 3.0, 6.0])
    exact = lambda p, i: (
        1e3
        / (p.tau_refrac + p.tau_m * jnp.log((p.v_rest + p.r_m * i - p.v_reset) / (p.v_rest + p.r_m * i - p.v_thresh)))
    )
    found = fi_curve(jn.LIF, params, currents, 600.0)
    assert bool(jnp.all(found.result == jn.RESULTS.successful)) and found.num_spikes.tolist()[:2] == [0, 0]
    assert found.rate.tolist()[:2] == [0.0, 0.0]
    np.testing.assert_allclose(found.rate[2:], exact(params, currents[2:]), rtol=1e-8)
    slopes = jax.jacrev(lambda p, i: fi_curve(jn.LIF, p, i, 600.0).rate, argnums=(0, 1))(params, currents)
    by_params, by_current = jax.vmap(jax.grad(exact, argnums=(0, 1)), in_axes=(None, 0))(params, currents[2:])
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a[2:], e, rtol=1e-6), slopes[0], by_params)
    np.testing.assert_allclose(slopes[1][2:], jnp.diag(by_current, 2)[:3], rtol=1e-6, atol=1e-9)
    assert all(bool(jnp.all(x[:2] == 0)) for x in jax.tree.leaves(slopes))


def test_fi_curve_says_what_failed():
    params = jn.LIF.default_params()
    with pytest.raises(RuntimeError, match=r"fi_curve\(LIF\) at currents\[1\]: More spikes than max_spikes"):
        fi_curve(jn.LIF, params, [1.0, 3.0], 600.0, max_spikes=5)
    found = fi_curve(jn.LIF, params, [1.0, 3.0], 600.0, max_spikes=5, throw=False)
    assert (found.result == jn.RESULTS.successful).tolist() == [True, False]
    assert float(found.rate[0]) == 0 and np.isnan(found.rate[1])
    with pytest.raises(ValueError, match=r"currents must be an array \(n,\)"):
        fi_curve(jn.LIF, params, 3.0)
    with pytest.raises(RuntimeError, match="times are not valid"):
        fi_curve(jn.LIF, params, [1.0, 3.0], 600.0, transient=600.0, max_spikes=5)
    assert fi_curve(jn.LIF, params, [], 600.0).rate.shape == (0,)


def test_pulses_for_hodgkin_huxley():
    widths = jnp.array([0.1, 0.5, 1.0, 2.0, 5.0])
    solve = lambda w: pulse_threshold(jn.HodgkinHuxley, jn.HodgkinHuxley.default_params(), w, t1=60.0)
    found = jax.jit(jax.vmap(solve))(widths)
    # SciPy as above, Brent on the maximum of v.
    scipy = [65.127424639223, 13.275123562022847, 6.918925521003151, 3.859358768117652, 2.3511052867297857]
    np.testing.assert_allclose(found.current, scipy, rtol=1e-9)
    assert bool(jnp.all(found.kind == THRESHOLDS.graze)) and bool(jnp.all(found.spike_time > widths))


def test_what_has_no_threshold():
    params = jn.LIF.default_params()
    cases = [
        (params._replace(v_thresh=jnp.asarray(jnp.inf)), (0.0, 5.0), jn.RESULTS.not_bracketed),  # passive
        (params, (0.0, 1.5), jn.RESULTS.not_bracketed),
        (params, (2.5, 5.0), jn.RESULTS.not_bracketed),
        (
            params._replace(v_thresh=jnp.asarray(-71.0), v_reset=jnp.asarray(-75.0)),
            (0.0, 5.0),
            jn.RESULTS.no_fixed_point,
        ),
        (params._replace(tau_m=jnp.asarray(jnp.nan)), (0.0, 5.0), jn.RESULTS.bad_parameters),
        (params, (0.0, 5.0), jn.RESULTS.successful),
    ]
    stacked, brackets, expected = zip(*cases, strict=True)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *stacked)
    low, high = jnp.array(brackets).T

    def least(params, low, high):
        found = rheobase(jn.LIF, params, bracket=(low, high), t1=300.0, throw=False)
        return found.current, found

    (current, found), slopes = jax.jit(jax.vmap(jax.value_and_grad(least, has_aux=True)))(stacked, low, high)
    for k, result in enumerate(expected):
        assert bool((found.result == result)[k]), k
    assert np.isnan(current).tolist() == [True] * 5 + [False]
    assert float(slopes.v_thresh[5]) == pytest.approx(0.1)
    assert all(bool(jnp.all(x[:5] == 0)) for x in jax.tree.leaves(slopes))  # no NaN without a reason


def test_wrong_calls_say_so():
    params = jn.LIF.default_params()
    with pytest.raises(RuntimeError, match=r"rheobase\(LIF\): The bracket holds no threshold"):
        rheobase(jn.LIF, params, bracket=(0.0, 1.0), t1=100.0)
    with pytest.raises(RuntimeError, match="The stimulus is not finite"):
        pulse_threshold(jn.LIF, params, 0.0)
    with pytest.raises(ValueError, match=r"bracket must be \(lowest, highest\); it is 3.0"):
        rheobase(jn.LIF, params, bracket=3.0)
