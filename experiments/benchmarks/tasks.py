"""The tasks that all tools run: one definition of equations, parameters, start, inputs and duration."""

import math
from typing import Any, NamedTuple


class Task(NamedTuple):
    name: str
    title: str
    kind: str  # "spikes", "gradient" (of the sum of spike times, in all parameters), "voltage" (gradient of), "scaling"
    model: str  # the record in jaxneuro
    params: dict[str, float]  # in the names and units of jaxneuro
    state0: dict[str, float]
    currents: tuple[float, float]  # one neuron at each of `neurons` currents, equally spaced, ends included
    duration: float  # ms
    neurons: int

    def job(self) -> dict[str, Any]:
        return self._asdict()


def _steady_gates(v: float) -> dict[str, float]:
    m = 0.1 * (v + 40) / (1 - math.exp(-(v + 40) / 10)), 4 * math.exp(-(v + 65) / 18)
    h = 0.07 * math.exp(-(v + 65) / 20), 1 / (1 + math.exp(-(v + 35) / 10))
    n = 0.01 * (v + 55) / (1 - math.exp(-(v + 55) / 10)), 0.125 * math.exp(-(v + 65) / 80)
    return {name: alpha / (alpha + beta) for name, (alpha, beta) in (("m", m), ("h", h), ("n", n))}


LIF = dict(
    model="LIF",
    params=dict(tau_m=10.0, v_rest=-70.0, r_m=10.0, v_thresh=-50.0, v_reset=-70.0, tau_refrac=2.0),
    state0=dict(v=-70.0),
    currents=(0.0, 5.0),
)
IZHIKEVICH = dict(
    model="Izhikevich",
    params=dict(a=0.02, b=0.2, c=-65.0, d=8.0, v_peak=30.0, tau_a=1.0, tau_b=1.0, k2=0.04, k1=5.0, k0=140.0),
    state0=dict(v=-65.0, u=-13.0),
    currents=(0.0, 20.0),
)
HH = dict(
    model="HodgkinHuxley",
    params=dict(
        cm=1.0, g_na=120.0, g_k=36.0, g_leak=0.3, e_na=50.0, e_k=-77.0, e_leak=-54.387, v_thresh=0.0, temperature=6.3
    ),
    state0=dict(v=-65.0, **_steady_gates(-65.0)),
    currents=(0.0, 20.0),
)  # fmt: skip
ADEX = dict(  # jn.neurons.adex_tonic()
    model="AdEx",
    params=dict(
        cm=0.2, g_leak=0.01, e_leak=-70.0, v_thresh=-50.0, delta_t=2.0, v_peak=0.0, v_reset=-58.0, a=0.002, tau_w=30.0, b=0.0,
        tau_refrac=0.0,
    ),
    state0=dict(v=-70.0, w=0.0),
    currents=(0.3, 1.0),
)  # fmt: skip


def _task(name: str, title: str, kind: str, cell: dict[str, Any], duration: float, neurons: int) -> Task:
    return Task(name=name, title=title, kind=kind, duration=duration, neurons=neurons, **cell)


TASKS = {
    task.name: task
    for task in (
        _task("lif", "LIF, f-I", "spikes", LIF, 1000.0, 10_000),
        _task("izhikevich", "Izhikevich, f-I", "spikes", IZHIKEVICH, 1000.0, 10_000),
        _task("hh", "Hodgkin-Huxley", "spikes", HH, 100.0, 10_000),
        _task("adex", "AdEx", "spikes", ADEX, 500.0, 10_000),
        _task("lif_short", "LIF, short (for eventax)", "spikes", LIF, 100.0, 1000),
        _task("izhikevich_short", "Izhikevich, short (for eventax)", "spikes", IZHIKEVICH, 100.0, 1000),
        _task("gradient_lif", "LIF, gradient of spike times", "gradient", LIF, 1000.0, 10_000),
        _task("gradient_izhikevich", "Izhikevich, gradient of spike times", "gradient", IZHIKEVICH, 1000.0, 10_000),
        _task("gradient_hh", "Hodgkin-Huxley, gradient of spike times", "gradient", HH, 100.0, 10_000),
        _task("gradient_short", "Izhikevich, gradient, short (for eventax)", "gradient", IZHIKEVICH, 100.0, 1000),
        _task("voltage_hh", "Hodgkin-Huxley, gradient of voltage", "voltage", HH, 100.0, 1000),
        _task("lanes", "Cost against neurons", "scaling", LIF, 1000.0, 10_000),
        _task("spikes", "Cost against spikes", "scaling", LIF, 1000.0, 1000),
    )
}
WINDOW = 1.1
"""The reference runs this much longer, to tell a spike that falls out of the window from one that is missing."""
