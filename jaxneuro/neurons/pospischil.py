"""Minimal cortical cell of Pospischil et al. (2008): sodium, potassium and the M-current, which slows firing down.

    cm dv/dt = I - g_leak (v - e_leak) - g_na m^3 h (v - e_na) - g_k n^4 (v - e_k) - g_m p (v - e_k)
    dx/dt = alpha_x (1 - x) - beta_x x,  x = m, h, n,    rates at v - v_t: see `gating.traub_miles_rates`
    dp/dt = (p_inf(v) - p)/tau_p(v)
    p_inf = 1/(1 + exp(-(v + 35)/10)),  tau_p = tau_max/(3.3 exp((v + 35)/20) + exp(-(v + 35)/20))
    spike at the upward crossing of v_thresh; no reset

Units: ms, mV, uF/cm2, mS/cm2, uA/cm2.

Source: Pospischil et al. (2008), Biol. Cybern. 99:427, sections 2.2.1 and 2.2.2, doi:10.1007/s00422-008-0263-8; g_k is the
paper's g_Kd. The named sets are the paper's fits to a regular-spiking and a fast-spiking cell of rat somatosensory cortex in
vitro, E_Na = 50 and E_K = -90 mV. (The code published with the paper, ModelDB 123623, uses rounder values for its
regular-spiking cell: g_na 50, g_k 5, g_m 0.07, g_leak 0.1, e_leak -70, e_k -100, v_t -55, tau_max 1000.) v_thresh is ours, 0 mV.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.neurons.gating import Rates, gate, steady, traub_miles_rates
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class PospischilParams(NamedTuple):
    cm: Scalar  # membrane capacitance, uF/cm2, > 0
    g_na: Scalar  # sodium conductance, mS/cm2, >= 0
    g_k: Scalar  # delayed-rectifier potassium conductance, mS/cm2, >= 0
    g_m: Scalar  # conductance of the M-current, mS/cm2, >= 0
    g_leak: Scalar  # leak conductance, mS/cm2, >= 0
    e_na: Scalar  # reversal potential of sodium, mV
    e_k: Scalar  # reversal potential of potassium, mV
    e_leak: Scalar  # reversal potential of the leak, mV
    v_t: Scalar  # shifts the rates of m, h and n along v, and so the firing threshold, mV
    tau_max: Scalar  # scale of the M-current's time constant, ms, > 0
    v_thresh: Scalar  # upward crossing that counts as a spike, mV


class PospischilState(NamedTuple):
    v: Scalar  # membrane potential, mV
    m: Scalar  # sodium activation
    h: Scalar  # sodium inactivation (1: available)
    n: Scalar  # potassium activation
    p: Scalar  # activation of the M-current


_REGULAR_SPIKING = dict(
    cm=1.0, g_na=56.0, g_k=6.0, g_m=0.075, g_leak=0.0205, e_na=50.0, e_k=-90.0, e_leak=-70.3, v_t=-56.2, tau_max=608.0,
    v_thresh=0.0,
)  # fmt: skip
_FAST_SPIKING = dict(
    _REGULAR_SPIKING, g_na=58.0, g_k=3.9, g_m=0.0787, g_leak=0.038, e_leak=-70.4, v_t=-57.9, tau_max=502.0
)  # fmt: skip


def pospischil_regular_spiking(**overrides: ScalarLike) -> PospischilParams:
    """Return the regular-spiking pyramidal cell: g 56/6/0.075/0.0205, e_leak -70.3, v_t -56.2 mV, tau_max 608 ms."""
    return make_params(PospischilParams, _REGULAR_SPIKING, overrides)


def pospischil_fast_spiking(**overrides: ScalarLike) -> PospischilParams:
    """Return the fast-spiking interneuron: g 58/3.9/0.0787/0.038, e_leak -70.4, v_t -57.9 mV, tau_max 502 ms."""
    return make_params(PospischilParams, _FAST_SPIKING, overrides)


def default_params(**overrides: ScalarLike) -> PospischilParams:
    """Return the regular-spiking cell: cm 1, g 56/6/0.075/0.0205, E 50/-90/-70.3, v_t -56.2 mV, tau_max 608 ms."""
    return pospischil_regular_spiking(**overrides)


def rates(v: Scalar, params: PospischilParams) -> tuple[Rates, Rates, Rates, Rates]:
    """Return (alpha, beta) of m, h, n and p at v (mV), per ms; those of p are p_inf/tau_p and (1 - p_inf)/tau_p."""
    # With e = exp((v + 35)/20): p_inf = e^2/(1 + e^2), and 1/tau_p as printed.
    e = jnp.exp((v + 35) / 20)
    speed = (3.3 * e + 1 / e) / params.tau_max
    closed = 1 / (1 + e * e)
    return *traub_miles_rates(v - params.v_t), (speed * (1 - closed), speed * closed)


def init_state(params: PospischilParams) -> PospischilState:
    """Return v = -70 mV, near rest at the named sets, with the gates steady there."""
    v = jnp.full_like(params.cm, -70.0)
    m, h, n, p = rates(v, params)
    return PospischilState(v, steady(m), steady(h), steady(n), steady(p))


def vector_field(t: Scalar, state: PospischilState, params: PospischilParams, current: Scalar) -> PospischilState:
    """Return dv/dt in mV/ms and the rates of change of the gates, per ms."""
    del t
    v, m, h, n, p = state
    i_na = params.g_na * m**3 * h * (v - params.e_na)
    i_k = (params.g_k * n**4 + params.g_m * p) * (v - params.e_k)
    i_leak = params.g_leak * (v - params.e_leak)
    rates_m, rates_h, rates_n, rates_p = rates(v, params)
    # A product with 1/cm: the reciprocal leaves the solver's loop, a division in each stage would not.
    dv = (current - i_na - i_k - i_leak) * (1 / params.cm)
    return PospischilState(dv, gate(m, rates_m), gate(h, rates_h), gate(n, rates_n), gate(p, rates_p))


def spike_condition(state: PospischilState, params: PospischilParams) -> Scalar:
    """Return v - v_thresh; a spike is its upward zero."""
    return state.v - params.v_thresh


def reset(state: PospischilState, params: PospischilParams) -> PospischilState:
    """Return the state as it is: the currents repolarise the membrane."""
    del params
    return state


def constraints(params: PospischilParams) -> Mapping[str, BoolScalar]:
    return {
        "cm > 0": params.cm > 0,
        "g_na >= 0": params.g_na >= 0,
        "g_k >= 0": params.g_k >= 0,
        "g_m >= 0": params.g_m >= 0,
        "g_leak >= 0": params.g_leak >= 0,
        "tau_max > 0": params.tau_max > 0,
    }


Pospischil = NeuronModel(
    "Pospischil", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)
