"""The processes of a sweep: what they tell each other, through the coordination service of `jax.distributed`.

Nothing is exchanged while tiles are computed. A process that stops with an error says so and the others stop too; one that
is killed is noticed by the heartbeats of JAX, or at once by a `dead` test that a store on the same host offers.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax._src import distributed
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_PATIENCE = 0.02  # s between looks at what another process has said
_CHECK_EVERY = 1.0  # s between looks at whether the others are well, while computing

_sweeps = itertools.count()  # all processes make the same sweeps in the same order


class Team:
    """The processes that share one sweep; alone where `jax.distributed.initialize` was not called."""

    def __init__(self) -> None:
        self.index, self.size = jax.process_index(), jax.process_count()
        self.dead: Callable[[int], str | None] = lambda process: None  # who died, as far as this process can see
        self._folder = f"jaxneuro/sweep/{next(_sweeps)}"
        self._checked = time.monotonic()

    def first(self, name: str, make: Callable[[], Any]) -> Any:
        """Return in every process what `make` returns in process 0 (something that JSON holds), or raise what it raised there."""
        if self.size == 1:
            return make()
        if self.index == 0:
            value = make()
            self._say(name, value)
            return value
        return self._hear(name, {0})[0]

    def all(self, name: str, value: Any) -> list[Any]:
        """Return the values of all processes (something that JSON holds), in their order."""
        if self.size == 1:
            return [value]
        self._say(name, value)
        return self._hear(name, set(range(self.size)))

    def same(self, name: str, value: Any) -> None:
        """Raise where the processes do not all have the same value."""
        for process, other in enumerate(self.all(name, value)):
            if other != value:
                raise ValueError(
                    f"Process {process} sweeps another function or grid, or in other tiles, than process {self.index}: all "
                    f"processes must make the same call of sweep, in the same order."
                )

    def gather(self, mine: np.ndarray) -> np.ndarray:
        """Return the bytes of all processes (processes, n)."""
        if self.size == 1:
            return mine[None]
        # One device of each process: `multihost_utils.process_allgather` asks that all processes have equally many.
        first = {device.process_index: device for device in reversed(jax.devices())}
        mesh = Mesh(np.array([first[process] for process in range(self.size)]), ("processes",))
        split, whole = (NamedSharding(mesh, PartitionSpec(*names)) for names in (("processes",), ()))
        sent = jax.make_array_from_process_local_data(split, mine[None], (self.size, *mine.shape))
        return np.asarray(jax.device_put(sent, whole).addressable_data(0))

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Tell the others when this process stops with an error."""
        try:
            yield
        except BaseException as error:
            if self.size > 1 and not isinstance(error, OthersStopped):
                self._say("stopped", f"{type(error).__name__}: {error}")
            raise

    def check(self) -> None:
        """Raise if another process has stopped or died (looks about once a second)."""
        if self.size > 1 and time.monotonic() - self._checked > _CHECK_EVERY:
            self._check()

    def _check(self) -> None:
        self._checked = time.monotonic()
        for process, message in sorted(self._said("stopped").items()):
            if process != self.index:
                raise OthersStopped(
                    f"Process {process} of the sweep stopped, and so does process {self.index}: {message}"
                )
        for process in range(self.size):
            who = None if process == self.index else self.dead(process)
            if who is not None:
                raise OthersStopped(
                    f"Process {process} of the sweep ({who}) died, and so process {self.index} stops. The finished tiles "
                    f"are kept: start the sweep again, with any number of processes, and it computes the rest."
                )

    def _say(self, name: str, value: Any) -> None:
        _client().key_value_set(f"{self._folder}/{name}/{self.index}", json.dumps(value))

    def _said(self, name: str) -> dict[int, Any]:
        found = _client().key_value_dir_get(f"{self._folder}/{name}/")
        return {int(key.rsplit("/", 1)[1]): json.loads(value) for key, value in found}

    def _hear(self, name: str, wanted: set[int]) -> list[Any]:
        while not wanted <= (found := self._said(name)).keys():
            self.check()
            time.sleep(_PATIENCE)
        return [found[process] for process in sorted(wanted)]


class OthersStopped(RuntimeError):
    """Another process of the sweep stopped or died; what was finished is kept."""


def _client() -> Any:
    return distributed.global_state.client
