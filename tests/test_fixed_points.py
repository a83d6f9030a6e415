"""Fixed points: all of them, to rounding, with their kind and their derivatives; nullclines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, central_difference
from planar import Planar
from scipy.optimize import brentq
from solved import differentiated

import jaxneuro as jn
from jaxneuro import neurons
from jaxneuro.analysis import FIXED_POINTS, fixed_points, jacobian, nullclines, stability


def steady_current(v):
    """Return I_ss(v) of the SNLC set of Morris-Lecar, written out."""
    m, w = (1 + np.tanh((v + 1.2) / 18)) / 2, (1 + np.tanh((v - 12) / 17.4)) / 2
    return 4 * m * (v - 120) + 8 * w * (v + 84) + 2 * (v + 60)


def test_all_points_of_qif_below_its_peak():
    closed = 0.225  # the current of the fold, at -57.5 mV: r_m I = a (v_crit - v_rest)^2/4
    gaps = np.array([0.225, 0.1, 1e-4, 1e-8, 1e-12, -1e-9, -1.0, 0.225, 0.225])
    base = dict(tau_m=10.0, a=0.04, v_rest=-65.0, v_crit=-50.0, r_m=10.0)
    sets = [base] * 7 + [dict(base, v_peak=-55.0), dict(base, tau_m=-1.0)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *[jn.QIF.default_params(**x) for x in sets])
    find = jax.jit(jax.vmap(lambda p, i: fixed_points(jn.QIF, p, i, max_points=3, throw=False)))
    found = find(stacked, jnp.asarray(closed - gaps))
    half = np.sqrt(gaps[:5] * 10 / 0.04)
    # Pairs down to 3e-5 mV: the position is known to sqrt(eps) there, as the current is to eps.
    np.testing.assert_allclose(found.states.v[:5, 0], -57.5 - half, rtol=1e-9)
    np.testing.assert_allclose(found.states.v[:5, 1], -57.5 + half, rtol=1e-9)
    assert np.isnan(found.states.v[:, 2]).all() and np.isnan(found.states.v[5:7]).all()
    assert found.stable[:5].tolist() == [[True, False, False]] * 5
    # The unstable point at -50 mV lies beyond a peak at -55 mV: the neuron does not rest there.
    assert found.num_points[:8].tolist() == [2, 2, 2, 2, 2, 0, 0, 1]
    assert (found.result == jn.RESULTS.no_fixed_point).tolist() == [False] * 5 + [True] * 2 + [False] * 2
    assert (found.result == jn.RESULTS.bad_parameters).tolist() == [False] * 8 + [True]


def test_morris_lecar_against_brentq_and_the_derivatives():
    p = neurons.morris_lecar_snlc()
    currents = [0.0, 20.0, 39.9, 60.0]

    def find(args):
        found = fixed_points(neurons.MorrisLecar, *args, max_points=4, throw=False)
        saddle = (found.kind == FIXED_POINTS.saddle).astype(float)
        lead = jnp.where(jnp.isnan(found.eigenvalues[0, 0].real), 0.0, found.eigenvalues[0, 0].real)
        known = jnp.where(jnp.isnan(found.states.v), 0.0, found.states.v)
        return jnp.concatenate([known, lead[None], saddle, found.num_points[None].astype(float)])

    value, derivative, difference = differentiated(find, [(p, jnp.asarray(i)) for i in currents], step=3e-4)
    v = np.linspace(-150, 120, 200_001)
    for k, i in enumerate(currents):
        residual = steady_current(v) - i
        left = np.flatnonzero(np.sign(residual[:-1]) != np.sign(residual[1:]))
        roots = [float(brentq(lambda v, i=i: steady_current(v) - i, v[j], v[j + 1], xtol=1e-13)) for j in left]  # pyright: ignore
        assert value[k, -1] == len(roots)
        np.testing.assert_allclose(value[k, : len(roots)], roots, rtol=1e-11)
    assert value[:, 5:9].tolist() == [[0, 1, 0, 0]] * 3 + [[0] * 4]
    smooth = [0, 1, 3]  # at 39.9, a fold 0.06 away lies within the steps
    np.testing.assert_allclose(derivative[smooth, :, :5], difference[smooth, :, :5], rtol=1e-6, atol=1e-8)


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


def test_a_box_and_too_few_slots():
    model, p = jn.QIF, jn.QIF.default_params(v_rest=-65.0, v_crit=-50.0)
    boxes = tuple(type(model.init_state(p))(jnp.asarray(ends)) for ends in ([-100.0, -60.0, -55.0], [0.0, 0.0, -52.0]))
    find = jax.vmap(lambda box: fixed_points(model, p, 0.0, box=box, max_points=1, throw=False))
    found = find(boxes)
    np.testing.assert_allclose(found.states.v[:, 0], [-65.0, -50.0, np.nan], rtol=1e-12)
    assert (found.result == jn.RESULTS.too_many_points).tolist() == [True, False, False]
    assert (found.result == jn.RESULTS.no_fixed_point).tolist() == [False, False, True]


def test_bad_input():
    p = jn.QIF.default_params()
    with pytest.raises(ValueError, match="max_points must be at least 1"):
        fixed_points(jn.QIF, p, 0.0, max_points=0)
    with pytest.raises(ValueError, match="box must be a pair of states"):
        fixed_points(jn.QIF, p, 0.0, box=(-80.0, 0.0))
    with pytest.raises(RuntimeError, match="There is no fixed point in the box"):
        fixed_points(jn.QIF, p, 10.0, max_points=3)
    with pytest.raises(ValueError, match="LIF has 1"):
        nullclines(jn.LIF, jn.LIF.default_params(), 0.0, -60.0)
    with pytest.raises(ValueError, match="current must be a real scalar"):
        fixed_points(jn.QIF, p, jnp.zeros(2))
    with pytest.raises(ValueError, match="current must be a real scalar"):
        jacobian(jn.QIF, p, jnp.zeros(2), jn.QIF.init_state(p))
    with pytest.raises(ValueError, match=r"params.a has shape \(2,\)"):
        fixed_points(jn.QIF, p._replace(a=jnp.ones(2)), 0.0)
    with pytest.raises(ValueError, match="each field of the first below the second"):
        fixed_points(jn.QIF, p, 0.0, box=(type(jn.QIF.init_state(p))(0.0), type(jn.QIF.init_state(p))(-90.0)))
    with pytest.raises(ValueError, match="state0 must be a QIFState"):
        jacobian(jn.QIF, p, 0.0, (1.0, 2.0))
    found = jax.jit(lambda i: fixed_points(jn.QIF, p, i, max_points=3))(jnp.nan)
    assert found.result == jn.RESULTS.bad_stimulus and found.num_points == 0


def test_nullclines():
    p = neurons.morris_lecar_snlc()
    v = jnp.linspace(-84.0, 40.0, 32)  # begins at e_k, where the nullcline of v has a pole
    found = nullclines(neurons.MorrisLecar, p, 30.0, v)
    x = np.asarray(v)
    m = (1 + np.tanh((x + 1.2) / 18)) / 2
    np.testing.assert_allclose(found.second.w, (1 + np.tanh((x - 12) / 17.4)) / 2, rtol=1e-12, atol=1e-15)
    exact = (30 - 4 * m * (x - 120) - 2 * (x + 60))[1:] / (8 * (x + 84)[1:])
    np.testing.assert_allclose(found.second.v[1:], exact, rtol=1e-10)
    assert not found.solved.v[0] and np.isnan(found.second.v[0]) and found.solved.v[1:].all() and found.solved.w.all()
    at = (p, jnp.asarray(30.0), jnp.asarray(-20.0))
    of = lambda args: nullclines(neurons.MorrisLecar, *args).second.v
    assert_close(jax.grad(of)(at), central_difference(of, at), rtol=1e-6, atol=1e-10)
