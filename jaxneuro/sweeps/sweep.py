"""`sweep`: every point of a grid, tile by tile."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from jaxneuro.progress import bar
from jaxneuro.sweeps import compare, identity, layout
from jaxneuro.sweeps.devices import chosen_devices
from jaxneuro.sweeps.failures import Report
from jaxneuro.sweeps.grid import Grid, traced
from jaxneuro.sweeps.memory import Memory
from jaxneuro.sweeps.program import Program, program
from jaxneuro.sweeps.store import Store
from jaxneuro.sweeps.team import Team
from jaxneuro.sweeps.tiling import DEFAULT_BATCH, STORED_BATCH, Tiling, tile_shape
from jaxneuro.sweeps.variables import variables


def sweep(
    fn: Callable[[dict[str, Any]], Any],
    grid: Grid,
    *,
    batch_size: int | np.integer | None = None,
    devices: Any = None,
    store: Any = None,
    progress: bool = False,
    units: Mapping[str, str] | None = None,
) -> Any:
    """Evaluate `fn` at every point of a grid: out[i, j, ...] = fn({name: axis_i, name: axis_j, ...}).

    The grid is cut into tiles: boxes of at most `batch_size` points, last axes whole, one axis cut into parts of equal
    length. A tile is one `jit(vmap(fn))`, compiled once; where a part is short its last point is repeated, and cut. While
    one tile is computed the host takes the results of the one before, so the memory beyond the results is that of two tiles.
    Passing the same function again compiles nothing: define it once, not a new `lambda` per call (a warning is logged when the
    same code comes a third time). What fails is logged as one warning at the end (`logging.getLogger("jaxneuro")`), by
    reason and coordinates, and does not stop the sweep; `failed_points` lists all of it.

    In float64 the results of the library's models are the same to the bit for every `batch_size`, number of devices and
    number of processes (tested). A function of your own may contain operations that XLA rounds differently for another number
    of lanes, such as matrix products and long sums: then it is so only for one `batch_size`.

    **Devices and processes.** Several devices each run a tile at a time (each compiles the tile for itself; host devices come
    from `configure_cpu(num_devices=...)`). Several processes, started by you and joined by `jax.distributed.initialize`, all make
    the same call, and take turns with the tiles, each on its own devices; nothing is exchanged while computing. When one of
    them stops with an error or dies, the others stop with a message: those that share a host with it at once, others by
    the heartbeats of JAX (`heartbeat_timeout_seconds` of `initialize`).

    **Store.** The results go into a Zarr folder, one chunk a tile, as they are computed, and the leaves returned are arrays
    that read from it: nothing of the results stays in memory. `xarray.open_zarr(path)` shows them with labels: dimensions are
    the axes of the grid; variables are named as in the pytree (`num_spikes`, `final_state.v`, `out` for a single array); a
    `jn.RESULTS` is stored as its number with `flag_meanings`. The same call after a kill, a full disk or a power cut keeps
    the tiles that are finished and computes the rest, on any devices and processes; the folder ends as that of an unbroken run,
    byte for byte. What is not computed yet reads as NaN, -1 or False, and the attribute `complete` is 0.

    Args:
        fn: a traceable function of one dict of scalars {axis name: value} that returns a pytree of arrays.
        grid: the axes, from `jn.grid`.
        batch_size: points per tile at most; None is 1,024, with a store 8,192, or what the store has already.
        devices: None is JAX's default device; a number of local devices, a sequence of them, or a `jax.sharding.Mesh`, of
            which a process uses its own.
        store: path of a folder, new or of the same sweep, on a file system that all processes share; None keeps the
            results in memory, and gives them to every process.
        progress: show a bar with points per second and the time that remains (needs tqdm; process 0 only).
        units: units of axes and outputs by name, e.g. {"current": "nA", "num_spikes": "1"}, for the store.

    Returns:
        The pytree of `fn`, every leaf with one leading axis per grid axis, in argument order. The leaves are NumPy arrays,
        which JAX takes as they are, or with a store `zarr.Array`, read where they are indexed (`leaf[...]`, `np.asarray(leaf)`).
        A failed lane is a value in its `result`, not an exception.

    Raises:
        TypeError: `grid` is no `Grid`; `fn` returns something else than arrays, or what a store cannot hold; called inside
            jit, vmap or grad.
        ValueError: batch_size < 1; more devices than there are; units of unknown names, or without a store.
        StoreError: the store is of another sweep (the message says in what it differs), in use by another run, damaged, or a
            folder of other files.
        OSError: the store cannot be written. What is finished is kept.
        RuntimeError: another process of the sweep stopped or died. What is finished is kept.
        ImportError: progress without tqdm; store without zarr.
        Whatever `fn` raises while it is traced.

    Differentiability: none, since it is a loop on the host; differentiate inside `fn`, or use `jax.vmap`.

    Example:
        >>> import jaxneuro as jn
        >>> jn.sweep(lambda p: p["x"] * p["y"], jn.grid(x=[1.0, 2.0, 3.0], y=[1.0, 10.0])).tolist()
        [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]
    """
    team = Team()
    with team.watch(), ExitStack() as stack:
        _check_arguments(grid, batch_size, store, units)
        chosen, there = chosen_devices(devices), None
        stored = None if store is None else Store(store, team)
        if stored is not None:
            stack.callback(stored.close)
            there = stored.claim(grid)
        default = DEFAULT_BATCH if stored is None else STORED_BATCH
        tile = tile_shape(grid.shape, default if batch_size is None else int(batch_size))
        if stored is not None and there is not None:
            compare.check_batch(stored.path, there, tile, batch_size)
        tiling = Tiling(grid.shape, there or tile)
        found = program(fn, grid, tiling, chosen)
        leaves = variables(found.out, grid)
        if team.size > 1:
            team.same("sweep", [identity.digest(found.jaxpr, found.arrays), *identity.axes(grid), list(tiling.tile)])
        if stored is None:
            sink, todo = Memory(tiling, leaves), np.arange(tiling.num_tiles)
        else:
            layout.check_names(grid, leaves, units)
            origin = identity.provenance(fn, found.jaxpr, found.arrays)
            sink, todo = stored, stored.open(grid, tiling, leaves, origin, units)
        report = Report(grid, tiling, leaves)
        if stored is not None and report.positions:
            for number in np.setdiff1d(np.arange(tiling.num_tiles), todo)[team.index :: team.size].tolist():
                report.add(number, stored.read(number, report.positions))
        options: dict[str, Any] = dict(unit_scale=True, initial=grid.size - tiling.points(todo))
        with bar("sweep", grid.size, "point", progress and team.index == 0, **options) as shown:
            _run(found, tiling, todo, len(chosen), team, sink, report, shown)
        failures = team.all("failures", report.state())
        if team.index == 0:
            report.log(failures)
        arrays = sink.finish(team)
    return jax.tree.unflatten(jax.tree.structure(found.out), arrays)


def _run(
    found: Program, tiling: Tiling, todo: np.ndarray, width: int, team: Team, sink: Any, report: Report, shown: Any
) -> None:
    """Compute this process's share of the tiles, `width` at a time; while the host takes some, the next are computed."""
    mine = todo[team.index :: team.size]

    def finish(first: int, outs: list[list[Any]]) -> None:
        for number, out in zip(mine[first : first + width].tolist(), outs, strict=True):
            cut = tuple(slice(s.stop - s.start) for s in tiling.box(number))
            tile = [np.asarray(x)[: tiling.lanes].reshape(*tiling.tile, *x.shape[1:])[cut] for x in out]
            sink.write(number, tile)
            report.add(number, [tile[p] for p in report.positions])
        if shown is not None:  # the other processes are taken to be as far
            shown.update(tiling.points(todo[first * team.size : (first + width) * team.size]))
        team.check()

    ahead = None
    for first in range(0, len(mine), width):
        outs = found.run(mine[first : first + width].tolist())
        if any(isinstance(x, Tracer) for out in outs for x in out):
            raise TypeError(traced("the values of fn are traced"))
        if ahead is not None:
            finish(*ahead)
        ahead = first, outs
    if ahead is not None:
        finish(*ahead)


def _check_arguments(grid: Any, batch_size: Any, store: Any, units: Any) -> None:
    if not isinstance(grid, Grid):
        raise TypeError(f"grid must come from jn.grid(name=values, ...); it is a {type(grid).__name__}.")
    if batch_size is not None and not (isinstance(batch_size, int | np.integer) and batch_size >= 1):
        raise ValueError(f"batch_size must be an integer >= 1, or None; it is {batch_size!r}.")
    if units is not None and store is None:
        raise ValueError("units are written into a store: pass store=... too, or leave units out.")
