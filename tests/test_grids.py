"""Fixed-step schemes: the published numbers, closed forms, and a loop in plain Python."""

from fractions import Fraction
from math import factorial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax.sharding import Mesh, PartitionSpec

import jaxneuro as jn
from jaxneuro import RESULTS
from jaxneuro.model import NeuronModel, make_params
from jaxneuro.numerics import exprel

# Izhikevich (2004), doi:10.1109/TNN.2004.832719: parameters and inputs of its program; number of spikes and
# time of the first as that program prints them. a b c d; V(0), dt, T; input; spikes, first (ms). G uses 4.1
# V + 108.
PUBLISHED = {
    "A tonic spiking": (0.02, 0.2, -65, 6, -70, 0.25, 100, jn.step(14.0, 10.0), 5, 13.0),
    "B phasic spiking": (0.02, 0.25, -65, 6, -64, 0.25, 200, jn.step(0.5, 20.0), 1, 43.75),
    "C tonic bursting": (0.02, 0.2, -50, 2, -70, 0.25, 220, jn.step(15.0, 22.0), 28, 25.0),
    "D phasic bursting": (0.02, 0.25, -55, 0.05, -64, 0.2, 200, jn.step(0.6, 20.0), 6, 39.0),
    "E mixed mode": (0.02, 0.2, -55, 4, -70, 0.25, 160, jn.step(10.0, 16.0), 6, 20.0),
    "F adaptation": (0.01, 0.2, -65, 8, -70, 0.25, 85, jn.step(30.0, 8.5), 6, 10.25),
    "G class 1": (0.02, -0.1, -55, 6, -60, 0.25, 300, jn.ramp(0.075, 30.0), 10, 84.5),
    "H class 2": (0.2, 0.26, -65, 0, -64, 0.25, 300, jn.ramp(0.015, 30.0) - 0.5, 14, 105.75),
    "I spike latency": (0.02, 0.2, -65, 6, -70, 0.2, 100, jn.step(7.04, 10.0, 13.0), 1, 26.6),
}


class CounterParams(NamedTuple):
    top: jax.Array
    bottom: jax.Array


class CounterState(NamedTuple):
    v: jax.Array


def default_params(**overrides) -> CounterParams:
    return make_params(CounterParams, dict(top=1.0, bottom=0.0), overrides)


# v' = current, a spike at v = top, then v <- bottom: its spikes can be counted by hand.
Counter = NeuronModel(
    "Counter",
    default_params,
    lambda params: CounterState(jnp.zeros_like(params.top)),
    lambda t, state, params, current: CounterState(current * jnp.ones_like(state.v)),
    lambda state, params: state.v - params.top,
    lambda state, params: CounterState(params.bottom),
)
Crossing = NeuronModel(
    "Crossing",
    default_params,
    Counter.init_state,
    Counter.vector_field,
    Counter.spike_condition,
    lambda y, p: y,
)


def spikes_of(sol) -> list[float]:
    return np.asarray(sol.spike_times)[: int(sol.num_spikes)].tolist()


@pytest.mark.parametrize("name", PUBLISHED)
def test_izhikevich_2004_gives_the_published_spikes(name):
    a, b, c, d, v0, dt, t1, current, num_spikes, first = PUBLISHED[name]
    parabola = dict(k1=4.1, k0=108.0) if name.startswith("G") else {}
    params = jn.Izhikevich.default_params(a=a, b=b, c=c, d=d, **parabola)
    state0 = type(jn.Izhikevich.init_state(params))(v=jnp.asarray(float(v0)), u=jnp.asarray(float(b * v0)))
    sol = jn.simulate_grid(jn.Izhikevich, params, current, t1, dt=dt, scheme="izhikevich_2004", state0=state0)
    assert int(sol.num_spikes) == num_spikes
    assert float(sol.spike_times[0]) == pytest.approx(first, abs=1e-9)
    assert bool(sol.result == RESULTS.successful)


