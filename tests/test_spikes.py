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


def padded(train, slots=12):
    return jnp.append(jnp.asarray(train, float), jnp.full(slots - len(train), INF))


def random_trains(number, seed=0, span=100.0):
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(0, span, rng.integers(0, 11))) for _ in range(number)]


def test_cv2_and_local_variation():
    # By hand: contrasts of 10, 30, 10, 10 are 20/40, -20/40, 0: CV2 = 2 (1/2 + 1/2 + 0)/3, LV = 3 (1/4 + 1/4 + 0)/3.
    train = padded([0.0, 10.0, 40.0, 50.0, 60.0])
    assert float(jn.spikes.cv2(train)) == pytest.approx(2 / 3)
    assert float(jn.spikes.local_variation(train)) == pytest.approx(0.5)
    for few in ([], [5.0], [5.0, 9.0]):
        assert jn.spikes.cv2(padded(few)) == jn.spikes.local_variation(padded(few)) == 0
    for measure in (jn.spikes.cv2, jn.spikes.local_variation):
        edges = [[5.0, 5.0, 5.0], [5.0, 10.0, 15.0, 20.0], *random_trains(10)]
        slopes = jax.jit(jax.vmap(jax.grad(measure)))(jnp.stack([padded(t) for t in edges]))
        assert np.isfinite(slopes).all() and np.all(slopes[:2] == 0)
    at = jnp.array([3.0, 10.0, 42.0, 50.0])
    for measure in (jn.spikes.cv2, jn.spikes.local_variation):
        np.testing.assert_allclose(jax.grad(measure)(at), gradient(measure, at), rtol=1e-7)
    # A Poisson train has 1 for all three; a rate that drifts slowly moves the CV only.
    gaps = np.random.default_rng(1).exponential(1.0, 20_000) * np.geomspace(2, 20, 20_000)
    train = jnp.cumsum(gaps)
    assert jn.spikes.cv(train) > 1.2
    assert float(jn.spikes.cv2(train)) == pytest.approx(1, abs=0.02)
    assert float(jn.spikes.local_variation(train)) == pytest.approx(1, abs=0.03)


def gradient(measure, train):
    h = 1e-5
    moves = h * jnp.eye(train.shape[0])
    values = jax.jit(jax.vmap(measure))(jnp.concatenate([train[None] + moves, train[None] - moves]))
    return (values[: train.shape[0]] - values[train.shape[0] :]) / (2 * h)


def test_histogram_against_numpy():
    gaps = np.random.default_rng(0).gamma(2.0, 5.0, 500)
    train, edges = jnp.append(jnp.cumsum(gaps), INF), np.array([0.0, 2.0, 3.0, 8.0, 20.0, 200.0])
    found = jax.jit(jn.spikes.isi_histogram)(train, edges)
    counts, _ = np.histogram(np.diff(np.cumsum(gaps)), edges)
    assert found.counts.tolist() == counts.tolist() and counts.sum() == 499
    np.testing.assert_allclose(
        found.density, np.histogram(np.diff(np.cumsum(gaps)), edges, density=True)[0], rtol=1e-12
    )
    # Edges belong to the bin on their right, the last to the last bin; what lies outside counts in the norm only.
    found = jn.spikes.isi_histogram(padded([0.0, 1.0, 3.0, 6.0, 10.0]), jnp.array([1.0, 2.0, 3.0]))
    assert found.counts.tolist() == [1, 2] and found.density.tolist() == [0.25, 0.5]
    assert jn.spikes.isi_histogram(padded([1.0]), jnp.array([0.0, 1.0])).density.tolist() == [0]
    for bins in ([1.0], [[0.0, 1.0]], [1.0, 0.0], [0.0, np.nan]):
        with pytest.raises(ValueError, match="bins must be"):
            jn.spikes.isi_histogram(train, np.array(bins))


def test_fano_factor():
    # Windows [0, 10), [10, 20), [20, 30): counts 2, 1, 1; the spike at 30 and the rest of the time are outside.
    train = padded([1.0, 9.9, 10.0, 29.0, 30.0, 33.0])
    assert float(jn.spikes.fano_factor(train, 10.0, 0.0, 35.0)) == pytest.approx((2 / 9) / (4 / 3))
    trials = jnp.stack([train, padded([]), padded([4.0])])  # whole counts 4, 0, 1 in [0, 30)
    assert float(jn.spikes.fano_factor(trials, 30.0, 0.0, 30.0)) == pytest.approx((26 / 9) / (5 / 3))
    assert float(jax.jit(lambda x: jn.spikes.fano_factor(x, 0.1, 0.0, 0.3))(padded([0.05, 0.15, 0.25]))) == 0
    assert jn.spikes.fano_factor(padded([]), 10.0, 0.0, 30.0) == 0
    poisson = jnp.cumsum(jnp.asarray(np.random.default_rng(2).exponential(5.0, 20_000)))
    assert float(jn.spikes.fano_factor(poisson, 50.0, 0.0, 95_000.0)) == pytest.approx(1, abs=0.1)  # 3 standard errors
    for message, args in (
        ("does not vary", (train, 30.0, 0.0, 30.0)),
        ("window must be > 0 and fit", (train, 40.0, 0.0, 30.0)),
        ("window must be > 0 and fit", (train, 0.0, 0.0, 30.0)),
        ("t1 must be one known, finite number", (train, 1.0, 0.0, INF)),
        (r"\(spikes,\) or \(trials, spikes\)", (train[None, None], 10.0, 0.0, 30.0)),
    ):
        with pytest.raises(ValueError, match=message):
            jn.spikes.fano_factor(*args)
    with pytest.raises(ValueError, match="t0 must be one known"):
        jax.jit(jn.spikes.fano_factor)(train, 10.0, 0.0, 30.0)


