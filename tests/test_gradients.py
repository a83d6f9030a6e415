"""Derivatives of spike times and states, against closed forms and central differences, in both modes and to second order."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, draws, lif_spike_time
from helpers import TIGHT, central_difference

import jaxneuro as jn

FORWARD = dfx.ForwardMode()
CLOSED = [case for case in CASES if case.spike_time is not None]
NUMBER = 12  # the spike whose time is differentiated
name_of = lambda case: case.model.name


def nth_spike(case, n=NUMBER, **settings):
    """Return (params, current) -> time of the n-th spike."""

    def time(p, current):
        return jn.simulate(case.model, p, current, 1000.0, max_spikes=n, stop_after=n, **settings).spike_times[n - 1]

    return time


@pytest.mark.parametrize("case", CLOSED, ids=name_of)
def test_spike_times_in_every_parameter_against_closed_form(case):
    params = draws(case, 20, seed=4)
    current = jnp.full(20, case.current)
    exact = jax.vmap(jax.grad(lambda p, i: case.spike_time(p, i, NUMBER), argnums=(0, 1)))(params, current)
    reverse = jax.jit(jax.vmap(jax.grad(nth_spike(case, **TIGHT), argnums=(0, 1))))(params, current)
    forward = jax.jit(jax.vmap(jax.jacfwd(nth_spike(case, adjoint=FORWARD, **TIGHT), argnums=(0, 1))))(params, current)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-8, atol=1e-9), reverse, exact)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-11), forward, reverse)


def test_forward_equals_reverse_at_default_tolerance():
    case = CASES[2]
    params = draws(case, 4, seed=5)
    reverse = jax.jit(jax.vmap(jax.grad(lambda p: nth_spike(case)(p, 15.0))))(params)
    forward = jax.jit(jax.vmap(jax.jacfwd(lambda p: nth_spike(case, adjoint=FORWARD)(p, 15.0))))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-9), forward, reverse)


@pytest.mark.parametrize("case", CLOSED, ids=name_of)
def test_hessians_against_closed_form(case):
    params = draws(case, 3, seed=6)
    exact = jax.vmap(jax.hessian(lambda p: case.spike_time(p, case.current, 6)))(params)
    over = jax.jit(jax.vmap(jax.jacfwd(jax.grad(lambda p: nth_spike(case, 6, **TIGHT)(p, case.current)))))(params)
    twice = lambda p: nth_spike(case, 6, adjoint=FORWARD, **TIGHT)(p, case.current)
    both = jax.jit(jax.vmap(jax.jacfwd(jax.jacfwd(twice))))(params)
    for hessian in (over, both):
        jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-6, atol=1e-7), hessian, exact)


def everything(q):
    """Izhikevich: a weighted sum of spike times, samples and the final state, of everything that can be moved."""
    stim = jn.step(q["amplitude"], q["t_on"], q["t_off"]) + jn.constant(4.0)
    sol = jn.simulate(
        jn.Izhikevich,
        q["params"],
        stim,
        q["t1"],
        t0=q["t0"],
        state0=q["state0"],
        saveat=q["ts"][None],
        max_spikes=40,
        **TIGHT,
    )
    spikes = jnp.where(jnp.isfinite(sol.spike_times), sol.spike_times, 0.0)
    weights = jnp.cos(jnp.arange(40.0))
    return jnp.stack([jnp.sum(weights * spikes), sol.final_state.v, sol.final_state.u, sol.states.v[0]])


def everything_at():
    p = jn.Izhikevich.default_params(d=4.0)
    moved = dict(amplitude=12.0, t_on=15.3, t_off=171.7, t0=1.0, t1=200.0, ts=123.4)
    return dict(params=p, state0=jn.Izhikevich.init_state(p), **{k: jnp.asarray(v) for k, v in moved.items()})


def test_izhikevich_in_everything_against_central_differences():
    q = everything_at()
    expected = central_difference(jax.jit(everything), q, scale=0.02)
    actual = jax.jit(jax.jacrev(everything))(q)
    assert int(jn.simulate(jn.Izhikevich, q["params"], 16.0, 200.0).num_spikes) > 10

    def close(a, e):
        np.testing.assert_allclose(a, e, rtol=1e-6, atol=1e-6 * max(1.0, float(jnp.max(jnp.abs(e)))))

    jax.tree.map(close, actual, expected)


def test_lif_state_after_many_spikes_against_closed_form():
    """v(t1) after n spikes, in every parameter, v0, t1, t0 and a sample time."""

    def closed(q):
        p, n = q["params"], 10
        v_inf = p.v_rest + p.r_m * q["i"]
        first = q["t0"] + p.tau_m * jnp.log((v_inf - q["v0"]) / (v_inf - p.v_thresh))
        interval = p.tau_m * jnp.log((v_inf - p.v_reset) / (v_inf - p.v_thresh)) + p.tau_refrac
        last = first + (n - 1) * interval + p.tau_refrac
        v = lambda t: v_inf + (p.v_reset - v_inf) * jnp.exp(-(t - last) / p.tau_m)
        return jnp.stack([v(q["t1"]), v(q["ts"])])

    def simulated(q):
        state0 = jn.LIF.init_state(q["params"])._replace(v=q["v0"])
        sol = jn.simulate(
            jn.LIF, q["params"], q["i"], q["t1"], t0=q["t0"], state0=state0, saveat=q["ts"][None], **TIGHT
        )
        return jnp.stack([sol.final_state.v, sol.states.v[0]])

    params = jn.LIF.default_params()
    tenth = float(lif_spike_time(params, 3.0, 10))
    q = dict(params=params, i=3.0, v0=-68.0, t0=-1.5, t1=tenth + 5.0, ts=tenth + 4.0)
    q = jax.tree.map(jnp.asarray, q)
    np.testing.assert_allclose(simulated(q), closed(q), rtol=1e-10)
    actual, expected = jax.jit(jax.jacrev(simulated))(q), jax.jacrev(closed)(q)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-8, atol=1e-8), actual, expected)


@pytest.mark.parametrize("model", [jn.LIF, jn.Izhikevich], ids=str)
def test_onset_moves_the_spikes_of_a_resting_cell_by_one(model):
    params = model.default_params()
    if model is jn.Izhikevich:  # the exact rest of 0.04 v^2 + 5 v + 140 - b v
        params = params._replace(c=jnp.asarray(-70.0), b=jnp.asarray(0.2))
    rest = model.init_state(params)
    spikes = lambda t_on: jn.simulate(model, params, jn.step(15.0, t_on), 100.0, state0=rest, max_spikes=64).spike_times
    for t_on in (20.0, 0.0):
        slope = jax.jacrev(spikes)(jnp.asarray(t_on))
        number = int(jnp.sum(jnp.isfinite(spikes(t_on))))
        np.testing.assert_allclose(slope[:number], 1.0, atol=1e-9)
        np.testing.assert_array_equal(slope[number:], 0.0)


def test_refractory_period_zero_has_the_right_derivative():
    run = lambda tau: (
        jn.simulate(
            jn.LIF, jn.LIF.default_params()._replace(tau_refrac=tau), 3.0, 200.0, max_spikes=12, stop_after=12
        ).spike_times
    )
    np.testing.assert_allclose(jax.jacrev(run)(jnp.asarray(0.0)), jnp.arange(12.0), atol=1e-9)


def test_lanes_without_spikes_have_finite_gradients():
    def loss(p, i):
        sol = jn.simulate(jn.LIF, p, i, 50.0)
        return jnp.sum(jnp.where(jnp.isfinite(sol.spike_times), sol.spike_times, 0.0)) + sol.final_state.v

    lanes = [(-50.0, 0.5), (jnp.inf, 3.0), (-50.0, 3.0)]
    v, i = jnp.array([x[0] for x in lanes]), jnp.array([x[1] for x in lanes])
    grad = jax.vmap(lambda v, i: jax.grad(loss)(jn.LIF.default_params()._replace(v_thresh=v), i))(v, i)
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(grad))
    assert grad.v_thresh[:2].tolist() == [0.0, 0.0] and float(grad.v_thresh[2]) != 0.0


def test_orders_of_vmap_and_grad_agree():
    """vmap(grad) = loop of grads = grad of the sum of vmap, with amplitude, onset and offset batched together."""
    params = jn.LIF.default_params()

    def loss(a, on, off):
        sol = jn.simulate(jn.LIF, params, jn.step(a, on, off), 80.0, max_spikes=16)
        return jnp.sum(jnp.where(jnp.isfinite(sol.spike_times), sol.spike_times, 0.0)) + sol.final_state.v

    x = (jnp.array([3.0, 2.5, 4.0, 3.0]), jnp.array([5.0, 10.0, 0.0, 30.0]), jnp.array([50.0, 60.0, 70.0, 20.0]))
    grad = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    batched = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1, 2))))(*x)
    looped = jax.tree.map(lambda *g: jnp.stack(g), *[grad(*(xi[k] for xi in x)) for k in range(4)])
    summed = jax.jit(jax.grad(lambda *x: jnp.sum(jax.vmap(loss)(*x)), argnums=(0, 1, 2)))(*x)
    for other in (looped, summed):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), batched, other)
    # The last lane's step ends before it begins: no current, no derivative.
    assert [float(g[3]) for g in batched] == [0.0, 0.0, 0.0]


def test_a_perturbation_of_rest_is_followed_though_the_state_stands_still():
    """The state rests, so its own error says nothing of the derivative in it, which decays until the step comes on."""
    p = jn.LIF.default_params()

    def third(v0, t_on):
        start = jn.LIF.init_state(p)._replace(v=v0)
        return jn.simulate(
            jn.LIF, p, jn.step(3.0, t_on), 300.0, state0=start, max_spikes=3, stop_after=3, **TIGHT
        ).spike_times[2]

    t_on = jnp.array([5.0, 20.0, 60.0, 150.0])
    slope = jax.jit(jax.vmap(jax.grad(third), in_axes=(None, 0)))(p.v_rest, t_on)
    # dt/dv0 = -tau/(v_inf - v_rest) e^(-t_on/tau)
    np.testing.assert_allclose(slope, -10.0 / 30.0 * jnp.exp(-t_on / 10.0), rtol=1e-8, atol=1e-9)


def test_a_rest_at_a_focus_keeps_the_derivative():
    """Izhikevich's resonator rests at a focus: the perturbation turns faster than it decays (J_ii alone would not say so)."""
    b = 0.26
    p = jn.Izhikevich.default_params(a=0.1, b=b, c=-60.0, d=-1.0)
    v = (-(5 - b) - np.sqrt((5 - b) ** 2 - 4 * 0.04 * 140)) / 0.08
    rest = jn.Izhikevich.init_state(p)._replace(v=jnp.asarray(v), u=jnp.asarray(b * v))

    def spike(b, **settings):
        stim = jn.step(2.0, 300.0)
        return jn.simulate(jn.Izhikevich, p._replace(b=b), stim, 400.0, state0=rest, **settings).spike_times[0]

    h = 1e-5
    expected = (spike(b + h, **TIGHT) - spike(b - h, **TIGHT)) / (2 * h)
    np.testing.assert_allclose(jax.grad(lambda b: spike(b, **TIGHT))(b), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(spike)(b), expected, rtol=1e-3)
    final = lambda v0: jn.simulate(jn.Izhikevich, p, 0.0, 1000.0, state0=rest._replace(v=v0)).final_state.v
    assert abs(float(jax.grad(final)(rest.v))) < 1e-12  # e^(-50)


