"""Spike times against the reference, and what becomes a row of the table."""

import platform
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.tasks import Task

COLUMNS = (
    "task", "tool", "setting", "family", "neurons", "not_run", "cores", "compile_s", "first_s", "best_s", "median_s", "repeats",
    "steps", "peak_mib", "spikes", "error_median", "error_p99", "error_max", "wrong", "edge", "forward_s", "ratio",
    "gradient_error", "note", "dt", "tolerance", "duration", "versions", "cpu",
)  # fmt: skip


def score(found: Any, exact: Any, duration: float, slack: float) -> dict[str, Any]:
    """Compare the last spike of each neuron with the same spike of the reference.

    A neuron with one spike more or less than the reference has a wrong count, unless that spike falls out of the window, or
    into it, by no more than twice the error of the one before (and `slack`, ms): then it counts as `edge`, and the last spike
    that both have is compared.
    """
    exact = np.concatenate([exact, np.full((len(exact), 2), np.inf)], axis=1)
    rows = np.arange(len(exact))
    n, m = np.sum(exact <= duration, axis=1), np.asarray(found["count"])
    k = np.minimum(n, m)
    mine = np.where(m <= n, found["last"], found["before"])
    with np.errstate(invalid="ignore"):
        error = np.where(k > 0, np.abs(mine - exact[rows, k - 1]), 0.0)
        further = exact[rows, np.minimum(np.maximum(n, m), exact.shape[1]) - 1]
        edge = (np.abs(n - m) == 1) & (np.abs(further - duration) <= 2 * error + slack)
    right = (n == m) | edge
    measured = error[right & (k > 0)]
    of = lambda q: float(np.quantile(measured, q)) if measured.size else None
    return dict(
        spikes=int(m.sum()), error_median=of(0.5), error_p99=of(0.99), error_max=of(1.0), wrong=int(np.sum(~right)),
        edge=int(edge.sum()),
    )  # fmt: skip


def row(
    task: Task, tool: str, label: str, family: str, options: dict[str, Any], answer: dict[str, Any]
) -> dict[str, Any]:
    """Turn what a tool's process measured into a row; errors are filled in by the caller."""
    found: dict[str, Any] = dict.fromkeys(COLUMNS)
    found.update(
        task=task.name, tool=tool, setting=label, family=family, neurons=task.neurons, duration=task.duration, cpu=cpu_model(),
        dt=options.get("dt"), tolerance=options.get("tolerance"),
    )  # fmt: skip
    if "failed" in answer:
        found["not_run"] = answer["failed"]
        return found
    seconds = answer["seconds"]
    found.update({name: value for name, value in answer.items() if name in COLUMNS})
    found.update(
        best_s=min(seconds), median_s=float(np.median(seconds)), repeats=len(seconds),
        cores=sum(answer["cpu_seconds"]) / max(sum(seconds), 1e-12),
    )  # fmt: skip
    return found


def gradient_error(found: Any, exact: Any) -> float:
    """Median over neurons of the relative error of the gradient, as a vector."""
    off = np.linalg.norm(found["gradient"] - exact["gradient"], axis=1)
    return float(np.median(off / np.linalg.norm(exact["gradient"], axis=1)))


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