def test_euler_equals_a_plain_loop():
    v, u, expected = -65.0, -13.0, []
    for n in range(2000):
        v, u = v + 0.1 * (0.04 * v * v + 5 * v + 140 - u + 10), u + 0.1 * 0.02 * (0.2 * v - u)
        if v >= 30:
            expected.append((n + 1) * 0.1)  # the end of the step
            v, u = -65.0, u + 8
    sol = jn.simulate_grid(jn.Izhikevich, jn.Izhikevich.default_params(), 10.0, 200.0, dt=0.1)
    assert len(expected) > 3
    assert spikes_of(sol) == expected
    np.testing.assert_allclose([*sol.final_state], [v, u], rtol=1e-9)


@pytest.mark.parametrize("steps", [1, 31, 32, 33, 64, 70])
def test_every_step_may_spike(steps):
    sol = jn.simulate_grid(Counter, default_params(), 1.0, steps, dt=1, max_spikes=70)
    assert spikes_of(sol) == [float(n) for n in range(1, steps + 1)]
    assert np.isinf(sol.spike_times[steps:]).all()
    assert bool(sol.result == RESULTS.successful)


def test_sparse_spikes_across_blocks():
    # v reaches 1 in steps 40, 80, ..., 400: blocks of the recording without a spike lie between.
    sol = jn.simulate_grid(Counter, default_params(), 1 / 32, 12.8 * 32, dt=0.8 * 1.0, max_spikes=20)
    assert spikes_of(sol) == pytest.approx([32.0 * k for k in range(1, 13)])


def test_spikes_beyond_max_spikes_are_named():
    run = lambda m: jn.simulate_grid(Counter, default_params(), 1.0, 70, dt=1, max_spikes=m)
    exact, short = run(70), run(69)
    assert bool(exact.result == RESULTS.successful) and int(exact.num_spikes) == 70
    assert bool(short.result == RESULTS.max_spikes_reached) and int(short.num_spikes) == 69
    np.testing.assert_array_equal(short.spike_times, exact.spike_times[:69])


def test_guard_counts_upward_crossings_once():
    up_down_up = jn.sampled([0.0, 3.0, 6.0], [1.0, -1.0, 1.0], "hold")
    params = default_params(top=2.0)
    sol = jn.simulate_grid(Crossing, params, up_down_up, 12, dt=1)
    assert spikes_of(sol) == [2.0, 8.0]  # v: 1 2 3, 2 1 0, 1 2 3 4 5 6
    above = CounterState(jnp.asarray(5.0))
    assert int(jn.simulate_grid(Crossing, params, 1.0, 12, dt=1, state0=above).num_spikes) == 0


@pytest.mark.parametrize("scheme, expected", [("euler", 3.0), ("exponential", 3.0), ("izhikevich_2004", 2.0)])
def test_input_windows_on_the_grid(scheme, expected):
    # dt = 0.7: the window 2.1 to 4.2 is steps 3, 4, 5 when closed at its start, 4 and 5 when open. 3 * 0.7
    # is no 2.1 in floats.
    sol = jn.simulate_grid(Counter, default_params(top=1e9), jn.step(1 / 0.7, 2.1, 4.2), 7.0, dt=0.7, scheme=scheme)
    assert float(sol.final_state.v) == pytest.approx(expected, rel=1e-12)
    both = jn.step(1 / 0.7, 2.1, 4.2) + 2.0 * jn.step(1 / 0.7, 2.1, 4.2)
    sol = jn.simulate_grid(Counter, default_params(top=1e9), both, 7.0, dt=0.7, scheme=scheme)
    assert float(sol.final_state.v) == pytest.approx(3 * expected, rel=1e-12)


