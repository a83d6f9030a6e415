"""A stored sweep that is killed: one process imports JAX and forks a child for each run, before any back end has started.

python sweep_killed.py STORE KILLS SEED [plan ...]   a plan: `delay`, `put:N` (in the middle of the N-th file), `note:N` (in the
middle of the N-th note), `move:N` (before the N-th replacement of a file); after these, random ones until KILLS runs were killed.
Each store that becomes whole must have the bytes of an unbroken one. Prints, per run, how many tiles it wrote (-1: killed), and
at the end the tiles of a whole store, the kills, the whole stores.
"""

import os
import random
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path

import jax
import numpy as np
from helpers import contents

import jaxneuro as jn

AXES = dict(x=np.linspace(0.0, 1.0, 60), y=np.linspace(-1.0, 1.0, 10))  # a Grid would start the back end


def fn(p):
    turn = lambda k, v: v + 1e-3 * jax.numpy.sin(v + p["x"] * k)
    v = jax.lax.fori_loop(0, 2000, turn, p["y"])
    return {"v": v, "trace": v * jax.numpy.arange(3.0), "big": v > 0.1, "zero": -0.0 * p["x"]}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def killing(plan):
    """Make the n-th write of a kind the last thing that this process does."""
    from zarr.storage import _local

    from jaxneuro.sweeps import journal

    kind, _, number = plan.partition(":")
    left = int(number or 0)
    put, note, replace = _local._put, journal.Journal.note, os.replace

    def count():
        nonlocal left
        left -= 1
        return left == 0

    def half_put(path, value, exclusive=False):
        if count():
            path.parent.mkdir(parents=True, exist_ok=True)
            content = bytes(value.as_buffer_like())
            path.with_suffix(".0.partial").write_bytes(content[: len(content) // 2])
            die()
        return put(path, value, exclusive)

    def half_note(self, number, checksum):
        note(self, number, checksum)
        if count():
            os.ftruncate(self._notes, os.fstat(self._notes).st_size - 11)
            die()

    def last_move(*args):
        if count():
            die()
        replace(*args)

    if kind == "put":
        _local._put = half_put
    elif kind == "note":
        journal.Journal.note = half_note
    elif kind == "move":
        os.replace = last_move


def run(store, plan, pipe):
    from jaxneuro.sweeps.store import Store

    jax.config.update("jax_enable_x64", True)
    killing(plan)
    written, write = 0, Store.write

    def counted(self, number, values):
        nonlocal written
        write(self, number, values)
        written += 1

    Store.write = counted
    jn.sweep(fn, jn.grid(**AXES), store=store, batch_size=20, units={"v": "mV"})
    os.write(pipe, str(written).encode())


def forked(store, plan, delay=None):
    """Return how many tiles a run wrote, and its duration in s; -1 if it was killed."""
    ours, theirs = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            run(store, plan, theirs)
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.close(theirs)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(ours, "rb") as file:
        return int(file.read() or -1), time.monotonic() - start


def main(store, kills, seed, *plans):
    rng = random.Random(int(seed))
    whole, duration = forked(store + "-unbroken", "none")
    assert whole > 0
    ends, killed = 0, 0
    plans = list(plans)
    while killed < int(kills) or plans or Path(store).exists():
        more = killed < int(kills)
        drawn = rng.choice(
            ["delay", "delay", f"put:{rng.randint(1, 60)}", f"note:{rng.randint(1, 15)}", "move:1", "move:3"]
        )
        plan = plans.pop(0) if plans else drawn if more else "none"
        written, _ = forked(store, plan, rng.uniform(0, duration) if plan == "delay" else None)
        print(plan, written, flush=True)
        assert plan != "none" or written >= 0, "the run failed"
        killed += written < 0
        if written >= 0:  # whole, in spite of all
            assert contents(store) == contents(store + "-unbroken"), "the store differs from that of an unbroken run"
            shutil.rmtree(store)
            ends += 1
    print(whole, killed, ends)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="os.fork")
    main(*sys.argv[1:])
