"""Cell of Connor & Stevens (1971): Hodgkin-Huxley currents and the transient potassium A-current, which lets it fire slowly.

    cm dv/dt = I - g_na m^3 h (v - e_na) - g_k n^4 (v - e_k) - g_a a^3 b (v - e_a) - g_leak (v - e_leak)
    dx/dt = alpha_x (1 - x) - beta_x x,  x = m, h, n;    dy/dt = (y_inf(v) - y)/tau_y(v),  y = a, b
    alpha_m = 0.38 (v + 29.7)/(1 - exp(-0.1 (v + 29.7)))    beta_m = 15.2 exp(-0.0556 (v + 54.7))
    alpha_h = 0.266 exp(-0.05 (v + 48))                     beta_h = 3.8/(1 + exp(-0.1 (v + 18)))
    alpha_n = 0.02 (v + 45.7)/(1 - exp(-0.1 (v + 45.7)))    beta_n = 0.25 exp(-0.0125 (v + 55.7))
    a_inf = (0.0761 exp(0.0314 (v + 94.22))/(1 + exp(0.0346 (v + 1.17))))^(1/3)
    b_inf = (1 + exp(0.0688 (v + 53.3)))^-4
    tau_a = 0.3632 + 1.158/(1 + exp(0.0497 (v + 55.96))),   tau_b = 1.24 + 2.678/(1 + exp(0.0624 (v + 50)))
    spike at the upward crossing of v_thresh; no reset

Units: ms, mV, uF/cm2, mS/cm2, uA/cm2.

Source: Dayan & Abbott (2001), Theoretical Neuroscience, MIT Press, ch. 6, appendix A (p. 224), prints these equations and figures
(in mS/mm2: g times 0.01), after Connor & Stevens (1971), J. Physiol. 213:31, doi:10.1113/jphysiol.1971.sp009366, and Connor,
Walter & McKown (1977), Biophys. J. 18:81, doi:10.1016/S0006-3495(77)85598-7. The rates are those of Hodgkin & Huxley shifted
along v, times 3.8 for m and h and 2 for n. v_thresh is ours, 0 mV.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.neurons.gating import Rates, gate, steady
from jaxneuro.numerics import linoid
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class ConnorStevensParams(NamedTuple):
    cm: Scalar  # membrane capacitance, uF/cm2, > 0
    g_na: Scalar  # sodium conductance, mS/cm2, >= 0
    g_k: Scalar  # delayed-rectifier potassium conductance, mS/cm2, >= 0
    g_a: Scalar  # conductance of the A-current, mS/cm2, >= 0
    g_leak: Scalar  # leak conductance, mS/cm2, >= 0
    e_na: Scalar  # reversal potential of sodium, mV
    e_k: Scalar  # reversal potential of potassium, mV
    e_a: Scalar  # reversal potential of the A-current, mV
    e_leak: Scalar  # reversal potential of the leak, mV
    v_thresh: Scalar  # upward crossing that counts as a spike, mV


class ConnorStevensState(NamedTuple):
    v: Scalar  # membrane potential, mV
    m: Scalar  # sodium activation
    h: Scalar  # sodium inactivation (1: available)
    n: Scalar  # potassium activation
    a: Scalar  # activation of the A-current
    b: Scalar  # inactivation of the A-current (1: available)


def default_params(**overrides: ScalarLike) -> ConnorStevensParams:
    """Return the cell of Dayan & Abbott: cm 1, g 120/20/47.7/0.3, E 55/-72/-75/-17 mV; v_thresh 0 mV."""
    return make_params(
        ConnorStevensParams,
        dict(
            cm=1.0, g_na=120.0, g_k=20.0, g_a=47.7, g_leak=0.3, e_na=55.0, e_k=-72.0, e_a=-75.0, e_leak=-17.0,
            v_thresh=0.0,
        ),
        overrides,
    )  # fmt: skip


def rates(v: Scalar, params: ConnorStevensParams) -> tuple[Rates, Rates, Rates, Rates, Rates]:
    """Return (alpha, beta) of m, h, n, a and b at v (mV), per ms; those of a and b are x_inf/tau, (1 - x_inf)/tau."""
    del params
    m = 3.8 * linoid(0.1 * (v + 29.7)), 15.2 * jnp.exp(-0.0556 * (v + 54.7))
    h = 0.266 * jnp.exp(-0.05 * (v + 48)), 3.8 / (1 + jnp.exp(-0.1 * (v + 18)))
    n = 0.2 * linoid(0.1 * (v + 45.7)), 0.25 * jnp.exp(-0.0125 * (v + 55.7))
    a_inf = jnp.cbrt(0.0761 * jnp.exp(0.0314 * (v + 94.22)) / (1 + jnp.exp(0.0346 * (v + 1.17))))
    b_inf = (1 + jnp.exp(0.0688 * (v + 53.3))) ** -4
    tau_a = 0.3632 + 1.158 / (1 + jnp.exp(0.0497 * (v + 55.96)))
    tau_b = 1.24 + 2.678 / (1 + jnp.exp(0.0624 * (v + 50)))
    return m, h, n, (a_inf / tau_a, (1 - a_inf) / tau_a), (b_inf / tau_b, (1 - b_inf) / tau_b)


def init_state(params: ConnorStevensParams) -> ConnorStevensState:
    """Return v = -68 mV, where Dayan & Abbott start, with the gates steady there."""
    v = jnp.full_like(params.cm, -68.0)
    return ConnorStevensState(v, *(steady(x) for x in rates(v, params)))


def vector_field(
    t: Scalar, state: ConnorStevensState, params: ConnorStevensParams, current: Scalar
) -> ConnorStevensState:
    """Return dv/dt in mV/ms and the rates of change of the gates, per ms."""
    del t
    v, m, h, n, a, b = state
    i_na = params.g_na * m**3 * h * (v - params.e_na)
    i_k = params.g_k * n**4 * (v - params.e_k)
    i_a = params.g_a * a**3 * b * (v - params.e_a)
    i_leak = params.g_leak * (v - params.e_leak)
    # A product with 1/cm: the reciprocal leaves the solver's loop, a division in each stage would not.
    dv = (current - i_na - i_k - i_a - i_leak) * (1 / params.cm)
    return ConnorStevensState(dv, *(gate(x, r) for x, r in zip(state[1:], rates(v, params), strict=True)))


def spike_condition(state: ConnorStevensState, params: ConnorStevensParams) -> Scalar:
    """Return v - v_thresh; a spike is its upward zero."""
    return state.v - params.v_thresh


def reset(state: ConnorStevensState, params: ConnorStevensParams) -> ConnorStevensState:
    """Return the state as it is: the currents repolarise the membrane."""
    del params
    return state


def constraints(params: ConnorStevensParams) -> Mapping[str, BoolScalar]:
    return {
        "cm > 0": params.cm > 0,
        "g_na >= 0": params.g_na >= 0,
        "g_k >= 0": params.g_k >= 0,
        "g_a >= 0": params.g_a >= 0,
        "g_leak >= 0": params.g_leak >= 0,
    }


ConnorStevens = NeuronModel(
    "ConnorStevens", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)
