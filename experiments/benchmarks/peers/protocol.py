"""What the scripts of all tools share: how a job comes in, how it is timed, what goes back.

Standard library and numpy only, since it runs in every tool's environment. A job is a JSON file: the task, the settings to run
it at, the number of repeats. Its answer is a JSON file with one entry per setting; the spikes lie beside it in `NAME.K.npz`.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np


def serve(run: Callable, packages: tuple[str, ...]) -> None:
    """Run `run(task, setting, job) -> (measures, spikes)` at every setting of the job named on the command line."""
    path = Path(sys.argv[1])
    job = json.loads(path.read_text())
    answers = []
    for k, setting in enumerate(job["settings"]):
        answers.append(answer(run, setting, job, path.with_suffix(f".{k}.npz"), packages))
        path.with_suffix(".answer").write_text(json.dumps(answers))  # row by row: a kill leaves what is done


def answer(run: Callable, setting: Any, job: Any, file: Path, packages: tuple[str, ...]) -> dict[str, Any]:
    try:
        measures, spikes = run(job["task"], setting, job)
    except Exception as error:  # whatever a tool raises becomes a sentence in the table
        traceback.print_exc()
        return {"failed": sentence(error)}
    if spikes is not None:
        np.savez(file, **spikes)
    versions = {name: metadata.version(name) for name in packages}
    return {"peak_mib": peak_mib(), "versions": {"python": sys.version.split()[0], **versions}, **measures}


def sentence(error: Exception) -> str:
    """The line of a long message that says what happened, in 300 characters at most."""
    name = type(error).__name__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    telling = next((line for line in reversed(lines) if f"{name}: " in line), f"{name}: {lines[0]}")
    return telling[:300]


def measure(
    run: Callable, repeats: int, budget: float = 5.0, compiles: bool = False, prepare: Callable = lambda: None
) -> tuple[Any, dict[str, Any]]:
    """Return the last result and the times of `run()`: first call, then repeats until `budget` seconds are spent.

    A first call that is over the budget is the only one, and counts as the steady one too, unless it `compiles`. What
    `prepare()` does before each call is not timed.
    """
    wall: list[float] = []
    cpu: list[float] = []
    result: Any = None
    for _ in range(1 + repeats):
        prepare()
        cpu0, wall0 = time.process_time(), time.perf_counter()
        result = run()
        wall.append(time.perf_counter() - wall0)
        cpu.append(time.process_time() - cpu0)
        if sum(wall[1:]) > budget or (wall[0] > budget and not compiles):
            break
    times: dict[str, Any] = {"first_s": wall[0], "seconds": wall[1:] or wall, "cpu_seconds": cpu[1:] or cpu}
    if compiles:  # within the first call: the difference
        times["compile_s"] = times["first_s"] - float(np.median(times["seconds"]))
    return result, times


def beside(forward: dict[str, Any], times: dict[str, Any]) -> dict[str, Any]:
    """Return the times of a gradient, with what they are as a multiple of those of its own forward run."""
    least = min(forward["seconds"])
    return {**times, "forward_s": least, "ratio": min(times["seconds"]) / least}


def last_spikes(neurons: Any, times: Any, n: int) -> dict[str, Any]:
    """Return count, last and last but one spike time of each of n neurons, from spikes in any order (inf: none)."""
    neurons, times = np.asarray(neurons, int), np.asarray(times, float)
    times = times[np.lexsort((times, neurons))]
    count = np.bincount(neurons, minlength=n)
    end = np.cumsum(count)
    last, before = np.full(n, np.inf), np.full(n, np.inf)
    last[count > 0] = times[end[count > 0] - 1]
    before[count > 1] = times[end[count > 1] - 2]
    return {"count": count, "last": last, "before": before}


def currents(task: dict[str, Any]) -> Any:
    return np.linspace(task["currents"][0], task["currents"][1], task["neurons"])


def grid_steps(task: dict[str, Any], dt: float) -> int:
    """Neuron steps of a run on a grid."""
    return task["neurons"] * round(task["duration"] / dt)


def peak_mib(pid: object = "self") -> float | None:
    """Return the peak resident memory of a process in MiB (of its own program, not of the one that started it)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith("VmHWM")]
    return int(found[0].split()[1]) / 1024 if found else None
