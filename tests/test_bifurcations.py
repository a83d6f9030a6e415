"""Stability limits, folds, Hopf points and branches: published values, closed forms, derivatives, normal forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from planar import Broken, Planar
from solved import differentiated

import jaxneuro as jn
from jaxneuro import neurons
from jaxneuro.analysis import BIFURCATIONS, continuation, fold_point, hopf_point, jacobian, stability_limit

FOLD, HOPF, THRESHOLD = range(3)


def limit_of(model):
    """Return params -> (current, v, omega, kind by number, whether it failed)."""

    def limit(params):
        found = stability_limit(model, params, throw=False)
        kinds = [found.kind == x for x in (BIFURCATIONS.fold, BIFURCATIONS.hopf, BIFURCATIONS.threshold)]
        flags = [*kinds, found.result != jn.RESULTS.successful]
        return jnp.stack([found.current, jax.tree.leaves(found.state)[0], found.omega, *(1.0 * x for x in flags)])

    return limit


def assert_limits(model, sets, currents, kinds, rtol=1e-10):
    """Check the limits of parameter sets, and the derivatives of current, v and omega in every parameter."""
    value, derivative, difference = differentiated(limit_of(model), sets)
    np.testing.assert_allclose(value[:, 0], currents, rtol=rtol)
    assert np.argmax(value[:, 3:6], axis=1).tolist() == kinds and not value[:, 6].any()
    largest = np.max(np.abs(derivative[:, :, :3]), axis=(0, 1), keepdims=True)
    scale = np.where(largest > 0, largest, 1.0)
    np.testing.assert_allclose(derivative[:, :, :3] / scale, difference[:, :, :3] / scale, rtol=1e-6, atol=1e-8)
    return value


def test_integrate_and_fire_against_closed_forms():
    lif = [jn.LIF.default_params(), jn.LIF.default_params(v_rest=-45.0, r_m=7.0)]
    assert_limits(
        jn.LIF, lif, [2.0, -5 / 7], [THRESHOLD] * 2
    )  # (v_thresh - v_rest)/r_m, negative where it fires by itself
    qif = [jn.QIF.default_params(), jn.QIF.default_params(a=0.1, v_crit=-64.0, v_peak=60.0)]
    assert_limits(jn.QIF, qif, [0.04 * 15**2 / 40, 0.1 / 40], [FOLD] * 2)  # a (v_crit - v_rest)^2/(4 r_m)
    eif = [neurons.EIF.default_params(tau_refrac=1.0, **x) for x in ({}, dict(delta_t=0.2, v_thresh=-40.0))]
    closed = [float(p.g_leak * (p.v_thresh - p.e_leak - p.delta_t)) for p in eif]
    found = assert_limits(neurons.EIF, eif, closed, [FOLD] * 2)
    np.testing.assert_allclose(found[:, 1], [float(p.v_thresh) for p in eif], rtol=1e-10)


def test_adex_parts_the_hopf_point_from_the_fold_behind_it():
    named = (neurons.adex_brette_gerstner, neurons.adex_tonic, neurons.adex_adaptation)
    sets = [f(tau_refrac=1.0) for f in named]
    fold = [
        float((p.g_leak + p.a) * (p.v_thresh - p.e_leak - p.delta_t + p.delta_t * np.log1p(p.a / p.g_leak)))
        for p in sets
    ]  # Touboul & Brette (2008); Hopf first where a/g_leak > cm/(g_leak tau_w)
    assert [float(p.a / p.g_leak) > float(p.cm / (p.g_leak * p.tau_w)) for p in sets] == [True, False, True]
    value, derivative, difference = differentiated(limit_of(neurons.AdEx), sets)
    assert np.argmax(value[:, 3:6], axis=1).tolist() == [HOPF, FOLD, HOPF] and not value[:, 6].any()
    np.testing.assert_allclose(value[0, 0], 0.627182465, atol=1e-9)  # shared reference, nA
    np.testing.assert_allclose(fold[0], 0.627311094, atol=1e-9)
    np.testing.assert_allclose(value[1, 0], fold[1], rtol=1e-12)
    assert fold[2] - 2e-2 < value[2, 0] < fold[2]
    np.testing.assert_allclose(derivative[:, :, :2], difference[:, :, :2], rtol=1e-6, atol=1e-7)


def izhikevich_limit(p):
    """By hand: trace k (2 .04 v + 5) - a = 0 (Hopf) where det = a (b - .08 v - 5) > 0 there, that is b > a; else the fold."""
    v_hopf, v_fold = (p.a - 5) / 0.08, (p.b - 5) / 0.08
    v = jnp.where(p.b > p.a, v_hopf, v_fold)
    return (p.b - 5) * v - 0.04 * v * v - 140, v


def test_izhikevich_against_the_parabola():
    names = dict(regular_spiking=(0.02, 0.2), integrator=(0.02, -0.1), resonator=(0.1, 0.26), fold=(0.25, 0.2))
    sets = [jn.Izhikevich.default_params(a=a, b=b) for a, b in names.values()]
    closed = [float(izhikevich_limit(p)[0]) for p in sets]
    assert_limits(jn.Izhikevich, sets, closed, [HOPF, FOLD, HOPF, FOLD])


def test_hodgkin_huxley():
    p = neurons.HodgkinHuxley.default_params()
    current = lambda p: stability_limit(neurons.HodgkinHuxley, p, throw=False).current[None]
    value, derivative, difference = differentiated(current, [p])
    np.testing.assert_allclose(value[0, 0], 9.77544, atol=5e-6)  # shared reference
    np.testing.assert_allclose(derivative, difference, rtol=1e-6, atol=1e-9)

    def hopf(i, v, m, h, n):
        state = type(neurons.HodgkinHuxley.init_state(p))(v=v, m=m, h=h, n=n)
        found = hopf_point(neurons.HodgkinHuxley, p, i, state, throw=False)
        return found, jnp.linalg.eigvals(jacobian(neurons.HodgkinHuxley, p, found.value, found.state))

    v = np.array([-60.0, -42.0])
    x, y, z = v + 40, v + 65, v + 55
    rates = (
        (0.1 * x / (1 - np.exp(-x / 10)), 4 * np.exp(-y / 18)), (0.07 * np.exp(-y / 20), 1 / (1 + np.exp(-(v + 35) / 10))),
        (0.01 * z / (1 - np.exp(-z / 10)), 0.125 * np.exp(-y / 80)),
    )  # fmt: skip
    guess = [jnp.asarray(x) for x in (v, *(a / (a + b) for a, b in rates))]
    both, eigenvalues = jax.jit(jax.vmap(hopf))(jnp.array([9.0, 154.0]), *guess)
    # Rinzel & Miller (1980), doi:10.1016/0025-5564(80)90109-1: subcritical at 9.78, supercritical at 154.
    np.testing.assert_allclose(both.value, [value[0, 0], 154.5], atol=0.05)
    np.testing.assert_allclose([both.value[0], both.state.v[0]], [value[0, 0], -59.65414], rtol=1e-7)
    assert np.sign(both.coefficient).tolist() == [1.0, -1.0]
    assert np.abs(np.sort(np.abs(eigenvalues.real), axis=1)[:, :2]).max() < 1e-8
    np.testing.assert_allclose(both.omega, np.max(np.abs(eigenvalues.imag), axis=1), rtol=1e-10)


def test_wang_buzsaki():
    found = stability_limit(neurons.WangBuzsaki, neurons.WangBuzsaki.default_params())
    assert found.kind == BIFURCATIONS.fold and found.omega == 0
    assert float(found.current) == pytest.approx(0.160086, abs=1e-6)  # shared reference
    assert float(found.state.v) == pytest.approx(-59.96582, abs=1e-5)


def test_the_three_sets_of_morris_lecar():
    sets = [neurons.morris_lecar_hopf(), neurons.morris_lecar_snlc(), neurons.morris_lecar_homoclinic()]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *sets)
    start = neurons.MorrisLecar.init_state(sets[0])

    def follow(p):
        branch = continuation(neurons.MorrisLecar, p, 0.0, start, bounds=(-30.0, 250.0), throw=False)
        at = lambda found: jax.vmap(lambda i, s: jacobian(neurons.MorrisLecar, p, i, s))(found.value, found.state)
        rates = jax.vmap(lambda i, s: neurons.MorrisLecar.vector_field(jnp.zeros(()), s, p, i))
        return branch, at(branch.folds), at(branch.hopfs), rates(branch.values, branch.states)

    branch, at_folds, at_hopfs, rates = jax.jit(jax.vmap(follow))(stacked)
    assert (branch.result == jn.RESULTS.successful).all()
    assert branch.num_folds.tolist() == [0, 2, 2] and branch.num_hopfs.tolist() == [2, 1, 1]
    # The fold and first Hopf point are the shared references; all are zeros by SciPy's brentq of the trace and of dI_ss/dv,
    # written out. The trace is zero at 36.671 and 15.939 too, on the saddles: those are no Hopf points.
    np.testing.assert_allclose(branch.hopfs.value[0, :2], [93.857618374, 212.018816100], atol=1e-8)
    np.testing.assert_allclose(branch.folds.value[1:, 0], 39.963153093, atol=1e-8)
    np.testing.assert_allclose(branch.folds.value[1:, 1], -9.949039323, atol=1e-8)
    np.testing.assert_allclose(branch.hopfs.value[1:, 0], [97.787888964, 36.316217496], atol=1e-8)
    np.testing.assert_allclose(branch.folds.state.v[1, 0], -29.3898, atol=1e-4)
    assert (
        branch.hopfs.coefficient[0, 0] > 0 and branch.hopfs.coefficient[0, 1] > 0
    )  # Rinzel & Ermentrout: both subcritical
    # Internal residuals.
    det = np.linalg.det(np.asarray(at_folds)[1:, :2])
    assert np.abs(det).max() < 1e-10 and np.nanmax(np.abs(np.trace(at_hopfs, axis1=-2, axis2=-1))) < 1e-12
    assert max(np.nanmax(np.abs(x)) for x in rates) < 1e-9
    # Along the branch, stability changes at these points and nowhere else.
    for k, n in enumerate(branch.num_points.tolist()):
        changes = np.flatnonzero(np.diff(branch.stable[k, :n].astype(int)))
        assert len(changes) == (2, 2, 2)[k]
        assert np.isnan(branch.values[k, n:]).all() and branch.values[k, [0, n - 1]].tolist() == [-30.0, 250.0]


def test_fitzhugh_nagumo_and_a_curve_of_hopf_points():
    """Trace 1 - v^2 - eps b = 0, omega^2 = eps - (eps b)^2; l1 by the planar formula."""
    p = neurons.FitzHughNagumo.default_params()
    start = neurons.FitzHughNagumo.init_state(p)

    def find(args):
        p, guess = args
        found = hopf_point(neurons.FitzHughNagumo, p, guess, start, throw=False)
        return jnp.stack([found.value, found.state.v, found.omega, found.coefficient])

    eps = np.array([0.02, 0.08, 0.3])
    sets = [(p._replace(eps=jnp.asarray(x)), jnp.asarray(0.3)) for x in eps]
    value, derivative, difference = differentiated(find, sets)
    v, omega = -np.sqrt(1 - 0.8 * eps), np.sqrt(eps - (0.8 * eps) ** 2)
    np.testing.assert_allclose(value[:, 0], (v + 0.7) / 0.8 - v + v**3 / 3, rtol=1e-12)
    np.testing.assert_allclose(value[1, :3], [0.33128134, -0.967471, 0.275507], atol=1e-6)
    np.testing.assert_allclose(value[:, 1:3].T, [v, omega], rtol=1e-10)
    np.testing.assert_allclose(derivative[:, :, :3], difference[:, :, :3], rtol=1e-6, atol=1e-8)
    # Guckenheimer & Holmes (1983), eq. 3.4.11: x = v - v_H, y with x' = -omega y + f, y' = omega x + g;
    # w = eps b x + omega y, so f = -v_H x^2 - x^3/3 and g = -(eps b/omega) f.
    ratio = 0.8 * eps / omega
    f_xx, f_xxx = -2 * v, -2.0
    g_xx = -ratio * f_xx
    planar = (f_xxx - f_xx * g_xx / omega) / 16
    # r' = planar r^3 for the amplitude of x, which is 2 |q_1| |z|, |q_1|^2 = 1/(1 + eps).
    np.testing.assert_allclose(value[:, 3], 4 * planar / (omega * (1 + eps)), rtol=1e-9)
    assert value[1, 3] > 0  # subcritical: the canard explosion of the usual parameters


def test_normal_form_of_the_hopf_point():
    """z' = (mu + i omega) z + s z |z|^2 has l1 = 2 s/omega (Kuznetsov's normalisation, <q, q> = 1)."""
    omega, s = jnp.array([0.5, 0.5, 2.0, 1.0]), jnp.array([-1.0, 1.0, 3.0, 1.0])

    def follow(omega, s, neutral):
        turning = Planar.default_params(a=0.0, d=0.0, b=-omega, c=omega, ka=1.0, kd=1.0, s=s)
        saddle = Planar.default_params(
            a=1.0, d=-1.0, kd=1.0, s=s
        )  # eigenvalues 1 and -1 + I: a neutral saddle at I = 0
        p = jax.tree.map(lambda a, b: jnp.where(neutral, b, a), turning, saddle)
        return continuation(Planar, p, -0.4, Planar.init_state(p), bounds=(-0.5, 0.5), throw=False)

    branch = jax.jit(jax.vmap(follow))(omega, s, jnp.arange(4) == 3)
    assert branch.num_hopfs.tolist() == [1, 1, 1, 0] and branch.num_folds.tolist() == [0] * 4
    found = branch.hopfs
    np.testing.assert_allclose(found.value[:, 0], [0, 0, 0, np.nan], atol=1e-12)
    np.testing.assert_allclose(found.omega[:, 0], [0.5, 0.5, 2.0, np.nan], rtol=1e-10)
    np.testing.assert_allclose(found.coefficient[:, 0], [-4.0, 4.0, 3.0, np.nan], rtol=1e-8)
    assert (branch.result == jn.RESULTS.successful).all()


def test_folds_in_any_parameter():
    """r_m I = a (v_crit - v_rest)^2/4 solved for v_crit; coefficient a/tau_m."""
    sets = [jn.QIF.default_params(a=a, v_crit=-51.0) for a in (0.03, 0.05)]

    def find(p):
        found = fold_point(jn.QIF, p, 0.3, jn.QIF.init_state(p), parameter="v_crit", throw=False)
        return jnp.stack([found.value, found.state.v, found.coefficient])

    value, derivative, difference = differentiated(find, sets)
    np.testing.assert_allclose(value[:, 0], -65 + np.sqrt(4 * 3 / np.array([0.03, 0.05])), rtol=1e-12)
    np.testing.assert_allclose(value[:, 2], [0.003, 0.005], rtol=1e-12)
    np.testing.assert_allclose(derivative[:, :, :2], difference[:, :, :2], rtol=1e-6, atol=1e-9)


def test_branches_that_end_early_say_why():
    p = Broken.default_params(a=-1.0, d=-1.0)
    kind = type(Broken.init_state(p))
    wide, narrow = (kind(*(jnp.asarray(sign * x) for sign in (1.0, 1.0))) for x in (1e3, 0.3))
    low, high = (jax.tree.map(lambda w, n, s=s: s * jnp.stack([w, n, w, w]), wide, narrow) for s in (-1.0, 1.0))
    bounds = (jnp.array([-0.5, -0.5, -50.0, -0.5]), jnp.array([1.0, 1.0, 0.3, 1.0]))
    start = kind(jnp.array([0.0, 0.0, 0.0, jnp.nan]), jnp.zeros(4))
    follow = lambda box, bounds, start: continuation(
        Broken, p, 0.0, start, bounds=bounds, box=box, max_points=200, throw=False
    )
    branch = jax.jit(jax.vmap(follow))((low, high), bounds, start)
    expected = ("stalled", "left_box", "too_many_points", "not_converged")
    for k, name in enumerate(expected):
        assert (branch.result == getattr(jn.RESULTS, name)).tolist()[k], name
    assert np.nanmax(branch.values[0]) == pytest.approx(0.5, abs=1e-6)  # the curve breaks off there
    assert 0.27 < np.nanmax(branch.values[1]) <= 0.3 and branch.num_points[3] == 0


def test_bad_input():
    p = jn.LIF.default_params()
    limit = lambda low, high, **changes: stability_limit(
        jn.LIF, p._replace(**{k: jnp.asarray(x) for k, x in changes.items()}), bounds=(low, high), throw=False
    )
    for low, high in ((0.0, 3.0), (1.999, 2.001)):
        assert float(limit(low, high).current) == pytest.approx(2.0, rel=1e-12)
    for failed in (limit(0.0, 1.0), limit(2.5, 5.0), limit(0.0, 3.0, v_thresh=jnp.inf)):
        assert failed.result == jn.RESULTS.not_bracketed and np.isnan(failed.current)
    bad = limit(0.0, 3.0, tau_m=-1.0)
    assert bad.result == jn.RESULTS.bad_parameters and np.isnan(bad.current)
    with pytest.raises(RuntimeError, match="stability_limit: The bracket holds no threshold"):
        stability_limit(jn.LIF, p, bounds=(0.0, 1.0))
    state = jn.LIF.init_state(p)
    with pytest.raises(ValueError, match="parameter must be 'current' or one of tau_m"):
        fold_point(jn.LIF, p, 0.0, state, parameter="g_na")
    with pytest.raises(ValueError, match="parameter must be 'current' or one of tau_m"):
        continuation(jn.LIF, p, 0.0, state, bounds=(0.0, 1.0), parameter="g_na")
    with pytest.raises(ValueError, match="max_points must be at least 4"):
        continuation(jn.LIF, p, 0.0, state, bounds=(0.0, 1.0), max_points=2)
    with pytest.raises(ValueError, match="box must be a pair of states"):
        continuation(jn.LIF, p, 0.0, state, bounds=(0.0, 1.0), box=(-80.0, -50.0))
    with pytest.raises(RuntimeError, match="fold_point: Newton's method did not converge"):
        fold_point(jn.LIF, p, 0.0, state)  # a straight line has no fold
    for bounds in ((1.0, 0.0), (0.0, 0.0), (0.0, jnp.nan)):
        with pytest.raises(ValueError, match=r"bounds must be \(lowest, highest\)"):
            stability_limit(jn.LIF, p, bounds=bounds)
        with pytest.raises(ValueError, match=r"bounds must be \(lowest, highest\)"):
            continuation(jn.LIF, p, 0.0, state, bounds=bounds)
    assert jax.jit(lambda: stability_limit(jn.LIF, p, bounds=(0.0, 3.0)).current)() == pytest.approx(2.0, rel=1e-12)
    with pytest.raises(ValueError, match="box must be a pair of states"):
        stability_limit(jn.LIF, p, box=(-80.0, -50.0))
    with pytest.raises(ValueError, match="state0 must be a LIFState"):
        continuation(jn.LIF, p, 0.0, 3.0, bounds=(0.0, 1.0))
    with pytest.raises(RuntimeError, match="fold_point: The stimulus is not finite"):
        fold_point(jn.LIF, p, jnp.nan, state)


def test_float32():
    p = jax.tree.map(jnp.float32, jn.QIF.default_params())
    found = stability_limit(jn.QIF, p)
    assert found.current.dtype == jnp.float32 and float(found.current) == pytest.approx(0.225, rel=1e-4)
