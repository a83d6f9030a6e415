"""Sweeps on several devices and in several processes: the same bits, and what happens when a process stops or dies."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers import assert_bitwise, contents
from sweep_process import fn

import jaxneuro as jn

GRID = jn.grid(i=np.linspace(0.0, 5.0, 30), tau_m=[5.0, 10.0, 20.0])


@pytest.fixture(scope="module")
def expected():
    return jn.sweep(fn, GRID)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of two processes, one with two devices, the other with one, and what they printed."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    script = str(Path(__file__).with_name("sweep_process.py"))
    command = lambda k: [sys.executable, "-u", script, str(port), "2", str(k), str(2 - k), str(folder)]
    pipes: dict[str, Any] = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    environment = {**os.environ, "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")}
    processes = [subprocess.Popen(command(k), env=environment, **pipes) for k in range(2)]
    try:
        printed = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, -signal.SIGKILL], printed
    return folder, printed


def test_results_do_not_depend_on_devices_or_processes(two, expected):
    folder, _ = two
    for k in range(2):
        with np.load(folder / f"memory-{k}.npz") as found:
            assert_bitwise([found[name] for name in found.files], jax.tree.leaves(expected))


def test_two_processes_write_the_store_of_one(two, expected, tmp_path):
    folder, printed = two
    assert_bitwise(jn.sweep(fn, GRID, batch_size=9, store=tmp_path), jn.sweep(fn, GRID, store=folder / "store"))
    assert contents(tmp_path) == contents(folder / "store")
    assert ["same True" in out for out, _ in printed] == [True, True]
    assert ["100%" in err for _, err in printed] == [True, False]  # one bar
    assert [err.count("90 points failed") for _, err in printed] == [2, 0]


def test_a_process_that_stops_or_sweeps_something_else_stops_the_others(two):
    _, ((first, _), (second, _)) = two
    assert "stopped OthersStopped Process 1 of the sweep stopped, and so does process 0: ZeroDivisionError" in first
    assert "stopped ZeroDivisionError" in second
    assert "other ValueError Process 1 sweeps another function or grid" in first
    assert "all processes must make the same call" in second


def test_a_process_that_dies_stops_the_others_and_leaves_what_is_finished(two, tmp_path):
    folder, ((first, _), _) = two
    assert (
        "died Process 1 of the sweep (pid" in first and "start the sweep again, with any number of processes" in first
    )
    assert (folder / "killed" / ".jaxneuro" / "done-1").stat().st_size == 60  # two tiles
    jn.sweep(fn, GRID, store=folder / "killed")
    jn.sweep(fn, GRID, batch_size=9, store=tmp_path)
    assert contents(folder / "killed") == contents(tmp_path)


def test_devices_by_number_list_and_mesh(expected):
    devices = jax.local_devices()
    for chosen in (1, devices[:1], jax.sharding.Mesh(np.array(devices[:1]), ("any",))):
        assert_bitwise(jn.sweep(fn, GRID, devices=chosen, batch_size=50), expected)
    with pytest.raises(TypeError, match="devices must be None, a number of local devices, a sequence"):
        jn.sweep(fn, GRID, devices="cpu")


MODELS = """
import sys, jax, numpy as np, jaxneuro as jn
jn.configure_cpu(num_devices=2)
jax.config.update("jax_enable_x64", True)
name, top, t1 = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
model = getattr(jn, name)
params = model.default_params()
def fn(p):
    return jn.simulate(model, params, p["i"], t1, max_spikes=64)
grid = jn.grid(i=np.linspace(0.0, top, 1100))
one = jax.tree.leaves(jn.sweep(fn, grid))
for batch, devices in ((64, None), (100, 2), (1000, None), (1024, 2), (7, None), (1, 2)):
    some = jn.grid(i=grid["i"][550:600]) if batch == 1 else grid
    part = slice(550, 600) if batch == 1 else slice(None)
    for x, y in zip(one, jax.tree.leaves(jn.sweep(fn, some, batch_size=batch, devices=devices)), strict=True):
        assert x[part].tobytes() == y.tobytes(), (batch, devices)
print("bitwise", int(one[1].sum()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("model", [("LIF", "5", "200"), ("Izhikevich", "20", "200"), ("HodgkinHuxley", "20", "50")])
def test_models_do_not_depend_on_batch_size_or_devices(model):
    done = subprocess.run([sys.executable, "-c", MODELS, *model], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("bitwise"), done.stderr
