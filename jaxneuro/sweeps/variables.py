"""The leaves of a function's output as variables of a data set: names, dimensions, attributes."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxneuro.results import RESULTS
from jaxneuro.sweeps.grid import Grid

# Dimensions with a name of their own: those of the solutions of this library.
_SPIKES, _TIMES = "spikes", "times"


class Variable(NamedTuple):
    """One leaf: an array with the axes of the grid and then `dims`."""

    name: str  # its path, "final_state.v"; "out" for an output that is one array
    dtype: np.dtype
    shape: tuple[int, ...]  # beyond the axes of the grid
    dims: tuple[str, ...]  # names of these
    enumeration: Any = None  # of its items, such as jn.RESULTS


def variables(out: Any, grid: Grid) -> list[Variable]:
    """Return one variable per leaf of `out`, whose leaves are shapes (lanes, ...) and dtypes."""
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(out, is_leaf=_is_item):
        enumeration = getattr(leaf, "_enumeration", None)
        (inner,) = jax.tree.leaves(leaf)
        found.append(Variable(_name(path), inner.dtype, tuple(inner.shape[1:]), (), enumeration))
    taken = {variable.name for variable in found} | set(grid)
    lengths: dict[str, int] = {}
    return [variable._replace(dims=_dims(variable, taken, lengths)) for variable in found]


def enumeration_names(enumeration: Any) -> list[str]:
    """Return the names of an enumeration's items, in the order of their numbers."""
    return list(enumeration._name_to_item)


def sentence(reason: str) -> str:
    """Return the sentence of an item of `jn.RESULTS`."""
    return str(RESULTS[getattr(RESULTS, reason)])  # pyright: ignore[reportInvalidTypeArguments]


def _is_item(x: Any) -> bool:
    return isinstance(x, type(RESULTS.successful))


def _name(path: tuple[Any, ...]) -> str:
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    return name if name[:1].isalpha() or name[:1] == "_" else ".".join(filter(None, ("out", name)))


def _dims(variable: Variable, taken: set[str], lengths: dict[str, int]) -> tuple[str, ...]:
    """Return names for the dimensions beyond the grid; a name stands for one length."""
    parts = variable.name.split(".")
    known = _SPIKES if parts[-1] == "spike_times" else _TIMES if parts[-1] == "ts" or "states" in parts else None
    dims = []
    for k, length in enumerate(variable.shape):
        name = f"{variable.name}_dim_{k}"
        if known and len(variable.shape) == 1 and known not in taken and lengths.get(known, length) == length:
            name = known
        lengths[name] = length
        dims.append(name)
    return tuple(dims)