def test_motion_in_a_straight_line_keeps_the_derivative():
    """Under a ramp the membrane can move in a straight line, which no method's error estimate sees."""
    p = jn.LIF.default_params(v_thresh=jnp.inf)

    def final(v0):
        return jn.simulate(
            jn.LIF, p, jn.ramp(0.05, 0.0), 200.0, state0=jn.LIF.init_state(p)._replace(v=v0)
        ).final_state.v

    # v = v_rest + r_m slope (t - tau_m) solves the equation exactly; a perturbation of it decays by e^-20.
    np.testing.assert_allclose(jax.grad(final)(jnp.asarray(-75.0)), np.exp(-20.0), atol=1e-5)


def test_a_uniform_flow_keeps_the_derivative_in_its_input():
    """The theta neuron at I = 1 turns uniformly, with no error and no Jacobian, but its sensitivity to I varies on the way."""
    p = jn.Theta.default_params()
    current = jnp.array([1.0, 1.0001, 0.9999, 0.98])

    def period(i):
        t = jn.simulate(jn.Theta, p, i, 50.0, max_spikes=3, stop_after=3).spike_times
        return t[2] - t[1]

    value, slope = jax.jit(jax.vmap(jax.value_and_grad(period)))(current)
    np.testing.assert_allclose(value, p.tau_m * np.pi / jnp.sqrt(current), rtol=1e-6)
    np.testing.assert_allclose(slope, -p.tau_m * np.pi / 2 * current**-1.5, rtol=2e-5)
