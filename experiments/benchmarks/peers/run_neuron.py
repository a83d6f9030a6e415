"""NEURON; pip install neuron. Hodgkin-Huxley cells, one compartment each: CVODE with local steps, or fixed steps.

Spikes are threshold events of NetCon; under CVODE they are interpolated between steps. Rate tables are off, since they
interpolate the rates. Currents per area become nA: a compartment of 100 um2 takes 1e-3 nA per uA/cm2.
"""

import protocol
from neuron import h  # pyright: ignore[reportMissingImports]

AREA = 100.0  # um2


def build(task):
    p = task["params"]
    h.usetable_hh = 0
    h.celsius = p["temperature"]
    kept = []
    for current in protocol.currents(task):
        section = h.Section()
        section.L = section.diam = (AREA / 3.141592653589793) ** 0.5
        section.nseg, section.cm = 1, p["cm"]
        section.insert("hh")
        segment = section(0.5)
        segment.hh.gnabar, segment.hh.gkbar, segment.hh.gl = 1e-3 * p["g_na"], 1e-3 * p["g_k"], 1e-3 * p["g_leak"]
        segment.hh.el, section.ena, section.ek = p["e_leak"], p["e_na"], p["e_k"]
        clamp = h.IClamp(segment)
        clamp.delay, clamp.dur, clamp.amp = 0.0, 1e9, current * AREA * 1e-5
        watch = h.NetCon(segment._ref_v, None, sec=section)
        watch.threshold = p["v_thresh"]
        kept.append((section, clamp, watch))
    return kept


def run(task, setting, job):
    kept = build(task)
    times, ids = h.Vector(), h.Vector()
    for k, (_, _, watch) in enumerate(kept):
        watch.record(times, ids, k)
    cvode = h.CVode()
    if setting["method"] == "cvode":
        cvode.active(1)
        cvode.use_local_dt(1)
        cvode.atol(setting["tolerance"])
        cvode.rtol(setting["tolerance"])
        cvode.condition_order(2)  # threshold crossings located, not taken from the step
    else:
        cvode.active(0)
        h.dt, h.secondorder = setting["dt"], setting["secondorder"]
    context = h.ParallelContext()
    context.set_maxstep(10)

    def once():
        times.resize(0)
        ids.resize(0)
        h.finitialize(task["state0"]["v"])
        context.psolve(task["duration"])

    _, measures = protocol.measure(once, job["repeats"], job["budget"])
    if setting["method"] != "cvode":
        measures["steps"] = protocol.grid_steps(task, setting["dt"])
    return measures, protocol.last_spikes(ids.as_numpy(), times.as_numpy(), task["neurons"])


if __name__ == "__main__":
    protocol.serve(run, ("neuron", "numpy"))
