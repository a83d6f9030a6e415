"""Stimuli by hand, and the passive membrane's answer to them against the convolution, with its derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import TIGHT, central_difference

import jaxneuro as jn

PASSIVE = jn.LIF.default_params(tau_m=10.0, v_rest=0.0, r_m=2.0, v_thresh=jnp.inf, v_reset=-10.0)
T1 = 60.0


def values(stim, *ts):
    return [round(float(stim(t)), 12) for t in ts]


def test_values_on_both_sides_of_the_breakpoints():
    assert values(jn.constant(2.0), -5.0, 5.0) == [2.0, 2.0]
    assert values(jn.step(2.0, 1.0, 3.0), 0.999, 1.0, 2.999, 3.0) == [0.0, 2.0, 2.0, 0.0]
    assert values(jn.step(2.0, 3.0, 1.0), 0.5, 2.0, 3.5) == [0.0, 0.0, 0.0]
    assert values(jn.pulses(1.0, jnp.array([5.0, 1.0, 2.0]), 2.0), 0.5, 1.0, 2.5, 3.0, 4.5, 6.0, 7.0) == [
        0,
        1,
        2,
        1,
        0,
        1,
        0,
    ]
    assert values(jn.ramp(0.5, 1.0, 3.0), 0.0, 1.0, 2.0, 3.0, 9.0) == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert values(jn.sine(2.0, 25.0, 0.0, 10.0), 9.0, 10.0, 20.0, 40.0) == [0.0, 0.0, 2.0, -2.0]
    assert values(jn.chirp(1.0, 25.0, 25.0, 0.0, 40.0), 10.0, 30.0, 41.0) == [1.0, -1.0, 0.0]
    ts, xs = jnp.array([0.0, 2.0, 2.0, 4.0]), jnp.array([0.0, 2.0, 5.0, 7.0])
    assert values(jn.sampled(ts, xs), -1.0, 1.0, 1.75, 2.0, 3.0, 9.0) == [0.0, 1.0, 1.75, 5.0, 6.0, 7.0]
    assert values(jn.sampled(ts, xs, "hold"), -1.0, 1.0, 2.0, 3.0, 9.0) == [0.0, 0.0, 5.0, 5.0, 7.0]
    both = 2 * jn.step(1.0, 1.0, 3.0) - 0.5 + jn.ramp(1.0, 2.0, 4.0) - jn.constant(0.25)
    assert values(both, 0.0, 1.5, 2.5, 5.0) == [-0.75, 1.25, 1.75, 1.25]
    assert values(1.0 - (-jn.constant(2.0)), 0.0) == [3.0]


def kernel(s):
    """Response of the membrane at lag s to a unit of charge per ms: (r/tau) e^(-s/tau)."""
    return jnp.where(s >= 0, PASSIVE.r_m / PASSIVE.tau_m * jnp.exp(-jnp.maximum(s, 0.0) / PASSIVE.tau_m), 0.0)


def square(a, on, off):
    """v(T1) after a step, by the closed form of the convolution."""
    tail = lambda t: jnp.exp(-(T1 - t) / PASSIVE.tau_m)
    return jnp.where(off > on, PASSIVE.r_m * a * (tail(off) - tail(on)), 0.0)


def slope(a, on, off):
    """v(T1) after current a (t - on) between on and off and nothing after."""
    tau, r = PASSIVE.tau_m, PASSIVE.r_m
    tail = lambda t: jnp.exp(-(T1 - t) / tau)
    return r * a * ((off - on - tau) * tail(off) + tau * tail(on))


def oscillation(a, hz, phase, on):
    """v(T1) under a sin(w (t - on) + phase) from on to T1."""
    w, tau, r = 2e-3 * jnp.pi * hz, PASSIVE.tau_m, PASSIVE.r_m
    part = lambda t: (jnp.sin(w * (t - on) + phase) - w * tau * jnp.cos(w * (t - on) + phase)) / (1 + (w * tau) ** 2)
    return r * a * (part(T1) - part(on) * jnp.exp(-(T1 - on) / tau))


def pieces(ts, xs):
    """v(T1) under straight lines through the samples, constant outside."""
    total = square(xs[0], 0.0, ts[0]) + square(xs[-1], ts[-1], T1)
    for k in range(ts.shape[0] - 1):
        rise = (xs[k + 1] - xs[k]) / (ts[k + 1] - ts[k])
        total = total + square(xs[k], ts[k], ts[k + 1]) + slope(rise, ts[k], ts[k + 1])
    return total


ONSETS, TS, XS = jnp.array([31.0, 5.0, 12.0]), jnp.array([4.0, 11.0, 30.0, 41.0]), jnp.array([1.0, -2.0, 3.0, 0.5])
ANSWERS = {
    "step": (lambda a, on, off: jn.step(a, on, off), square, (1.5, 7.0, 33.0)),
    "pulses": (
        lambda a, on, w: jn.pulses(a, on, w),
        lambda a, on, w: sum(square(a, on[k], on[k] + w) for k in range(3)),
        (1.5, ONSETS, 9.0),
    ),
    "ramp": (
        lambda a, on, off: jn.ramp(a, on, off),
        lambda a, on, off: slope(a, on, off) + square(a * (off - on), off, T1),
        (0.2, 7.0, 33.0),
    ),
    "sine": (lambda *x: jn.sine(*x), oscillation, (1.5, 40.0, 0.3, 7.0)),
    "linear": (lambda ts, xs: jn.sampled(ts, xs), pieces, (TS, XS)),
    "hold": (
        lambda ts, xs: jn.sampled(ts, xs, "hold"),
        lambda ts, xs: (
            square(xs[0], 0.0, ts[0]) + sum(square(xs[k], ts[k], jnp.append(ts, T1)[k + 1]) for k in range(4))
        ),
        (TS, XS),
    ),
    "sum": (
        lambda a, on, w: jn.step(a, on, 50.0) - 2 * jn.ramp(0.1, w, on),
        lambda a, on, w: square(a, on, 50.0) - 2 * (slope(0.1, w, on) + square(0.1 * (on - w), on, T1)),
        (1.5, 20.0, 9.0),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_passive_membrane_and_its_derivatives_against_the_convolution(name):
    make, closed, at = ANSWERS[name]
    at = tuple(jnp.asarray(x) for x in at)
    simulated = lambda *x: jn.simulate(jn.LIF, PASSIVE, make(*x), T1, **TIGHT).final_state.v
    numbers = tuple(range(len(at)))
    value, grads = jax.jit(jax.value_and_grad(simulated, argnums=numbers))(*at)
    np.testing.assert_allclose(value, closed(*at), atol=1e-9)
    for actual, expected in zip(grads, jax.grad(closed, argnums=numbers)(*at), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-9)


def test_timing_batched_with_coinciding_empty_and_unordered_breakpoints():
    on = jnp.array([5.0, 20.0, 20.0, 40.0, 0.0])
    off = jnp.array([30.0, 20.0, 21.0, 10.0, 60.0])
    run = lambda on, off: (
        jn.simulate(jn.LIF, PASSIVE, jn.step(1.0, on, off) + jn.step(0.5, off, on), T1, **TIGHT).final_state.v
    )
    closed = lambda on, off: square(1.0, on, off) + square(0.5, off, on)
    np.testing.assert_allclose(jax.jit(jax.vmap(run))(on, off), jax.vmap(closed)(on, off), atol=1e-9)
    # An empty step that starts to open: the derivative in its offset is the kernel.
    slope_off = jax.grad(
        lambda off: jn.simulate(jn.LIF, PASSIVE, jn.pulses(1.0, jnp.array([20.0]), off), T1).final_state.v
    )
    np.testing.assert_allclose(slope_off(jnp.asarray(0.0)), kernel(T1 - 20.0), atol=3e-6)  # of 0.2: default tolerance


def test_coinciding_samples_have_derivatives_of_their_own():
    """A jump of a sampled current is two samples at one time; moving one of them opens a ramp between the two."""
    xs = jnp.array([0.0, 1.0, 5.0, 2.0])
    run = lambda ts: jn.simulate(jn.LIF, PASSIVE, jn.sampled(ts, xs), T1, **TIGHT).final_state.v
    at = jnp.array([0.0, 15.0, 15.0, 30.0])
    slope = jax.jit(jax.grad(run))(at)
    # Of the convolution with the two apart, on the side where they are in order, extrapolated to no distance.
    apart = lambda e: jax.grad(lambda ts: pieces(ts, xs))(at + e * jnp.array([0.0, -1.0, 1.0, 0.0]))
    np.testing.assert_allclose(slope, 2 * apart(5e-4) - apart(1e-3), rtol=1e-6)


def test_no_pulses_are_no_current():
    nothing = jn.pulses(2.0, jnp.zeros(0), 3.0)
    assert values(nothing, 0.0, 5.0) == [0.0, 0.0]
    sol = jn.simulate(jn.LIF, jn.LIF.default_params(), nothing + 3.0, 30.0)
    np.testing.assert_allclose(sol.spike_times[0], 10 * np.log(3.0), atol=1e-4)


class Table(jn.Stimulus):
    """A user's own stimulus: it looks a value up, as `jn.sampled` does."""

    ts: jax.Array
    xs: jax.Array

    def clocks(self):
        return (self.ts,)

    def value(self, t, positions):
        return self.xs[positions[0]]


