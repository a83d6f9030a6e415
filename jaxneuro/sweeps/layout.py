"""The files of a store: Zarr arrays whose metadata makes a labelled `xarray.Dataset`, written at once or not at all."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxneuro.files import write_whole
from jaxneuro.sweeps.grid import Grid, numbers
from jaxneuro.sweeps.journal import NAME, StoreError
from jaxneuro.sweeps.tiling import Tiling
from jaxneuro.sweeps.variables import Variable, enumeration_names
from jaxneuro.types import is_key

ROOT = "zarr.json"


def zarr_module() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ImportError(
            "sweep(store=...) needs zarr: `pip install 'jaxneuro[store]'`, or leave store out to get arrays in memory."
        ) from error
    return zarr


def check_names(grid: Grid, found: list[Variable], units: Mapping[str, str] | None) -> None:
    """Raise for names, dtypes or units that a store cannot hold."""
    names = [variable.name for variable in found]
    if not names:
        raise ValueError("fn returns no array, so there is nothing to store.")
    for name in names:
        if "/" in name or "\0" in name or name.startswith("__") or name in grid or names.count(name) > 1:
            taken = (
                "also an axis of the grid"
                if name in grid
                else "there twice"
                if names.count(name) > 1
                else "not allowed"
            )
            raise ValueError(f"A store needs one name for each output of fn, and {name!r} is {taken}: rename it.")
    axes = [(name, coordinate(name, axis)[1].dtype) for name, axis in grid.items()]
    for name, dtype in axes + [(variable.name, np.dtype(variable.dtype)) for variable in found]:
        if dtype.kind not in "biufc" or dtype.isbuiltin != 1:
            raise TypeError(
                f"{name!r} is of the dtype {dtype}, which a Zarr store cannot hold: cast it, e.g. to float32."
            )
    if units is not None and (unknown := sorted(set(units) - set(names) - set(grid))):
        raise ValueError(f"units names {unknown}, but there are the axes {list(grid)} and the outputs {names}.")


def coordinate(name: str, axis: Any) -> tuple[str, np.ndarray, tuple[str, ...]]:
    """Return the name, values and dimensions of an axis as a variable; random keys become the words they are made of."""
    if is_key(axis):
        return f"{name}_data", numbers(axis), (name, f"{name}_word")
    return name, numbers(axis), (name,)


def create(
    store: Path, grid: Grid, tiling: Tiling, found: list[Variable], attributes: dict[str, Any], units: Mapping[str, str]
) -> None:
    """Write coordinates and metadata. The root's file comes last: without it there is no store yet."""
    new = store / NAME / "new"
    shutil.rmtree(new, ignore_errors=True)
    for old in store.iterdir():  # of a creation that was interrupted
        if old.name != NAME:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    new.mkdir()
    for axis_name, axis in grid.items():
        name, values, dims = coordinate(axis_name, axis)
        _array(new / name, values.shape, values.shape, values.dtype, dims, _unit(units, axis_name))[...] = values
    for variable in found:
        shape, chunks = (*tiling.shape, *variable.shape), (*tiling.tile, *(max(n, 1) for n in variable.shape))
        described = _unit(units, variable.name) | _flags(variable)
        _array(new / variable.name, shape, chunks, variable.dtype, (*grid, *variable.dims), described)
    members = sorted(path.name for path in new.iterdir())
    for name in members:
        os.rename(new / name, store / name)
    # xarray looks for consolidated metadata, and would warn if it had to look at every member instead.
    metadata = {name: json.loads((store / name / ROOT).read_text()) for name in members}
    consolidated = {"kind": "inline", "must_understand": False, "metadata": metadata}
    _write_root(
        store,
        {
            "attributes": {"complete": 0, "axes": list(grid)} | attributes,
            "zarr_format": 3,
            "consolidated_metadata": consolidated,
            "node_type": "group",
        },
    )


def read_root(store: Path) -> dict[str, Any] | None:
    """Return the metadata of a store, None where there is none yet."""
    try:
        root = json.loads((store / ROOT).read_text())
        if (
            root["node_type"] == "group"
            and {"complete", "axes", "outputs", "tile_shape", "program_sha256"} <= root["attributes"].keys()
        ):
            return root
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise StoreError(
        f"The folder {store} holds no sweep of jaxneuro: its {ROOT} is of something else. Pass another path."
    )


def mark_complete(store: Path, root: dict[str, Any]) -> None:
    root["attributes"]["complete"] = 1
    _write_root(store, root)


def open_array(path: Path, mode: str) -> Any:
    found = zarr_module().open_array(store=str(path), mode=mode)
    # A chunk that equals the fill value is a file, too: it may hold a NaN of other bits. (`open_array` ignores a config.)
    return found.with_config({"write_empty_chunks": True}) if mode == "r+" else found


def _array(path: Path, shape: Any, chunks: Any, dtype: Any, dims: Any, attributes: dict[str, Any]) -> Any:
    return zarr_module().create_array(
        store=str(path),
        shape=shape,
        chunks=chunks,
        dtype=np.dtype(dtype).newbyteorder("="),
        dimension_names=dims,
        attributes=attributes,
        fill_value=_fill(np.dtype(dtype)),
        chunk_key_encoding={"name": "default", "separator": "."},  # one folder per variable, not one per row of tiles
        config={"write_empty_chunks": True},
    )


def _fill(dtype: np.dtype) -> Any:
    """Return what a point reads as that is not computed yet."""
    if dtype.kind == "u":
        return int(np.iinfo(dtype).max)
    return {"f": np.nan, "c": complex(np.nan, np.nan), "i": -1, "b": False}[dtype.kind]


def _unit(units: Mapping[str, str], name: str) -> dict[str, Any]:
    return {"units": units[name]} if name in units else {}


def _flags(variable: Variable) -> dict[str, Any]:
    if variable.enumeration is None:
        return {}
    names = enumeration_names(variable.enumeration)
    return {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}


def _write_root(store: Path, root: dict[str, Any]) -> None:
    write_whole(store / ROOT, [json.dumps(root, indent=2).encode()], store / NAME / "part")
