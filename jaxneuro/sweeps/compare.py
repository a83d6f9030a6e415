"""How a store differs from the sweep that would go on with it, in phrases for its user."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxneuro.sweeps.grid import Grid
from jaxneuro.sweeps.journal import StoreError
from jaxneuro.sweeps.layout import coordinate, open_array
from jaxneuro.sweeps.tiling import Tiling
from jaxneuro.sweeps.variables import Variable


def refuse(store: Path, differences: Iterable[str]) -> None:
    """Raise if there are differences."""
    if found := list(differences):
        raise StoreError(
            f"The store {store} is of another sweep: {'; '.join(found)}. Remove it to start anew, or pass another path."
        )


def check_batch(store: Path, there: tuple[int, ...], wanted: tuple[int, ...], batch_size: Any) -> None:
    """Raise if a batch size was given that makes other tiles than the store's."""
    if batch_size is not None and wanted != there:
        points = int(np.prod(there))
        raise StoreError(
            f"The store {store} has tiles of {points} points (along its axes {there}), but batch_size={batch_size} makes "
            f"{wanted}. Pass batch_size={points}, or None to go on with what is there."
        )


def other_axes(store: Path, root: dict[str, Any], grid: Grid) -> Iterator[str]:
    """Yield in what the axes differ: names, lengths, dtypes, values."""
    names = root["attributes"]["axes"]
    if names != list(grid):
        yield f"its axes are {', '.join(names)}, here they are {', '.join(grid)}"
        return
    for axis_name, axis in grid.items():
        name, here, _ = coordinate(axis_name, axis)
        there = _read(store, name)
        if len(there) != len(here):
            yield f"its axis {axis_name!r} has {len(there)} values, here it has {len(here)}"
        elif there.dtype != here.dtype or there.shape != here.shape:
            yield f"its axis {axis_name!r} is {there.dtype}, here it is {here.dtype}"
        elif there.tobytes() != here.tobytes():
            k = next(k for k in range(len(here)) if there[k].tobytes() != here[k].tobytes())
            yield f"its axis {axis_name!r} has other values, the first at [{k}]: {there[k]!r}, here {here[k]!r}"


def other_results(
    root: dict[str, Any], tiling: Tiling, found: list[Variable], origin: dict[str, Any], units: Mapping[str, str] | None
) -> Iterator[str]:
    """Yield in what the outputs, their units, the versions and the program differ."""
    there, arrays = root["attributes"], root["consolidated_metadata"]["metadata"]
    names = [variable.name for variable in found]
    if there["outputs"] != names:
        yield f"its outputs are {', '.join(there['outputs'])}, here they are {', '.join(names)}"
        return
    for variable in found:
        known = _kind(arrays[variable.name]["data_type"], arrays[variable.name]["shape"])
        here = _kind(np.dtype(variable.dtype).name, (*tiling.shape, *variable.shape))
        if known != here:
            yield f"its output {variable.name!r} is {known}, here it is {here}"
    for name in [*there["axes"], *names]:
        known = arrays[name if name in arrays else f"{name}_data"]["attributes"].get("units")
        if units is not None and known != units.get(name):
            yield f"the unit of its {name!r} is {known!r}, here it is {units.get(name)!r}"
    for name in origin.keys() - {"function", "program_sha256"}:
        if there.get(name) != origin[name]:
            yield f"its {name} is {there.get(name)!r}, here it is {origin[name]!r}"
    if there["program_sha256"] != origin["program_sha256"]:
        yield (
            f"its function {there['function']} is another program than {origin['function']} is here, or closes over "
            f"other values"
        )


def _kind(dtype: str, shape: Iterable[int]) -> str:
    return f"{dtype}[{', '.join(map(str, shape))}]"


def _read(store: Path, name: str) -> np.ndarray:
    try:
        return np.asarray(open_array(store / name, "r")[...])
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"The store {store} is damaged: its {name!r} cannot be read ({error}). Remove it to start anew."
        ) from error
