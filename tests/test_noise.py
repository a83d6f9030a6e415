"""A neuron in white noise: its rate against Siegert's formula and Fokker-Planck, its intervals, its steps, its refusals."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import central_difference
from scipy.integrate import cumulative_simpson, quad, solve_ivp
from scipy.special import erfcx

import jaxneuro as jn
from experiments.noisy_rates import threshold_integration
from jaxneuro.analysis.siegert import siegert_rate

# tau_m, tau_refrac, mean, sigma, v_reset; threshold 15 mV: below, near and above threshold, little and much noise.
CELLS = np.array([
    (10.0, 2.0, 15.0, 1.5**0.5, 0.0),
    (5.0, 0.0, 20.0, 0.5, 0.0),
    (5.0, 5.0, 15.0, 10.0, 5.0),
    (30.0, 1.0, 12.0, 6.0, -5.0),
    (20.0, 3.0, 30.0, 5.0, 0.0),
    (5.0, 0.0, 12.0, 3.0, 10.0),
])  # fmt: skip


def lif(cell):
    tau_m, tau_refrac, _, _, v_reset = cell
    return jn.LIF.default_params(
        tau_m=tau_m, tau_refrac=tau_refrac, v_reset=v_reset, v_rest=0.0, v_thresh=15.0, r_m=1.0
    )


def siegert_by_quad(tau_m, tau_refrac, mean, sigma, v_reset, v_thresh=15.0):
    area = quad(lambda u: erfcx(-u), (v_reset - mean) / sigma, (v_thresh - mean) / sigma, epsabs=0, epsrel=1e-12)[0]
    return 1e3 / (tau_refrac + tau_m * np.sqrt(np.pi) * area)


def test_siegert_against_quad_and_the_published_number():
    rng = np.random.default_rng(0)
    low, high = [5.0, 0.0, 0.0, 1.0, -10.0], [30.0, 5.0, 40.0, 20.0, 14.0]
    cells = np.concatenate([CELLS, rng.uniform(low, high, (40, 5))])
    rates = jax.jit(jax.vmap(lambda c: siegert_rate(lif(c), c[2], c[3] / jnp.sqrt(c[0]))))(cells)
    np.testing.assert_allclose(rates, [siegert_by_quad(*c) for c in cells], rtol=1e-10)
    np.testing.assert_allclose(rates[0], 27.109593437931, rtol=1e-12)


def test_siegert_far_from_threshold():
    # Almost no noise: the closed form of the noiseless neuron. Threshold far above: Kramers' exponential, then nothing.
    p = lif(CELLS[0])
    np.testing.assert_allclose(siegert_rate(p, 30.0, 1e-3), 1e3 / (2 + 10 * np.log(2)), rtol=1e-6)
    y = 20.0  # int e^{u^2} (1 + erf u) du -> e^{y^2}/y (1 + 1/(2 y^2) + 3/(4 y^4) + 15/(8 y^6))
    kramers = 1e3 * y * np.exp(-(y**2)) / (10 * np.sqrt(np.pi) * (1 + 1 / 800 + 3 / 4 / y**4 + 15 / 8 / y**6))
    np.testing.assert_allclose(siegert_rate(p, 15.0 - y, 1 / np.sqrt(10)), kramers, rtol=1e-8)
    for params, current in ((p, -500.0), (p._replace(v_thresh=jnp.asarray(jnp.inf)), 30.0)):
        rate, slopes = jax.value_and_grad(siegert_rate, argnums=(0, 1, 2))(params, current, 1.0)
        assert rate == 0 and all(np.all(x == 0) for x in jax.tree.leaves(slopes))
    single = jax.tree.map(lambda x: x.astype(jnp.float32), p)
    assert siegert_rate(single, 15.0, 0.15**0.5).dtype == jnp.float32
    np.testing.assert_allclose(siegert_rate(single, 15.0, 0.15**0.5), 27.109593437931, rtol=1e-5)
    with pytest.raises(ValueError, match="noise must be > 0"):
        siegert_rate(p, 15.0, 0.0)


def test_siegert_derivatives():
    at = (lif(CELLS[0]), jnp.asarray(14.0), jnp.asarray(1.2))
    rate = lambda x: siegert_rate(*x)
    for actual, expected in zip(
        jax.tree.leaves(jax.grad(rate)(at)), jax.tree.leaves(central_difference(rate, at)), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-7)


RUNS, T1 = 100, 4_000.0


@pytest.fixture(scope="module")
def trains():
    """Return the spike times (cell, run, spike) of all cells, with the bridge."""
    return many_runs(bridge=True)


@cache
def program(bridge):
    def one(cell, key, dt):
        sol = jn.simulate_white_noise(
            jn.LIF,
            lif(cell),
            cell[2],
            T1,
            noise=cell[3] / jnp.sqrt(cell[0]),
            dt=dt,
            key=key,
            bridge=bridge,
            max_spikes=1000,
        )
        return sol.spike_times, sol.result == jn.RESULTS.successful

    return jax.jit(jax.vmap(jax.vmap(one, (None, 0, None)), (0, 0, None)))


def many_runs(bridge, dt=0.1, dtype=jnp.float64, cells=CELLS, seed=0):
    keys = jax.random.split(jax.random.key(seed), RUNS * len(cells)).reshape(len(cells), RUNS)
    times, fine = program(bridge)(jnp.asarray(cells, dtype), keys, dt)
    assert np.all(fine) and times.dtype == dtype
    return np.asarray(times, float)


def rates(times, skip=400.0):
    """Return mean and standard error of the rate over the runs, Hz."""
    per_run = 1e3 * np.sum((times > skip) & (times <= T1), axis=-1) / (T1 - skip)
    return per_run.mean(-1), per_run.std(-1) / np.sqrt(times.shape[-2])


def test_rate_meets_siegert_with_the_bridge_and_misses_it_without(trains):
    exact = np.array([siegert_by_quad(*c) for c in CELLS])
    mean, error = rates(trains)
    assert np.all(np.abs(mean - exact) < 3.5 * error) and np.all(error < 0.011 * exact)
    # All cells together, each weighed by its precision: a bias of 0.2 % would be seen.
    weights = (exact / error) ** 2
    together = np.sum(weights * (mean / exact - 1)) / np.sum(weights)
    assert abs(together) < 3.5 / np.sqrt(np.sum(weights)) < 2e-3
    # Without it, the threshold seems higher by 0.5826 noise sqrt(dt) (Broadie, Glasserman & Kou 1997).
    without = rates(many_runs(bridge=False, cells=CELLS[[0, 2, 5]]))
    shifted = [siegert_by_quad(*c, v_thresh=15 + 0.5826 * c[3] * np.sqrt(0.1 / c[0])) for c in CELLS[[0, 2, 5]]]
    assert np.all(without[0] < 0.99 * exact[[0, 2, 5]])
    np.testing.assert_allclose(without[0], shifted, rtol=0.025)


def test_intervals_vary_as_the_first_passage_time_does(trains):
    """CV^2 = 2 pi (rate tau)^2 int_{y_r}^{y_th} dx e^{x^2} int_{-inf}^x dy e^{y^2} (1 + erf y)^2 (Brunel 2000, appendix)."""
    for n in (0, 2):
        tau_m, tau_refrac, mean, sigma, v_reset = CELLS[n]
        low, high = (v_reset - mean) / sigma, (15 - mean) / sigma
        u = np.linspace(low - 6, high, 20_001)
        inner = cumulative_simpson(erfcx(-u) ** 2 * np.exp(-(u**2)), x=u, initial=0)
        outer = np.where(u >= low, np.exp(np.minimum(u, high) ** 2 * (u >= low)) * inner, 0.0)
        cv = siegert_by_quad(*CELLS[n]) * 1e-3 * tau_m * np.sqrt(2 * np.pi * np.trapezoid(outer, u))
        times = trains[n]
        gaps = np.diff(times[:, :40], axis=1)  # the first ones: runs of one length would prefer short intervals
        assert np.isfinite(gaps).all() and gaps.min() > tau_refrac
        np.testing.assert_allclose(gaps.std() / gaps.mean(), cv, rtol=4 / np.sqrt(gaps.size))


def test_float32_and_coarse_steps():
    for cells, options in ((CELLS[:1], dict(dtype=jnp.float32)), (CELLS, dict(dt=0.5))):
        exact = np.array([siegert_by_quad(*c) for c in cells])
        mean, error = rates(many_runs(bridge=True, cells=cells, seed=1, **options))
        assert np.all(np.abs(mean - exact) < 4 * error)


def test_crossing_of_a_bridge_against_fine_paths():
    """Probability and mean time of a crossing within one step, both ends given, against paths of 1,000 steps."""
    from jaxneuro.grids.noisy_step import Job, Spread, crossing

    a, b, h, noise, steps, paths = 0.5, 0.3, 1.0, 0.8, 1_000, 8_000
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(0, noise * np.sqrt(h / steps), (paths, steps)), axis=1)
    part = np.arange(1, steps + 1) / steps
    for d1 in (b, -b):
        bridge = -a + walk + part * (a - d1 - walk[:, -1:])
        above = bridge > -0.5826 * noise * np.sqrt(h / steps)
        crossed, first = above.any(1), h * (above.argmax(1) + 0.5) / steps
        still = jnp.zeros(())
        job = Job(jn.LIF, lif(CELLS[0]), jn.constant(0.0), still, still, jnp.asarray(noise), True)
        one = lambda u, n, d1=d1, job=job: crossing(
            job, jn.LIF.init_state(job.params)._replace(v=15.0 - jnp.asarray(a)),
            jn.LIF.init_state(job.params)._replace(v=15.0 - jnp.asarray(d1)),
            Spread(jnp.zeros(()), jnp.ones(()), jnp.zeros(()), jnp.asarray(noise**2 * h)), jnp.asarray(h), u, n,
        )  # fmt: skip
        spike, s = jax.vmap(one)(jnp.asarray(rng.uniform(size=100_000)), jnp.asarray(rng.normal(size=100_000)))
        spike, s = np.asarray(spike), np.asarray(s)
        assert abs(spike.mean() - crossed.mean()) < 0.02
        assert abs(s[spike].mean() - first[crossed].mean()) < 0.015 and s[spike].min() > 0 and s[spike].max() < h
        assert abs(np.median(s[spike]) - np.median(first[crossed])) < 0.02


def test_eif_meets_the_mean_first_passage_time():
    """1/rate = tau_refrac + (2/noise^2) int_{v_reset}^{v_peak} p dv, p' = 1 - (2 f/noise^2) p from p = 0 far below."""
    params, current, noise = jn.EIF.default_params(), 0.1, 1.5
    p = type(params)(*map(float, params))
    field = lambda v: (p.g_leak * (p.e_leak - v + p.delta_t * np.exp((v - p.v_thresh) / p.delta_t)) + current) / p.cm
    slope = lambda v, y: [1 - 2 * field(v) / noise**2 * y[0], y[0] * (v >= p.v_reset)]
    below = solve_ivp(slope, (-100.0, p.v_reset), [0.0, 0.0], "Radau", rtol=1e-9, atol=1e-12).y[:, -1]
    passage = solve_ivp(slope, (p.v_reset, p.v_peak), [below[0], 0.0], "Radau", rtol=1e-9, atol=1e-12).y[1, -1]
    exact = 1e3 / (p.tau_refrac + 2 / noise**2 * passage)
    np.testing.assert_allclose(threshold_integration(params, current, noise), exact, rtol=1e-5)
    one = lambda key: jn.simulate_white_noise(
        jn.EIF, params, current, T1, noise=noise, dt=0.1, key=key, max_spikes=1000
    )
    sol = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), 100))
    assert np.all(sol.result == jn.RESULTS.successful)
    mean, error = rates(np.asarray(sol.spike_times)[None])
    assert abs(mean[0] - exact) < 3.5 * error[0] and error[0] < 0.005 * exact


