"""What training tells the host while it runs: a progress bar, a CSV file, TensorBoard event files."""

import csv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jaxneuro.progress import bar

Write = Callable[[dict[str, np.ndarray]], None]
"""write(columns): the metrics of the epochs that follow those written before, each (epochs,)."""


@contextmanager
def open_logs(
    num_epochs: int, done: dict[str, np.ndarray], *, progress: bool, csv_file: Any, tensorboard: Any
) -> Iterator[Write]:
    """Open what is asked for; `done` holds the epochs that a checkpoint brought, so that no file has them twice."""
    epochs = len(next(iter(done.values()), ()))
    with ExitStack() as stack:
        shown = stack.enter_context(bar("fit", num_epochs, "epoch", progress, initial=epochs))
        table = None if csv_file is None else stack.enter_context(_csv(Path(csv_file)))
        events = None if tensorboard is None else stack.enter_context(_events(tensorboard, epochs))
        if table is not None and epochs:
            table(0, done)
        epoch = epochs

        def write(columns: dict[str, np.ndarray]) -> None:
            nonlocal epoch
            for log in (table, events):
                if log is not None:
                    log(epoch, columns)
            count = len(next(iter(columns.values())))
            epoch += count
            if shown is not None:
                shown.set_postfix({name: f"{x[-1]:.4g}" for name, x in columns.items()}, refresh=False)
                shown.update(count)

        yield write


@contextmanager
def _csv(path: Path) -> Iterator[Callable[[int, dict[str, np.ndarray]], None]]:
    file, table = None, None  # opened with the first row: a run that never starts leaves an older file as it is

    def write(first: int, columns: dict[str, np.ndarray]) -> None:
        nonlocal file, table
        if file is None or table is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "w", newline="")
            table = csv.writer(file)
            table.writerow(["epoch", *(name.replace("/", "_") for name in columns)])
        for k, row in enumerate(zip(*columns.values(), strict=True)):
            table.writerow([first + k, *(repr(float(x)) for x in row)])
        file.flush()  # so that a kill loses no finished epoch

    try:
        yield write
    finally:
        if file is not None:
            file.close()


@contextmanager
def _events(folder: Any, epochs: int) -> Iterator[Callable[[int, dict[str, np.ndarray]], None]]:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "fit(tensorboard=...) needs tensorboardX: `pip install 'jaxneuro[tensorboard]'`, or leave it out."
        ) from error
    writer = SummaryWriter(str(folder), purge_step=epochs or None, filename_suffix=f".from{epochs}")

    def write(first: int, columns: dict[str, np.ndarray]) -> None:
        for name, values in columns.items():
            for k, value in enumerate(values):
                writer.add_scalar(name, float(value), first + k)
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
