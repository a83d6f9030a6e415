"""`sweep`: every point of a grid, tile by tile."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from jaxneuro.progress import bar
from jaxneuro.sweeps.devices import chosen_devices
from jaxneuro.sweeps.failures import Report
from jaxneuro.sweeps.grid import Grid, traced
from jaxneuro.sweeps.memory import Memory
from jaxneuro.sweeps.program import Program, program
from jaxneuro.sweeps.team import Team
from jaxneuro.sweeps.tiling import DEFAULT_BATCH, Tiling, tile_shape
from jaxneuro.sweeps.variables import variables


def sweep(
    fn: Callable[[dict[str, Any]], Any],
    grid: Grid,
    *,
    batch_size: int | np.integer | None = None,
    devices: Any = None,
    store: Any = None,
    progress: bool = False,
) -> Any:
    """Evaluate `fn` at every point of a grid: out[i, j, ...] = fn({name: axis_i, name: axis_j, ...}).

    Example:
        >>> import jaxneuro as jn
        >>> jn.sweep(lambda p: p["x"] * p["y"], jn.grid(x=[1.0, 2.0, 3.0], y=[1.0, 10.0])).tolist()
        [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]
    """
    _check_arguments(grid, batch_size)
    mesh = chosen_devices(devices)
    team = Team()
    with team.watch():
        batch = DEFAULT_BATCH if batch_size is None else int(batch_size)
        tiling = Tiling(grid.shape, tile_shape(grid.shape, batch))
        found = program(fn, grid, tiling, mesh)
        leaves = variables(found.out, grid)
        report = Report(grid, tiling, leaves)
        sink = Memory(tiling, leaves)
        todo = np.arange(tiling.num_tiles)
        width = 1 if mesh is None else mesh.size
        with bar("sweep", grid.size, "point", progress and team.index == 0, unit_scale=True) as shown:
            _run(found, tiling, todo, width, team, sink, report, shown)
        report.log(team.all("failures", report.state()))
        arrays = sink.finish(team)
    return jax.tree.unflatten(jax.tree.structure(found.out), arrays)


def _run(
    found: Program, tiling: Tiling, todo: np.ndarray, width: int, team: Team, sink: Any, report: Report, shown: Any
) -> None:
    """Compute this process's share of the tiles, `width` at a time; while the host takes some, the next are computed."""
    mine = todo[team.index :: team.size]

    def finish(first: int, out: list[Any]) -> None:
        values = [np.asarray(x) for x in out]
        for k, number in enumerate(mine[first : first + width].tolist()):
            box = tiling.box(number)
            cut = tuple(slice(s.stop - s.start) for s in box)
            tile = [x[k].reshape(*tiling.tile, *x.shape[2:])[cut] for x in values]
            sink.write(number, tile)
            report.add(number, [tile[p] for p in report.positions])
        if shown is not None:  # the other processes are taken to be as far
            shown.update(tiling.points(todo[first * team.size : (first + width) * team.size]))
        team.check()

    ahead = None
    for first in range(0, len(mine), width):
        numbers = mine[np.minimum(np.arange(first, first + width), len(mine) - 1)].tolist()
        out = found.run(numbers)
        if any(isinstance(x, Tracer) for x in out):
            raise TypeError(traced("the values of fn are traced"))
        if ahead is not None:
            finish(*ahead)
        ahead = first, out
    if ahead is not None:
        finish(*ahead)


def _check_arguments(grid: Any, batch_size: Any) -> None:
    if not isinstance(grid, Grid):
        raise TypeError(f"grid must come from jn.grid(name=values, ...); it is a {type(grid).__name__}.")
    if batch_size is not None and not (isinstance(batch_size, int | np.integer) and batch_size >= 1):
        raise ValueError(f"batch_size must be an integer >= 1, or None; it is {batch_size!r}.")

