"""The rows of `compare` as lines, as JSON and as a Markdown table."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from experiments.benchmarks.settings import OURS, TOOLS
from experiments.benchmarks.tasks import TASKS

Row = dict[str, Any]
NUMBERS = ("neurons", "cores", "compile_s", "best_s", "median_s", "error_median", "error_max", "wrong", "peak_mib")
LEVELS = (10.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-9)  # ms


def _number(x: Any, form: str = ".3g") -> str:
    return "" if x is None else format(x, form)


COMMON: dict[str, Callable[[Row], str]] = {
    "tool": lambda r: r["tool"],
    "setting": lambda r: r["setting"],
    "neurons": lambda r: _number(r["neurons"], ",d"),
    "cores": lambda r: _number(r["cores"], ".2f"),
    "compile, s": lambda r: _number(r["compile_s"]),
    "first call, s": lambda r: _number(r["first_s"]),
    "best, s": lambda r: _number(r["best_s"]),
    "median, s": lambda r: _number(r["median_s"]),
    "repeats": lambda r: _number(r["repeats"], "d"),
}
PEAK: dict[str, Callable[[Row], str]] = {"peak, MiB": lambda r: _number(r["peak_mib"], ".0f")}
SPIKES: dict[str, Callable[[Row], str]] = {
    "steps": lambda r: _number(r["steps"], ",d"),
    **PEAK,
    "spikes": lambda r: _number(r["spikes"], ",d"),
    "error, median, ms": lambda r: _number(r["error_median"], ".2g"),
    "p99": lambda r: _number(r["error_p99"], ".2g"),
    "max": lambda r: _number(r["error_max"], ".2g"),
    "wrong (at the end)": lambda r: "" if r["wrong"] is None else f"{r['wrong']} ({r['edge']})",
    "note": lambda r: r["note"] or "",
}
GRADIENT: dict[str, Callable[[Row], str]] = {
    "own forward run, s": lambda r: _number(r["forward_s"]),
    "times forward": lambda r: _number(r["ratio"], ".2f"),
    "relative error": lambda r: _number(r["gradient_error"], ".1g"),
    **PEAK,
    "note": lambda r: r["note"] or "",
}


def line(row: Row) -> str:
    """One row, for the screen."""
    head = f"  {row['tool']:<9} {row['setting']:<38}"
    if row["not_run"]:
        return f"{head} not run: {row['not_run']}"
    text = f"{head} {row['best_s']:9.4g} s on {row['cores']:4.2f} cores"
    if row["error_median"] is not None:
        text += f", error {row['error_median']:.2g} ms (max {row['error_max']:.2g})"
        text += f", {row['wrong']} wrong, {row['edge']} at the end"
    elif row["ratio"] is not None:
        text += f", {row['ratio']:.2f} times its forward run"
    return text + (f" ({row['note']})" if row["note"] else "")


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a stream; a line that a kill has cut is dropped."""
    rows = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return rows


def write(folder: Path, rows: list[Row]) -> None:
    """Write table.json and table.md."""
    (folder / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
    parts = ["# jaxneuro and its peers on identical tasks\n"]
    parts += [f"CPU: {cpu}\n" for cpu in sorted({row["cpu"] for row in rows})]
    for task in TASKS.values():
        mine = [row for row in rows if row["task"] == task.name]
        mine.sort(key=lambda row: TOOLS.index(row["tool"]))
        if not mine:
            continue
        there = [row for row in mine if not row["not_run"]]
        columns = COMMON | (GRADIENT if task.kind in ("gradient", "voltage") else SPIKES)
        parts += [f"## {task.title}: {task.neurons:,} neurons, {task.duration:g} ms\n", table(columns, there)]
        if task.kind == "spikes" and not task.name.endswith("_short"):
            parts += [
                "Fastest setting with a median error below, scaled to all neurons:\n",
                fastest(there, task.neurons),
            ]
        parts += [f"- not run: {r['tool']}, {r['setting']}: {r['not_run']}\n" for r in mine if r["not_run"]]
    versions = {row["tool"]: row["versions"] for row in rows if row["versions"]}
    parts += ["## Versions\n"]
    parts += [f"- {tool}: {', '.join(f'{k} {v}' for k, v in found.items())}" for tool, found in versions.items()]
    (folder / "table.md").write_text("\n".join(parts) + "\n")


def table(columns: dict[str, Callable[[Any], str]], rows: Iterable[Any]) -> str:
    """Return a table in Markdown: one column for each function of a row."""
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[cell(row).replace("|", "/") for cell in columns.values()] for row in rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def scaled(row: Row, neurons: int) -> float:
    """Seconds for all neurons of the task, of a row that ran fewer (a grid's work is proportional to them)."""
    return row["best_s"] * max(1.0, neurons / row["neurons"])


def fastest(rows: list[Row], neurons: int) -> str:
    """A table: for each error, the fastest row of each tool, and how much longer than ours it takes."""
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    columns: dict[str, Callable[[Row], str]] = {"error below, ms": lambda r: f"{r['level']:g}"}
    columns |= {tool: lambda r, tool=tool: r[tool] for tool in tools}
    lines = []
    for level in LEVELS:
        good = [r for r in rows if r["error_median"] is not None and r["error_median"] <= level]
        time = lambda row: scaled(row, neurons)
        best = {tool: min((r for r in good if r["tool"] == tool), key=time, default=None) for tool in tools}
        ours = best.get(OURS)
        show: Row = {"level": level}
        for tool, row in best.items():
            show[tool] = "" if row is None else f"{time(row):.3g} s, {row['setting']}"
            if row is not None and ours is not None and row is not ours:
                show[tool] += f" (x {time(row) / time(ours):.3g})"
        lines.append(show)
    return table(columns, lines)