def test_a_stimulus_of_ones_own():
    ts, xs = jnp.array([5.0, 20.0]), jnp.array([0.0, 1.5, -0.5])
    run = lambda ts, xs: jn.simulate(jn.LIF, PASSIVE, 2.0 * Table(ts, xs), T1, **TIGHT).final_state.v
    closed = lambda ts, xs: 2 * (square(xs[0], 0.0, ts[0]) + square(xs[1], ts[0], ts[1]) + square(xs[2], ts[1], T1))
    np.testing.assert_allclose(run(ts, xs), closed(ts, xs), atol=1e-9)
    for a, e in zip(jax.grad(run, argnums=(0, 1))(ts, xs), jax.grad(closed, argnums=(0, 1))(ts, xs), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-8, atol=1e-9)


def test_ou_noise_has_the_law_of_the_process():
    """Mean, variance and correlation over 4,000 paths, within 4 standard errors; exact also at dt near tau."""
    paths, tau = 4_000, 5.0
    for dt, lag in ((0.5, 10), (4.0, 1)):
        make = lambda key, dt=dt: jn.ou_noise(key, 2.0, 0.5, tau, 40 * dt, dt).values
        x = np.asarray(jax.jit(jax.vmap(make))(jax.random.split(jax.random.key(3), paths)))
        assert x.shape == (paths, 41)
        for k in (0, 1, 40):  # stationary from the start
            assert abs(x[:, k].mean() - 2.0) < 4 * 0.5 / np.sqrt(paths)
            assert abs(x[:, k].var() / 0.25 - 1) < 4 * np.sqrt(2 / paths)
            near = min(k, 40 - lag)
            correlation = np.corrcoef(x[:, near], x[:, near + lag])[0, 1]
            assert abs(correlation - np.exp(-lag * dt / tau)) < 4 / np.sqrt(paths)
        step = x[:, 1:] - 2 - np.exp(-dt / tau) * (x[:, :-1] - 2)  # the innovations: independent, of known size
        assert abs(step.var() / (0.25 * (1 - np.exp(-2 * dt / tau))) - 1) < 4 * np.sqrt(2 / step.size)
        assert abs(np.mean(step[:, 1:] * step[:, :-1])) < 4 * step.var() / np.sqrt(step[:, 1:].size)