def test_long_sampled_input_is_read_at_every_step():
    values = np.random.default_rng(0).normal(size=3000)
    stim = jn.sampled(np.arange(3000) * 0.1, values, "hold")
    sol = jn.simulate_grid(Counter, default_params(top=1e9), stim, 300.0, dt=0.1)
    assert float(sol.final_state.v) == pytest.approx(0.1 * values.sum(), rel=1e-10)
    coarse = jn.simulate_grid(Counter, default_params(top=1e9), stim, 300.0, dt=0.5)  # jumps over breakpoints
    assert float(coarse.final_state.v) == pytest.approx(0.5 * values[::5].sum(), rel=1e-10)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 1e-5)])
def test_exponential_is_exact_for_the_passive_membrane(dtype, tolerance):
    params = jn.LIF.default_params(v_thresh=jnp.asarray(jnp.inf, dtype))
    saveat = np.array([100.0, 0.0, 10.0, 10.0, 37.5])
    sol = jn.simulate_grid(jn.LIF, params, 10.0, 100.0, dt=2.5, scheme="exponential", saveat=saveat)
    assert sol.ts is not None and sol.states is not None
    np.testing.assert_array_equal(sol.ts, saveat)
    np.testing.assert_allclose(sol.states.v, 30 - 100 * np.exp(-saveat / 10), rtol=tolerance)
    assert {x.dtype for x in jax.tree.leaves((sol.spike_times, sol.ts, sol.states, sol.final_state))} == {
        jnp.dtype(dtype)
    }


def test_exponential_lif_spikes_on_the_next_grid_point_and_is_held():
    # T = 13.862943611199 ms: 139 steps; t_ref = 2 ms: 20 steps.
    params = jn.LIF.default_params(v_rest=-65.0, v_reset=-65.0)
    sol = jn.simulate_grid(jn.LIF, params, 2.0, 100.0, dt=0.1, scheme="exponential")
    np.testing.assert_allclose(spikes_of(sol), [13.9 + 15.9 * k for k in range(6)], rtol=1e-12)
    # Half a step rounds up, and no step of refractoriness is none.
    for tau_refrac, held in [(0.25, 3), (0.24, 2), (0.04, 0)]:
        free = jn.simulate_grid(
            jn.LIF,
            params._replace(tau_refrac=jnp.asarray(tau_refrac)),
            2.0,
            100.0,
            dt=0.1,
            scheme="exponential",
        )
        np.testing.assert_allclose(np.diff(spikes_of(free)), 13.9 + 0.1 * held, rtol=1e-12)


def test_euler_converges_to_the_exact_interval_with_order_one():
    params = jn.LIF.default_params(v_rest=-65.0, v_reset=-65.0, tau_refrac=0.0)
    last = lambda dt: spikes_of(jn.simulate_grid(jn.LIF, params, 2.0, 200.0, dt=dt))[9] / 10
    exact = 13.862943611199
    errors = [abs(last(dt) - exact) for dt in (0.1, 0.01)]
    assert errors[0] < 0.2 and errors[1] < 0.02


def test_derivative_between_spikes():
    params = jn.LIF.default_params()
    v_end = lambda i: jn.simulate_grid(jn.LIF, params, i, 30.0, dt=0.5, scheme="exponential").final_state.v
    expected = 10 * (1 - np.exp(-3.0))  # dV/dI = R (1 - exp(-t/tau))
    np.testing.assert_allclose([jax.grad(v_end)(1.0), jax.jacfwd(v_end)(1.0)], expected, rtol=1e-12)


