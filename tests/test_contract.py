"""The contract every model keeps, over all of them: a new row in cases.py inherits it."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, draws

import jaxneuro as jn
from jaxneuro.neurons.lif import LIFState

by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.model.name)


def test_every_model_has_a_case():
    assert {case.model for case in CASES} == set(jn.ALL_MODELS)


@by_name
def test_record(case):
    assert jn.check_model(case.model) == []
    assert pickle.loads(pickle.dumps(case.model)) is case.model
    with pytest.raises(ValueError, match="has no parameter 'tau_x'; its parameters are"):
        case.model.default_params(tau_x=1.0)


@by_name
def test_jit_vmap_and_eager_agree(case):
    params = draws(case, 3, seed=8)
    run = lambda p: jn.simulate(case.model, p, case.current, 100.0, max_spikes=64)
    batched = jax.jit(jax.vmap(run))(params)
    assert int(jnp.min(batched.num_spikes)) >= 1
    for k in range(3):
        one = run(jax.tree.map(lambda x, k=k: x[k], params))
        assert int(one.num_spikes) == int(batched.num_spikes[k])
        np.testing.assert_allclose(one.spike_times, batched.spike_times[k], rtol=1e-12)
        np.testing.assert_allclose(one.final_state.v, batched.final_state.v[k], rtol=1e-10)


@by_name
def test_float32_stays_float32(case):
    params = jax.tree.map(lambda x: x[0], draws(case, 1, seed=9))
    double = jn.simulate(case.model, params, case.current, 60.0)
    single = jn.simulate(case.model, jax.tree.map(lambda x: x.astype(jnp.float32), params), case.current, 60.0)
    floats = [x for x in jax.tree.leaves(single) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert floats and all(x.dtype == jnp.float32 for x in floats)
    n = int(double.num_spikes)
    assert int(single.num_spikes) == n >= 1
    np.testing.assert_allclose(single.spike_times[:n], double.spike_times[:n], atol=2e-2)


@by_name
def test_one_trace_for_any_values(case):
    calls = []

    def counted(t, state, params, current):
        calls.append(1)
        return case.model.vector_field(t, state, params, current)

    m = case.model
    model = jn.NeuronModel("counted", m.default_params, m.init_state, counted, m.spike_condition, m.reset, m.refractory)
    params = draws(case, 4, seed=10)
    for k in range(4):
        p = jax.tree.map(lambda x, k=k: x[k], params)
        jn.simulate(model, p, case.current + 0.1 * k, 20.0 + k, max_spikes=32)
        traced = traced if k else len(calls)
        assert len(calls) == traced > 0


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