def van_rossum_on_a_grid(a, b, tau):
    width = tau / 2_000
    t = np.arange(0.0, 100.0 + 20 * tau, width) + width / 2
    trace = lambda train: sum(
        (np.where(t >= s, np.exp(-np.maximum(t - s, 0) / tau), 0.0) for s in train), np.zeros_like(t)
    )
    return np.sqrt(np.sum((trace(a) - trace(b)) ** 2) * width / tau)


def victor_purpura_by_recursion(a, b, cost):
    if not len(a) or not len(b):
        return len(a) + len(b)
    return min(
        victor_purpura_by_recursion(a[:-1], b, cost) + 1,
        victor_purpura_by_recursion(a, b[:-1], cost) + 1,
        victor_purpura_by_recursion(a[:-1], b[:-1], cost) + cost * abs(a[-1] - b[-1]),
    )


def test_van_rossum_distance():
    trains = random_trains(12)
    pairs = list(zip(trains[::2], trains[1::2], strict=True))
    a, b = (jnp.stack([padded(pair[k]) for pair in pairs]) for k in (0, 1))
    batch = jax.jit(jax.vmap(jn.spikes.van_rossum_distance, (0, 0, None)))
    for tau in (2.0, 20.0):
        found = batch(a, b, tau)
        np.testing.assert_allclose(found, [van_rossum_on_a_grid(*pair, tau) for pair in pairs], rtol=2e-3)
        kernel = lambda x, y, tau=tau: np.exp(-np.abs(x[:, None] - y[None]) / tau).sum()
        exact = [np.sqrt(0.5 * (kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))) for x, y in pairs]
        np.testing.assert_allclose(found, exact, rtol=1e-10)
    # As printed: one spike more, far from the others, adds 1/2 to the square; two far apart cost 1.
    distance = jax.jit(jn.spikes.van_rossum_distance)
    assert float(distance(padded([10.0, 500.0]), padded([10.0]), 5.0)) ** 2 == pytest.approx(0.5)
    assert float(distance(padded([10.0]), padded([500.0]), 5.0)) ** 2 == pytest.approx(1.0)
    assert distance(padded([]), padded([]), 5.0) == distance(a[0], a[0], 5.0) == 0
    same = lambda x: jnp.concatenate([x, a[:1]])
    slopes = jax.jit(jax.vmap(jax.grad(distance, argnums=(0, 1)), (0, 0, None)))(
        same(a), same(b).at[-1].set(a[0]), 10.0
    )
    assert all(np.isfinite(x).all() and np.all(x[-1] == 0) for x in slopes)
    x, y = jnp.array([10.0, 22.0, 61.0]), jnp.array([12.0, 60.0])
    by_x, by_tau = jax.grad(distance, argnums=(0, 2))(x, y, 7.0)
    np.testing.assert_allclose(by_x, gradient(lambda x: distance(x, y, 7.0), x), rtol=1e-6)
    np.testing.assert_allclose(by_tau, (distance(x, y, 7.0 + 1e-5) - distance(x, y, 7.0 - 1e-5)) / 2e-5, rtol=1e-6)


def test_victor_purpura_distance():
    trains = [train[:6] for train in random_trains(12, seed=1)]
    pairs = list(zip(trains[::2], trains[1::2], strict=True))
    a, b = (jnp.stack([padded(pair[k]) for pair in pairs]) for k in (0, 1))
    distance = jax.jit(jn.spikes.victor_purpura_distance)
    batch = jax.jit(jax.vmap(distance, (0, 0, None)))
    for cost in (0.0, 0.02, 0.1, 10.0):
        found = batch(a, b, cost)
        np.testing.assert_allclose(found, [victor_purpura_by_recursion(*pair, cost) for pair in pairs], rtol=1e-12)
    x, y = padded([10.0, 30.0, 50.0]), padded([10.0, 31.0])
    assert [float(distance(x, y, cost)) for cost in (0.0, 0.5, INF)] == [1.0, 1.5, 3.0]
    assert (
        distance(padded([]), y, 1.0) == distance(y, padded([]), 1.0) == 2 and distance(padded([]), padded([]), 1.0) == 0
    )
    slopes = jax.jit(jax.vmap(jax.grad(distance, argnums=(0, 2)), (0, 0, None)))
    for cost in (0.1, INF):
        assert all(np.isfinite(slope).all() for slope in slopes(a, b, cost))
    by_x, by_cost = slopes(x[None], y[None], 0.5)
    assert by_x.tolist() == [[0, -0.5, 0] + [0] * 9] and by_cost.tolist() == [1.0]
    assert distance(x[:3], y[:2], 0.5) == distance(y, x[:3], 0.5) == 1.5  # lengths may differ


