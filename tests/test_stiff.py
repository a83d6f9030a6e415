"""A cell whose calcium gate relaxes within 0.1 us: implicit solvers step over it, and everything else stays as it is."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from scipy.integrate import solve_ivp
from stiff_cell import Stiff, default_params, init_state, vector_field

import jaxneuro as jn

NEWTON: Any = dfx.with_stepsize_controller_tols(optx.Newton)()


def settings(solver, tolerance) -> dict[str, Any]:
    return dict(solver=solver, stepsize_controller=dfx.PIDController(rtol=tolerance, atol=tolerance), max_spikes=8)


@pytest.fixture(scope="module")
def exact():
    """Return SciPy's spike times (Radau) at 60 uA/cm2 in 150 ms."""
    params = default_params()
    y0 = init_state(params)
    field = jax.jit(lambda y: jnp.stack(vector_field(jnp.zeros(()), y0._make(y), params, jnp.asarray(60.0))))
    jacobian = jax.jit(jax.jacfwd(field))
    crossing: Any = lambda t, y: y[0]
    crossing.direction = 1
    options: dict[str, Any] = dict(events=crossing, jac=lambda t, y: jacobian(y), rtol=1e-10, atol=1e-11)
    return solve_ivp(lambda t, y: field(y), (0, 150), np.stack(y0), "Radau", **options).t_events[0]


@pytest.mark.parametrize(
    "solver, tolerance, error, steps",
    [
        (dfx.Kvaerno3(), 1e-6, 5e-4, 3000),
        (dfx.Kvaerno4(root_finder=NEWTON), 1e-8, 1e-5, 3000),
        (dfx.Kvaerno5(root_finder=NEWTON), 1e-9, 1e-6, 3000),
    ],
    ids=["Kvaerno3", "Kvaerno4", "Kvaerno5"],
)
def test_spike_times_in_few_steps(exact, solver, tolerance, error, steps):
    sol = jn.simulate(Stiff, default_params(), 60.0, 150.0, **settings(solver, tolerance))
    assert exact.shape == (3,) and int(sol.num_spikes) == 3
    np.testing.assert_allclose(sol.spike_times[:3], exact, atol=error)
    # An explicit method is stable below about 3 tau_m = 3e-4 ms: it would need half a million.
    assert int(sol.stats["num_steps"]) < steps


def test_the_explicit_solver_is_bound_by_stability():
    sol = jn.simulate(Stiff, default_params(), 60.0, 2.0, max_spikes=8)
    assert int(sol.stats["num_steps"]) > 2.0 / 4e-4


def test_derivatives_through_rest_and_spikes():
    """Against central differences. For 30 ms nothing moves but w, which nearly returns to rest: no step may lose it."""
    names = ("tau_m", "g_ca", "phi", "w0")
    # A rate in tau_m is tiny: the step is taken large enough to be seen.
    x = jnp.array([1e-4, 4.0, 1 / 15, 0.1])
    h = jnp.array([5e-5, 4e-3, 1e-4, 5e-3])

    def spikes(x):
        params = default_params(tau_m=x[0], g_ca=x[1], phi=x[2])
        start = init_state(params)._replace(v=jnp.asarray(-60.0), m=jnp.asarray(0.0), w=x[3])
        options = settings(dfx.Kvaerno5(root_finder=NEWTON), 1e-9)
        return jn.simulate(Stiff, params, jn.step(60.0, 30.0), 150.0, state0=start, tape_steps=2048, **options)

    def value_and_rates(x):
        value, pull = jax.vjp(lambda x: spikes(x).spike_times[:2], x)
        return value, jax.vmap(pull)(jnp.eye(2))[0]

    points = jnp.stack([x, *[x + s * h * e for e in jnp.eye(4) for s in (1.0, -1.0, 0.5, -0.5)]])
    value, rates = jax.jit(jax.vmap(value_and_rates))(points)
    wide_up, wide_down, up, down = np.moveaxis(np.asarray(value[1:]).reshape(4, 4, 2), 1, 0)
    steps = np.asarray(h)[:, None]
    expected = (4 * (up - down) / steps - (wide_up - wide_down) / (2 * steps)) / 3
    for name, r, e in zip(names, np.asarray(rates[0]).T, expected, strict=True):
        np.testing.assert_allclose(r, e, rtol=2e-4, err_msg=name)
