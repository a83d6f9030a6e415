"""Squid giant axon of Hodgkin & Huxley (1952), in modern signs.

    cm dv/dt = I - g_na m^3 h (v - e_na) - g_k n^4 (v - e_k) - g_leak (v - e_leak)
    dx/dt = phi (alpha_x (1 - x) - beta_x x),  x = m, h, n,    phi = 3^((temperature - 6.3)/10)
    alpha_m = 0.1 (v + 40)/(1 - exp(-(v + 40)/10))     beta_m = 4 exp(-(v + 65)/18)
    alpha_h = 0.07 exp(-(v + 65)/20)                   beta_h = 1/(1 + exp(-(v + 35)/10))
    alpha_n = 0.01 (v + 55)/(1 - exp(-(v + 55)/10))    beta_n = 0.125 exp(-(v + 65)/80)
    spike at the upward crossing of v_thresh; no reset

Units: ms, mV, uF/cm2, mS/cm2, uA/cm2.

Source: Hodgkin & Huxley (1952), J. Physiol. 117:500, eqs. 7, 12, 13, 15, 16, 20, 21, 23, 24, 26,
doi:10.1113/jphysiol.1952.sp004764. Deviations: depolarisation is positive, and the paper's potential (from rest) is v + 65 mV,
so that E_Na = 50, E_K = -77, E_leak = -54.387 mV (the paper: 115, -12, 10.613 above rest).
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.neurons.gating import Rates, gate, steady
from jaxneuro.numerics import linoid
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class HodgkinHuxleyParams(NamedTuple):
    cm: Scalar  # membrane capacitance, uF/cm2, > 0
    g_na: Scalar  # sodium conductance, mS/cm2, >= 0
    g_k: Scalar  # potassium conductance, mS/cm2, >= 0
    g_leak: Scalar  # leak conductance, mS/cm2, >= 0
    e_na: Scalar  # reversal potential of sodium, mV
    e_k: Scalar  # reversal potential of potassium, mV
    e_leak: Scalar  # reversal potential of the leak, mV
    v_thresh: Scalar  # upward crossing that counts as a spike, mV
    temperature: Scalar  # degrees Celsius


class HodgkinHuxleyState(NamedTuple):
    v: Scalar  # membrane potential, mV
    m: Scalar  # sodium activation
    h: Scalar  # sodium inactivation (1: available)
    n: Scalar  # potassium activation


def default_params(**overrides: ScalarLike) -> HodgkinHuxleyParams:
    """Return the axon of 1952: cm 1, g 120/36/0.3, E 50/-77/-54.387 mV, v_thresh 0 mV, temperature 6.3 C."""
    return make_params(
        HodgkinHuxleyParams,
        dict(
            cm=1.0, g_na=120.0, g_k=36.0, g_leak=0.3, e_na=50.0, e_k=-77.0, e_leak=-54.387, v_thresh=0.0, temperature=6.3
        ),
        overrides,
    )  # fmt: skip


def rates(v: Scalar, params: HodgkinHuxleyParams) -> tuple[Rates, Rates, Rates]:
    """Return (alpha, beta) of m, h and n at v (mV), per ms, at the temperature of params."""
    phi = 3.0 ** ((params.temperature - 6.3) / 10)
    m = phi * linoid((v + 40) / 10), phi * 4 * jnp.exp(-(v + 65) / 18)
    h = phi * 0.07 * jnp.exp(-(v + 65) / 20), phi / (1 + jnp.exp(-(v + 35) / 10))
    n = phi * 0.1 * linoid((v + 55) / 10), phi * 0.125 * jnp.exp(-(v + 65) / 80)
    return m, h, n


def init_state(params: HodgkinHuxleyParams) -> HodgkinHuxleyState:
    """Return v = -65 mV with the gates steady there, 4 uV from rest at the default parameters."""
    v = jnp.full_like(params.cm, -65.0)
    m, h, n = rates(v, params)
    return HodgkinHuxleyState(v, steady(m), steady(h), steady(n))


def vector_field(
    t: Scalar, state: HodgkinHuxleyState, params: HodgkinHuxleyParams, current: Scalar
) -> HodgkinHuxleyState:
    """Return dv/dt in mV/ms and the rates of change of the gates, per ms."""
    del t
    v, m, h, n = state
    i_na = params.g_na * m**3 * h * (v - params.e_na)
    i_k = params.g_k * n**4 * (v - params.e_k)
    i_leak = params.g_leak * (v - params.e_leak)
    rates_m, rates_h, rates_n = rates(v, params)
    # A product with 1/cm: the reciprocal leaves the solver's loop, a division in each stage would not.
    dv = (current - i_na - i_k - i_leak) * (1 / params.cm)
    return HodgkinHuxleyState(dv, gate(m, rates_m), gate(h, rates_h), gate(n, rates_n))


def spike_condition(state: HodgkinHuxleyState, params: HodgkinHuxleyParams) -> Scalar:
    """Return v - v_thresh; a spike is its upward zero."""
    return state.v - params.v_thresh


def reset(state: HodgkinHuxleyState, params: HodgkinHuxleyParams) -> HodgkinHuxleyState:
    """Return the state as it is: the currents repolarise the membrane."""
    del params
    return state


def constraints(params: HodgkinHuxleyParams) -> Mapping[str, BoolScalar]:
    return {
        "cm > 0": params.cm > 0,
        "g_na >= 0": params.g_na >= 0,
        "g_k >= 0": params.g_k >= 0,
        "g_leak >= 0": params.g_leak >= 0,
    }


HodgkinHuxley = NeuronModel(
    "HodgkinHuxley", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)
