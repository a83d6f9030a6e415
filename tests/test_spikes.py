"""Measures of spike trains, on trains counted by hand, with their gradients on the edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxneuro as jn

INF = np.inf
# Train, rate (Hz), intervals, CV, latency from 0: by hand. Intervals 10 and 30: mean 20, deviation 10.
TRAINS = [
    ([INF, INF, INF, INF], 0.0, [INF, INF, INF], 0.0, INF),
    ([12.5, INF, INF, INF], 0.0, [INF, INF, INF], 0.0, 12.5),
    ([10.0, 14.0, INF, INF], 250.0, [4.0, INF, INF], 0.0, 10.0),
    ([10.0, 20.0, 50.0, INF], 50.0, [10.0, 30.0, INF], 0.5, 10.0),
    ([5.0, 10.0, 15.0, 20.0], 200.0, [5.0, 5.0, 5.0], 0.0, 5.0),
]
MEASURES = {
    "rate": jn.spikes.rate,
    "intervals": lambda ts: jnp.sum(jnp.nan_to_num(jn.spikes.intervals(ts), posinf=0.0)),
    "cv": jn.spikes.cv,
    "latency": jn.spikes.latency,
    "count_rate": lambda ts: jn.spikes.count_rate(ts, 0.0, 30.0),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("train, rate, intervals, cv, latency", TRAINS)
def test_values(train, rate, intervals, cv, latency, dtype):
    ts = jnp.asarray(train, dtype)
    assert int(jn.spikes.count(ts)) == np.isfinite(train).sum()
    assert float(jn.spikes.rate(ts)) == pytest.approx(rate, rel=1e-6)
    assert jn.spikes.intervals(ts).tolist() == intervals
    assert float(jn.spikes.cv(ts)) == pytest.approx(cv, rel=1e-6)
    assert float(jn.spikes.latency(ts)) == latency
    for measure in MEASURES.values():
        assert measure(ts).dtype == dtype


@pytest.mark.parametrize("name", MEASURES)
def test_gradients_are_finite_and_zero_on_padding(name):
    trains = jnp.array([train for train, *_ in TRAINS])
    for transform in (jax.grad, jax.jacfwd):
        slopes = jax.jit(jax.vmap(transform(MEASURES[name])))(trains)
        assert np.isfinite(slopes).all()
        assert (np.asarray(slopes)[np.isinf(trains)] == 0).all()


def test_gradients_by_hand():
    ts = jnp.array([10.0, 20.0, 50.0, INF])
    # d/dt_n 1000 (n-1)/(t_n - t_1) = -1000 (n-1)/(t_n - t_1)^2 = -1.25 Hz/ms
    np.testing.assert_allclose(jax.grad(jn.spikes.rate)(ts), [1.25, 0, -1.25, 0], rtol=1e-12)
    # For two intervals CV = (b - a)/(a + b): d/da = -2b/(a+b)^2, d/db = 2a/(a+b)^2 with a = 10, b = 30.
    da, db = -60 / 1600, 20 / 1600
    np.testing.assert_allclose(jax.grad(jn.spikes.cv)(ts), [-da, da - db, db, 0], rtol=1e-12)
    np.testing.assert_allclose(jax.jacrev(jn.spikes.intervals)(ts), [[-1, 1, 0, 0], [0, -1, 1, 0], [0, 0, 0, 0]])
    assert jax.grad(jn.spikes.cv)(jnp.array([5.0, 10.0, 15.0])).tolist() == [0, 0, 0]


def test_latency_counts_from_the_onset():
    ts = jnp.array([10.0, 20.0, INF])
    assert [float(jn.spikes.latency(ts, t0)) for t0 in (0, 10, 12, 25)] == [10, 0, 8, INF]
    assert float(jax.grad(jn.spikes.latency, argnums=1)(ts, 12.0)) == -1
    assert jax.grad(jn.spikes.latency)(ts, 12.0).tolist() == [0, 1, 0]
    assert float(jax.grad(jn.spikes.latency, argnums=1)(ts, 25.0)) == 0


def test_count_rate_window():
    ts = jnp.array([10.0, 20.0, 50.0, INF])
    windows = [(0, 50, 40.0), (10, 50, 50.0), (0, 100, 30.0), (60, 100, 0.0), (10.0, 10.5, 2000.0)]
    for t0, t1, expected in windows:  # from t0 on, up to but not at t1
        assert float(jn.spikes.count_rate(ts, t0, t1)) == pytest.approx(expected)
    assert np.isnan(jn.spikes.count_rate(ts, 5.0, 5.0))
    assert float(jax.grad(jn.spikes.count_rate, argnums=2)(ts, 0.0, 50.0)) == pytest.approx(-0.8)  # -2000/50^2


def test_poisson_train_has_a_cv_of_one():
    gaps = np.random.default_rng(0).exponential(10.0, size=20_000)
    train = jnp.append(jnp.cumsum(gaps), INF)
    assert float(jn.spikes.cv(train)) == pytest.approx(gaps[1:].std() / gaps[1:].mean(), rel=1e-9)
    assert float(jn.spikes.cv(train)) == pytest.approx(1.0, abs=0.03)  # 4 standard errors
    assert float(jn.spikes.rate(train)) == pytest.approx(1e3 / gaps[1:].mean(), rel=1e-9)


def test_host_arrays_and_many_trains():
    trains = np.array([train for train, *_ in TRAINS])
    assert jax.vmap(jn.spikes.rate)(trains).tolist() == pytest.approx([row[1] for row in TRAINS])
    assert float(jn.spikes.rate(trains[3])) == 50.0


@pytest.mark.parametrize("name", ["count", "rate", "intervals", "cv", "latency"])
def test_many_trains_at_once_are_refused(name):
    with pytest.raises(ValueError, match=r"one train \(spikes,\); its shape is \(2, 3\).*jax.vmap"):
        getattr(jn.spikes, name)(jnp.ones((2, 3)))
