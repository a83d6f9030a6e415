"""Failed lanes by their place in the grid, with the reason."""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxneuro.results import RESULTS
from jaxneuro.sweeps.grid import Grid
from jaxneuro.sweeps.tiling import Tiling
from jaxneuro.sweeps.variables import Variable, enumeration_names, sentence
from jaxneuro.types import is_key

_SHOWN = 3  # points per reason in the warning


class FailedPoints(NamedTuple):
    """The failed points of a sweep, in the order of the grid."""

    coordinates: dict[str, np.ndarray]  # values of each axis (failed,), in the unit of the axis
    index: np.ndarray  # (failed, axes): where they stand in the result
    reason: np.ndarray  # (failed,) names of items of jn.RESULTS, such as "max_steps_reached"


def failed_points(grid: Grid, result: Any) -> FailedPoints:
    """Return the points of a sweep that failed: their coordinates, and why.

    Args:
        grid: the grid that was swept.
        result: what `sweep` returned, if it holds one `jn.RESULTS`; or that `result` alone. The integers of it will do, as
            an array of NumPy, zarr or xarray. Stored results are read tile by tile.

    Returns:
        `FailedPoints`, one entry per failed point, empty where all succeeded. `jn.RESULTS[getattr(jn.RESULTS, reason)]`
        is the sentence of a reason.

    Raises:
        ValueError: no `jn.RESULTS` in `result`, or several; another shape than the grid's.

    Differentiable: no.

    Example:
        >>> import jaxneuro as jn
        >>> grid = jn.grid(i=[1.0, 3.0, 5.0])
        >>> sol = jn.sweep(lambda p: jn.simulate(jn.LIF, jn.LIF.default_params(), p["i"], 100.0, max_spikes=8), grid)
        >>> failed = jn.failed_points(grid, sol)
        >>> failed.coordinates["i"].tolist(), failed.reason.tolist()
        ([5.0], ['max_spikes_reached'])
    """
    codes = _codes(result)
    if tuple(codes.shape[: len(grid)]) != grid.shape:
        raise ValueError(f"The results have the shape {tuple(codes.shape)}, but the grid {grid.shape}.")
    indices, reasons = [np.zeros((0, len(codes.shape)), int)], [np.zeros(0, int)]
    for box in _boxes(codes, grid):
        values = np.asarray(codes[box])
        failed = np.argwhere(values != 0)
        indices.append(failed + [*(s.start for s in box), *[0] * (values.ndim - len(box))])
        reasons.append(values[tuple(failed.T)])
    index, reason = np.concatenate(indices), np.concatenate(reasons)
    order = np.lexsort(index.T[::-1])
    index, reason = index[order], reason[order]
    coordinates = {name: np.asarray(axis)[index[:, k]] for k, (name, axis) in enumerate(_labels(grid).items())}
    return FailedPoints(coordinates, index, np.asarray(enumeration_names(RESULTS))[reason])


class Report:
    """Counts what fails while a sweep runs, and remembers the first points of each reason."""

    def __init__(self, grid: Grid, tiling: Tiling, found: list[Variable]) -> None:
        self._grid, self._tiling = grid, tiling
        self.positions = [k for k, variable in enumerate(found) if variable.enumeration is RESULTS]
        self.counts: dict[str, int] = {}
        self.first: dict[str, list[list[int]]] = {}

    def add(self, number: int, leaves: list[Any]) -> None:
        """Look at the values of one tile; `leaves` are those of `positions`, cut to the grid."""
        names = enumeration_names(RESULTS)
        for values in leaves:
            if not values.any():
                continue
            start = self._tiling.start(number)
            for code in np.unique(values[values != 0]):
                places = np.argwhere(values == code)
                reason = names[code]
                self.counts[reason] = self.counts.get(reason, 0) + len(places)
                some = [[int(a + b) for a, b in zip(start, p, strict=False)] for p in places[:_SHOWN]]
                self.first[reason] = sorted(self.first.get(reason, []) + some)[:_SHOWN]

    def state(self) -> list[Any]:
        return [self.counts, self.first]

    def log(self, states: list[list[Any]]) -> None:
        """Warn, once, of what failed in all processes."""
        reasons = sorted({reason for counts, _ in states for reason in counts}, key=enumeration_names(RESULTS).index)
        total = sum(sum(counts.values()) for counts, _ in states)
        if not total:
            return
        lines = [f"sweep: {total} of {self._grid.size} points failed; jn.failed_points(grid, out) lists them."]
        for reason in reasons:
            count = sum(counts.get(reason, 0) for counts, _ in states)
            first = sorted(place for _, places in states for place in places.get(reason, []))[:_SHOWN]
            where = "; ".join(self._where(place) for place in first)
            more = f"; and {count - len(first)} more" if count > len(first) else ""
            lines.append(f"  {reason} ({count}) at {where}{more}. {sentence(reason)}")
        logging.getLogger("jaxneuro").warning("\n".join(lines))

    def _where(self, place: list[int]) -> str:
        labels = _labels(self._grid)
        return ", ".join(f"{name} = {labels[name][k]:.8g}" for name, k in zip(self._grid, place, strict=True))


def _labels(grid: Grid) -> dict[str, np.ndarray]:
    """Return the axes as arrays of numbers; random keys are counted."""
    return {name: np.arange(axis.shape[0]) if is_key(axis) else np.asarray(axis) for name, axis in grid.items()}


def _codes(result: Any) -> Any:
    if isinstance(getattr(result, "shape", None), tuple) and np.issubdtype(getattr(result, "dtype", float), np.integer):
        return result
    is_item = lambda x: isinstance(x, type(RESULTS.successful))
    found = [x for x in jax.tree.leaves(result, is_leaf=is_item) if is_item(x) and x._enumeration is RESULTS]
    if len(found) != 1:
        raise ValueError(f"`result` must hold one jn.RESULTS, e.g. sol.result; it holds {len(found)}.")
    return jax.tree.leaves(found[0])[0]


def _boxes(codes: Any, grid: Grid) -> Iterator[tuple[slice, ...]]:
    """Yield the chunks of a stored array; the whole of any other."""
    chunks = getattr(codes, "chunks", None)
    whole = grid.shape if chunks is None or not all(isinstance(c, int) for c in chunks) else chunks[: len(grid)]
    tiling = Tiling(grid.shape, tuple(whole))
    return (tiling.box(number) for number in range(tiling.num_tiles))
