"""What the experiments share: JAX's settings, the folder of a run with its run.json, tables, and lines with spikes."""

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

import jaxneuro as jn
from jaxneuro.plotting import line_with_spikes as line_with_spikes
from jaxneuro.results import CODES


class BadInput(ValueError):
    """A knob or an input file that makes no sense; the message says what is wanted."""


class Run(NamedTuple):
    """A run that has begun: where its files go, and what it was asked to do."""

    folder: Path
    config: dict[str, Any]


def run_script(main: Callable[..., Any]) -> None:
    """Run `main` from the command line; its keyword arguments are the options.

    Sets what belongs to a process and not to a notebook that calls `main`: XLA's CPU options, which must come before
    the first computation, and JAX's persistent compilation cache, so that a second run does not compile again.
    """
    jn.configure_cpu()
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    command_line(main)


def command_line(main: Callable[..., Any]) -> None:
    """Offer the keyword arguments of `main` as options and run it, with nothing set beforehand."""
    try:
        tyro.cli(main, description=sys.modules[main.__module__].__doc__)
    except BadInput as error:  # one sentence, no traceback
        sys.exit(f"error: {error}")


def cache_folder() -> Path:
    """Return where what can be made again is kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxneuro"


def begin(name: str, out: str | None, config: Mapping[str, Any]) -> Run:
    """Turn 64-bit floats on and make the folder of the run (default `results/NAME`)."""
    jax.config.update("jax_enable_x64", True)
    folder = Path(out or Path("results") / name)
    folder.mkdir(parents=True, exist_ok=True)
    return Run(folder, {"experiment": name, **config})


def finish(run: Run, figures: Mapping[str, Figure], numbers: Mapping[str, ArrayLike], **found: Any) -> None:
    """Write the figures (PNG), the numbers behind them (numbers.npz) and run.json, and say where."""
    for name, figure in figures.items():
        figure.savefig(run.folder / f"{name}.png", dpi=130)
    arrays: dict[str, Any] = {name: np.asarray(x) for name, x in numbers.items()}
    np.savez_compressed(run.folder / "numbers.npz", **arrays)
    record = {"config": run.config, "found": found, "environment": environment()}
    (run.folder / "run.json").write_text(json.dumps(record, indent=2, default=_plain) + "\n")
    print(f"Wrote {', '.join(sorted(p.name for p in run.folder.iterdir()))} to {run.folder}")


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result and the seconds until it was there."""
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return result, time.perf_counter() - start


def environment() -> dict[str, Any]:
    """Return the versions and the machine that a result depends on."""
    device = jax.devices()[0]
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("jax", "jaxlib", "diffrax", "optax", "jaxneuro")},
        "platform": platform.platform(),
        "device": f"{jax.device_count()} x {device.platform} ({device.device_kind}), {os.cpu_count()} CPU cores",
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
    }


def print_table(title: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under headers, right-aligned; floats with six significant digits, NaN (not known) as a dash."""
    show = lambda x: ("-" if np.isnan(x) else f"{x:.6g}") if isinstance(x, (float, np.floating)) else str(x)
    cells = [list(headers), *([show(x) for x in row] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(headers))]
    print(f"\n{title}")
    for row in cells:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def print_failures(result: Any) -> int:
    """Print how many lanes failed for each reason, and return how many did."""
    counts = {jn.RESULTS[item]: int(np.sum(result == item)) for item in CODES[1:]}
    for sentence, count in counts.items():
        if count:
            print(f"  {count} lanes failed: {sentence}")
    return sum(counts.values())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return None


def _git(*args: str) -> str | None:
    try:
        command = ["git", "-C", str(Path(__file__).parent), *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _plain(x: Any) -> Any:
    return x.tolist() if hasattr(x, "tolist") else str(x)
