"""The peers' environments, made from PyPI where they are not there yet, and processes that run a job in one."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments import common
from experiments.benchmarks.settings import OURS

PINS = {
    "brian2": ("brian2==2.9.0", "numpy==2.3.5", "setuptools==80.9.0"),
    "nest": ("nest-simulator==3.10.0", "numpy==2.4.6"),
    "brainpy": ("brainpy==2.8.2", "jax==0.10.2", "jaxlib==0.10.2"),
    "neuron": ("neuron==9.0.2", "numpy==2.4.6", "setuptools==80.9.0"),
    "jaxley": ("jaxley==0.14.0", "jax==0.10.2", "jaxlib==0.10.2"),
    "eventax": ("eventax==0.1.0", "diffrax==0.7.2", "equinox==0.13.8", "jax==0.10.2", "jaxlib==0.10.2"),
}
HERE = Path(__file__).parent
# Every tool at its own settings, without a cache of compiled programs.
NOT_PASSED_ON = ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_X64")


class NotRun(Exception):
    """Why a tool has no row; the message goes into the table."""


def peers_folder(given: str | None) -> Path:
    return Path(given).absolute() if given else common.cache_folder() / "peers"


def command(tool: str, folder: Path, install: bool) -> list[str]:
    """Return what runs a job of this tool: its script, and the interpreter of its environment, made if need be.

    Raises:
        NotRun: there is no such environment, and it could not or must not be made.
    """
    if tool == OURS:
        return [sys.executable, "-m", "experiments.benchmarks.ours"]
    environment = folder / tool
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        if not install:
            raise NotRun(f"not installed (no environment {tool} in the folder of peers, and --no-install)")
        make(environment, python, PINS[tool])
    return [str(python), str(HERE / "peers" / f"run_{tool}.py")]


def make(environment: Path, python: Path, pins: tuple[str, ...]) -> None:
    """Make a virtual environment with these packages; leave nothing behind if it fails."""
    print(f"Installing {', '.join(pins)} into {environment}", flush=True)
    environment.parent.mkdir(parents=True, exist_ok=True)
    steps = ([sys.executable, "-m", "venv", str(environment)], [str(python), "-m", "pip", "install", "-q", *pins])
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(environment, ignore_errors=True)
            raise NotRun(f"could not be installed: {last_line(done.stderr)}")


def launch(command: list[str], job: dict[str, Any], folder: Path, timeout: float) -> list[dict[str, Any]]:
    """Run a job in a fresh process; return one answer per setting, {"failed": why} where there is none.

    The spikes of setting k lie in `job.k.npz` in the folder.
    """
    for old in folder.glob("job.*"):
        old.unlink()
    path = folder.absolute() / "job.json"
    path.write_text(json.dumps(job))
    passed_on = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    try:
        with subprocess.Popen(
            [*command, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**passed_on, "TMPDIR": str(folder.absolute())}, cwd=HERE.parents[1] if "-m" in command else folder,
        ) as process:  # fmt: skip
            why = _wait(process, timeout)
    except OSError as error:
        why = str(error)
    answers = path.with_suffix(".answer")
    found = json.loads(answers.read_text()) if answers.exists() else []
    return found + [{"failed": why}] * (len(job["settings"]) - len(found))


def _wait(process: subprocess.Popen[str], timeout: float) -> str:
    """Wait for a process; end it, and what it has started, when it takes too long. Return how it ended."""
    try:
        _, errors = process.communicate(timeout=timeout)
        return f"ended with code {process.returncode}: {last_line(errors)}"
    except subprocess.TimeoutExpired:
        return f"took longer than {timeout:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"
