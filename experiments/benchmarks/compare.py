"""How do spike times, gradients and run times compare with those of other simulators, on identical tasks?

Each tool (Brian2, NEST, BrainPy, NEURON, Jaxley, eventax) runs in a process of its own, in an environment of its own made from
PyPI where it is not there yet, one after the other: f-I sweeps of LIF and Izhikevich (10,000 neurons, 1 s), Hodgkin & Huxley's
axon (10,000, 100 ms), AdEx (10,000, 500 ms); gradients of spike times in all parameters, of an HH voltage against Jaxley; the
cost of ours against neurons, spikes and tolerance. A row names the cores it kept busy, compile, first call and steady
state (blocked; minimum and median of the repeats), steps, peak memory, spikes, and the error of each neuron's last spike
against Dopri8 at 1e-12, itself checked with scipy. What could not be run is printed as not run, with the reason.

    python -m experiments.benchmarks.compare                                        (all, about half an hour)
    python -m experiments.benchmarks.compare --tasks izhikevich --tools jaxneuro,brian2

Source: Brette et al. (2007), J. Comput. Neurosci. 23:349, doi:10.1007/s10827-007-0038-6 (clock-driven and event-driven
strategies compared); Hairer & Wanner (1996), Solving Ordinary Differential Equations II, section IV.10 (work-precision).

What one should see: on a grid the last spike is wrong by a multiple of the step, so that a digit costs ten times the work;
with located spikes it costs a few per cent. NEST's precise models are exact too, for the one cell that has a closed form.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import common
from experiments.benchmarks import environments, figures, ours, report, scores
from experiments.benchmarks.peers import protocol
from experiments.benchmarks.settings import OURS, TOOLS, Setting, settings
from experiments.benchmarks.tasks import TASKS, Task

SMOKE = {OURS: ("defaults, 1 device", "grid, euler 0.1, float64")}


class Artefacts(NamedTuple):
    rows: list[dict[str, Any]]
    folder: str


class Plan(NamedTuple):
    """What all runs of a session share."""

    folder: Path
    scratch: Path
    peers: Path
    install: bool
    repeats: int
    budget: float  # s
    timeout: float  # s
    smoke: bool


def main(
    *,
    tasks: str = "all",
    tools: str = "all",
    neurons: int | None = None,
    repeats: int = 5,
    budget: float = 5.0,
    timeout: float = 300.0,
    peers_home: str | None = None,
    install: bool = True,
    resume: bool = False,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Run the tools at the tasks; write rows.jsonl as they come, then table.md, table.json and figures.

    Args:
        tasks, tools: names, separated by commas, or all.
        neurons: another number of neurons, where the setting does not have its own.
        repeats: timed calls after the first.
        budget: no further repeat once they took this long, s.
        timeout: a process is stopped after this, s.
        peers_home: folder of the peers' environments (default: a cache folder); one that is there is used as it is.
        install: make an environment that is not there.
        resume: keep the rows that a killed run has written.
        out: folder for the results (default results/compare).
        smoke: a few neurons for 50 ms, our side only and in this process, for tests.
    """
    run = common.begin("compare", out, locals())
    tasks = "lif" if smoke and tasks == "all" else tasks
    chosen = [_sized(task, neurons, smoke) for task in _chosen("task", tasks, TASKS).values()]
    names = [OURS] if smoke else list(_chosen("tool", tools, dict.fromkeys(TOOLS)))
    with tempfile.TemporaryDirectory(prefix="jaxneuro-compare-") as scratch:
        peers = environments.peers_folder(peers_home)
        plan = Plan(run.folder, Path(scratch), peers, install, repeats, budget, timeout, smoke)
        rows = collect(plan, chosen, names, resume)
    for row in rows:
        if row["not_run"]:
            print(f"not run: {row['task']}, {row['tool']}, {row['setting']}: {row['not_run']}")
    report.write(run.folder, rows)
    numbers = {
        name: np.array([row[name] if row[name] is not None else np.nan for row in rows]) for name in report.NUMBERS
    }
    common.finish(run, figures.draw(rows), numbers, rows=len(rows), not_run=sum(bool(row["not_run"]) for row in rows))
    return Artefacts(rows, str(run.folder))


