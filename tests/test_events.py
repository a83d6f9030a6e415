"""Crossings that are hard to see, landmarks, and where a run starts, ends and goes on."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import lif_spike_time
from helpers import TIGHT

import jaxneuro as jn

OSCILLATING = jn.LIF.default_params(tau_m=10.0, v_rest=-70.0, r_m=10.0, v_reset=-75.0, tau_refrac=0.0)
MAXIMUM = -56.12975588642  # of v under 2 sin(2 pi t / 50) nA, at 18.9015587 ms (references, closed form)


@pytest.mark.parametrize("tight", [True, False], ids=["tight", "default"])
def test_up_and_down_between_two_steps(tight):
    settings = TIGHT if tight else {}
    run = lambda v: jn.simulate(jn.LIF, OSCILLATING._replace(v_thresh=v), jn.sine(2.0, 20.0), 30.0, **settings)
    sol = jax.jit(jax.vmap(run))(MAXIMUM + jnp.array([-1e-4, 1e-4]))
    assert sol.num_spikes.tolist() == [1, 0]
    # At a graze the time is ill-conditioned: dt = dv / v', and v' is 3e-3 mV/ms here.
    assert abs(float(sol.spike_times[0, 0]) - 18.8683199) < (1e-7 if tight else 1e-2)


def test_threshold_swept_across_the_maximum():
    """Many thresholds around the maximum: one spike exactly where it lies below (to 1e-7 mV), at tight tolerance."""
    offsets = jnp.concatenate([-jnp.geomspace(1e-7, 1.0, 40), jnp.geomspace(1e-7, 1.0, 40)])
    run = lambda v: jn.simulate(jn.LIF, OSCILLATING._replace(v_thresh=v), jn.sine(2.0, 20.0), 30.0, **TIGHT)
    spikes = jax.jit(jax.vmap(run))(MAXIMUM + offsets).num_spikes
    np.testing.assert_array_equal(spikes, offsets < 0)


def test_resting_cell_takes_few_steps():
    # (Izhikevich's cell rests with a rate constant of 0.6 per ms: there an explicit solver is bound by stability.)
    for model in (jn.LIF, jn.QIF):
        sol = jn.simulate(model, model.default_params(), 0.0, 1000.0)
        assert int(sol.num_spikes) == 0 and int(sol.stats["num_steps"]) < 50, model


def test_start_at_or_above_threshold_makes_no_spike():
    params = jn.LIF.default_params()
    run = lambda v: jn.simulate(jn.LIF, params, 1.0, 50.0, state0=jn.LIF.init_state(params)._replace(v=v))
    sol = jax.vmap(run)(jnp.array([-50.0, -40.0, -49.0]))  # v_inf = -60: all decay
    assert sol.num_spikes.tolist() == [0, 0, 0]
    assert bool(jnp.all(sol.result == jn.RESULTS.successful))
    # Started above and falling below, driven up again: the next crossing counts.
    again = jn.simulate(
        jn.LIF, params, jn.step(3.0, 20.0), 40.0, state0=jn.LIF.init_state(params)._replace(v=jnp.asarray(-40.0))
    )
    assert int(again.num_spikes) >= 1 and float(again.spike_times[0]) > 20.0


def test_upcrossing_without_reset_counts_once():
    """A model whose reset does nothing restarts on the threshold; each upcrossing of the sine is one spike."""
    lif = jn.LIF.default_params(tau_m=10.0, v_rest=-70.0, v_thresh=-65.0)
    free = jn.NeuronModel(
        "free", jn.LIF.default_params, jn.LIF.init_state, jn.LIF.vector_field, jn.LIF.spike_condition, lambda s, p: s
    )
    for settings in ({}, TIGHT):
        sol = jn.simulate(free, lif, jn.sine(2.0, 20.0), 500.0, **settings)
        assert int(sol.num_spikes) == 10, sol.spike_times[:12]
        np.testing.assert_allclose(np.diff(sol.spike_times[5:10]), 50.0, atol=1e-3)
    # A run continued from such a spike does not count it again.
    first = jn.simulate(free, lif, jn.sine(2.0, 20.0), 500.0, stop_after=3)
    rest = jn.simulate(free, lif, jn.sine(2.0, 20.0), 500.0, t0=first.final_time, state0=first.final_state)
    assert int(rest.num_spikes) == 7


def test_hodgkin_huxley_cell():
    """Upward crossings of 0 mV against SciPy (references): variables of different units, no reset, few steps."""
    current = jnp.array([5.0, 6.0, 6.2, 6.5, 10.0, 20.0])
    for settings, tolerance, steps in (
        ({}, 1e-4, 2300),
        (dict(stepsize_controller=dfx.PIDController(rtol=1e-9, atol=1e-9)), 2e-6, 10_000),
    ):
        run = lambda i, s=settings: jn.simulate(
            jn.HodgkinHuxley, jn.HodgkinHuxley.default_params(), i, 200.0, max_spikes=32, **s
        )
        sol = jax.jit(jax.vmap(run))(current)
        assert sol.num_spikes[:3].tolist() == [1, 2, 3]
        np.testing.assert_allclose(sol.spike_times[3:, 0], [2.493843, 1.900972, 1.270734], atol=tolerance)
        rates = 1e3 / (sol.spike_times[3:, 9] - sol.spike_times[3:, 8])
        np.testing.assert_allclose(rates, [55.057, 68.3237, 86.4701], atol=2e-2)
        assert int(jnp.max(sol.stats["num_steps"])) < steps


def test_exactly_max_spikes_is_success_and_one_more_is_not():
    params = jn.LIF.default_params()
    t7 = float(lif_spike_time(params, 3.0, 7))
    ends = jnp.array([t7 + 0.5, t7 + 50.0])
    sol = jax.vmap(lambda t1: jn.simulate(jn.LIF, params, 3.0, t1, max_spikes=7, **TIGHT))(ends)
    assert (sol.result == jn.RESULTS.successful).tolist() == [True, False]
    assert (sol.result == jn.RESULTS.max_spikes_reached).tolist() == [False, True]
    assert sol.num_spikes.tolist() == [7, 7]
    np.testing.assert_allclose(sol.spike_times[1], lif_spike_time(params, 3.0, jnp.arange(1, 8)), atol=1e-9)
    # The second ended at its eighth spike, which is not recorded.
    assert abs(float(sol.final_time[1]) - float(lif_spike_time(params, 3.0, 8))) < 1e-9


@pytest.mark.parametrize("model, current", [(jn.LIF, 3.0), (jn.Izhikevich, 10.0)], ids=["LIF", "Izhikevich"])
def test_stop_after_and_continue_equals_the_unbroken_run(model, current):
    params = model.default_params()
    stim = jn.step(current, 5.0, 150.0) + jn.sine(0.3 * current, 30.0)
    whole = jn.simulate(model, params, stim, 200.0, **TIGHT)
    n = int(whole.num_spikes)
    assert n > 3
    part = jn.simulate(model, params, stim, 200.0, stop_after=2, **TIGHT)
    assert int(part.num_spikes) == 2 and float(part.final_time) == float(part.spike_times[1])
    on = dict(state0=part.final_state, refrac_until0=part.final_refrac_until, t0=part.final_time)
    rest = jn.simulate(model, params, stim, 200.0, **on, **TIGHT)
    np.testing.assert_allclose(rest.spike_times[: n - 2], whole.spike_times[2:n], atol=1e-9, rtol=0)
    np.testing.assert_allclose(rest.final_state.v, whole.final_state.v, atol=1e-8, rtol=0)


def test_continue_inside_refractoriness():
    params = jn.LIF.default_params(tau_refrac=5.0)
    whole = jn.simulate(jn.LIF, params, 3.0, 100.0, **TIGHT)
    middle = float(whole.spike_times[1]) + 2.0
    part = jn.simulate(jn.LIF, params, 3.0, middle, **TIGHT)
    rest = jn.simulate(
        jn.LIF, params, 3.0, 100.0, t0=middle, state0=part.final_state, refrac_until0=part.final_refrac_until, **TIGHT
    )
    n = int(whole.num_spikes)
    np.testing.assert_allclose(rest.spike_times[: n - 2], whole.spike_times[2:n], atol=1e-10, rtol=0)


def test_samples_against_closed_form_and_before_the_jump():
    params = jn.LIF.default_params(v_thresh=jnp.inf)
    ts = jnp.linspace(0.0, 50.0, 101)
    sol = jn.simulate(jn.LIF, params, 10.0, 50.0, saveat=ts, **TIGHT)
    np.testing.assert_allclose(sol.states.v, 30 - 100 * jnp.exp(-ts / 10), atol=1e-9)
    np.testing.assert_array_equal(sol.ts, ts)
    params = jn.LIF.default_params()
    spike = jn.simulate(jn.LIF, params, 3.0, 30.0).spike_times[0]
    at = jn.simulate(jn.LIF, params, 3.0, 30.0, saveat=jnp.stack([spike, spike + 1e-6])).states.v
    np.testing.assert_allclose(at, [-50.0, -70.0], atol=1e-5)


def test_saveat_steps_and_ends():
    params = jn.LIF.default_params()
    both = jn.simulate(jn.LIF, params, 3.0, 50.0, saveat=dfx.SaveAt(t0=True, t1=True))
    np.testing.assert_array_equal(both.ts, [0.0, 50.0])
    np.testing.assert_allclose(both.states.v, [-70.0, both.final_state.v], atol=1e-12)
    sol = jn.simulate(jn.LIF, params, 3.0, 50.0, saveat=dfx.SaveAt(steps=True), max_steps=200)
    used = int(jnp.sum(jnp.isfinite(sol.ts)))
    assert sol.ts.shape == (200,) and 10 < used < 200
    assert bool(jnp.all(jnp.isnan(sol.states.v[used:]))) and bool(jnp.all(jnp.isfinite(sol.states.v[:used])))
    assert float(sol.ts[used - 1]) == 50.0 and bool(jnp.all(jnp.diff(sol.ts[:used]) > 0))


def test_samples_the_run_does_not_reach():
    sol = jn.simulate(jn.LIF, jn.LIF.default_params(), 3.0, 100.0, saveat=jnp.array([5.0, 90.0]), stop_after=2)
    assert sol.ts.tolist() == [5.0, np.inf] and bool(jnp.isnan(sol.states.v[1])) and bool(jnp.isfinite(sol.states.v[0]))


def test_short_segments_change_nothing():
    """A run over many segments (short tape) records the same spikes, samples and gradients."""
    params = jn.Izhikevich.default_params()
    ts = jnp.linspace(0.0, 200.0, 23)

    def loss(p, tape_steps):
        sol = jn.simulate(jn.Izhikevich, p, 12.0, 200.0, saveat=ts, tape_steps=tape_steps)
        spikes = jnp.where(jnp.isfinite(sol.spike_times), sol.spike_times, 0.0)
        return jnp.sum(spikes) + jnp.sum(sol.states.v) + sol.final_state.u

    (a, ga), (b, gb) = (jax.value_and_grad(loss)(params, n) for n in (4096, 32))
    np.testing.assert_allclose(a, b, rtol=1e-12)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9), ga, gb)


def test_a_run_of_no_length():
    """t1 = t0 is a run: nothing happens, samples at t0 are the initial state, and its end moves with t1."""
    params = jn.LIF.default_params()
    run = lambda t1: jn.simulate(jn.LIF, params, 3.0, t1, t0=5.0, saveat=jnp.array([5.0]))
    sol = run(5.0)
    assert sol.ts.tolist() == [5.0] and sol.states.v.tolist() == [-70.0] and int(sol.num_spikes) == 0
    np.testing.assert_allclose(jax.grad(lambda t1: run(t1).final_state.v)(5.0), 3.0, rtol=1e-12)  # (r_m i)/tau_m


@pytest.mark.parametrize("tight", [True, False], ids=["tight", "default"])
def test_a_run_broken_at_a_spike_loses_none(tight):
    """Breaks at the third spike and closely before and after it: all spikes, once each, at their times."""
    params, settings = jn.LIF.default_params(), TIGHT if tight else {}
    whole = jn.simulate(jn.LIF, params, 3.0, 100.0, **settings)
    near = jnp.array([1e-2, 1e-5, 1e-6, 1e-7, 2e-8, 1e-8, 5e-9, 1e-9, 1e-11, 1e-13])
    breaks = whole.spike_times[2] + jnp.concatenate([-near, jnp.zeros(1), near])

    def broken(at):
        first = jn.simulate(jn.LIF, params, 3.0, at, max_spikes=8, **settings)
        second = jn.simulate(
            jn.LIF, params, 3.0, 100.0, t0=first.final_time, state0=first.final_state,
            refrac_until0=first.final_refrac_until, max_spikes=8, **settings,
        )  # fmt: skip
        return jnp.sort(jnp.concatenate([first.spike_times, second.spike_times]))[:8], second.final_state.v

    times, v = jax.jit(jax.vmap(broken))(breaks)
    expected = np.broadcast_to(whole.spike_times[:8], times.shape)
    np.testing.assert_allclose(times, expected, atol=1e-9 if tight else 1e-6)
    np.testing.assert_allclose(v, float(whole.final_state.v), atol=1e-8 if tight else 1e-5)


def test_start_closely_below_threshold_spikes():
    params = jn.LIF.default_params()
    run = lambda gap: jn.simulate(
        jn.LIF, params, 3.0, 100.0, state0=jn.LIF.init_state(params)._replace(v=params.v_thresh - gap)
    )
    assert jax.vmap(run)(jnp.array([1.0, 1e-3, 1e-6])).num_spikes.tolist() == [8, 8, 8]


def test_a_reset_closely_below_the_cutoff_spikes_again():
    params = jn.QIF.default_params(v_peak=-40.0, v_reset=-40.0 - 1e-4)
    sol = jn.simulate(jn.QIF, params, 3.0, 20.0, max_spikes=16, throw=False)
    assert bool(sol.result == jn.RESULTS.max_spikes_reached)


def test_float32_time_does_not_drift():
    """Refractory or not, five seconds: the ends of refractoriness carry their rounding too."""
    single = lambda tau: jax.tree.map(jnp.float32, jn.LIF.default_params(tau_refrac=tau))
    current = jnp.linspace(3.0, 9.0, 20, dtype=jnp.float32)
    for tau in (0.0, 0.1):
        run = lambda i, tau=tau: jn.simulate(jn.LIF, single(tau), i, jnp.float32(5000.0), max_spikes=2100)
        times = np.asarray(jax.jit(jax.vmap(run))(current).spike_times, float)
        i, tau64 = np.asarray(current, float), float(np.float32(tau))
        interval = 10 * np.log(10 * i / (10 * i - 20)) + tau64
        exact = interval[:, None] * np.arange(1, 2101) - tau64
        assert np.max(np.abs(times - exact)[np.isfinite(times)]) < 0.02, tau
