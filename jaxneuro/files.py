"""Files that outlive a kill."""

import os
from collections.abc import Iterable
from pathlib import Path


def write_whole(path: Path, parts: Iterable[bytes], beside: Path) -> None:
    """Write a file by way of another one, `beside`: at any moment the old or the new one is there, whole, and stays there."""
    with open(beside, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    directory = os.open(path.parent, os.O_RDONLY) if os.name == "posix" else None
    if directory is not None:  # so that the new name, too, outlives a power cut
        os.fsync(directory)
        os.close(directory)
