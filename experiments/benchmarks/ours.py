"""jaxneuro's side of `compare`: one setting of one task in a fresh process (see peers/protocol.py for job and answer).

`devices` splits the host: the lanes are dealt out so that neighbours in current go to different devices, as `jn.sweep` would
not have to but a hand-written `shard_map` should, since a lane costs what its spikes cost. `pinned` keeps the process on
one core.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxneuro as jn
from experiments.benchmarks import gradients
from experiments.benchmarks.lanes import Cell, cell_of, controls, split
from experiments.benchmarks.peers import protocol
from experiments.benchmarks.reference import reference
from experiments.common import timed

PACKAGES = ("jax", "jaxlib", "diffrax", "jaxneuro", "numpy")


def main() -> None:
    setting = json.loads(Path(sys.argv[1]).read_text())["settings"][0]
    if setting.get("pinned"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    jn.configure_cpu(num_devices=setting.get("devices", 1))  # no persistent cache: compile times are part of the table
    jax.config.update("jax_enable_x64", True)
    protocol.serve(run, PACKAGES)


def run(task: dict[str, Any], setting: dict[str, Any], job: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Run one setting; return its measures and its spikes."""
    cell = cell_of(task, setting)
    if setting["kind"] == "reference":
        return reference(task, cell, setting)
    return KINDS[setting["kind"]](cell, setting, job)


def measured(fn: Callable, cell: Cell, setting: dict[str, Any], job: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Compile and time `fn(current)` for all lanes; return what it gave, in the order of the lanes, and the times."""
    devices = setting.get("devices", 1)
    batched, deal, collect = split(fn, devices, check="solver" not in setting)
    currents = deal(cell.currents)
    compiled, compile_s = timed(lambda: jax.jit(batched).lower(currents).compile())
    result, times = protocol.measure(lambda: jax.block_until_ready(compiled(currents)), job["repeats"], job["budget"])
    return collect(result), dict(**times, compile_s=compile_s)


def spikes(cell: Cell, setting: dict[str, Any], job: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """`jn.simulate`: all spike times."""
    kwargs = controls(setting)

    def lane(current: Any) -> Any:
        sol = jn.simulate(cell.model, cell.params, current, cell.duration, state0=cell.state0, **kwargs)
        return sol.spike_times, sol.num_spikes, sol.stats["num_steps"], sol.result == jn.RESULTS.successful

    (times, count, steps, well), measures = measured(lane, cell, setting, job)
    return dict(**measures, steps=int(steps.sum()), **_failed(well)), _last(times, count)


def grid(cell: Cell, setting: dict[str, Any], job: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """`jn.simulate_grid`: all spike times of a scheme on a grid."""

    def lane(current: Any) -> Any:
        sol = jn.simulate_grid(
            cell.model, cell.params, current, cell.duration, dt=setting["dt"], scheme=setting["scheme"], state0=cell.state0
        )  # fmt: skip
        return sol.spike_times, sol.num_spikes, sol.result == jn.RESULTS.successful

    (times, count, well), measures = measured(lane, cell, setting, job)
    steps = len(cell.currents) * round(cell.duration / setting["dt"])
    return dict(**measures, steps=steps, **_failed(well)), _last(times, count)


def sweep(cell: Cell, setting: dict[str, Any], job: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """`jn.sweep`, called as a user would, results on the host; the first call compiles."""

    def point(p: dict[str, Any]) -> Any:
        sol = jn.simulate(cell.model, cell.params, p["current"], cell.duration, state0=cell.state0)
        return sol.spike_times, sol.num_spikes

    axes = jn.grid(current=cell.currents)
    call = lambda: jn.sweep(point, axes, devices=setting["devices"], batch_size=setting.get("batch_size"))
    (times, count), measures = protocol.measure(call, job["repeats"], job["budget"], compiles=True)
    return measures, _last(times, count)


def count(cell: Cell, setting: dict[str, Any], job: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The number of spikes only, in bounded memory, for the scaling curves."""

    def lane(current: Any) -> Any:
        kwargs = {"max_spikes": setting["max_spikes"]} if "max_spikes" in setting else {}
        sol = jn.simulate(cell.model, cell.params, current, cell.duration, state0=cell.state0, **kwargs)
        return sol.num_spikes, sol.stats["num_steps"]

    (number, steps), measures = measured(lane, cell, setting, job)
    return dict(**measures, steps=int(np.sum(steps, dtype=np.int64)), spikes=int(np.sum(number, dtype=np.int64))), None


def _failed(well: Any) -> dict[str, Any]:
    failed = int(np.sum(~np.asarray(well)))
    return {"note": f"{failed} lanes failed"} if failed else {}


def _last(times: Any, count: Any) -> dict[str, Any]:
    times, count = np.asarray(times), np.asarray(count)
    rows = np.arange(len(count))
    padded = np.concatenate([np.full((len(count), 2), np.inf), times], axis=1)
    return dict(count=count, last=padded[rows, count + 1], before=padded[rows, count])


KINDS: dict[str, Callable] = {
    "spikes": spikes,
    "grid": grid,
    "sweep": sweep,
    "count": count,
    "gradient": lambda cell, setting, job: gradients.spike_times(cell, setting, job, measured),
    "voltage": lambda cell, setting, job: gradients.voltage(cell, setting, job, measured),
}


if __name__ == "__main__":
    main()
