"""Integrate-and-fire and polynomial models against closed forms, printed spike times and SciPy."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, draws, theta_spike_time
from helpers import TIGHT
from reduced_equations import REFERENCES, scipy_spike_times

import jaxneuro as jn
from jaxneuro import neurons
from jaxneuro.neurons.theta import ThetaState

FINE: dict[str, Any] = dict(stepsize_controller=dfx.PIDController(rtol=1e-10, atol=1e-10))
CASE_OF = {case.model.name: case for case in CASES}


def lane(params: Any, k: int) -> Any:
    return jax.tree.map(lambda x: float(x[k]), params)


@pytest.mark.parametrize("name", list(REFERENCES))
def test_spike_times_equal_scipy(name):
    case, number = CASE_OF[name], 3
    params = draws(case, number, seed=21)
    run = lambda p: jn.simulate(case.model, p, case.current, case.duration, max_spikes=64, **FINE)
    sol = jax.jit(jax.vmap(run))(params)
    for k in range(number):
        expected = scipy_spike_times(REFERENCES[name](lane(params, k), case.current), case.duration, most=8)
        assert min(int(sol.num_spikes[k]), 8) == len(expected) >= 2
        np.testing.assert_allclose(sol.spike_times[k, : len(expected)], expected, rtol=1e-8, atol=1e-7)


NAUD = {  # pattern: step in nA
    "tonic": 0.5, "adaptation": 0.5, "initial_burst": 0.4, "regular_bursting": 0.21, "delayed_accelerating": 0.3,
    "delayed_regular_bursting": 0.11, "transient": 0.18, "irregular": 0.16,
}  # fmt: skip


def test_adex_firing_patterns():
    sets = [getattr(neurons, f"adex_{name}")() for name in NAUD]
    params, currents = jax.tree.map(lambda *x: jnp.stack(x), *sets), jnp.array(list(NAUD.values()))
    run = lambda p, i: jn.simulate(jn.AdEx, p, i, 500.0, max_spikes=64, **FINE)
    sol = jax.jit(jax.vmap(run))(params, currents)
    assert bool(jnp.all(sol.result == jn.RESULTS.successful))
    trains = {n: np.array(sol.spike_times[k, : int(sol.num_spikes[k])]) for k, n in enumerate(NAUD)}
    printed = {
        "tonic": (51, [14.222934, 23.151826, 32.242119], 490.939374),
        "adaptation": (10, [14.904044, 26.171812, 40.547918], 431.516445),
        "initial_burst": (10, [5.463509, 8.882600, 16.201581, 70.948513], 454.826115),
    }
    for name, (number, first, last) in printed.items():
        assert len(trains[name]) == number
        np.testing.assert_allclose([*trains[name][: len(first)], trains[name][-1]], [*first, last], atol=1e-6)
    for k, name in enumerate(NAUD):
        expected = scipy_spike_times(REFERENCES["AdEx"](lane(params, k), NAUD[name]), 500.0, most=6)
        np.testing.assert_allclose(trains[name][: len(expected)], expected, rtol=1e-8)
    intervals = {name: np.diff(train) for name, train in trains.items()}
    assert len(trains["transient"]) == 1
    assert np.all(np.diff(intervals["adaptation"][:7]) > 0)
    assert np.all(np.diff(intervals["delayed_accelerating"]) < 0) and trains["delayed_accelerating"][0] > 30
    for name in ("regular_bursting", "delayed_regular_bursting"):
        late = intervals[name][len(intervals[name]) // 2 :]
        assert np.max(late) > 6 * np.min(late)


def test_adex_reaches_the_published_peak_with_finite_gradients():
    """At 20 mV the upstroke is faster than a double resolves at t = 100 ms; steps that overflow are rejected."""
    params = jn.AdEx.default_params()

    @jax.jit
    @jax.value_and_grad
    def last(p):
        return jn.simulate(jn.AdEx, p, 1.0, 200.0, max_spikes=6, stop_after=6).spike_times[-1]

    value, slopes = last(params)
    expected = scipy_spike_times(REFERENCES["AdEx"](jax.tree.map(float, params), 1.0), 200.0, most=6)
    np.testing.assert_allclose(value, expected[-1], rtol=1e-6)
    assert all(bool(jnp.isfinite(x)) for x in slopes)
    assert abs(float(slopes.v_peak)) < 1e-8 < abs(float(slopes.v_thresh))
    far = jn.AdEx.init_state(params)._replace(v=jnp.array(1e6))
    assert jn.AdEx.vector_field(jnp.array(0.0), far, params, jnp.array(1.0)).v == jnp.inf


def test_eif_fires_above_its_fold():
    params = jn.EIF.default_params()
    fold = params.g_leak * (params.v_thresh - params.e_leak - params.delta_t)
    np.testing.assert_allclose(fold, 0.0162, rtol=1e-12)
    count = jax.vmap(lambda i: jn.simulate(jn.EIF, params, i, 400.0, max_spikes=16).num_spikes)
    assert count(fold * jnp.array([0.99, 1.03])).tolist()[0] == 0 < count(fold * jnp.array([0.99, 1.03]))[1]


def test_eif_approaches_the_leaky_neuron_of_a_sharp_threshold():
    """delta_t -> 0: LIF of threshold v_thresh, in closed form; upstrokes that no step resolves, to any cutoff."""
    e_leak, v_thresh, v_reset, v_inf = -65.0, -59.9, -68.0, -55.0
    climb = lambda v: 10 * np.log((v_inf - v) / (v_inf - v_thresh))
    times = climb(e_leak) + (climb(v_reset) + 1.7) * np.arange(8)
    run = lambda delta_t, v_peak: jn.simulate(
        jn.EIF, jn.EIF.default_params(delta_t=delta_t, v_peak=v_peak), 0.1, 98.0, max_spikes=8
    )
    for dtype, delta_t in ((jnp.float64, 1e-4), (jnp.float32, 3e-3)):
        sol = jax.jit(jax.vmap(run, (None, 0)))(jnp.asarray(delta_t, dtype), jnp.array([-30.0, 1e3], dtype))
        assert sol.spike_times.dtype == dtype and bool(jnp.all(sol.result == jn.RESULTS.successful))
        np.testing.assert_allclose(sol.spike_times, np.broadcast_to(times, (2, 8)), rtol=3.5 * delta_t)


def test_theta_closed_form():
    """tau u' = u^2 + I with u = tan(theta/2): value and derivatives, from any start."""
    tau_m, current, theta0 = jnp.array([1.0, 3.0, 5.0]), jnp.array([1.5, 0.3, 2.0]), jnp.array([0.0, -2.0, 1.5])

    def time(tau_m, current, theta0):
        state0 = ThetaState(theta0)
        run = jn.simulate(
            jn.Theta, jn.Theta.default_params(tau_m=tau_m), current, 60.0, state0=state0, stop_after=3, **TIGHT
        )
        return run.spike_times[2]

    def closed(tau_m, current, theta0):
        root = jnp.sqrt(current)
        return tau_m / root * (2.5 * jnp.pi - jnp.arctan(jnp.tan(theta0 / 2) / root))

    both = lambda f: jax.jit(jax.vmap(jax.value_and_grad(f, (0, 1, 2))))(tau_m, current, theta0)
    (value, slopes), (expected, right) = both(time), both(closed)
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    np.testing.assert_allclose(slopes, right, rtol=1e-7)
    np.testing.assert_allclose(
        theta_spike_time(jn.Theta.default_params(tau_m=3.0), 0.3, 3), closed(3.0, 0.3, 0.0), rtol=1e-14
    )