def test_failures_are_values_of_their_lane():
    huge = 1e308  # finite itself, infinite once it has driven the membrane

    def run(i, tau_m, width):
        params = jn.LIF.default_params(tau_m=tau_m)
        return jn.simulate_grid(jn.LIF, params, jn.pulses(i, jnp.zeros(1), width), 10.0, dt=0.5)

    lanes = jnp.array([[1.0, 10.0, 1.0], [huge, 10.0, 1.0], [1.0, -10.0, 1.0], [1.0, 10.0, -1.0]])
    sol = jax.jit(jax.vmap(run))(*lanes.T)
    codes = (
        RESULTS.successful,
        RESULTS.nonfinite_state,
        RESULTS.bad_parameters,
        RESULTS.bad_stimulus,
    )
    for code in codes:
        assert (sol.result == code).tolist() == [code is other for other in codes]
    for nan in ([jnp.nan, 10.0, 1.0], [1.0, 10.0, jnp.nan]):
        assert bool(run(*jnp.array(nan)).result == RESULTS.bad_stimulus)
    runaway = jn.simulate_grid(jn.LIF, jn.LIF.default_params(tau_refrac=0.0), huge, 10.0, dt=0.5)
    assert bool(runaway.result == RESULTS.nonfinite_state) and int(runaway.num_spikes) == 0
    no_threshold = jn.simulate_grid(Counter, default_params(top=jnp.nan), 1.0, 10.0, dt=0.5)
    assert bool(no_threshold.result == RESULTS.bad_parameters)
    alone = run(*lanes[0])
    np.testing.assert_array_equal(sol.final_state.v[0], alone.final_state.v)


def test_vmap_equals_loop_bitwise():
    currents = jnp.linspace(0.0, 20.0, 7)
    run = lambda i: jn.simulate_grid(jn.Izhikevich, jn.Izhikevich.default_params(), i, 60.0, dt=0.1)
    batch = jax.vmap(run)(currents)
    for k, i in enumerate(currents):
        np.testing.assert_array_equal(batch.spike_times[k], run(i).spike_times)


def test_a_second_call_is_not_traced_again():
    calls = []

    def field(t, state, params, current):
        calls.append(1)
        return Counter.vector_field(t, state, params, current)

    model = NeuronModel("Counted", default_params, Counter.init_state, field, Counter.spike_condition, Counter.reset)
    jn.simulate_grid(model, default_params(), 1.0, 10.0, dt=0.5)
    first = len(calls)
    assert first > 0
    jn.simulate_grid(model, default_params(top=2.0), 2.0, 20.0, dt=1.0)  # 20 steps as well
    assert len(calls) == first


def test_counting_alone_records_no_spikes():
    # 3200 steps are 100 words of 32 bits per lane: a buffer of them must be gone when only the count is
    # asked for.
    def compiled(field):
        run = lambda i: getattr(jn.simulate_grid(Counter, default_params(), i, 3200, dt=1), field)
        return jax.jit(jax.vmap(run)).lower(jnp.zeros(16)).compile().as_text() or ""

    assert "u32[100,16]" in compiled("spike_times")
    assert "u32[100,16]" not in compiled("num_spikes")


def test_traces_inside_shard_map():
    mesh, lanes = Mesh(np.array(jax.devices()[:1]), ("d",)), PartitionSpec("d")
    run = lambda i: jn.simulate_grid(jn.LIF, jn.LIF.default_params(), i, 70.0, dt=0.5, saveat=[1.0, 2.0])
    currents = jnp.linspace(0.0, 4.0, 4)
    sol = jax.jit(jax.shard_map(jax.vmap(run), mesh=mesh, in_specs=lanes, out_specs=lanes))(currents)
    np.testing.assert_array_equal(sol.spike_times, jax.vmap(run)(currents).spike_times)


def test_traced_sample_times():
    run = lambda ts: jn.simulate_grid(Counter, default_params(top=1e9), 1.0, 10, dt=0.5, saveat=ts)
    sol = jax.jit(run)(jnp.array([4.0, 0.0, 10.0, 11.0]))
    assert sol.ts is not None and sol.states is not None
    np.testing.assert_array_equal(sol.ts, [4.0, 0.0, 10.0, np.inf])
    np.testing.assert_array_equal(sol.states.v, [4.0, 0.0, 10.0, np.nan])


def test_a_run_starts_at_t0():
    sol = jn.simulate_grid(Counter, default_params(), jn.step(1.0, 102.0), 105.0, dt=1, t0=100.0, saveat=[103])
    assert sol.ts is not None
    assert (spikes_of(sol), sol.ts.tolist()) == ([103.0, 104.0, 105.0], [103.0])


