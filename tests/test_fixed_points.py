"""Fixed points: all of them, to rounding, with their kind and their derivatives; nullclines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, central_difference
from planar import Planar
from scipy.optimize import brentq

import jaxneuro as jn
from jaxneuro import neurons
from jaxneuro.analysis import FIXED_POINTS, fixed_points, nullclines, stability


def points_of(model, params, currents, **options):
    return jax.vmap(lambda i: fixed_points(model, params, i, throw=False, **options))(jnp.asarray(currents))


def steady_current(v):
    """Return I_ss(v) of the SNLC set of Morris-Lecar, written out."""
    m, w = (1 + np.tanh((v + 1.2) / 18)) / 2, (1 + np.tanh((v - 12) / 17.4)) / 2
    return 4 * m * (v - 120) + 8 * w * (v + 84) + 2 * (v + 60)


def test_all_points_and_pairs_closer_than_a_sample():
    p = jn.QIF.default_params(tau_m=10.0, a=0.04, v_rest=-65.0, v_crit=-50.0, r_m=10.0)
    gaps = 0.225 - np.array([0.225, 0.1, 1e-4, 1e-8, 1e-12, -1e-9, -1.0])  # the currents
    found = points_of(jn.QIF, p, gaps, max_points=3)
    half = np.sqrt((0.225 - gaps[:5]) * 10 / 0.04)
    np.testing.assert_allclose(found.states.v[:5, 0], -57.5 - half, rtol=1e-9)
    np.testing.assert_allclose(found.states.v[:5, 1], -57.5 + half, rtol=1e-9)
    assert found.num_points.tolist() == [2, 2, 2, 2, 2, 0, 0]
    assert np.isnan(found.states.v[:, 2]).all() and np.isnan(found.states.v[5:]).all()
    assert found.stable[:5].tolist() == [[True, False, False]] * 5
    none = jn.RESULTS.no_fixed_point
    assert (found.result == none).tolist() == [False] * 5 + [True] * 2


def test_morris_lecar_against_brentq_and_the_derivatives():
    p = neurons.morris_lecar_snlc()
    currents = [0.0, 30.0, 39.963, 60.0]
    find = jax.jit(jax.vmap(lambda p, i: fixed_points(neurons.MorrisLecar, p, i, max_points=4, throw=False), (None, 0)))
    found = find(p, jnp.asarray(currents))
    v = np.linspace(-150, 120, 200_001)
    for k, i in enumerate(currents):
        residual = steady_current(v) - i
        left = np.flatnonzero(np.sign(residual[:-1]) != np.sign(residual[1:]))
        roots = [brentq(lambda v, i=i: steady_current(v) - i, v[j], v[j + 1], xtol=1e-14) for j in left]
        assert int(found.num_points[k]) == len(roots)
        # Near the fold the root itself is ill-conditioned: an error of eps in the current is sqrt(eps) there.
        np.testing.assert_allclose(found.states.v[k, : len(roots)], roots, rtol=1e-7 if i == 39.963 else 1e-11)
    saddle = found.kind == FIXED_POINTS.saddle
    assert saddle.tolist() == [[False, True, False, False]] * 3 + [[False] * 4]
    assert (found.kind == FIXED_POINTS.unstable_focus)[1].tolist() == [False, False, True, False]

    outputs = lambda p, i: (lambda f: (f.states.v[:3], f.states.w[:3], f.eigenvalues[0, 0].real))(
        fixed_points(neurons.MorrisLecar, p, i, max_points=4, throw=False)
    )
    flat = lambda args: jnp.concatenate([jnp.atleast_1d(x) for x in outputs(*args)])
    at = (p._replace(v_thresh=jnp.asarray(0.0)), jnp.asarray(20.0))
    derivatives = jax.jit(jax.jacrev(flat))(at)
    assert_close(derivatives, central_difference(flat, at, scale=0.3), rtol=1e-6, atol=1e-9)


def test_kinds():
    matrices = {
        "stable_node": (-1, 0, 0, -2), "stable_focus": (-1, -3, 3, -1), "saddle": (1, 0.5, 0.5, -2),
        "unstable_node": (1, 0, 0, 2), "unstable_focus": (1, -3, 3, 1),
    }  # fmt: skip
    stacked = jnp.asarray(list(matrices.values()), float)

    def linear(m):
        p = Planar.default_params(a=m[0], b=m[1], c=m[2], d=m[3])
        return stability(Planar, p, 0.0, Planar.init_state(p)), fixed_points(Planar, p, 0.0, max_points=2, throw=False)

    found, points = jax.jit(jax.vmap(linear))(stacked)
    for k, (name, m) in enumerate(matrices.items()):
        expected = np.linalg.eigvals(np.reshape(m, (2, 2)).astype(float))
        order = np.lexsort((-expected.imag, -expected.real))
        np.testing.assert_allclose(found.eigenvalues[k], expected[order], rtol=1e-12)
        assert bool((found.kind == getattr(FIXED_POINTS, name))[k]), name
        assert bool((points.kind == getattr(FIXED_POINTS, name))[k, 0]), name
    assert found.stable.tolist() == [True, True, False, False, False]
    assert points.num_points.tolist() == [1] * 5


def test_hodgkin_huxley_rests_where_its_currents_cancel():
    p = neurons.HodgkinHuxley.default_params()
    found = points_of(neurons.HodgkinHuxley, p, [0.0, 20.0], max_points=2)
    assert found.num_points.tolist() == [1, 1]
    assert float(found.states.v[0, 0]) == pytest.approx(-64.996379, abs=1e-6)  # shared reference
    for k, i in enumerate((0.0, 20.0)):
        state = jax.tree.map(lambda x, k=k: x[k, 0], found.states)
        assert max(map(abs, neurons.HodgkinHuxley.vector_field(jnp.zeros(()), state, p, jnp.asarray(i)))) < 1e-12
    assert found.stable.tolist() == [[True, False], [False, False]]


def test_what_lies_beyond_the_threshold_of_a_reset_is_no_fixed_point():
    lif = points_of(jn.LIF, jn.LIF.default_params(), [1.0, 1.999, 2.0, 3.0], max_points=1)
    np.testing.assert_allclose(lif.states.v[:2, 0], [-60.0, -50.01], rtol=1e-12)
    assert lif.num_points.tolist() == [1, 1, 0, 0] and np.isnan(lif.states.v[2:]).all()
    p = jn.QIF.default_params(v_rest=-65.0, v_crit=-50.0, v_peak=-55.0)  # the unstable point lies above the peak
    assert points_of(jn.QIF, p, [0.0], max_points=2).num_points.tolist() == [1]


def test_a_box_and_too_few_slots():
    model, p = neurons.MorrisLecar, neurons.morris_lecar_snlc()
    state = type(model.init_state(p))
    box = (state(jnp.asarray(-100.0), jnp.asarray(0.0)), state(jnp.asarray(50.0), jnp.asarray(0.15)))
    boxed, crowded = (points_of(model, p, [0.0], **o) for o in (dict(box=box), dict(max_points=2)))
    assert boxed.num_points.tolist() == [2]
    np.testing.assert_allclose(crowded.states.v[0], boxed.states.v[0, :2], rtol=1e-12)
    assert bool(crowded.result[0] == jn.RESULTS.too_many_points)
    bad = jn.QIF.default_params(tau_m=-1.0)
    assert fixed_points(jn.QIF, bad, 0.0, max_points=3, throw=False).result == jn.RESULTS.bad_parameters


def test_bad_input():
    p = jn.QIF.default_params()
    with pytest.raises(ValueError, match="max_points must be at least 1"):
        fixed_points(jn.QIF, p, 0.0, max_points=0)
    with pytest.raises(ValueError, match="box must be a pair of states"):
        fixed_points(jn.QIF, p, 0.0, box=(-80.0, 0.0))  # pyright: ignore[reportArgumentType]
    with pytest.raises(RuntimeError, match="There is no fixed point in the box"):
        fixed_points(jn.QIF, p, 10.0, max_points=3)
    with pytest.raises(ValueError, match="LIF has 1"):
        nullclines(jn.LIF, jn.LIF.default_params(), 0.0, -60.0)


def test_nullclines():
    p = neurons.morris_lecar_snlc()
    v = jnp.linspace(-84.0, 40.0, 32)  # begins at e_k, where the nullcline of v has a pole
    found = nullclines(neurons.MorrisLecar, p, 30.0, v)
    x = np.asarray(v)
    m = (1 + np.tanh((x + 1.2) / 18)) / 2
    np.testing.assert_allclose(found.second.w, (1 + np.tanh((x - 12) / 17.4)) / 2, rtol=1e-12)
    exact = (30 - 4 * m * (x - 120) - 2 * (x + 60))[1:] / (8 * (x + 84)[1:])
    np.testing.assert_allclose(found.second.v[1:], exact, rtol=1e-10)
    assert not found.solved.v[0] and np.isnan(found.second.v[0]) and found.solved.v[1:].all() and found.solved.w.all()
    at = (p, jnp.asarray(30.0), jnp.asarray(-20.0))
    of = lambda args: nullclines(neurons.MorrisLecar, *args).second.v
    assert_close(jax.grad(of)(at), central_difference(of, at), rtol=1e-6, atol=1e-10)
