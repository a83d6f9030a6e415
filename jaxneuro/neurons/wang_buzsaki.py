"""Fast-spiking hippocampal interneuron of Wang & Buzsaki (1996).

    cm dv/dt = I - g_na m_inf(v)^3 h (v - e_na) - g_k n^4 (v - e_k) - g_leak (v - e_leak)
    dx/dt = phi (alpha_x (1 - x) - beta_x x),  x = h, n,    m_inf = alpha_m/(alpha_m + beta_m)
    alpha_m = 0.1 (v + 35)/(1 - exp(-0.1 (v + 35)))     beta_m = 4 exp(-(v + 60)/18)
    alpha_h = 0.07 exp(-(v + 58)/20)                    beta_h = 1/(1 + exp(-0.1 (v + 28)))
    alpha_n = 0.01 (v + 34)/(1 - exp(-0.1 (v + 34)))    beta_n = 0.125 exp(-(v + 44)/80)
    spike at the upward crossing of v_thresh; no reset

Units: ms, mV, uF/cm2, mS/cm2, uA/cm2. Firing sets in through a saddle-node on the invariant circle, at I = 0.160 uA/cm2.

Source: Wang & Buzsaki (1996), J. Neurosci. 16:6402, Methods, doi:10.1523/JNEUROSCI.16-20-06402.1996.
v_thresh is ours, 0 mV.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.neurons.gating import Rates, gate, steady
from jaxneuro.numerics import linoid
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class WangBuzsakiParams(NamedTuple):
    cm: Scalar  # membrane capacitance, uF/cm2, > 0
    g_na: Scalar  # sodium conductance, mS/cm2, >= 0
    g_k: Scalar  # potassium conductance, mS/cm2, >= 0
    g_leak: Scalar  # leak conductance, mS/cm2, >= 0
    e_na: Scalar  # reversal potential of sodium, mV
    e_k: Scalar  # reversal potential of potassium, mV
    e_leak: Scalar  # reversal potential of the leak, mV
    phi: Scalar  # speed of h and n, 1, > 0
    v_thresh: Scalar  # upward crossing that counts as a spike, mV


class WangBuzsakiState(NamedTuple):
    v: Scalar  # membrane potential, mV
    h: Scalar  # sodium inactivation (1: available)
    n: Scalar  # potassium activation


def default_params(**overrides: ScalarLike) -> WangBuzsakiParams:
    """Return the cell of 1996: cm 1, g 35/9/0.1, E 55/-90/-65 mV, phi 5; v_thresh 0 mV."""
    return make_params(
        WangBuzsakiParams,
        dict(cm=1.0, g_na=35.0, g_k=9.0, g_leak=0.1, e_na=55.0, e_k=-90.0, e_leak=-65.0, phi=5.0, v_thresh=0.0),
        overrides,
    )


def rates(v: Scalar, params: WangBuzsakiParams) -> tuple[Rates, Rates, Rates]:
    """Return (alpha, beta) of m, and phi times those of h and n, at v (mV), per ms."""
    phi = params.phi
    m = linoid(0.1 * (v + 35)), 4 * jnp.exp(-(v + 60) / 18)
    h = phi * 0.07 * jnp.exp(-(v + 58) / 20), phi / (1 + jnp.exp(-0.1 * (v + 28)))
    n = phi * 0.1 * linoid(0.1 * (v + 34)), phi * 0.125 * jnp.exp(-(v + 44) / 80)
    return m, h, n


def init_state(params: WangBuzsakiParams) -> WangBuzsakiState:
    """Return v = -64 mV, near rest at the default parameters, with the gates steady there."""
    v = jnp.full_like(params.cm, -64.0)
    _, h, n = rates(v, params)
    return WangBuzsakiState(v, steady(h), steady(n))


def vector_field(t: Scalar, state: WangBuzsakiState, params: WangBuzsakiParams, current: Scalar) -> WangBuzsakiState:
    """Return dv/dt in mV/ms and the rates of change of h and n, per ms."""
    del t
    v, h, n = state
    rates_m, rates_h, rates_n = rates(v, params)
    i_na = params.g_na * steady(rates_m) ** 3 * h * (v - params.e_na)
    i_k = params.g_k * n**4 * (v - params.e_k)
    i_leak = params.g_leak * (v - params.e_leak)
    # A product with 1/cm: the reciprocal leaves the solver's loop, a division in each stage would not.
    dv = (current - i_na - i_k - i_leak) * (1 / params.cm)
    return WangBuzsakiState(dv, gate(h, rates_h), gate(n, rates_n))


def spike_condition(state: WangBuzsakiState, params: WangBuzsakiParams) -> Scalar:
    """Return v - v_thresh; a spike is its upward zero."""
    return state.v - params.v_thresh


def reset(state: WangBuzsakiState, params: WangBuzsakiParams) -> WangBuzsakiState:
    """Return the state as it is: the currents repolarise the membrane."""
    del params
    return state


def constraints(params: WangBuzsakiParams) -> Mapping[str, BoolScalar]:
    return {
        "cm > 0": params.cm > 0,
        "g_na >= 0": params.g_na >= 0,
        "g_k >= 0": params.g_k >= 0,
        "g_leak >= 0": params.g_leak >= 0,
        "phi > 0": params.phi > 0,
    }


WangBuzsaki = NeuronModel(
    "WangBuzsaki", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)
