"""The four cells once more, in plain Python for scipy, to check the reference by other equations and another solver."""

from collections.abc import Callable
from math import exp
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp


def lif(y: Any, p: dict[str, float], current: float) -> list[float]:
    return [(p["v_rest"] - y[0] + p["r_m"] * current) / p["tau_m"]]


def izhikevich(y: Any, p: dict[str, float], current: float) -> list[float]:
    v, u = y
    return [0.04 * v**2 + 5 * v + 140 - u + current, p["a"] * (p["b"] * v - u)]


def hodgkin_huxley(y: Any, p: dict[str, float], current: float) -> list[float]:
    v, m, h, n = y
    linoid = lambda x: x / (1 - exp(-x)) if abs(x) > 1e-7 else 1 + x / 2
    i = p["g_na"] * m**3 * h * (v - p["e_na"]) + p["g_k"] * n**4 * (v - p["e_k"]) + p["g_leak"] * (v - p["e_leak"])
    return [
        (current - i) / p["cm"],
        linoid((v + 40) / 10) * (1 - m) - 4 * exp(-(v + 65) / 18) * m,
        0.07 * exp(-(v + 65) / 20) * (1 - h) - h / (1 + exp(-(v + 35) / 10)),
        0.1 * linoid((v + 55) / 10) * (1 - n) - 0.125 * exp(-(v + 65) / 80) * n,
    ]


def adex(y: Any, p: dict[str, float], current: float) -> list[float]:
    v, w = y
    spike = p["delta_t"] * exp(min((v - p["v_thresh"]) / p["delta_t"], 300.0))  # a trial step may overflow
    dv = p["g_leak"] * (p["e_leak"] - v + spike) - w + current
    return [dv / p["cm"], (p["a"] * (v - p["e_leak"]) - w) / p["tau_w"]]


class Rule:
    """Equations, name of the threshold, and what follows a spike: (state, parameters) -> state."""

    def __init__(self, field: Callable, threshold: str, reset: Callable | None):
        self.field, self.threshold, self.reset = field, threshold, reset


RULES = {
    "LIF": Rule(lif, "v_thresh", lambda y, p: [p["v_reset"]]),
    "Izhikevich": Rule(izhikevich, "v_peak", lambda y, p: [p["c"], y[1] + p["d"]]),
    "HodgkinHuxley": Rule(hodgkin_huxley, "v_thresh", None),
    "AdEx": Rule(adex, "v_peak", lambda y, p: [p["v_reset"], y[1] + p["b"]]),
}


def spike_times(task: dict[str, Any], current: float, end: float) -> Any:
    """Return the spike times of one neuron by solve_ivp (DOP853 at 1e-12), from spike to spike."""
    rule, p = RULES[task["model"]], task["params"]
    event: Any = lambda t, y: y[0] - p[rule.threshold]
    event.terminal, event.direction = rule.reset is not None, 1.0
    t, y, found = 0.0, list(task["state0"].values()), []
    while t < end:
        sol = solve_ivp(
            lambda t, y: rule.field(y, p, current), (t, end), y, method="DOP853", rtol=1e-12, atol=1e-12, events=event
        )
        found.extend(sol.t_events[0])
        if sol.status != 1 or rule.reset is None:
            break
        t, y = sol.t_events[0][0] + p.get("tau_refrac", 0.0), rule.reset(sol.y_events[0][0], p)
    return np.array(found)


def difference(task: dict[str, Any], current: float, times: Any) -> float:
    """Return the largest difference (ms) of these spike times from scipy's; infinite if their number differs."""
    times = times[np.isfinite(times)]
    other = spike_times(task, current, task["window"])
    return float(np.max(np.abs(other - times), initial=0.0)) if len(other) == len(times) else np.inf
