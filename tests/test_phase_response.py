"""Phase response against closed forms and direct kicks; Lyapunov exponents against closed forms and multipliers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_periodic import ADEX

import jaxneuro as jn
from jaxneuro.analysis import (
    lyapunov_exponent,
    periodic_orbit,
    perturbed_phase_response,
    phase_response,
    return_map_exponent,
)
from jaxneuro.model import make_params
from jaxneuro.types import Scalar

PHASES = jnp.array([0.9, 0.0, 0.1, 0.35, 0.6])


class CycleParams(NamedTuple):
    r: Scalar  # of the logistic map
    slope: Scalar  # how much x speeds v up


class CycleState(NamedTuple):
    v: Scalar
    x: Scalar


# v runs from 0 to 1 in 1/(1 + slope x) ms; a spike takes x to r x (1 - x). So the return map is the logistic map itself.
Cycle = jn.NeuronModel(
    "Cycle",
    lambda **overrides: make_params(CycleParams, dict(r=4.0, slope=0.0), overrides),
    lambda p: CycleState(0 * p.r, 0 * p.r + 0.3),
    lambda t, y, p, current: CycleState(1 + p.slope * y.x, 0 * y.x),
    lambda y, p: y.v - 1,
    lambda y, p: CycleState(0 * y.v, p.r * y.x * (1 - y.x)),
)


def test_lif_has_its_closed_form():
    """1/V' after refractoriness, 0 in it; a kick across threshold ends the period at once."""
    params = jn.LIF.default_params()
    found = phase_response(jn.LIF, params, 3.0, PHASES)
    period = 2 + 10 * np.log(3)
    np.testing.assert_allclose(found.ts, period * PHASES, rtol=1e-9)
    free = np.asarray(found.ts) >= 2
    expected = np.where(free, np.exp((found.ts - 2) / 10) / 3, 0.0)
    np.testing.assert_allclose(found.response.v, expected, rtol=1e-7)

    kick = 5.0
    pushed = perturbed_phase_response(jn.LIF, params, 3.0, PHASES, field="v", kick=kick)
    drive = 30 * np.exp(-(found.ts - 2) / 10)  # v_rest + r_m I - v
    with np.errstate(invalid="ignore"):
        advance = np.where(drive - kick > 10, 10 * np.log(drive / (drive - kick)), period - found.ts)
    np.testing.assert_allclose(pushed.advance, np.where(free, advance, 0.0), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(
        pushed.opposite, np.where(free, 10 * np.log(drive / (drive + kick)), 0.0), rtol=1e-7, atol=1e-8
    )
    assert np.sum(free & (drive - kick <= 10)) == 1 and np.all(pushed.residual == 0)


def test_qif_has_its_closed_form():
    """tau V' = a W^2 + q, W = V - (v_rest + v_crit)/2: from V = -sqrt(q/a) cot(...), Z = 1/V' along the orbit."""
    p = jn.QIF.default_params(v_reset=-1e3, v_peak=1e3)
    found = phase_response(jn.QIF, p, 3.0, PHASES)
    middle, q = (p.v_rest + p.v_crit) / 2, p.r_m * 3.0 - p.a * (p.v_crit - p.v_rest) ** 2 / 4
    angle = jnp.sqrt(p.a * q) / p.tau_m * found.ts + jnp.arctan((p.v_reset - middle) * jnp.sqrt(p.a / q))
    np.testing.assert_allclose(found.response.v, p.tau_m / (q / jnp.cos(angle) ** 2), rtol=1e-7)


def test_the_gradient_is_the_limit_of_kicks():
    """AdEx of period 2, both fields: the effect on all later spikes, which the first alone would get wrong."""
    params = ADEX._replace(v_reset=jnp.asarray(-48.6))
    search: dict[str, Any] = dict(spikes_per_period=2, settle=100)
    found = phase_response(jn.AdEx, params, 0.8, PHASES, **search)
    for field, kick in (("v", 1e-3), ("w", 1e-5)):
        kicked = perturbed_phase_response(
            jn.AdEx, params, 0.8, PHASES, field=field, kick=kick, num_periods=60, **search
        )
        assert np.max(kicked.residual) < 1e-8
        z = np.asarray(getattr(found.response, field))
        np.testing.assert_allclose(kicked.response, z, rtol=1e-4, atol=1e-5 * np.max(np.abs(z)))


def test_exponents_with_a_closed_form():
    """ln 2 per spike of the logistic map at 4; 1/ms through the mean interval; -1/tau of a membrane; 0 of a period."""
    params = Cycle.default_params(slope=1.0)
    by_spike = return_map_exponent(Cycle, params, 0.0, num_spikes=2000)
    assert abs(by_spike.exponent - np.log(2)) < 0.01
    np.testing.assert_allclose(by_spike.intervals[1:], 1 / (1 + by_spike.states.x[:-1]), rtol=1e-8)
    x = np.asarray(by_spike.states.x)
    np.testing.assert_allclose(by_spike.growth[1:], np.log(np.abs(4 - 8 * x[:-1])), rtol=1e-6, atol=1e-8)
    by_time = lyapunov_exponent(Cycle, params, 0.0, window=1.0, num_windows=1500)
    np.testing.assert_allclose(by_time.exponent, np.log(2) / np.mean(by_spike.intervals), rtol=0.05)
    # Period 2 of the map at r = 3.2: the multiplier is 4 + 2 r - r^2 = 0.16.
    periodic = return_map_exponent(Cycle, Cycle.default_params(r=3.2), 0.0, num_spikes=100)
    np.testing.assert_allclose(periodic.exponent, np.log(0.16) / 2, rtol=1e-6)


def test_exponents_of_lif():
    lif = jn.LIF.default_params()
    find = jax.jit(jax.vmap(lambda p, i: lyapunov_exponent(jn.LIF, p, i, num_windows=100, throw=False)))
    params = jax.tree.map(lambda x: jnp.full(3, x), lif)._replace(v_thresh=jnp.array([jnp.inf, -50.0, -50.0]))
    found = find(params, jnp.array([3.0, 3.0, 1.0]))
    np.testing.assert_allclose(found.exponent[jnp.array([0, 2])], -0.1, rtol=1e-6)
    assert abs(found.exponent[1]) < 1e-2 and abs(found.rate[1] - 77.0) < 1  # only a shift in time survives
    assert return_map_exponent(jn.LIF, lif, 3.0, num_spikes=5, transient=2).exponent == -jnp.inf


@pytest.mark.slow
def test_exponent_is_the_log_of_the_multiplier():
    """AdEx of period 1, near its doubling, and in chaos, where the exponent is positive."""
    v_reset = jnp.array([-49.0, -48.8, -47.9])
    find = lambda v: return_map_exponent(
        jn.AdEx, ADEX._replace(v_reset=v), 0.8, transient=300, num_spikes=300, throw=False
    )
    found = jax.jit(jax.vmap(find))(v_reset)
    orbit = jax.jit(jax.vmap(lambda v: periodic_orbit(jn.AdEx, ADEX._replace(v_reset=v), 0.8, throw=False)))(v_reset)
    np.testing.assert_allclose(found.exponent[:2], np.log(np.abs(orbit.multipliers[:2, 0])), rtol=1e-5)
    assert found.exponent[0] < found.exponent[1] < 0 and not orbit.stable[2]
    assert found.exponent[2] > 0.3 and np.unique(np.round(found.states.w[2], 6)).size > 200


def test_bad_input():
    lif = jn.LIF.default_params()
    for phases in (0.5, jnp.zeros((0,)), jnp.zeros((2, 2))):
        with pytest.raises(ValueError, match="phases must be an array"):
            phase_response(jn.LIF, lif, 3.0, phases)
    with pytest.raises(ValueError, match="field must be one of v, the state of LIF; it is 'w'"):
        perturbed_phase_response(jn.LIF, lif, 3.0, PHASES, field="w", kick=1.0)
    with pytest.raises(ValueError, match="num_periods must be at least 2"):
        perturbed_phase_response(jn.LIF, lif, 3.0, PHASES, field="v", kick=1.0, num_periods=1)
    with pytest.raises(RuntimeError, match="does not fire"):
        phase_response(jn.LIF, lif, 1.0, PHASES)
    for kick in (0.0, jnp.nan):
        with pytest.raises(ValueError, match="kick must be finite and not 0"):
            perturbed_phase_response(jn.LIF, lif, 3.0, PHASES, field="v", kick=kick)
    with pytest.raises(RuntimeError, match="times are not valid"):
        lyapunov_exponent(jn.LIF, lif, 1.0, window=0.0, num_windows=2, transient=0)
    silent = phase_response(jn.LIF, lif, 1.0, PHASES, throw=False)
    assert silent.result == jn.RESULTS.no_spikes and jnp.isnan(silent.response.v).all()
    kicked = perturbed_phase_response(jn.LIF, lif, 1.0, PHASES, field="v", kick=5.0, throw=False)
    assert kicked.result == jn.RESULTS.no_spikes and jnp.isnan(kicked.response).all()
    with pytest.raises(RuntimeError, match="phase response"):  # no derivative, rather than a wrong one
        jax.grad(lambda i: phase_response(jn.LIF, lif, i, PHASES).response.v[0])(3.0)
    with pytest.raises(ValueError, match="transient must be"):
        return_map_exponent(jn.LIF, lif, 3.0, transient=-1)
    with pytest.raises(RuntimeError, match="return_map_exponent.*does not fire"):
        return_map_exponent(jn.LIF, lif, 1.0, num_spikes=5, transient=2)
    with pytest.raises(RuntimeError, match="More spikes than max_spikes"):
        lyapunov_exponent(jn.LIF, lif, 3.0, window=100.0, num_windows=2, max_spikes=2)