def test_a_run_without_a_step():
    sol = jn.simulate_grid(Counter, default_params(), 1.0, 0.0, dt=1, saveat=[0.0])
    assert sol.ts is not None and sol.states is not None
    assert (int(sol.num_spikes), sol.ts.tolist(), sol.states.v.tolist()) == (0, [0.0], [0.0])
    assert bool(jnp.all(jnp.isinf(sol.spike_times)) & (sol.result == RESULTS.successful))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(scheme="rk4"), "'euler', 'izhikevich_2004', 'exponential'; it is 'rk4'"),
        (dict(dt=0.0), "dt must be > 0 ms; it is 0.0"),
        (dict(dt=-0.1), "dt must be > 0 ms; it is -0.1"),
        (dict(dt=float("nan")), "dt must be one finite number, in ms; it is nan"),
        (dict(dt=np.ones(2)), "dt must be one finite number"),
        (dict(t1=float("inf")), "t1 must be one finite number, in ms; it is inf"),
        (dict(t1=-1.0), "t1 must be >= t0; t0 is 0.0 and t1 is -1.0"),
        (dict(t1=10.25), r"20.5 steps of 0.5 ms. The nearest t1 is 10\b"),
        (dict(max_spikes=0), "max_spikes must be an integer >= 1; it is 0"),
        (dict(saveat=[1.0, 1.2]), r"times on the grid t0 \+ n dt, n = 0..20, .*; it holds 1.2"),
        (dict(saveat=[11.0]), "it holds 11.0"),
        (dict(saveat=1.0), r"saveat must be an array of times \(n,\) or None; its shape is \(\)"),
        (dict(state0=(jnp.zeros(()), jnp.zeros(()))), "state0 must be a CounterState of scalars"),
        (dict(state0=CounterState(jnp.zeros(3))), r"state0.v must be a scalar.*shape \(3,\).*jax.vmap"),
        (dict(params=CounterParams(jnp.ones(3), jnp.ones(()))), r"params.top must be a scalar.*jax.vmap"),
    ],
)
def test_wrong_use_is_explained(change, message):
    arguments: dict[str, Any] = dict(params=default_params(), current=1.0, t1=10.0, dt=0.5) | change
    with pytest.raises(ValueError, match=message):
        jn.simulate_grid(Counter, **arguments)


@pytest.mark.parametrize("name", ["t0", "t1", "dt"])
def test_traced_times_are_refused(name):
    times, simulate_grid = {"t1": 10.0, "dt": 0.5}, cast(Any, jn.simulate_grid)
    run = lambda x: simulate_grid(Counter, default_params(), 1.0, **(times | {name: x}))
    with pytest.raises(ValueError, match=f"{name} must be a concrete number, since it fixes the number of steps"):
        jax.jit(run)(1.0)


def derivative_of_exprel(x: float, order: int) -> float:
    """sum_{k >= order} k!/(k - order)! x^(k - order)/(k + 1)!, summed exactly."""
    term = lambda k: Fraction(factorial(k), factorial(k - order) * factorial(k + 1)) * Fraction(x) ** (k - order)
    return float(sum(term(k) for k in range(order, order + 120)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_exprel_and_its_derivatives(dtype, order):
    xs = jnp.asarray([-20, -1, -0.5, -0.4999, -1e-3, -1e-9, 0, 1e-9, 1e-3, 0.3, 0.4999, 0.5, 5], dtype)
    f = [exprel, jax.grad(exprel), jax.grad(jax.grad(exprel))][order]
    expected = [derivative_of_exprel(float(x), order) for x in xs]
    np.testing.assert_allclose(jax.vmap(f)(xs), expected, rtol=20 * float(jnp.finfo(dtype).eps))
    if order == 0:
        np.testing.assert_allclose(exprel(xs), scipy.special.exprel(xs), rtol=4 * float(jnp.finfo(dtype).eps))
