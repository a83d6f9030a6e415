"""Brian2: C++ standalone (one thread or OpenMP) and the Cython runtime; pip install brian2.

Standalone: the project is built once for a setting's `build`, the step is handed to the binary through its environment, and
the time is the one the binary itself takes for its run loop (without start, allocation and the writing of results). A spike
carries the end of its step: Brian2 stamps the start, and the state that crossed is the one at the end.
"""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import brian2 as b  # pyright: ignore[reportMissingImports]
import numpy as np
import protocol

EQUATIONS = {
    "LIF": "dv/dt = (v_rest - v + r_m*I)/(tau_m*ms) : 1 (unless refractory)\nI : 1 (constant)",
    "Izhikevich": """dv/dt = (k2*v*v + k1*v + k0 - u + I)/ms : 1
        du/dt = a*(b*v - u)/ms : 1
        I : 1 (constant)""",
    "AdEx": """dv/dt = (g_leak*(e_leak - v + delta_t*exp((v - v_thresh)/delta_t)) - w + I)/c_m/ms : 1
        dw/dt = (a*(v - e_leak) - w)/(tau_w*ms) : 1
        I : 1 (constant)""",
    "HodgkinHuxley": """dv/dt = (I - g_na*m**3*h*(v - e_na) - g_k*n**4*(v - e_k) - g_leak*(v - e_leak))/c_m/ms : 1
        dm/dt = (alpha_m*(1 - m) - beta_m*m)/ms : 1
        dh/dt = (alpha_h*(1 - h) - beta_h*h)/ms : 1
        dn/dt = (alpha_n*(1 - n) - beta_n*n)/ms : 1
        alpha_m = 1/exprel(-(v + 40)/10) : 1
        beta_m = 4*exp(-(v + 65)/18) : 1
        alpha_h = 0.07*exp(-(v + 65)/20) : 1
        beta_h = 1/(1 + exp(-(v + 35)/10)) : 1
        alpha_n = 0.1/exprel(-(v + 55)/10) : 1
        beta_n = 0.125*exp(-(v + 65)/80) : 1
        I : 1 (constant)""",
}
SPIKES = {
    "LIF": dict(threshold="v >= v_thresh", reset="v = v_reset"),
    "Izhikevich": dict(threshold="v >= v_peak", reset="v = c; u += d"),
    "AdEx": dict(threshold="v >= v_peak", reset="v = v_reset; w += b"),
    "HodgkinHuxley": dict(
        threshold="v >= v_thresh", refractory="v >= v_thresh"
    ),  # no second spike until v has come down
}


def network(task, setting):
    model, params = task["model"], dict(task["params"])
    params["c_m"] = params.pop("cm", 1.0)  # `cm` is a unit there
    refractory = params.pop("tau_refrac", 0.0)
    spikes = dict(SPIKES[model])
    if refractory > 0:  # counted from the start of the step that crosses; the state is reset at its end
        spikes["refractory"] = f"{refractory}*ms + dt"
    group = b.NeuronGroup(task["neurons"], EQUATIONS[model], method=setting["method"], namespace=params, **spikes)
    for name, value in task["state0"].items():
        setattr(group, name, value)
    group.I = protocol.currents(task)
    monitor = b.SpikeMonitor(group)
    return b.Network(group, monitor), monitor


def run(task, setting, job):
    return (standalone if setting["target"] == "standalone" else runtime)(task, setting, job)


BUILT = {}


def build(task, setting):
    """Compile the project; return its folder, the names of the files of spikes, and the seconds."""
    folder = tempfile.mkdtemp(prefix="brian2-")
    b.set_device("cpp_standalone", build_on_run=False, directory=folder)
    b.prefs.devices.cpp_standalone.openmp_threads = setting["threads"] if setting["threads"] > 1 else 0
    b.defaultclock.dt = setting["dt"] * b.ms
    net, monitor = network(task, setting)
    step = 'if (const char* step = std::getenv("STEP")) brian::_array_defaultclock_dt[0] = std::atof(step);'
    b.device.insert_code("before_network_run", step)
    net.run(task["duration"] * b.ms)
    start = time.perf_counter()
    b.device.build(directory=folder, run=False, compile=True)
    names = [Path(b.device.get_array_filename(monitor.variables[name])).name for name in ("i", "t")]
    return Path(folder), names, time.perf_counter() - start


def standalone(task, setting, job):
    if not BUILT:
        BUILT["project"] = build(task, setting)
    folder, names, compile_s = BUILT["project"]
    results = folder / "results"
    results.mkdir(exist_ok=True)
    loop, wall, cpu, peak = [], [], [], None
    for _ in range(1 + job["repeats"]):
        before, start = os.times(), time.perf_counter()
        peak = binary(folder, results, setting["dt"]) or peak
        wall.append(time.perf_counter() - start)
        after = os.times()
        cpu.append(after.children_user + after.children_system - before.children_user - before.children_system)
        loop.append(float((results / "last_run_info.txt").read_text().split()[0]))
        if sum(loop) > job["budget"]:
            break
    i = np.fromfile(results / names[0], dtype=np.int32)
    t = np.fromfile(results / names[1], dtype=np.float64) * 1e3
    if setting.get("last"):
        shutil.rmtree(folder)
    k = 1 if len(loop) > 1 else 0
    cores = sum(cpu[k:]) / sum(wall[k:])  # of the whole process: the loop has no clock of its own
    measures = dict(
        compile_s=compile_s, first_s=loop[0], seconds=loop[k:], cpu_seconds=[cores * s for s in loop[k:]], peak_mib=peak,
        steps=protocol.grid_steps(task, setting["dt"]),
    )  # fmt: skip
    return measures, protocol.last_spikes(i, t + setting["dt"], task["neurons"])


def binary(folder, results, dt):
    """Run the compiled program once; return its peak memory in MiB, looked up from time to time."""
    process = subprocess.Popen(
        [str(folder / "main"), "--results_dir", f"{results}/"], cwd=folder, env={**os.environ, "STEP": repr(dt * 1e-3)},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    peak = None
    while process.poll() is None:
        peak = protocol.peak_mib(process.pid) or peak
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"the compiled program ended with code {process.returncode}")
    return peak


def runtime(task, setting, job):
    b.prefs.codegen.target = "cython"
    b.defaultclock.dt = setting["dt"] * b.ms
    net, monitor = network(task, setting)
    start = time.perf_counter()
    net.run(0 * b.ms)  # compiles
    compile_s = time.perf_counter() - start
    net.store()

    def once():
        net.run(task["duration"] * b.ms)

    _, measures = protocol.measure(once, job["repeats"], job["budget"], prepare=net.restore)
    measures.update(compile_s=compile_s, steps=protocol.grid_steps(task, setting["dt"]))
    spikes = protocol.last_spikes(np.asarray(monitor.i), np.asarray(monitor.t / b.ms) + setting["dt"], task["neurons"])
    return measures, spikes


if __name__ == "__main__":
    protocol.serve(run, ("brian2", "numpy"))
