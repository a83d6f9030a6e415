"""The equations of the conductance-based models as their papers print them, for SciPy: written apart from the library.

Each entry of EQUATIONS takes (params, current) and returns the right-hand side (t, y) -> dy/dt on Python floats.
"""

from math import cosh, exp, tanh


def hodgkin_huxley_1952(p, current):
    """The paper's own convention: V is the depolarisation from rest with its sign turned, currents are outward."""
    phi = 3 ** ((p.temperature - 6.3) / 10)

    def rhs(t, y):
        del t
        big_v, m, h, n = -(y[0] + 65), y[1], y[2], y[3]
        am, bm = 0.1 * (big_v + 25) / (exp((big_v + 25) / 10) - 1), 4 * exp(big_v / 18)
        ah, bh = 0.07 * exp(big_v / 20), 1 / (exp((big_v + 30) / 10) + 1)
        an, bn = 0.01 * (big_v + 10) / (exp((big_v + 10) / 10) - 1), 0.125 * exp(big_v / 80)
        ions = p.g_k * n**4 * (big_v + 65 + p.e_k) + p.g_na * m**3 * h * (big_v + 65 + p.e_na)
        ions += p.g_leak * (big_v + 65 + p.e_leak)
        gates = (am * (1 - m) - bm * m, ah * (1 - h) - bh * h, an * (1 - n) - bn * n)
        return [(current + ions) / p.cm, *(phi * x for x in gates)]

    return rhs


def wang_buzsaki_1996(p, current):
    def rhs(t, y):
        del t
        v, h, n = y
        am, bm = -0.1 * (v + 35) / (exp(-0.1 * (v + 35)) - 1), 4 * exp(-(v + 60) / 18)
        ah, bh = 0.07 * exp(-(v + 58) / 20), 1 / (exp(-0.1 * (v + 28)) + 1)
        an, bn = -0.01 * (v + 34) / (exp(-0.1 * (v + 34)) - 1), 0.125 * exp(-(v + 44) / 80)
        ions = (
            p.g_na * (am / (am + bm)) ** 3 * h * (v - p.e_na) + p.g_k * n**4 * (v - p.e_k) + p.g_leak * (v - p.e_leak)
        )
        return [(current - ions) / p.cm, p.phi * (ah * (1 - h) - bh * h), p.phi * (an * (1 - n) - bn * n)]

    return rhs


def rinzel_ermentrout_1998(p, current):
    def rhs(t, y):
        del t
        v, w = y
        m_inf, w_inf = (1 + tanh((v - p.v1) / p.v2)) / 2, (1 + tanh((v - p.v3) / p.v4)) / 2
        ions = p.g_ca * m_inf * (v - p.e_ca) + p.g_k * w * (v - p.e_k) + p.g_leak * (v - p.e_leak)
        return [(current - ions) / p.cm, p.phi * (w_inf - w) * cosh((v - p.v3) / (2 * p.v4))]

    return rhs


def traub_gates(u, m, h, n):
    """dm/dt, dh/dt, dn/dt as Pospischil et al. (2008) print them, u = V - V_T."""
    am, bm = -0.32 * (u - 13) / (exp(-(u - 13) / 4) - 1), 0.28 * (u - 40) / (exp((u - 40) / 5) - 1)
    ah, bh = 0.128 * exp(-(u - 17) / 18), 4 / (1 + exp(-(u - 40) / 5))
    an, bn = -0.032 * (u - 15) / (exp(-(u - 15) / 5) - 1), 0.5 * exp(-(u - 10) / 40)
    return am * (1 - m) - bm * m, ah * (1 - h) - bh * h, an * (1 - n) - bn * n


def brette_2007(p, current):
    def rhs(t, y):
        del t
        v, m, h, n = y
        ions = p.g_na * m**3 * h * (v - p.e_na) + p.g_k * n**4 * (v - p.e_k) + p.g_leak * (v - p.e_leak)
        return [(current - ions) / p.cm, *traub_gates(v - p.v_t, m, h, n)]

    return rhs


def pospischil_2008(p, current):
    def rhs(t, y):
        del t
        v, m, h, n, q = y
        ions = p.g_na * m**3 * h * (v - p.e_na) + p.g_k * n**4 * (v - p.e_k) + p.g_leak * (v - p.e_leak)
        ions += p.g_m * q * (v - p.e_k)
        tau = p.tau_max / (3.3 * exp((v + 35) / 20) + exp(-(v + 35) / 20))
        return [(current - ions) / p.cm, *traub_gates(v - p.v_t, m, h, n), (1 / (1 + exp(-(v + 35) / 10)) - q) / tau]

    return rhs


def dayan_abbott_2001(p, current):
    """In their units, mm2: g/100, c_m 0.01 uF/mm2, so that the two sides stay apart by constants only."""

    def rhs(t, y):
        del t
        v, m, h, n, a, b = y
        am, bm = 0.38 * (v + 29.7) / (1 - exp(-0.1 * (v + 29.7))), 15.2 * exp(-0.0556 * (v + 54.7))
        ah, bh = 0.266 * exp(-0.05 * (v + 48)), 3.8 / (1 + exp(-0.1 * (v + 18)))
        an, bn = 0.02 * (v + 45.7) / (1 - exp(-0.1 * (v + 45.7))), 0.25 * exp(-0.0125 * (v + 55.7))
        a_inf = (0.0761 * exp(0.0314 * (v + 94.22)) / (1 + exp(0.0346 * (v + 1.17)))) ** (1 / 3)
        b_inf = (1 / (1 + exp(0.0688 * (v + 53.3)))) ** 4
        tau_a = 0.3632 + 1.158 / (1 + exp(0.0497 * (v + 55.96)))
        tau_b = 1.24 + 2.678 / (1 + exp(0.0624 * (v + 50)))
        ions = p.g_leak / 100 * (v - p.e_leak) + p.g_na / 100 * m**3 * h * (v - p.e_na)
        ions += p.g_k / 100 * n**4 * (v - p.e_k) + p.g_a / 100 * a**3 * b * (v - p.e_a)
        gates = (am * (1 - m) - bm * m, ah * (1 - h) - bh * h, an * (1 - n) - bn * n)
        return [(current / 100 - ions) / (p.cm / 100), *gates, (a_inf - a) / tau_a, (b_inf - b) / tau_b]

    return rhs


EQUATIONS = {
    "HodgkinHuxley": hodgkin_huxley_1952,
    "WangBuzsaki": wang_buzsaki_1996,
    "MorrisLecar": rinzel_ermentrout_1998,
    "TraubMiles": brette_2007,
    "ConnorStevens": dayan_abbott_2001,
    "Pospischil": pospischil_2008,
}