def test_coincidence_factor():
    data = padded([10.0, 20.0, 30.0])
    factor = jax.jit(jn.spikes.coincidence_factor)
    gamma = lambda *model, window=2.0: factor(data, padded(model), window, 1000.0)
    assert float(gamma(10.0, 20.0, 30.0).factor) == pytest.approx(1.0)
    # By hand: two of three agree, 2 nu delta = 4 ms * 3/1000 ms = 0.012, of three spikes 0.036 by chance.
    assert float(gamma(12.0, 18.5, 40.0).factor) == pytest.approx((2 - 0.036) / 3 / 0.988)
    assert int(gamma(12.0, 18.5, 40.0).num_coincidences) == 2
    # A spike is used once: 15 is 5 from both 10 and 20; the next of the model serves the next of the data.
    assert int(gamma(15.0, window=5.0).num_coincidences) == 1
    assert int(gamma(9.0, 15.0, window=11.0).num_coincidences) == 2
    assert gamma().factor == 0 and gamma().result == jn.RESULTS.successful
    nothing = factor(padded([]), padded([]), 2.0, 1000.0)
    assert nothing.factor == 0 and nothing.result == jn.RESULTS.no_spikes
    certain = gamma(10.0, 20.0, window=250.0)
    assert certain.factor == 0 and certain.result == jn.RESULTS.bad_parameters
    # Over many Poisson trains chance leaves 0.
    rng = np.random.default_rng(3)
    many = jnp.sort(jnp.asarray(rng.uniform(0, 10_000, (200, 2, 100))), axis=-1)
    found = jax.jit(jax.vmap(lambda pair: jn.spikes.coincidence_factor(pair[0], pair[1], 2.0, 10_000.0)))(many)
    assert abs(np.mean(found.factor)) < 4 * np.std(found.factor) / np.sqrt(200) < 0.01


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_distances_keep_the_dtype(dtype):
    a, b = jnp.asarray([1.0, 2.0, INF], dtype), jnp.asarray([1.5, INF], dtype)
    assert jn.spikes.van_rossum_distance(a, b, 5.0).dtype == jn.spikes.victor_purpura_distance(a, b, 0.5).dtype == dtype
    assert jn.spikes.coincidence_factor(a, b, 1.0, 10.0).factor.dtype == jn.spikes.cv2(a).dtype == dtype
    assert (
        jn.spikes.isi_histogram(a, [0.0, 1.0]).density.dtype == jn.spikes.fano_factor(a, 1.0, 0.0, 3.0).dtype == dtype
    )


def test_distances_refuse():
    a = padded([1.0])
    for message, call in (
        ("tau must be > 0; it is -1", lambda: jn.spikes.van_rossum_distance(a, a, -1.0)),
        ("cost must be >= 0", lambda: jn.spikes.victor_purpura_distance(a, a, -1.0)),
        ("window must be > 0", lambda: jn.spikes.coincidence_factor(a, a, 0.0, 10.0)),
        ("duration must be > 0", lambda: jn.spikes.coincidence_factor(a, a, 1.0, np.nan)),
        ("tau must be a scalar", lambda: jn.spikes.van_rossum_distance(a, a, jnp.ones(2))),
        ("one train", lambda: jn.spikes.victor_purpura_distance(a[None], a, 1.0)),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_distances_of_traced_values_out_of_range_and_of_arrays_without_slots():
    """A traced value cannot be refused: NaN, or its result; a train may have no slot at all."""
    a, b, none = jnp.array([10.0, 30.0]), jnp.array([12.0, jnp.inf]), jnp.zeros(0)
    for bad in (-1.0, jnp.nan):
        assert jnp.isnan(jax.jit(jn.spikes.van_rossum_distance)(a, b, bad))
        assert jnp.isnan(jax.jit(jn.spikes.victor_purpura_distance)(a, b, bad))
        for window, duration in ((bad, 100.0), (2.0, bad)):
            found = jax.jit(jn.spikes.coincidence_factor)(a, b, window, duration)
            assert found.factor == 0 and found.result == jn.RESULTS.bad_parameters
    for data, model, result in ((none, none, jn.RESULTS.no_spikes), (a, none, jn.RESULTS.successful)):
        found = jn.spikes.coincidence_factor(data, model, 2.0, 100.0)
        assert found.factor == 0 and found.num_coincidences == 0 and found.result == result