def collect(plan: Plan, tasks: list[Task], tools: list[str], resume: bool) -> list[dict[str, Any]]:
    """Run everything, writing each row as it comes; return all rows."""
    stream = plan.folder / "rows.jsonl"
    rows = report.read_rows(stream) if resume else []
    rows = [row for row in rows if not row["not_run"]]
    stream.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = {(row["task"], row["tool"], row["setting"]) for row in rows}
    for task in tasks:
        print(f"\n{task.title}: {task.neurons:,} neurons x {task.duration:g} ms", flush=True)
        for tool in tools:
            for group in _processes(_settings(plan, tool, task.name)):
                if all((task.name, tool, setting.label) in done for setting in group):
                    continue
                for row in run_group(plan, task, tool, group):
                    rows.append(row)
                    with stream.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(report.line(row), flush=True)
    return rows


def run_group(plan: Plan, task: Task, tool: str, group: list[Setting]) -> Iterator[dict[str, Any]]:
    """Run the settings that share a process; yield their rows."""
    options = group[0].options
    own = task._replace(neurons=options.get("neurons", task.neurons), duration=options.get("duration", task.duration))
    exact = reference(plan, own) if own.kind == "spikes" else None
    job = dict(task=own.job(), settings=[s.options for s in group], repeats=plan.repeats, budget=plan.budget)
    try:
        answers = run_job(plan, tool, job)
    except environments.NotRun as error:
        answers = [{"failed": str(error)}] * len(group)
    for k, (setting, answer) in enumerate(zip(group, answers, strict=True)):
        row = scores.row(own, tool, setting.label, setting.family, setting.options, answer)
        file = plan.scratch / f"job.{k}.npz"
        if not row["not_run"] and file.exists():
            with np.load(file) as arrays:
                row.update(_score(plan, own, setting, dict(arrays), exact, answer))
        yield row


def run_job(plan: Plan, tool: str, job: dict[str, Any]) -> list[dict[str, Any]]:
    if plan.smoke:  # in this process: no time for others
        files = [plan.scratch / f"job.{k}.npz" for k in range(len(job["settings"]))]
        run = lambda setting, file: protocol.answer(ours.run, {**setting, "devices": 1}, job, file, ours.PACKAGES)
        return [run(setting, file) for setting, file in zip(job["settings"], files, strict=True)]
    return environments.launch(environments.command(tool, plan.peers, plan.install), job, plan.scratch, plan.timeout)


def _score(plan: Plan, task: Task, setting: Setting, found: dict[str, Any], exact: Any, answer: dict[str, Any]) -> Any:
    if task.kind == "spikes":
        if exact is None or answer.get("other_event"):
            return {"spikes": int(found["count"].sum())}
        return scores.score(found, exact, task.duration, setting.options.get("dt", 1e-6))
    file = plan.folder / f"reference_{task.name}_{task.neurons}.npz"
    if setting.family == "reference":
        np.savez(file, **found)
    if not file.exists():
        return {}
    with np.load(file) as exact:
        return {"gradient_error": scores.gradient_error(found, exact)}


def reference(plan: Plan, task: Task) -> Any:
    """Return the spike times of the reference, computed once for a task and its number of neurons; None if that failed."""
    file = plan.folder / f"reference_{task.name}_{task.neurons}_{task.duration:g}.npz"
    if not file.exists():
        options = dict(kind="reference", check=2 if not plan.smoke else 1)
        job = dict(task=task.job(), settings=[options], repeats=0, budget=0.0)
        answer = run_job(plan._replace(timeout=1800.0), OURS, job)[0]
        if "failed" in answer or answer["lanes_failed"] or answer["off"] > 1e-7:
            print(f"  no errors are given: the reference failed, or differs from scipy: {answer}", flush=True)
            return None
        print(f"  reference: Dopri8 at 1e-12, {answer['off']:.1e} ms from scipy's DOP853 on a few neurons", flush=True)
        shutil.move(plan.scratch / "job.0.npz", file)
    with np.load(file) as arrays:
        return arrays["times"]


def _settings(plan: Plan, tool: str, task: str) -> list[Setting]:
    return [s for s in settings(tool, task) if not plan.smoke or s.label in SMOKE[OURS]]


def _processes(rows: list[Setting]) -> Iterator[list[Setting]]:
    numbered = [(setting.process or str(k), setting) for k, setting in enumerate(rows)]
    return ([setting for _, setting in group] for _, group in groupby(numbered, key=lambda pair: pair[0]))


def _sized(task: Task, neurons: int | None, smoke: bool) -> Task:
    if smoke:
        return task._replace(neurons=16, duration=50.0)
    return task._replace(neurons=neurons or task.neurons)


def _chosen(what: str, names: str, known: dict[str, Any]) -> dict[str, Any]:
    wanted = list(known) if names == "all" else names.split(",")
    if unknown := set(wanted) - set(known):
        raise common.BadInput(f"no {what} {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return {name: known[name] for name in wanted}


if __name__ == "__main__":
    common.command_line(main)
