"""jaxneuro's gradients for `compare`, each beside its own undifferentiated run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxneuro as jn
from experiments.benchmarks.lanes import Cell, controls
from experiments.benchmarks.peers import protocol

CONDUCTANCES = ("g_na", "g_k", "g_leak")


def spike_times(
    cell: Cell, setting: dict[str, Any], job: dict[str, Any], measured: Callable
) -> tuple[dict[str, Any], Any]:
    """The sum of all spike times, and its gradient in all parameters, lane by lane."""

    def total(params: Any, current: Any) -> Any:
        times = jn.simulate(
            cell.model, params, current, cell.duration, state0=cell.state0, **controls(setting)
        ).spike_times
        return jnp.sum(jnp.where(jnp.isfinite(times), times, 0.0))

    measures = _beside_forward(total, cell.params, cell, setting, job, measured)
    return measures, dict(value=measures.pop("value"), gradient=measures.pop("gradient"))


def voltage(cell: Cell, setting: dict[str, Any], job: dict[str, Any], measured: Callable) -> tuple[dict[str, Any], Any]:
    """The mean of v^2 over samples every `sample` ms, and its gradient in the three conductances."""
    ts = jnp.arange(0.0, cell.duration, setting["sample"]) + setting["sample"]

    def loss(conductances: Any, current: Any) -> Any:
        params = cell.params._replace(**dict(zip(CONDUCTANCES, conductances, strict=True)))
        sol = jn.simulate(
            cell.model, params, current, cell.duration, state0=cell.state0, saveat=ts, **controls(setting)
        )
        return jnp.mean(sol.states.v**2)

    conductances = tuple(getattr(cell.params, name) for name in CONDUCTANCES)
    measures = _beside_forward(loss, conductances, cell, setting, job, measured)
    return measures, dict(value=measures.pop("value"), gradient=measures.pop("gradient"))


def _beside_forward(
    loss: Callable, argument: Any, cell: Cell, setting: dict[str, Any], job: dict[str, Any], measured: Callable
) -> dict[str, Any]:
    _, forward = measured(lambda current: loss(argument, current), cell, setting, job)
    (value, gradient), measures = measured(
        lambda current: jax.value_and_grad(loss)(argument, current), cell, setting, job
    )
    gradient = np.stack(jax.tree.leaves(gradient), axis=1)
    bad = int(np.sum(~np.isfinite(gradient).all(axis=1)))
    return dict(
        **protocol.beside(forward, measures), value=value, gradient=gradient,
        note=f"{gradient.shape[1]} parameters" + (f", {bad} lanes not finite" if bad else ""),
    )  # fmt: skip
