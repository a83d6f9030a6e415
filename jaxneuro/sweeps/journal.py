"""The hidden folder of an unfinished store: who writes it, and which tiles are done.

`lock-P` is held by process P while it runs (flock: the system frees it when the process ends, however it ends) and names the
holder. `done-P` notes the tiles that P finished, one line of fixed length each, with a checksum of their values.
"""

import errno
import json
import os
import re
import shutil
import socket
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from jaxneuro.files import write_whole

NAME = ".jaxneuro"
_LINE = re.compile(rb"(\d{20}) ([0-9a-f]{8})\n")
_LENGTH = 30


class StoreError(ValueError):
    """A store that is of another sweep, in use, damaged or none; the message says what to do."""


class Journal:
    """The locks and notes of one process."""

    def __init__(self, store: Path, process: int) -> None:
        self.folder, self._process = store / NAME, process
        self._store = store
        self._lock: int | None = None
        self._notes: int | None = None

    def lock(self) -> None:
        """Take this process's lock, or raise and name its holder; process 0 asks that nobody holds any."""
        self.folder.mkdir(exist_ok=True)
        self._lock = self._take(self._process)
        if self._process == 0:
            for other in self.folder.glob("lock-*"):
                number = int(other.name.removeprefix("lock-"))
                if number != 0:
                    os.close(self._take(number))
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, holder.encode(), 0)

    def died(self, process: int) -> str | None:
        """Return who held the lock of a process of this host that has died; None if it lives, or is on another host."""
        holder = _holder(self.folder / f"lock-{process}")
        # Some shared file systems keep locks to each host: there a lock says nothing about a process elsewhere.
        if holder.get("host") != socket.gethostname():
            return None
        try:
            handle = _flock(self.folder / f"lock-{process}", create=False)
        except OSError:
            return None
        if handle is None:
            return None
        os.close(handle)
        return f"pid {holder['pid']} on {holder['host']}"

    def collect(self) -> dict[int, int]:
        """Return the checksums of the noted tiles, by number, and gather the notes of all processes in one file."""
        found = {}
        for path in sorted(self.folder.glob("done-*")):
            content = path.read_bytes()
            for at in range(0, len(content), _LENGTH):
                # A last line that a kill or a full disk cut short does not match.
                if match := _LINE.fullmatch(content[at : at + _LENGTH]):
                    found[int(match[1])] = int(match[2], 16)
        self.rewrite(found)
        return found

    def rewrite(self, noted: dict[int, int]) -> None:
        """Replace the notes of all processes."""
        write_whole(self.folder / "done-0", (_line(*item) for item in sorted(noted.items())), self.folder / "part")
        for path in self.folder.glob("done-*"):
            if path.name != "done-0":
                path.unlink()

    def note(self, number: int, checksum: int) -> None:
        """Note a tile whose chunks are written."""
        if self._notes is None:
            self._notes = os.open(self.folder / f"done-{self._process}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        line = _line(number, checksum)
        if os.write(self._notes, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def remove(self) -> None:
        """Remove the folder of a finished store; the lock goes last."""
        for path in self.folder.iterdir():
            if path.name != "lock-0":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (self.folder / "lock-0").unlink(missing_ok=True)
        self.folder.rmdir()

    def close(self) -> None:
        for handle in (self._notes, self._lock):
            if handle is not None:
                os.close(handle)
        self._notes = self._lock = None

    def _take(self, process: int) -> int:
        path = self.folder / f"lock-{process}"
        handle = _flock(path)
        if handle is None:
            who = _holder(path)
            raise StoreError(
                f"The store {self._store} is being written by another sweep (pid {who.get('pid')} on {who.get('host')}). Wait "
                f"until it ends, end it, or pass another path."
            )
        return handle


def checksum(values: list[np.ndarray]) -> int:
    """Return the CRC-32 of the values of a tile."""
    crc = 0
    for x in values:
        crc = zlib.crc32(np.ascontiguousarray(x).tobytes(), crc)
    return crc


def _line(number: int, checksum: int) -> bytes:
    return b"%020d %08x\n" % (number, checksum)


def _flock(path: Path, *, create: bool = True) -> int | None:
    """Return a locked handle of the file, or None where someone else holds it."""
    try:
        import fcntl
    except ImportError as error:
        raise ImportError("sweep(store=...) locks its store with flock, which this system does not have.") from error
    while True:
        handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        # The holder may have finished, and removed the file, between the two lines above.
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
        os.close(handle)


def _holder(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