def test_without_noise_it_is_the_neuron_itself():
    """Steps end on breakpoints, refractoriness ends off the grid: spike times as in `simulate`."""
    current = jn.step(3.0, 5.03, 61.7) + jn.pulses(1.0, jnp.array([20.0, 20.0, 33.3]), 4.0)
    options: Any = dict(noise=0.0, key=jax.random.key(0), t0=1.0)
    for model, params, stim, dt, tolerance in (
        (jn.LIF, jn.LIF.default_params(tau_refrac=1.234), current, 0.1, 1e-3),
        (jn.AdEx, jn.AdEx.default_params(v_peak=0.0), jn.step(1.0, 5.03, 150.0), 0.01, 0.05),
    ):
        exact = jn.simulate(model, params, stim, 180.0, t0=1.0)
        sol = jn.simulate_white_noise(model, params, stim, 180.0, dt=dt, **options)
        n = int(exact.num_spikes)
        assert int(sol.num_spikes) == n >= 3 and sol.result == jn.RESULTS.successful
        np.testing.assert_allclose(sol.spike_times[:n], exact.spike_times[:n], atol=tolerance)
        for a, b in zip(sol.final_state, exact.final_state, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-2)
    late = white(current=3.0, t1=30.0, noise=0.0, bridge=False)
    np.testing.assert_allclose(late.spike_times[:2], [11.0, 24.0], atol=1e-9)  # ends of steps, as on a grid


