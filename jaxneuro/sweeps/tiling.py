"""Tiles: boxes of a grid whose points follow each other in C order, so that a tile is one chunk of a store."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

DEFAULT_BATCH = 1024  # points a tile: enough to fill the vector units, few enough for their state to stay in cache
STORED_BATCH = 8192  # with a store: a chunk costs 2 ms to write, whatever its size, and a file


@dataclasses.dataclass(frozen=True)
class Tiling:
    """A grid of `shape` cut into boxes of the shape `tile`, numbered in C order; those at the end may be cut short."""

    shape: tuple[int, ...]
    tile: tuple[int, ...]

    @functools.cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple(-(-n // t) for n, t in zip(self.shape, self.tile, strict=True))

    @property
    def num_tiles(self) -> int:
        return math.prod(self.counts)

    @property
    def lanes(self) -> int:
        """Points that one tile computes, also where fewer are left."""
        return math.prod(self.tile)

    def start(self, number: int) -> tuple[int, ...]:
        """Return the indices of a tile's first point."""
        return tuple(int(k) * t for k, t in zip(np.unravel_index(number, self.counts), self.tile, strict=True))

    def box(self, number: int) -> tuple[slice, ...]:
        """Return the part of the grid that a tile covers."""
        ends = zip(self.start(number), self.tile, self.shape, strict=True)
        return tuple(slice(first, min(first + t, n)) for first, t, n in ends)

    def points(self, numbers: Sequence[int] | np.ndarray) -> int:
        """Return how many points of the grid these tiles hold."""
        return sum(math.prod(s.stop - s.start for s in self.box(k)) for k in np.asarray(numbers).tolist())


def tile_shape(shape: tuple[int, ...], batch_size: int) -> tuple[int, ...]:
    """Return the shape of tiles of at most `batch_size` points: last axes whole, one cut into balanced parts, the others 1."""
    tile = [1] * len(shape)
    room = batch_size
    for k in reversed(range(len(shape))):
        parts = -(-shape[k] // max(room, 1))
        tile[k] = -(-shape[k] // parts)
        if parts > 1:
            break
        room //= shape[k]
    return tuple(tile)
