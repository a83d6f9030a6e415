"""The contract every model keeps, over all of them: a new row in cases.py inherits it.

Each property is held at twenty seeded draws of the parameters, vmapped into one compile, in float64 and float32.
"""

import pickle
from functools import cache

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, Case, draws

import jaxneuro as jn
from jaxneuro.neurons.lif import LIFState

NUMBER = 20
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.model.name)
FINE = dict(stepsize_controller=dfx.PIDController(rtol=1e-11, atol=1e-11))


def simulated(case: Case, params, **settings):
    return jn.simulate(case.model, params, case.current, case.duration, max_spikes=64, **settings)


@cache
def batch(case: Case, dtype: str):
    """Return twenty draws in `dtype` and their solutions, run once for all tests."""
    params = jax.tree.map(lambda x: x.astype(dtype), draws(case, NUMBER, seed=8))
    return params, jax.jit(jax.vmap(lambda p: simulated(case, p)))(params)


def test_every_model_has_a_case():
    assert {case.model for case in CASES} == set(jn.ALL_MODELS)


@by_name
def test_record(case):
    assert jn.check_model(case.model) == []
    assert pickle.loads(pickle.dumps(case.model)) is case.model
    with pytest.raises(ValueError, match="has no parameter 'tau_x'; its parameters are"):
        case.model.default_params(tau_x=1.0)


@by_name
def test_eager_calls_equal_jit_of_vmap_and_trace_once(case):
    params, batched = batch(case, "float64")
    assert bool(jnp.all(batched.result == jn.RESULTS.successful)) and int(jnp.min(batched.num_spikes)) >= 1
    calls, m = [], case.model

    def counted(t, state, params, current):
        calls.append(1)
        return m.vector_field(t, state, params, current)

    model = jn.NeuronModel("counted", m.default_params, m.init_state, counted, m.spike_condition, m.reset, m.refractory)
    for k in range(3):
        one = simulated(case._replace(model=model), jax.tree.map(lambda x, k=k: x[k], params))
        traced = traced if k else len(calls)
        assert len(calls) == traced > 0
        assert int(one.num_spikes) == int(batched.num_spikes[k])
        # The same to rounding, except where rounding decides about a step of an exponential upstroke: then to the tolerance.
        np.testing.assert_allclose(one.spike_times, batched.spike_times[k], rtol=1e-6)
        np.testing.assert_allclose(one.spike_times[0], batched.spike_times[k][0], rtol=1e-7)
        for a, b in zip(one.final_state, batched.final_state, strict=True):
            np.testing.assert_allclose(a, b[k], rtol=1e-4, atol=1e-5)


@by_name
def test_a_reset_ends_below_threshold(case):
    """So no spike follows from the jump itself; a model without a reset stays where it is."""
    params, sol = batch(case, "float64")
    after = jax.vmap(case.model.reset)(sol.final_state, params)
    if any(bool(jnp.any(a != b)) for a, b in zip(after, sol.final_state, strict=True)):
        assert bool(jnp.all(jax.vmap(case.model.spike_condition)(after, params) < 0))


@by_name
def test_float32_stays_float32(case):
    double, single = batch(case, "float64")[1], batch(case, "float32")[1]
    floats = [x for x in jax.tree.leaves(single) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert floats and all(x.dtype == jnp.float32 for x in floats)
    assert bool(jnp.all(single.result == jn.RESULTS.successful))
    # The first spikes: later ones of a cell near a bifurcation are as sensitive as their derivatives say.
    np.testing.assert_allclose(single.spike_times[:, 0], double.spike_times[:, 0], rtol=1e-3, atol=2e-2)
    assert np.mean(np.abs(single.num_spikes - double.num_spikes)) <= 0.1


def along_a_direction(case):
    """Return a function of a draw and s, and the draws: the time of an early spike, all parameters and the current moved by s."""
    params, sol = batch(case, "float64")
    number = min(3, int(jnp.min(sol.num_spikes)))

    def time(q, s, **settings):
        p, i = jax.tree.map(lambda x, d: x * (1 + s * d), q["at"], q["along"])
        run = jn.simulate(
            case.model, p, i, case.duration, max_spikes=number, stop_after=number, **FINE, **settings
        )  # fmt: skip
        return run.spike_times[number - 1]

    rng = np.random.default_rng(11)
    at = (params, jnp.full(NUMBER, case.current))
    return time, {"at": at, "along": jax.tree.map(lambda x: jnp.asarray(rng.uniform(-1, 1, x.shape)), at)}


@by_name
def test_derivatives_are_central_differences(case):
    """One program gives values and derivatives: of the draws, and of the draws moved to both sides."""
    time, q = along_a_direction(case)
    forward = lambda q, s: jax.jvp(lambda s: time(q, s, adjoint=dfx.ForwardMode()), (s,), (1.0,))
    steps = jnp.array([0.0, 1.0, -1.0, 0.5, -0.5]) * 1e-4
    t, slopes = jax.jit(jax.vmap(jax.vmap(forward, (None, 0)), (0, None)))(q, steps)
    wide, narrow = (t[:, 1] - t[:, 2]) / 2e-4, (t[:, 3] - t[:, 4]) / 1e-4
    tolerance = 1e-6 * float(jnp.max(jnp.abs(slopes)))
    np.testing.assert_allclose(slopes[:, 0], (4 * narrow - wide) / 3, rtol=1e-6, atol=tolerance)


@pytest.mark.slow
@by_name
def test_reverse_mode_equals_forward_mode(case):
    """The compile of a reverse pass takes long: here over all models, in test_gradients.py over three."""
    time, q = along_a_direction(case)
    reverse = jax.jit(jax.vmap(jax.grad(lambda s, q: time(q, s)), (None, 0)))(0.0, q)
    forward = lambda q: jax.jvp(lambda s: time(q, s, adjoint=dfx.ForwardMode()), (0.0,), (1.0,))[1]
    np.testing.assert_allclose(reverse, jax.jit(jax.vmap(forward))(q), rtol=1e-8, atol=1e-10)


def test_check_model_says_what_is_wrong():
    good = jn.LIF

    def broken(**changes):
        fields = {
            f: getattr(good, f) for f in ("name", "default_params", "init_state", "vector_field", "spike_condition")
        }
        fields |= dict(reset=good.reset, refractory=good.refractory, constraints=good.constraints)
        return " ".join(jn.check_model(jn.NeuronModel(**{**fields, **changes})))

    assert "must stand in module" in broken()
    assert "reset(state, params) must return a LIFState" in broken(reset=lambda s, p: (s.v,))
    assert "must lie below threshold" in broken(init_state=lambda p: LIFState(p.v_thresh + 1))
    assert "must be a scalar" in broken(reset=lambda s, p: LIFState(s.v[None]))
    assert "a Python number gets no gradient" in broken(init_state=lambda p: good.init_state(p)._replace(v=-70.0))
    assert "holds 'w', which is no field" in broken(refractory=lambda p: jn.Refractory(p.tau_refrac, ("w",)))
    assert "must refuse an unknown name" in broken(default_params=lambda **k: good.default_params())
    decides = lambda t, s, p, i: s._replace(v=s.v if s.v > 0 else -s.v)
    assert "vector_field cannot be traced" in broken(vector_field=decides)
    assert "ZeroDivisionError" in broken(reset=lambda s, p: 1 / 0)
