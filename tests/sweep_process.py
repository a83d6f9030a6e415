"""One of two processes of a sweep, or the only one: python sweep_process.py PORT PROCESSES INDEX DEVICES FOLDER.

Sweeps in memory and into a store, then into a store while process 1 kills itself; prints what came out.
"""

import os
import signal
import sys

import jax
import numpy as np

import jaxneuro as jn


def fn(p):
    params = jn.LIF.default_params()._replace(tau_m=p["tau_m"])
    sol = jn.simulate_grid(jn.LIF, params, p["i"], 60.0, dt=0.1, max_spikes=8)
    return {"times": sol.spike_times, "count": sol.num_spikes, "late": sol.num_spikes > 3, "result": sol.result}


def killing(count):
    """Make the n-th tile of this process the last thing it does."""
    from jaxneuro.sweeps.store import Store

    write = Store.write
    left = count

    def last(self, number, values):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, number, values)

    Store.write = last


def main(port, processes, index, devices, folder):
    processes, index, devices = int(processes), int(index), int(devices)
    jn.configure_cpu(num_devices=devices)
    jax.config.update("jax_enable_x64", True)
    if processes > 1:
        jax.distributed.initialize(f"localhost:{port}", processes, index, heartbeat_timeout_seconds=10)
    grid = jn.grid(i=np.linspace(0.0, 5.0, 30), tau_m=[5.0, 10.0, 20.0])
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("all",)) if devices > 1 else None
    out = jn.sweep(fn, grid, batch_size=9, devices=mesh)
    np.savez(f"{folder}/memory-{index}.npz", *jax.tree.leaves(out))
    stored = jn.sweep(fn, grid, batch_size=9, devices=mesh, store=f"{folder}/store", progress=True)
    same = [np.array_equal(x, y) for x, y in zip(jax.tree.leaves(out), jax.tree.leaves(stored), strict=True)]
    print("same", all(same), flush=True)
    if processes > 1:
        for name, bad in (("stopped", lambda p: p["i"] / (1 // (1 - index))), ("other", lambda p: p["i"] + index)):
            try:
                jn.sweep(bad, grid)
            except (ZeroDivisionError, RuntimeError, ValueError) as error:
                print(name, type(error).__name__, error, flush=True)
        if index == 1:
            killing(3)
        try:
            jn.sweep(fn, grid, batch_size=9, store=f"{folder}/killed")
        except RuntimeError as error:
            print("died", error, flush=True)
        os._exit(0)  # the runtime of JAX waits for the dead at its own end


if __name__ == "__main__":
    from sweep_process import main  # so that the function has the name it has in the tests

    main(*sys.argv[1:])
