"""A sweep's results in a folder: opened, written tile by tile, gone on with, finished."""

import base64
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jaxneuro.sweeps import compare, layout
from jaxneuro.sweeps.grid import Grid
from jaxneuro.sweeps.journal import NAME, Journal, StoreError, checksum
from jaxneuro.sweeps.team import Team
from jaxneuro.sweeps.tiling import Tiling
from jaxneuro.sweeps.variables import Variable

_SHARED = 60.0  # s, what a shared file system may take to show a new file everywhere


class Store:
    """The store of one sweep, in one process. Process 0 makes and finishes it, each process writes its own tiles."""

    def __init__(self, path: Any, team: Team) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"store must be the path of a folder, or None; it is {path!r}.")
        layout.zarr_module()
        self.path, self._team = Path(path), team
        self._journal = Journal(self.path, team.index)
        self._tiling: Tiling | None = None
        self._arrays: list[Any] = []
        self._found: list[Variable] = []

    def claim(self, grid: Grid) -> tuple[int, ...] | None:
        """Lock the store and return the shape of its tiles, None if it is new. Raises if its axes are others."""
        with self._explained():
            self.complete, tile = self._team.first("claim", lambda: self._claim(grid))
            if not self.complete:
                if self._team.index > 0:
                    self._appears(self.path / NAME)
                    self._journal.lock()
                self._team.all("locked", None)
                self._team.dead = self._journal.died
        return None if tile is None else tuple(tile)

    def _claim(self, grid: Grid) -> tuple[bool, list[int] | None]:
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"The store {self.path} is a file; pass the path of a folder, which may not exist yet.")
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / NAME).is_dir() and not (self.path / layout.ROOT).exists() and any(self.path.iterdir()):
            raise StoreError(f"The folder {self.path} holds other files. Pass the path of a new or an empty folder.")
        root = layout.read_root(self.path)
        complete = root is not None and root["attributes"]["complete"] == 1
        if not complete:
            self._journal.lock()
            root = layout.read_root(self.path)  # another sweep may have finished it before the lock was free
            complete = root is not None and root["attributes"]["complete"] == 1
        if complete and (self.path / NAME).exists() and os.access(self.path, os.W_OK):
            self._journal.lock()  # of a run that was killed while it tidied up
            self._journal.remove()
        if root is None:
            return False, None
        compare.refuse(self.path, compare.other_axes(self.path, root, grid))
        return complete, root["attributes"]["tile_shape"]

    def open(
        self, grid: Grid, tiling: Tiling, found: list[Variable], origin: dict[str, Any], units: Mapping[str, str] | None
    ) -> np.ndarray:
        """Create the store or compare it with the sweep; return the numbers of the tiles that are not done."""
        self._tiling, self._found = tiling, found
        with self._explained():
            done = self._team.first("done", lambda: _packed(self._open(grid, origin, units)))
            self._appears(self.path / layout.ROOT)
            root = layout.read_root(self.path)
            assert root is not None
            compare.refuse(self.path, compare.other_results(root, tiling, found, origin, units))
            mode = "r" if self.complete else "r+"
            self._arrays = [layout.open_array(self.path / variable.name, mode) for variable in found]
        return np.flatnonzero(~_unpacked(done, tiling.num_tiles))

    def _open(self, grid: Grid, origin: dict[str, Any], units: Mapping[str, str] | None) -> np.ndarray:
        """Return which tiles are done (tiles,)."""
        assert self._tiling is not None
        done = np.zeros(self._tiling.num_tiles, bool)
        root = layout.read_root(self.path)
        if root is None:
            about = {"outputs": [v.name for v in self._found], "tile_shape": list(self._tiling.tile), **origin}
            layout.create(self.path, grid, self._tiling, self._found, about, units or {})
            return done
        compare.refuse(self.path, compare.other_results(root, self._tiling, self._found, origin, units))
        if self.complete:
            return ~done
        for folder in self.path.iterdir():  # chunks that a kill left half written, under names of their own
            for part in folder.glob("*.partial"):
                part.unlink()
        self._arrays = [layout.open_array(self.path / variable.name, "r") for variable in self._found]
        noted = self._journal.collect()
        good = {number: crc for number, crc in noted.items() if self._holds(number, crc)}
        if len(good) < len(noted):
            self._journal.rewrite(good)
        done[list(good)] = True
        return done

    def _holds(self, number: int, crc: int) -> bool:
        """Return whether a noted tile is there: after a power cut the note may have reached the disk, but not the chunk."""
        assert self._tiling is not None
        try:
            return number < self._tiling.num_tiles and checksum(self.read(number)) == crc
        except (OSError, ValueError, RuntimeError):
            return False

    def read(self, number: int, positions: list[int] | None = None) -> list[np.ndarray]:
        """Return the values of a tile, of all outputs or of some."""
        assert self._tiling is not None
        box = self._tiling.box(number)
        wanted = self._arrays if positions is None else [self._arrays[k] for k in positions]
        return [np.asarray(array[box]) for array in wanted]

    def write(self, number: int, values: list[np.ndarray]) -> None:
        """Write the chunks of a tile, then note that it is done."""
        assert self._tiling is not None
        box = self._tiling.box(number)
        with self._explained():
            for array, value in zip(self._arrays, values, strict=True):
                array[box] = value
            self._journal.note(number, checksum(values))

    def finish(self, team: Team) -> list[Any]:
        """Mark the store complete, in process 0 and after all have written their tiles; return its arrays, for reading."""
        with self._explained():
            if not self.complete:
                os.sync()  # the notes are about to go, so the chunks have to be on the disk
                team.all("written", None)
                team.dead = lambda process: None
                team.first("finished", self._finish)
            return [layout.open_array(self.path / variable.name, "r") for variable in self._found]

    def _finish(self) -> None:
        root = layout.read_root(self.path)
        assert root is not None
        layout.mark_complete(self.path, root)
        self._journal.remove()

    def close(self) -> None:
        self._journal.close()

    def _appears(self, path: Path) -> None:
        """Wait until this process sees what process 0 has made: shared file systems may take a while."""
        end = time.monotonic() + _SHARED
        while not path.exists():
            if time.monotonic() > end:
                raise StoreError(
                    f"Process {self._team.index} does not see {path}: a store needs a file system that all share."
                )
            time.sleep(0.05)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(
                error.errno,
                f"The store {self.path} could not be written or read ({error.strerror or error}). The tiles that are finished "
                f"are kept: once there is room and access again, the same call computes the rest",
            ) from error


def _packed(done: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(np.packbits(done).tobytes())).decode()


def _unpacked(text: str, number: int) -> np.ndarray:
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(bits, count=number).astype(bool)