def white(model=jn.LIF, **options: Any):
    options = (
        dict(params=model.default_params(), current=2.5, t1=50.0, noise=1.0, dt=0.1, key=jax.random.key(0)) | options
    )
    return jn.simulate_white_noise(model, **options)


def test_results():
    assert white(max_spikes=1).result == jn.RESULTS.max_spikes_reached and int(white(max_spikes=1).num_spikes) == 1
    start = jn.LIF.init_state(jn.LIF.default_params())
    run = jax.jit(lambda noise, dt, tau_m, current, v: white(
        noise=noise, dt=dt, params=jn.LIF.default_params(tau_m=tau_m), current=current, state0=start._replace(v=v),
    ))  # fmt: skip
    for item, values in (
        (jn.RESULTS.successful, (1.0, 0.1, 10.0, 2.5, -70.0)),
        (jn.RESULTS.bad_parameters, (-1.0, 0.1, 10.0, 2.5, -70.0)),
        (jn.RESULTS.bad_parameters, (1.0, 0.1, -1.0, 2.5, -70.0)),
        (jn.RESULTS.bad_times, (1.0, 0.0, 10.0, 2.5, -70.0)),
        (jn.RESULTS.bad_stimulus, (1.0, 0.1, 10.0, np.nan, -70.0)),
        (jn.RESULTS.bad_state, (1.0, 0.1, 10.0, 2.5, np.nan)),
    ):
        assert run(*values).result == item


def test_refusals():
    wrong: Any = (
        (ValueError, "HodgkinHuxley does not reset 'v'", dict(model=jn.HodgkinHuxley)),
        (ValueError, "noise must be >= 0", dict(noise=-1.0)),
        (ValueError, "dt must be > 0", dict(dt=0.0)),
        (ValueError, "finite t0 <= t1", dict(t1=-1.0)),
        (ValueError, "max_spikes must be an integer >= 1", dict(max_spikes=0)),
        (ValueError, "must be a scalar", dict(noise=jnp.ones(2))),
        (ValueError, "state0 must be a LIFState", dict(state0=(1.0, 2.0))),
        (TypeError, "key must be one JAX random key", dict(key=0)),
        (TypeError, "key must be one JAX random key", dict(key=jax.random.split(jax.random.key(0)))),
    )
    for error, message, options in wrong:
        with pytest.raises(error, match=message):
            white(**options)
    with pytest.raises(RuntimeError, match="simulate_white_noise has no derivative"):
        jax.grad(lambda i: white(current=i).spike_times[0])(2.5)
