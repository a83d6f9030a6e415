"""The spike times that everything is measured against: Dopri8 at 1e-12, a few lanes checked with scipy."""

from typing import Any

import diffrax as dfx
import jax
import numpy as np

import jaxneuro as jn
from experiments.benchmarks import scipy_check
from experiments.benchmarks.lanes import Cell
from experiments.benchmarks.tasks import WINDOW


def reference(task: dict[str, Any], cell: Cell, setting: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return all spike times over a window somewhat longer than the task's."""
    tight: dict[str, Any] = dict(
        solver=dfx.Dopri8(), stepsize_controller=dfx.PIDController(rtol=1e-12, atol=1e-12), throw=False
    )
    window = WINDOW * cell.duration

    @jax.jit
    def run(currents: Any) -> Any:
        lane = lambda i: jn.simulate(cell.model, cell.params, i, window, state0=cell.state0, **tight)
        sol = jax.vmap(lane)(currents)
        return sol.spike_times, sol.result == jn.RESULTS.successful

    times, well = jax.tree.map(np.asarray, run(cell.currents))
    lanes = np.linspace(0, len(times) - 1, setting["check"] + 1).astype(int)[1:]
    off = [scipy_check.difference({**task, "window": window}, float(cell.currents[k]), times[k]) for k in lanes]
    measures = dict(
        first_s=0.0, seconds=[0.0], cpu_seconds=[0.0], off=max(off, default=0.0), lanes_failed=int(np.sum(~well))
    )
    return measures, dict(times=times[:, : max(1, int(np.isfinite(times).sum(axis=1).max()))])