def test_ou_noise_is_a_current():
    key = jax.random.key(1)
    current = jn.ou_noise(key, 2.5, 0.5, 5.0, 30.0, 0.7)
    np.testing.assert_allclose(
        current.ts, 0.7 * np.arange(44), rtol=1e-12
    )  # the first sample at or after t1 is the last
    assert jn.ou_noise(key, 2.5, 0.5, 5.0, 30.0, 0.1).ts.shape == (301,)
    assert jn.ou_noise(key, jnp.float32(2.5), 0.5, 5.0, 30.0, 0.1).values.dtype == jnp.float32
    assert np.all(np.asarray(jn.ou_noise(key, 2.5, 0.0, 5.0, 30.0, 0.1).values) == 2.5)
    np.testing.assert_array_equal(jn.ou_noise(jax.random.PRNGKey(1), 2.5, 0.5, 5.0, 30.0, 0.7).values, current.values)
    params = jn.LIF.default_params()
    last = lambda x: jn.simulate(
        jn.LIF, params, jn.ou_noise(key, x[0], x[1], x[2], 25.0, 1.0), 25.0, max_spikes=4, **TIGHT
    ).spike_times[1]
    at = (jnp.asarray(3.5), jnp.asarray(0.5), jnp.asarray(5.0))
    slopes = jax.jit(jax.grad(last))(at)
    for actual, expected in zip(slopes, central_difference(last, at, scale=0.1), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
    wrong = jax.jit(lambda tau: jn.ou_noise(key, 1.0, 0.5, tau, 5.0, 1.0).valid())
    assert wrong(5.0) and not wrong(-1.0)  # so that a run with it ends with RESULTS.bad_stimulus


def test_ou_noise_refuses():
    good = dict(key=jax.random.key(0), mean=0.0, std=1.0, tau=5.0, t1=10.0, dt=0.1)
    for error, message, wrong in (
        (ValueError, "tau must be > 0 ms", dict(tau=0.0)),
        (ValueError, "std must be >= 0", dict(std=-1.0)),
        (ValueError, "std must be >= 0", dict(std=jnp.nan)),
        (ValueError, "tau must be > 0", dict(tau=jnp.nan)),
        (ValueError, "dt must be one known, finite number", dict(dt=0.0)),
        (ValueError, "t1 must be one known, finite number", dict(t1=-1.0)),
        (ValueError, "mean must be a scalar", dict(mean=jnp.zeros(2))),
        (TypeError, "key must be one JAX random key", dict(key=0)),
        (TypeError, "key must be one JAX random key", dict(key=jnp.zeros((2, 2), jnp.uint32))),
    ):
        with pytest.raises(error, match=message):
            jn.ou_noise(**(good | wrong))
    with pytest.raises(ValueError, match="t1 must be one known"):
        jax.jit(lambda t1: jn.ou_noise(**(good | dict(t1=t1))).values)(10.0)
