"""Results in host memory."""

from typing import Any

import numpy as np

from jaxneuro.sweeps.team import Team
from jaxneuro.sweeps.tiling import Tiling
from jaxneuro.sweeps.variables import Variable


class Memory:
    """Arrays of the whole grid, filled tile by tile; every process ends with all of them."""

    def __init__(self, tiling: Tiling, found: list[Variable]) -> None:
        self._tiling = tiling
        self._arrays = [np.empty((*tiling.shape, *variable.shape), variable.dtype) for variable in found]

    def write(self, number: int, values: list[np.ndarray]) -> None:
        box = self._tiling.box(number)
        for array, value in zip(self._arrays, values, strict=True):
            array[box] = value

    def finish(self, team: Team) -> list[Any]:
        """Return the arrays, after the processes have exchanged theirs, a tile of each at a time."""
        todo = range(self._tiling.num_tiles)
        for first in range(0, len(todo) if team.size > 1 else 0, team.size):
            numbers = todo[first : first + team.size]
            mine = numbers[min(team.index, len(numbers) - 1)]
            for number, content in zip(numbers, team.gather(self._bytes(mine)), strict=False):
                self._fill(number, content)
        return self._arrays

    def _bytes(self, number: int) -> np.ndarray:
        box = self._tiling.box(number)
        content = b"".join(array[box].tobytes() for array in self._arrays)
        room = self._tiling.lanes * sum(a.itemsize * int(np.prod(a.shape[len(box) :])) for a in self._arrays)
        return np.frombuffer(content.ljust(room, b"\0"), np.uint8)

    def _fill(self, number: int, content: np.ndarray) -> None:
        box, at = self._tiling.box(number), 0
        for array in self._arrays:
            part = array[box]
            part[...] = np.frombuffer(content, array.dtype, part.size, at).reshape(part.shape)
            at += part.nbytes
