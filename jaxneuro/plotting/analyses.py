"""Drawings of analyses."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from jaxneuro.plotting.runs import labelled, line_with_spikes
from jaxneuro.results import RESULTS


def fi_curve(found: Any, ax: Axes, *, unit: str = "nA", **style: Any) -> Axes:
    """Draw the rate over the current; currents whose run failed are crosses on the axis.

    Args:
        found: an `FICurve` from `jaxneuro.analysis.fi_curve`.
        ax: where to draw.
        unit: of the current.
        **style: of the line, as in `Axes.plot`.

    Returns:
        `ax`.
    """
    current, rate = np.asarray(found.currents), np.asarray(found.rate)
    ax.plot(current, rate, **{"lw": 1.5, **style})
    failed = current[np.asarray(found.result != RESULTS.successful)]
    if failed.size:
        ax.plot(failed, np.zeros(failed.size), "x", color="tab:red", label="failed")
    ax.set(xlabel=labelled("current", unit), ylabel="rate (Hz)")
    return ax


def phase_response(found: Any, ax: Axes, *, field: str = "v", unit: str = "mV", **style: Any) -> Axes:
    """Draw the phase response of one variable: by how much a small kick at each phase advances all later spikes.

    Args:
        found: a `PhaseResponse` from `jaxneuro.analysis.phase_response`.
        ax: where to draw.
        field: the variable that is kicked.
        unit: of that variable.
        **style: of the line, as in `Axes.plot`.

    Returns:
        `ax`.
    """
    ax.axhline(0.0, color="0.8", lw=0.8)
    ax.plot(np.asarray(found.phases), np.asarray(getattr(found.response, field)), **{"lw": 1.5, **style})
    ax.set(xlabel="phase", ylabel=labelled("advance", f"ms/{unit}" if unit else "ms"), xlim=(0.0, 1.0))
    return ax


def phase_plane(
    nullclines: Any, ax: Axes, *, points: Any = None, sol: Any = None, peak: float | None = None,
    units: tuple[str, str] = ("mV", ""), **style: Any,
) -> Axes:  # fmt: skip
    """Draw the phase plane of a model of two variables: nullclines, fixed points, and the way of a run.

    Args:
        nullclines: `Nullclines` from `jaxneuro.analysis.nullclines`, at an array of v.
        ax: where to draw; with a run, its limits are those of the run and the points, and some room.
        points: `FixedPoints` from `jaxneuro.analysis.fixed_points`: filled where stable, open where not.
        sol: one run with `saveat`. Its line ends at each spike and begins anew at the next sample.
        peak: where the line rises to at a spike; None: it ends at the last sample before.
        units: of the two variables.
        **style: of the line of the run, as in `Axes.plot`.

    Returns:
        `ax`.
    """
    names = nullclines.second._fields
    for name, color in zip(names, ("tab:red", "tab:green"), strict=True):
        line = np.asarray(getattr(nullclines.second, name))
        ax.plot(np.asarray(nullclines.v), line, color=color, lw=1.2, label=f"{name}' = 0")
    ax.set(xlabel=labelled(names[0], units[0]), ylabel=labelled(names[1], units[1]))
    heights = []
    if sol is not None:
        v, w = phase_line(sol, peak)
        ax.plot(v, w, **{"lw": 0.9, "color": "tab:blue", "label": "trajectory", **style})
        heights.append(w)
    if points is not None:
        stable, (v, w) = np.asarray(points.stable), (np.asarray(x) for x in points.states)
        for chosen, filling, label in ((stable, "k", "stable"), (~stable & np.isfinite(v), "none", "unstable")):
            if np.any(chosen):
                ax.plot(v[chosen], w[chosen], "o", color="k", mfc=filling, ms=6, zorder=4, label=label)
        heights.append(w)
    if sol is not None:  # a nullcline may rise beyond all bounds
        low, high = np.nanmin(np.concatenate(heights)), np.nanmax(np.concatenate(heights))
        room = 0.3 * (high - low) or 1.0
        ax.set_ylim(low - room, high + room)
    return ax


def phase_line(sol: Any, peak: float | None) -> tuple[Any, Any]:
    """Return both variables of a run to draw, with a gap at each spike; the second hardly moves in its upstroke."""
    ts, (v, w) = np.asarray(sol.ts), (np.asarray(x) for x in sol.states)
    there = np.isfinite(ts)
    ts, v, w, spikes = ts[there], v[there], w[there], np.asarray(sol.spike_times)
    spikes = spikes[np.isfinite(spikes) & (spikes <= ts[-1])]
    before = np.maximum(np.searchsorted(ts, spikes, side="right") - 1, 0)
    tops = v[before] if peak is None else peak
    return line_with_spikes(ts, v, spikes, tops, np.nan)[1], line_with_spikes(ts, w, spikes, w[before], np.nan)[1]


def bifurcation_diagram(
    branch: Any, ax: Axes, *, field: str = "v", parameter: str = "current", units: tuple[str, str] = ("nA", "mV"), **style: Any
) -> Axes:  # fmt: skip
    """Draw a branch of fixed points over its parameter: solid where stable, dashed where not, with its folds and Hopf points.

    Args:
        branch: a `Branch` from `jaxneuro.analysis.continuation`.
        ax: where to draw.
        field: the variable to draw.
        parameter: name of the parameter.
        units: of the parameter and of the variable.
        **style: of the lines, as in `Axes.plot`.

    Returns:
        `ax`.
    """
    values, state = np.asarray(branch.values), np.asarray(getattr(branch.states, field))
    unstable = np.isfinite(values) & ~np.asarray(branch.stable)
    # The step over a bifurcation is drawn dashed, so that the two lines meet.
    beside = unstable | np.append(unstable[1:], False) | np.append(False, unstable[:-1])
    style = {"color": "k", "lw": 1.5, **style}
    ax.plot(values, np.where(unstable, np.nan, state), **{"ls": "-", "label": "stable", **style})
    ax.plot(values, np.where(beside, state, np.nan), **{"ls": "--", "label": "unstable", **style})
    for found, number, marker, label in (
        (branch.folds, branch.num_folds, "s", "fold"),
        (branch.hopfs, branch.num_hopfs, "o", "Hopf"),
    ):
        at, height = np.asarray(found.value)[: int(number)], np.asarray(getattr(found.state, field))[: int(number)]
        if at.size:
            ax.plot(at, height, marker, color="tab:red", zorder=4, label=label)
    ax.set(xlabel=labelled(parameter, units[0]), ylabel=labelled(field, units[1]))
    return ax