def test_mihalas_niebur_panels():
    """The behaviours by which the paper names its panels (constant current, 500 ms)."""
    panels = {
        "tonic_spiking": 1.5, "adaptation": 2.0, "phasic_spiking": 1.5, "hyperpolarizing_spiking": -1.0,
        "hyperpolarizing_bursting": -1.0, "tonic_bursting": 2.0, "phasic_bursting": 1.5, "mixed_mode": 2.0,
    }  # fmt: skip
    same = {"phasic_spiking": "adaptation", "phasic_bursting": "tonic_bursting"}
    sets = [getattr(neurons, f"mihalas_niebur_{same.get(name, name)}")() for name in panels]
    run = lambda p, i: jn.simulate(jn.MihalasNiebur, p, i, 500.0, max_spikes=64, **FINE)
    sol = jax.jit(jax.vmap(run))(jax.tree.map(lambda *x: jnp.stack(x), *sets), jnp.array(list(panels.values())))
    trains = {n: np.array(sol.spike_times[k, : int(sol.num_spikes[k])]) for k, n in enumerate(panels)}
    # Without adaptation this is the leaky integrate-and-fire neuron: v goes from -70 to -40 mV, tau 20 ms, threshold -50 mV.
    np.testing.assert_allclose(trains["tonic_spiking"], 20 * np.log(3) * np.arange(1, 23), rtol=1e-9)
    assert np.all(np.diff(np.diff(trains["adaptation"])) > 0) and trains["adaptation"][-1] > 450
    for name in ("phasic_spiking", "phasic_bursting"):
        assert 1 < len(trains[name]) and trains[name][-1] < 200
    assert len(trains["hyperpolarizing_spiking"]) >= 3
    for name in ("hyperpolarizing_bursting", "tonic_bursting", "mixed_mode"):
        intervals = np.diff(trains[name])
        assert np.max(intervals) > 5 * np.min(intervals)


