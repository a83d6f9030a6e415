"""vmap in tiles: the same numbers as lane by lane, however many lanes, axes and transformations there are."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close

import jaxneuro as jn
from jaxneuro.hybrid.tiles import tiled
from jaxneuro.runtime import tile_lanes

PARAMS = jn.LIF.default_params()
MANY = 2 * (tile_lanes(1) or 64) + 5  # two tiles and a rest
CURRENTS = jnp.linspace(1.5, 4.0, MANY)  # from silence to many spikes


def spikes(p, i, adjoint=None):
    sol = jn.simulate(jn.LIF, p, i, 60.0, max_spikes=16, adjoint=adjoint)
    return sol.spike_times, sol.num_spikes, sol.final_state.v


def loss(p, i, adjoint=None):
    times, _, v = spikes(p, i, adjoint)
    return jnp.sum(jnp.where(jnp.isfinite(times), times, 0.0)) + v


def lane_by_lane(fn):
    fn = jax.jit(fn)
    return jax.tree.map(lambda *x: jnp.stack(x), *[fn(i) for i in CURRENTS])


def test_many_lanes_are_the_lanes_one_by_one():
    run = lambda i: (spikes(PARAMS, i), jax.grad(loss, argnums=(0, 1))(PARAMS, i))
    assert_close(jax.jit(jax.vmap(run))(CURRENTS), lane_by_lane(run), rtol=1e-10, atol=1e-9)


def test_two_axes_and_shared_parameters():
    """vmap of vmap, and the gradient in what all lanes share, which is the sum over the lanes."""
    taus = jnp.array([8.0, 10.0, 12.0])
    params = lambda tau: PARAMS._replace(tau_m=tau)
    inner_first = jax.jit(jax.vmap(lambda t: jax.vmap(lambda i: spikes(params(t), i))(CURRENTS)))(taus)
    outer_first = jax.jit(jax.vmap(lambda i: jax.vmap(lambda t: spikes(params(t), i))(taus), out_axes=1))(CURRENTS)
    assert_close(inner_first, outer_first, rtol=1e-10)
    total = jax.jit(jax.grad(lambda p: jnp.sum(jax.vmap(lambda i: loss(p, i))(CURRENTS))))(PARAMS)
    each = jax.jit(jax.vmap(lambda i: jax.grad(loss)(PARAMS, i)))(CURRENTS)
    assert_close(total, jax.tree.map(jnp.sum, each), rtol=1e-10, atol=1e-8)


def test_forward_mode_and_hessians_of_many_lanes():
    reverse = jax.jit(jax.vmap(lambda i: jax.grad(loss)(PARAMS, i)))(CURRENTS)
    forward = jax.jit(jax.vmap(lambda i: jax.jacfwd(lambda p: loss(p, i, dfx.ForwardMode()))(PARAMS)))(CURRENTS)
    assert_close(forward, reverse, rtol=1e-10, atol=1e-10)
    few = CURRENTS[::40]
    slope = lambda i: jax.grad(loss, argnums=1)(PARAMS, i)
    twice = jax.jit(jax.vmap(jax.jacfwd(slope)))(few)
    np.testing.assert_allclose(twice, [jax.jacfwd(slope)(i) for i in few], rtol=1e-10, atol=1e-9)


def test_a_run_longer_than_its_tape_has_the_same_gradient():
    """The gradient runs one tape after the other again, from checkpoints."""
    long = lambda p, i, steps: jnp.sum(
        jn.simulate(
            jn.LIF, p, i, 150.0, max_spikes=8, stop_after=8, tape_steps=steps, saveat=jnp.array([3.0, 90.0])
        ).states.v
    )
    grads = [
        jax.jit(jax.vmap(jax.grad(long), (None, 0, None)), static_argnums=2)(PARAMS, CURRENTS[-9:], s)
        for s in (16, 4096)
    ]
    assert_close(grads[0], grads[1], rtol=1e-12, atol=1e-12)


def test_max_steps_within_a_tape_ends_the_gradient_there_too():
    """21 steps of 0.5 ms, tapes of 16 and of 64: the state of the passive membrane at 10.5 ms, and its derivative."""
    fixed: dict[str, Any] = dict(stepsize_controller=dfx.ConstantStepSize(), dt0=0.5, max_steps=21, throw=False)

    def cut(v0, tape):
        start = jn.LIF.init_state(PARAMS)._replace(v=v0)
        return jn.simulate(jn.LIF, PARAMS, 1.0, 500.0, state0=start, tape_steps=tape, **fixed).final_state.v

    for tape in (16, 64):
        value, slope = jax.value_and_grad(cut)(jnp.asarray(-65.0), tape)
        np.testing.assert_allclose([value, slope], [-60 - 5 * np.exp(-1.05), np.exp(-1.05)], rtol=1e-7)


def test_inside_shard_map_with_its_checks_on():
    mesh = jax.make_mesh((1,), ("devices",), devices=jax.devices()[:1], axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("devices")
    run = jax.vmap(lambda i: (spikes(PARAMS, i), jax.grad(loss, argnums=1)(PARAMS, i)))
    sharded = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=spec, out_specs=spec))(CURRENTS)
    assert_close(sharded, jax.jit(run)(CURRENTS), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 17, 40])
def test_tiles_of_a_plain_function(size):
    x, shared = jnp.arange(float(size)), jnp.asarray(2.0)
    fn = lambda x, y, none: {"sum": x + y, "square": x * x, "shared": y}
    out = jax.vmap(tiled(fn, 8), (0, None, None))(x, shared, None)
    assert_close(out, {"sum": x + 2.0, "square": x * x, "shared": jnp.full(size, 2.0)}, rtol=0.0)
    d = jax.vmap(jax.jacfwd(lambda x: tiled(fn, 8)(x, shared, None)["square"]))(x)
    np.testing.assert_array_equal(d, 2 * x)
