"""The equations of the reduced models written anew in NumPy, and their spike times by SciPy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp


class Reference(NamedTuple):
    """A neuron in NumPy: y' = rate(y), a spike at guard(y) = 0 upwards, then `jump` (None: it flows on)."""

    start: list[float]
    rate: Callable
    guard: Callable
    jump: Callable | None = None  # y -> (time that passed, y)


def exponential(p: Any, current: float, a: float = 0.0, tau_w: float = 1.0, b: float = 0.0) -> Reference:
    """AdEx (a = b = 0: EIF). From 6 delta_t above v_thresh on time is integrated over v, which stays regular to any peak."""
    dv = lambda v, w: (
        (-p.g_leak * (v - p.e_leak - p.delta_t * np.exp((v - p.v_thresh) / p.delta_t)) - w + current) / p.cm
    )
    dw = lambda v, w: (a * (v - p.e_leak) - w) / tau_w
    start = p.v_thresh + 6 * p.delta_t

    def jump(y):
        over_v = lambda v, x: [1 / dv(v, x[1]), dw(v, x[1]) / dv(v, x[1])]
        up = solve_ivp(over_v, (start, p.v_peak), [0.0, y[1]], method="DOP853", rtol=1e-12, atol=1e-15).y[:, -1]
        rest = p.a * (p.v_reset - p.e_leak) if b or a else 0.0  # to which w relaxes while v is held
        w = rest + (up[1] + b - rest) * np.exp(-p.tau_refrac / tau_w)
        return (up[0], up[0] + p.tau_refrac), [p.v_reset, w]

    return Reference([p.e_leak, 0.0], lambda y: [dv(*y), dw(*y)], lambda y: y[0] - start, jump)


def izhikevich2007(p: Any, i: float) -> Reference:
    rate = lambda y: [
        (p.k * (y[0] - p.v_rest) * (y[0] - p.v_thresh) - y[1] + i) / p.cm,
        p.a * (p.b * (y[0] - p.v_rest) - y[1]),
    ]
    return Reference([p.v_rest, 0.0], rate, lambda y: y[0] - p.v_peak, lambda y: ((0, 0), [p.c, y[1] + p.d]))


def mihalas_niebur(p: Any, i: float) -> Reference:
    rate = lambda y: [
        (i + y[2] + y[3] - p.g_leak * (y[0] - p.e_leak)) / p.cm,
        p.a * (y[0] - p.e_leak) - p.b * (y[1] - p.theta_inf),
        -p.k1 * y[2],
        -p.k2 * y[3],
    ]
    jump = lambda y: ((0, 0), [p.v_reset, max(p.theta_reset, y[1]), p.r1 * y[2] + p.a1, p.r2 * y[3] + p.a2])
    return Reference([p.e_leak, p.theta_inf, 0.0, 0.0], rate, lambda y: y[0] - y[1], jump)


def fitzhugh_nagumo(p: Any, i: float) -> Reference:
    roots = np.roots([p.b / 3, 0.0, 1 - p.b, p.a])  # of v + a = b (v - v^3/3)
    v = min(roots[np.abs(roots.imag) < 1e-9].real)
    rate = lambda y: [y[0] - y[0] ** 3 / 3 - y[1] + i, p.eps * (y[0] + p.a - p.b * y[1])]
    return Reference([v, v - v**3 / 3], rate, lambda y: y[0] - p.v_thresh)


def hindmarsh_rose(p: Any, i: float) -> Reference:
    rate = lambda y: [
        y[1] - p.a * y[0] ** 3 + p.b * y[0] ** 2 - y[2] + i,
        p.c - p.d * y[0] ** 2 - y[1],
        p.r * (p.s * (y[0] - p.x_rest) - y[2]),
    ]
    return Reference([p.x_rest, p.c - p.d * p.x_rest**2, 0.0], rate, lambda y: y[0] - p.x_thresh)


REFERENCES: dict[str, Callable[[Any, float], Reference]] = {
    "EIF": lambda p, i: exponential(p, i),
    "AdEx": lambda p, i: exponential(p, i, p.a, p.tau_w, p.b),
    "Izhikevich2007": izhikevich2007,
    "MihalasNiebur": mihalas_niebur,
    "FitzHughNagumo": fitzhugh_nagumo,
    "HindmarshRose": hindmarsh_rose,
}


def scipy_spike_times(ref: Reference, t1: float, most: int) -> np.ndarray:
    """Return up to `most` spike times before t1 by DOP853 with events, restarted after each jump."""
    guard: Any = lambda t, y: ref.guard(y)
    guard.direction, guard.terminal = 1.0, ref.jump is not None
    t, y, times = 0.0, ref.start, []
    while t < t1 and len(times) < most:
        sol = solve_ivp(lambda t, y: ref.rate(y), (t, t1), y, "DOP853", events=guard, rtol=1e-12, atol=1e-12)
        if ref.jump is None:
            return sol.t_events[0][:most]
        if not sol.t_events[0].size:
            break
        (before, passed), y = ref.jump(sol.y_events[0][0])
        times.append(sol.t_events[0][0] + before)
        t = sol.t_events[0][0] + passed
    return np.array(times)
