"""Read a current-clamp recording, find its spikes, and say how well the spikes of a model agree with them."""

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.common import BadInput

ARRAYS = ("time_ms", "current_nA", "voltage_mV", "amplitude_nA")
WANTED = "time_ms (times,), current_nA and voltage_mV (sweeps, times), amplitude_nA (sweeps,)"


class Recording(NamedTuple):
    ts: Any  # (times,), ms
    current: Any  # (sweeps, times), nA
    voltage: Any  # (sweeps, times), mV
    amplitude: Any  # (sweeps,), nA
    spike_times: list[Any]  # per sweep, ms
    counts: Any  # (sweeps,)
    change_times: Any  # (changes,), ms: where the current of any sweep changes, and the start
    change_values: Any  # (sweeps, changes), nA: the current from there on
    active: Any  # (sweeps,), ms for which the current is not what it was at the start
    v_rest: Any  # (sweeps,), median voltage before any sweep's current changes, mV


def load(path: Path) -> Recording:
    """Read a recording from an npz file; say what is wrong with a wrong one."""
    data = read_arrays(path)
    ts, current, voltage, amplitude = (data[name] for name in ARRAYS)
    shapes = {name: x.shape for name, x in data.items()}
    sweeps = (len(amplitude), len(ts)) if ts.ndim == amplitude.ndim == 1 else ()
    if current.shape != sweeps or voltage.shape != sweeps or min(sweeps) < 2:
        raise BadInput(f"{path} has arrays of wrong shapes: {shapes}. Wanted: {WANTED}, two sweeps or more.")
    broken = [name for name, x in data.items() if not np.all(np.isfinite(x))]
    if broken:
        raise BadInput(f"{path} has NaN or infinite values in {', '.join(broken)}.")
    if np.any(np.diff(ts) <= 0):
        raise BadInput(f"{path}: time_ms must increase.")
    change_times, change_values = compress(ts, current)
    if len(change_times) < 2:
        raise BadInput(f"{path}: current_nA changes in no sweep, so there is no input to show a model.")
    spikes = [crossings(ts, v) for v in voltage]
    counts = np.array([len(train) for train in spikes])
    if np.max(counts) < 1:
        raise BadInput(f"{path} has no spikes: voltage_mV never crosses 0 mV upwards (is it in mV?).")
    active = np.sum((current != current[:, :1])[:, :-1] * np.diff(ts), axis=1)
    v_rest = np.median(voltage[:, ts < change_times[1]], axis=1)
    return Recording(ts, current, voltage, amplitude, spikes, counts, change_times, change_values, active, v_rest)


def read_arrays(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as stream:  # np.load does not close a file that it cannot read
            if not zipfile.is_zipfile(stream):
                raise BadInput(f"{path} is not an npz file. Wanted: an npz file with {WANTED}.")
            stream.seek(0)
            file = np.load(stream)
            missing = [name for name in ARRAYS if name not in file.files]
            if missing:
                raise BadInput(f"{path} lacks {', '.join(missing)}. Wanted: {WANTED}.")
            return {name: np.asarray(file[name], float) for name in ARRAYS}
    except BadInput:
        raise
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} cannot be read as an npz file of numbers: {error}. Wanted: {WANTED}.") from error


def crossings(ts: Any, v: Any) -> Any:
    """Return the times of the upward crossings of 0 mV, by linear interpolation between the samples."""
    k = np.flatnonzero((v[:-1] < 0) & (v[1:] >= 0))
    return ts[k] - v[k] * (ts[k + 1] - ts[k]) / (v[k + 1] - v[k])


def compress(ts: Any, current: Any) -> tuple[Any, Any]:
    """Drop the samples at which no sweep's current changes. Lossless: the current is held from sample to sample.

    Every sample of a stimulus is a landmark on which the solver lands: 3 of 12,000 are left of a current step.
    """
    kept = np.insert(np.any(np.diff(current, axis=1) != 0, axis=0), 0, True)
    return ts[kept], current[:, kept]


def check_delta(rec: Recording, delta: float) -> None:
    shortest = min((np.min(np.diff(train)) for train in rec.spike_times if len(train) > 1), default=np.inf)
    if not 0 < 2 * delta < shortest:  # else one spike of the model could agree with two of the cell
        raise BadInput(f"delta={delta} ms must be > 0 and < half the shortest recorded interval, {shortest:.2f} ms.")


def rate_error(count: Any, recorded: Any) -> Any:
    """Return |count - recorded| / recorded."""
    return np.abs(count - recorded) / np.maximum(recorded, 1)


def coincidence(cell: Any, model: Any, active: Any, delta: float) -> Any:
    """Return Gamma = (N_coinc - 2 nu delta N_cell) / ((N_cell + N_model)/2) / (1 - 2 nu delta).

    The trains (spikes,) are padded with inf; nu is the model's rate in the `active` ms for which the current is on
    (both are silent before and after). Two empty trains agree: 1.
    """
    near = jnp.any(jnp.abs(cell[:, None] - model[None]) <= delta, axis=1)  # inf - inf is near nothing
    num_cell, num_model = jnp.sum(jnp.isfinite(cell)), jnp.sum(jnp.isfinite(model))
    chance = 2 * delta * num_model / jnp.maximum(active, 2 * delta)
    half = 0.5 * (num_cell + num_model)
    gamma = (jnp.sum(near) - chance * num_cell) / jnp.maximum(half, 0.5)
    # At 2 nu delta >= 1 chance alone would match every spike: such a train proves nothing.
    gamma = jnp.where(chance < 1, gamma / jnp.where(chance < 1, 1 - chance, 1.0), 0.0)
    return jnp.where(half > 0, gamma, 1.0)