def test_mihalas_niebur_rebound_and_bistability():
    """A spike on release from -3.5 nA (panel G), a burst with spike-induced currents (O); a pulse starts firing (R)."""
    released, pulse = jn.step(-3.5, 50.0, 800.0), jn.step(5.0, 0.0, 10.0)
    runs = [
        jn.simulate(jn.MihalasNiebur, params, stimulus, t1, max_spikes=64)
        for params, stimulus, t1 in (
            (neurons.mihalas_niebur_adaptation(), released, 1000.0),
            (neurons.mihalas_niebur_tonic_bursting(), released, 1000.0),
            (neurons.mihalas_niebur_basal_bistability(), pulse, 200.0),
        )
    ]
    single, burst, basal = ([float(t) for t in s.spike_times[: int(s.num_spikes)]] for s in runs)
    assert len(single) == 1 and single[0] > 800
    assert len(burst) > 2 and burst[0] == pytest.approx(single[0], rel=1e-6)
    assert len(basal) > 2 and basal[-1] > 150


def test_fitzhugh_nagumo_starts_at_rest():
    """For any a, b, also where there are three fixed points; first and second derivative by the implicit function theorem."""
    a, b = (jnp.ravel(x) for x in jnp.meshgrid(jnp.linspace(0.01, 1.5, 6), jnp.array([0.0, 0.4, 0.8, 1.0, 1.3, 2.5])))
    rest = lambda a, b: neurons.FitzHughNagumo.init_state(jn.FitzHughNagumo.default_params(a=a, b=b)).v
    v = jax.vmap(rest)(a, b)
    for k in range(len(v)):
        roots = np.roots(np.trim_zeros([float(b[k]) / 3, 0.0, 1 - float(b[k]), float(a[k])], "f"))
        np.testing.assert_allclose(v[k], min(roots[np.abs(roots.imag) < 1e-9].real), rtol=1e-9)
    assert float(rest(jnp.array(0.7), jnp.array(0.8))) == pytest.approx(-1.1994080352440348, rel=1e-12)
    by_a = jax.vmap(jax.grad(rest))(a, b)
    slope = 1 - b * (1 - v**2)
    np.testing.assert_allclose(by_a, -1 / slope, rtol=1e-9)
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(rest)))(a, b), -2 * b * v / slope**3, rtol=1e-8, atol=1e-12)


def test_named_sets_are_valid_and_take_overrides():
    named = [n for n in dir(neurons) if n.split("_")[0] in ("lif", "adex", "izhikevich", "izhikevich2007", "mihalas")]
    sets = {n: getattr(neurons, n) for n in named if callable(getattr(neurons, n))}
    models = {type(m.default_params()): m for m in jn.ALL_MODELS}
    assert len(sets) == 28
    for make in sets.values():
        params = make()
        constraints = models[type(params)].constraints
        assert constraints is not None and all(bool(ok) for ok in constraints(params).values())
        field = params._fields[0]
        assert float(getattr(make(**{field: jnp.float32(3.0)}), field)) == 3.0
        assert make(**{field: jnp.float32(3.0)})[-1].dtype == jnp.float32
        with pytest.raises(ValueError, match="has no parameter"):
            make(no_such=1.0)


def test_izhikevich2007_fold():
    """With b < 0 rest is lost at I = (b + k (v_thresh - v_rest))^2 / 4k, 51.43 pA for the regular-spiking cell."""
    p = neurons.izhikevich2007_regular_spiking()
    fold = (p.b + p.k * (p.v_thresh - p.v_rest)) ** 2 / (4 * p.k)
    np.testing.assert_allclose(fold, 51.428571, rtol=1e-7)
    number = jax.vmap(lambda i: jn.simulate(jn.Izhikevich2007, p, i, 1500.0, max_spikes=16).num_spikes)
    assert number(fold * jnp.array([0.98, 1.02])).tolist()[0] == 0 < number(fold * jnp.array([0.98, 1.02]))[1]
