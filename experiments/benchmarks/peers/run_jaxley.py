"""Jaxley; pip install jaxley. One Hodgkin-Huxley compartment of 100 um2: mean of v^2, and its gradient in three conductances."""

import jax
import jax.numpy as jnp
import jaxley as jx  # pyright: ignore[reportMissingImports]
import numpy as np
import protocol
from jaxley.channels import HH  # pyright: ignore[reportMissingImports]

AREA, RADIUS = 100.0, 5.0  # um2, um


def build(task, setting):
    p = task["params"]
    cell = jx.Compartment()
    cell.insert(HH())
    values = dict(
        radius=RADIUS, length=AREA / (2 * np.pi * RADIUS), capacitance=p["cm"], v=task["state0"]["v"], HH_eNa=p["e_na"],
        HH_eK=p["e_k"], HH_eLeak=p["e_leak"], HH_gNa=1e-3 * p["g_na"], HH_gK=1e-3 * p["g_k"], HH_gLeak=1e-3 * p["g_leak"],
    )  # fmt: skip
    for name, value in values.items():
        cell.set(name, value)
    cell.init_states(setting["dt"])
    cell.record("v", verbose=False)
    for name in ("HH_gNa", "HH_gK", "HH_gLeak"):
        cell.make_trainable(name, verbose=False)
    return cell


def run(task, setting, job):
    jax.config.update("jax_enable_x64", True)
    cell, dt = build(task, setting), setting["dt"]
    steps, every = round(task["duration"] / dt), round(setting["sample"] / dt)

    def loss(params, current):
        clamp = cell.data_stimulate(jnp.full(steps, current * AREA * 1e-5), None)  # uA/cm2 to nA
        v = jx.integrate(
            cell, params=params, data_stimuli=clamp, delta_t=dt, t_max=task["duration"], solver=setting["solver"]
        )
        return jnp.mean(v[0, every::every] ** 2)

    params, currents = cell.get_parameters(), jnp.asarray(protocol.currents(task))
    forward = jax.jit(jax.vmap(loss, in_axes=(None, 0)))
    backward = jax.jit(jax.vmap(jax.value_and_grad(loss), in_axes=(None, 0)))
    timed = lambda fn: protocol.measure(
        lambda: jax.block_until_ready(fn(params, currents)), job["repeats"], job["budget"], compiles=True
    )
    _, plain = timed(forward)
    (value, gradient), measures = timed(backward)
    gradient = 1e-3 * np.stack([np.ravel(next(iter(g.values()))) for g in gradient], axis=1)  # per mS/cm2
    measures = dict(protocol.beside(plain, measures), steps=protocol.grid_steps(task, dt))
    return measures, dict(value=np.asarray(value), gradient=gradient)


if __name__ == "__main__":
    protocol.serve(run, ("jaxley", "jax", "numpy"))
