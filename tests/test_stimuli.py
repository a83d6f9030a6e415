"""Stimuli by hand, and the passive membrane's answer to them against the convolution, with its derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import TIGHT

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
