"""A task as jaxneuro sees it: records and arrays, step control by name, lanes dealt out to devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxneuro as jn
from experiments.benchmarks.peers import protocol
from jaxneuro.solvers import PredictiveController


class Cell(NamedTuple):
    model: Any
    params: Any
    state0: Any
    currents: Any
    duration: float  # ms


def cell_of(task: dict[str, Any], setting: dict[str, Any]) -> Cell:
    """Return the task's cell in the setting's dtype."""
    dtype = jnp.dtype(setting.get("dtype", "float64"))
    model = getattr(jn, task["model"])
    params = jax.tree.map(lambda x: x.astype(dtype), model.default_params(**task["params"]))
    state = {name: jnp.asarray(value, dtype) for name, value in task["state0"].items()}
    state0 = type(model.init_state(params))(**state)
    return Cell(model, params, state0, protocol.currents(task).astype(dtype), task["duration"])


def controls(setting: dict[str, Any]) -> dict[str, Any]:
    """Return solver and controller of a setting: nothing for library defaults."""
    if "tolerance" not in setting:
        return {}
    tolerance = setting["tolerance"]
    if "solver" not in setting:
        return dict(stepsize_controller=PredictiveController(rtol=tolerance, atol=tolerance))
    solver = getattr(dfx, setting["solver"])()
    return dict(solver=solver, stepsize_controller=dfx.PIDController(rtol=tolerance, atol=tolerance))


def split(fn: Callable, devices: int, check: bool = True) -> tuple[Callable, Callable, Callable]:
    """Return `fn` over lanes, what deals the lanes out to the devices, and what brings results back into their order.

    `check=False` leaves out the checks of `shard_map`: diffrax.PIDController does not pass them.
    """
    if devices == 1:
        return jax.vmap(fn), jnp.asarray, lambda tree: jax.tree.map(np.asarray, tree)
    mesh, spec = Mesh(np.array(jax.devices()[:devices]), ("lanes",)), PartitionSpec("lanes")
    batched = jax.shard_map(jax.vmap(fn), mesh=mesh, in_specs=spec, out_specs=spec, check_vma=check)
    sharding = NamedSharding(mesh, spec)

    def deal(x: Any) -> Any:  # lanes 0, devices, 2 devices, ... go to the first
        return jax.device_put(np.ascontiguousarray(np.reshape(x, (-1, devices)).T).reshape(-1), sharding)

    def back(x: Any) -> Any:
        x = np.asarray(x)
        return x.reshape(devices, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)

    return batched, deal, lambda tree: jax.tree.map(back, tree)
