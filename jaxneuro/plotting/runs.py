"""Drawings of runs and sweeps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from jaxneuro.sweeps import Grid


def labelled(name: str, unit: str) -> str:
    """Return an axis label, with its unit where there is one."""
    return f"{name} ({unit})" if unit else name


def raster(spikes: Any, ax: Axes, **style: Any) -> Axes:
    """Draw the spikes of many neurons, one row per neuron.

    Args:
        spikes: what `simulate` or `simulate_grid` returned (under `vmap` for many), or spike times (..., max_spikes) padded with
            inf; all axes but the last are counted through as neurons.
        ax: where to draw.
        **style: of the marks, as in `Axes.plot`.

    Returns:
        `ax`.

    Example:
        >>> import jax.numpy as jnp
        >>> from matplotlib.figure import Figure
        >>> ax = raster(jnp.array([[1.0, 2.0, jnp.inf], [1.5, jnp.inf, jnp.inf]]), Figure().subplots())
        >>> ax.lines[0].get_ydata().tolist()
        [0, 0, 1]
    """
    times = np.atleast_2d(np.asarray(getattr(spikes, "spike_times", spikes)))
    times = times.reshape(-1, times.shape[-1])
    row, slot = np.nonzero(np.isfinite(times))
    ax.plot(times[row, slot], row, **{"marker": "|", "ls": "none", "ms": 4.0, "color": "k", **style})
    ax.set(xlabel="time (ms)", ylabel="neuron", ylim=(-0.5, len(times) - 0.5))
    return ax


def voltage(
    sol: Any, ax: Axes, *, field: str = "v", peak: float | None = None, reset: float | None = None, unit: str = "mV", **style: Any
) -> Axes:  # fmt: skip
    """Draw a sampled variable of one run over time, with its spikes at their exact times.

    Args:
        sol: one run of `simulate` or `simulate_grid` with `saveat`.
        ax: where to draw.
        field: field of the state.
        peak: where each spike rises to. None: the spikes are marked by ticks at the top instead.
        reset: where the line begins anew after a spike; None: at the next sample.
        unit: of the variable.
        **style: of the line, as in `Axes.plot`.

    Returns:
        `ax`.

    Raises:
        ValueError: there are no samples, or `sol` holds many runs.
    """
    if sol.states is None:
        raise ValueError("The run kept no samples to draw: pass saveat=times to simulate.")
    ts, values = np.asarray(sol.ts), np.asarray(getattr(sol.states, field))
    if ts.ndim != 1:
        raise ValueError(
            f"voltage draws one run; this one has {ts.shape[:-1]} lanes. Pick one: jax.tree.map(lambda x: x[i], sol)."
        )
    there = np.isfinite(ts)
    ts, values, spikes = ts[there], values[there], np.asarray(sol.spike_times)
    if peak is None:
        spikes = spikes[np.isfinite(spikes)]
        ax.plot(
            spikes, np.ones(len(spikes)), "|", color="tab:red", ms=10, transform=ax.get_xaxis_transform(), clip_on=False
        )
    else:
        ts, values = line_with_spikes(ts, values, spikes, peak, np.nan if reset is None else reset)
    ax.plot(ts, values, **{"lw": 1.0, **style})
    ax.set(xlabel="time (ms)", ylabel=labelled(field, unit))
    return ax


def line_with_spikes(ts: Any, v: Any, spike_times: Any, peak: Any, reset: Any) -> tuple[Any, Any]:
    """Return a trace to draw: each spike rises to `peak` at its exact time, and a new line begins at `reset`.

    Args:
        ts: sample times, ms, finite.
        v: samples.
        spike_times: ms, padded with inf; those after the last sample are left out.
        peak, reset: numbers, or one per spike.

    Returns:
        The times and the values, with three points more for each spike (peak, NaN, reset).
    """
    ts, spikes = np.asarray(ts, float), np.asarray(spike_times)
    spikes = spikes[np.isfinite(spikes) & (spikes <= ts[-1])]
    # A sample at the time of a spike is the state before the jump: it stays left of the peak.
    at = np.repeat(np.searchsorted(ts, spikes, side="right"), 3)
    values = np.stack(np.broadcast_arrays(peak, np.nan, reset, spikes)[:3], axis=-1)
    return np.insert(ts, at, np.repeat(spikes, 3)), np.insert(np.asarray(v, float), at, values.ravel())


def sweep_map(
    values: Any, grid: Grid, ax: Axes, *, label: str, units: Mapping[str, str] | None = None, **style: Any
) -> Axes:  # fmt: skip
    """Draw a sweep over two axes as a heat map: first axis of the grid to the right, second upwards.

    Args:
        values: (n, m), what `jn.sweep` returned, or one leaf of it; NaN stays white.
        grid: the grid of two axes that was swept.
        ax: where to draw; a colour bar takes part of its place.
        label: what the colour means, with its unit.
        units: unit of each axis, by name.
        **style: as in `Axes.pcolormesh`.

    Returns:
        `ax`.

    Raises:
        ValueError: the grid has not two axes, or `values` not its shape.
    """
    values = np.asarray(values)
    if len(grid) != 2 or values.shape != grid.shape:
        raise ValueError(
            f"sweep_map draws values (n, m) over a grid of two axes; they have {values.shape} and {grid.shape}."
        )
    (name_x, x), (name_y, y) = grid.items()
    mesh = ax.pcolormesh(np.asarray(x), np.asarray(y), values.T, **{"shading": "nearest", "rasterized": True, **style})
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(mesh, ax=ax, label=label)
    units = units or {}
    ax.set(xlabel=labelled(name_x, units.get(name_x, "")), ylabel=labelled(name_y, units.get(name_y, "")))
    return ax
