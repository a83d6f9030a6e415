"""BrainPy; pip install brainpy. The library's own cells at its default method, one jitted loop, counts and last spikes kept.

Nothing is recorded but each neuron's number of spikes and its last two: less work than storing all spikes, in its favour.
"""

import brainpy as bp  # pyright: ignore[reportMissingImports]
import brainpy.math as bm  # pyright: ignore[reportMissingImports]
import jax
import numpy as np
import protocol


def cell(task, setting):
    p, s, n = task["params"], task["state0"], task["neurons"]
    start = {f"{'V' if name == 'v' else name}_initializer": bp.init.Constant(value) for name, value in s.items()}
    if task["model"] == "LIF":
        # Held for tau_refrac/dt steps; the half step keeps rounding of t from making it one more or less.
        refractory = p["tau_refrac"] + setting["dt"] / 2
        return bp.dyn.LifRef(
            n, V_rest=p["v_rest"], V_reset=p["v_reset"], V_th=p["v_thresh"], R=p["r_m"], tau=p["tau_m"], tau_ref=refractory,
            **start,
        )  # fmt: skip
    if task["model"] == "Izhikevich":
        return bp.dyn.Izhikevich(n, V_th=p["v_peak"], a=p["a"], b=p["b"], c=p["c"], d=p["d"], **start)
    return bp.dyn.HH(
        n, ENa=p["e_na"], gNa=p["g_na"], EK=p["e_k"], gK=p["g_k"], EL=p["e_leak"], gL=p["g_leak"], V_th=p["v_thresh"], C=p["cm"],
        **start,
    )  # fmt: skip


def run(task, setting, job):
    bm.set_platform("cpu")
    (bm.enable_x64 if setting["dtype"] == "float64" else bm.disable_x64)()
    bm.set_float(bm.float64 if setting["dtype"] == "float64" else bm.float32)
    dt, n = setting["dt"], task["neurons"]
    bm.set_dt(dt)
    neurons = cell(task, setting)
    current = bm.asarray(protocol.currents(task), dtype=bm.get_float())
    count = bm.Variable(bm.zeros(n, dtype=int))
    last, before = (bm.Variable(bm.full(n, -1, dtype=int)) for _ in range(2))

    def step(i):
        bp.share.save(i=i, t=i * dt, dt=dt)
        neurons.update(current)
        spike = neurons.spike.value.astype(bool)
        before.value = bm.where(spike, last.value, before.value)
        last.value = bm.where(spike, i, last.value)
        count.value = count.value + spike

    indices = bm.arange(round(task["duration"] / dt))
    loop = bm.jit(lambda: bm.for_loop(step, indices))

    def reset():
        neurons.reset_state()
        count.value, last.value, before.value = bm.zeros_like(count), -bm.ones_like(last), -bm.ones_like(before)

    def once():
        loop()
        jax.block_until_ready((count.value, last.value))

    _, times = protocol.measure(once, job["repeats"], job["budget"], compiles=True, prepare=reset)
    times["steps"] = protocol.grid_steps(task, dt)
    end = lambda k: np.where(np.asarray(k) >= 0, (np.asarray(k) + 1) * dt, np.inf)  # end of the step
    spikes = dict(count=np.asarray(count.value), last=end(last.value), before=end(before.value))
    return times, spikes


if __name__ == "__main__":
    protocol.serve(run, ("brainpy", "jax", "numpy"))
