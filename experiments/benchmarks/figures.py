"""The figures of `compare`: work-precision diagrams, scaling curves, gradients."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.benchmarks.report import Row, scaled
from experiments.benchmarks.settings import OURS, TOOLS
from experiments.benchmarks.tasks import TASKS

COLOURS = dict(zip(TOOLS, ("black", "C0", "C1", "C2", "C4", "C5", "C6"), strict=True))
SHADES = {"grid": "0.65", "Dopri8": "0.4", "sweep": "C3", "defaults": "C3"}  # of our own families, by how they begin
MARKERS = "osD^vPX*<>"
FLOOR = 1e-12  # ms: errors below are drawn here


def draw(rows: list[Row]) -> dict[str, Figure]:
    """Return the figures for which there are rows."""
    there = [row for row in rows if not row["not_run"]]
    found = {"work_precision": work_precision(there), "scaling": scaling(there), "gradients": gradients(there)}
    return {name: figure for name, figure in found.items() if figure is not None}


def work_precision(rows: list[Row]) -> Figure | None:
    """Error of the last spike against wall time; one panel a task, one line a family of settings."""
    rows = [r for r in rows if r["error_median"] is not None and not r["task"].endswith("_short")]
    names = [name for name in TASKS if any(r["task"] == name for r in rows)]
    if not names:
        return None
    columns = min(2, len(names))
    figure = Figure(figsize=(9.5 * columns, 5.2 * -(-len(names) // columns)), layout="constrained")
    axes = np.ravel(figure.subplots(-(-len(names) // columns), columns, squeeze=False))
    for ax, name in zip(axes, names, strict=False):
        _panel(ax, name, [r for r in rows if r["task"] == name])
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    return figure


def _panel(ax: Any, name: str, rows: list[Row]) -> None:
    task = TASKS[name]
    families = list(dict.fromkeys((r["tool"], r["family"]) for r in rows))
    for k, (tool, family) in enumerate(families):
        mine = sorted((r for r in rows if (r["tool"], r["family"]) == (tool, family)), key=lambda r: r["error_median"])
        few = min(r["neurons"] for r in mine) < max(r["neurons"] for r in rows)
        label = f"{tool}: {family}" + (" (fewer neurons, scaled)" if few else "")
        ax.loglog(
            [max(r["error_median"], FLOOR) for r in mine], [scaled(r, max(q["neurons"] for q in rows)) for r in mine],
            color=_colour(tool, family), marker=MARKERS[k % len(MARKERS)], ls="-" if tool == OURS else "--", ms=7, lw=1.3,
            mfc="white" if few else None, label=label,
        )  # fmt: skip
    ax.invert_xaxis()
    ax.set(xlabel="error of the last spike, median over neurons (ms)", ylabel="run time (s)")
    ax.set_title(f"{task.title}: {max(r['neurons'] for r in rows):,} neurons, {rows[0]['duration']:g} ms")
    ax.grid(alpha=0.25)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), fontsize=8, frameon=False)


def _colour(tool: str, family: str) -> str:
    shades = [shade for start, shade in SHADES.items() if family.startswith(start)]
    return shades[0] if tool == OURS and shades else COLOURS[tool]


def scaling(rows: list[Row]) -> Figure | None:
    """Our cost against neurons, spikes and tolerance."""
    lanes = [r for r in rows if r["task"] == "lanes"]
    spikes = [r for r in rows if r["task"] == "spikes"]
    tolerances = [r for r in rows if r["tool"] == OURS and r["family"] == "tolerances, 2 devices"]
    if not (lanes or spikes or tolerances):
        return None
    panels = [(_lanes, lanes), (_spikes, spikes), (_tolerances, tolerances)]
    panels = [(panel, mine) for panel, mine in panels if mine]
    figure = Figure(figsize=(5.5 * len(panels), 4.4), layout="constrained")
    for ax, (panel, mine) in zip(np.ravel(figure.subplots(1, len(panels), squeeze=False)), panels, strict=True):
        panel(ax, mine)
        ax.grid(alpha=0.25)
        ax.legend(fontsize=8)
    return figure


def _lanes(ax: Any, rows: list[Row]) -> None:
    x = [r["neurons"] for r in rows]
    ax.loglog(x, [1e6 * r["best_s"] / r["neurons"] for r in rows], "ko-", label="run time per neuron (us)")
    ax.loglog(x, [r["peak_mib"] for r in rows], "C3s--", label="peak memory of the process (MiB)")
    ax.set(title="LIF, f-I, 1 s, number of spikes", xlabel="neurons")


def _spikes(ax: Any, rows: list[Row]) -> None:
    x = [r["spikes"] / r["neurons"] for r in rows]
    ax.loglog(x, [1e6 * r["best_s"] / r["neurons"] for r in rows], "ko-", label="run time per neuron (us)")
    ax.set(title=f"LIF, {rows[0]['neurons']:,} neurons, 30 ms to 10 s", xlabel="spikes per neuron")


def _tolerances(ax: Any, rows: list[Row]) -> None:
    for k, name in enumerate(dict.fromkeys(r["task"] for r in rows)):
        mine = [r for r in rows if r["task"] == name]
        x = [r["tolerance"] for r in mine]
        error = [max(r["error_median"] or FLOOR, FLOOR) for r in mine]
        ax.loglog(x, [r["best_s"] for r in mine], f"C{k}o-", label=f"{name}: run time (s)")
        ax.loglog(x, error, f"C{k}s--", mfc="white", label=f"{name}: error (ms)")
    ax.set(title="Default method over tolerances", xlabel="rtol = atol")


def gradients(rows: list[Row]) -> Figure | None:
    """Value and gradient as multiples of the tool's own forward run."""
    names = list(TASKS)
    rows = [r for r in rows if r["ratio"] is not None and r["family"] != "reference"]
    rows.sort(key=lambda r: (names.index(r["task"]), TOOLS.index(r["tool"])))
    if not rows:
        return None
    figure = Figure(figsize=(11, 1.2 + 0.42 * len(rows)), layout="constrained")
    ax = figure.subplots()
    place = np.arange(len(rows))[::-1]
    ax.barh(place, [r["ratio"] for r in rows], color=[COLOURS[r["tool"]] for r in rows], height=0.6)
    for y, r in zip(place, rows, strict=True):
        ax.text(r["ratio"], y, f"  {r['ratio']:.1f} ({r['best_s']:.3g} s)", va="center", fontsize=9)
    label = lambda r: f"{TASKS[r['task']].title}; {r['tool']}, {r['setting']} ({r['neurons']:,} neurons)"
    ax.set_yticks(place, [label(r) for r in rows], fontsize=8)
    ax.set_xlim(0, 1.25 * max(r["ratio"] for r in rows))
    ax.set(xlabel="value and gradient, as multiples of the tool's own forward run")
    return figure
