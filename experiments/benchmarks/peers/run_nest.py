"""NEST; pip install nest-simulator. Timed: `nest.Simulate`, network built anew for each repeat.

The precise models (`_ps`) put spikes off the grid; the others stamp the end of a step, as the task's error wants it.
`hh_psc_alpha` has the task's equations (per 1e-4 cm2), but its spike is the maximum above 0 mV, not the upward crossing.
"""

import nest  # pyright: ignore[reportMissingImports]
import numpy as np
import protocol


def parameters(task, name):
    """Translate to NEST's names and units: pF, nS, pA, mV, ms."""
    p, s = task["params"], task["state0"]
    currents = protocol.currents(task)
    if name.startswith("iaf_psc_"):
        capacitance = 1e3 * p["tau_m"] / p["r_m"]  # nF to pF
        extra = {"tau_syn_ex": 2.0, "tau_syn_in": 2.0} if "exp" in name else {}
        fixed = dict(
            C_m=capacitance, tau_m=p["tau_m"], E_L=p["v_rest"], V_th=p["v_thresh"], V_reset=p["v_reset"], t_ref=p["tau_refrac"],
            V_m=s["v"], **extra,
        )  # fmt: skip
        return fixed, 1e3 * currents
    if name == "izhikevich":
        fixed = dict(a=p["a"], b=p["b"], c=p["c"], d=p["d"], V_th=p["v_peak"], V_m=s["v"], U_m=s["u"])
        return dict(fixed, consistent_integration=True), currents
    if name == "hh_psc_alpha":
        fixed = dict(
            C_m=100 * p["cm"], g_Na=100 * p["g_na"], g_K=100 * p["g_k"], g_L=100 * p["g_leak"], E_Na=p["e_na"], E_K=p["e_k"],
            E_L=p["e_leak"], V_m=s["v"], Act_m=s["m"], Inact_h=s["h"], Act_n=s["n"],
        )  # fmt: skip
        return fixed, 100 * currents
    fixed = dict(
        C_m=1e3 * p["cm"], g_L=1e3 * p["g_leak"], E_L=p["e_leak"], V_th=p["v_thresh"], Delta_T=p["delta_t"], V_peak=p["v_peak"],
        V_reset=p["v_reset"], a=1e3 * p["a"], tau_w=p["tau_w"], b=1e3 * p["b"], t_ref=p["tau_refrac"], V_m=s["v"], w=s["w"],
    )  # fmt: skip
    return fixed, 1e3 * currents


def build(task, setting):
    nest.ResetKernel()
    nest.set_verbosity("M_ERROR")
    nest.SetKernelStatus({"resolution": setting["dt"], "local_num_threads": setting["threads"]})
    fixed, currents = parameters(task, setting["model"])
    if "tolerance" in setting:
        fixed["gsl_error_tol"] = setting["tolerance"]
    neurons = nest.Create(setting["model"], task["neurons"], params=fixed)
    neurons.set({"I_e": list(currents)})
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder, syn_spec={"delay": setting["dt"]})
    return neurons, recorder


def run(task, setting, job):
    network = []

    def prepare():
        network[:] = build(task, setting)

    once = lambda: nest.Simulate(task["duration"])
    _, measures = protocol.measure(once, job["repeats"], job["budget"], prepare=prepare)
    neurons, recorder = network
    events = recorder.get("events")
    first = neurons[0].get("global_id")
    spikes = protocol.last_spikes(np.asarray(events["senders"]) - first, events["times"], task["neurons"])
    measures["steps"] = protocol.grid_steps(task, setting["dt"])
    if setting.get("other_event"):
        measures["note"], measures["other_event"] = setting["other_event"], True
    return measures, spikes


if __name__ == "__main__":
    protocol.serve(run, ("nest-simulator", "numpy"))
