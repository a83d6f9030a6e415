"""Barnacle muscle fibre of Morris & Lecar, in the form of Rinzel & Ermentrout.

    cm dv/dt = I - g_ca m_inf(v) (v - e_ca) - g_k w (v - e_k) - g_leak (v - e_leak)
    dw/dt = phi (w_inf(v) - w)/tau_w(v)
    m_inf = (1 + tanh((v - v1)/v2))/2,  w_inf = (1 + tanh((v - v3)/v4))/2,  tau_w = 1/cosh((v - v3)/(2 v4))
    spike at the upward crossing of v_thresh; no reset

Units: ms, mV, uF/cm2, mS/cm2, uA/cm2.

Source: Morris & Lecar (1981), Biophys. J. 35:193, doi:10.1016/S0006-3495(81)84782-0; the form and the three parameter sets of
Rinzel & Ermentrout (1998), "Analysis of neural excitability and oscillations", in Koch & Segev (eds.), Methods in Neuronal
Modeling, 2nd ed., MIT Press, ch. 7. v_thresh is ours, 0 mV: the stable cycles
of the three sets pass it (they reach 15 to 35 mV), small ones about the unstable or upper fixed points need not.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class MorrisLecarParams(NamedTuple):
    cm: Scalar  # membrane capacitance, uF/cm2, > 0
    g_ca: Scalar  # calcium conductance, mS/cm2, >= 0
    g_k: Scalar  # potassium conductance, mS/cm2, >= 0
    g_leak: Scalar  # leak conductance, mS/cm2, >= 0
    e_ca: Scalar  # reversal potential of calcium, mV
    e_k: Scalar  # reversal potential of potassium, mV
    e_leak: Scalar  # reversal potential of the leak, mV
    v1: Scalar  # potential at which half the calcium channels are open, mV
    v2: Scalar  # width of calcium activation, mV, > 0
    v3: Scalar  # potential at which half the potassium channels are open, mV
    v4: Scalar  # width of potassium activation, mV, > 0
    phi: Scalar  # speed of w, 1/ms, > 0
    v_thresh: Scalar  # upward crossing that counts as a spike, mV


class MorrisLecarState(NamedTuple):
    v: Scalar  # membrane potential, mV
    w: Scalar  # potassium activation


_COMMON = dict(
    cm=20.0, g_k=8.0, g_leak=2.0, e_ca=120.0, e_k=-84.0, e_leak=-60.0, v1=-1.2, v2=18.0, v_thresh=0.0
)  # fmt: skip
_HOPF = dict(_COMMON, g_ca=4.4, v3=2.0, v4=30.0, phi=0.04)
_SNLC = dict(_COMMON, g_ca=4.0, v3=12.0, v4=17.4, phi=1 / 15)


def morris_lecar_hopf(**overrides: ScalarLike) -> MorrisLecarParams:
    """Return the Hopf set (class 2; firing sets in with a finite rate): g_ca 4.4, v3 2, v4 30 mV, phi 0.04."""
    return make_params(MorrisLecarParams, _HOPF, overrides)


def morris_lecar_snlc(**overrides: ScalarLike) -> MorrisLecarParams:
    """Return the saddle-node-on-limit-cycle set (class 1; any low rate): g_ca 4, v3 12, v4 17.4 mV, phi 1/15."""
    return make_params(MorrisLecarParams, _SNLC, overrides)


def morris_lecar_homoclinic(**overrides: ScalarLike) -> MorrisLecarParams:
    """Return the homoclinic (saddle-loop) set, bistable below the fold: as the SNLC set, with phi 0.23."""
    return make_params(MorrisLecarParams, dict(_SNLC, phi=0.23), overrides)


def default_params(**overrides: ScalarLike) -> MorrisLecarParams:
    """Return the Hopf set: cm 20, g 4.4/8/2, E 120/-84/-60, v1..v4 -1.2 18 2 30 mV, phi 0.04, v_thresh 0 mV."""
    return morris_lecar_hopf(**overrides)


def m_inf(v: Scalar, params: MorrisLecarParams) -> Scalar:
    """Return the calcium activation at v (mV), which is instantaneous."""
    return 0.5 * (1 + jnp.tanh((v - params.v1) / params.v2))


def w_inf(v: Scalar, params: MorrisLecarParams) -> Scalar:
    """Return the steady potassium activation at v (mV)."""
    return 0.5 * (1 + jnp.tanh((v - params.v3) / params.v4))


def tau_w(v: Scalar, params: MorrisLecarParams) -> Scalar:
    """Return 1/cosh((v - v3)/(2 v4)): w follows with the time constant tau_w/phi (ms)."""
    return 1 / jnp.cosh((v - params.v3) / (2 * params.v4))


def init_state(params: MorrisLecarParams) -> MorrisLecarState:
    """Return v = -60 mV with w steady there, near rest at I = 0 for the three sets."""
    v = jnp.full_like(params.cm, -60.0)
    return MorrisLecarState(v, w_inf(v, params))


def vector_field(t: Scalar, state: MorrisLecarState, params: MorrisLecarParams, current: Scalar) -> MorrisLecarState:
    """Return dv/dt in mV/ms and dw/dt per ms."""
    del t
    v, w = state
    i_ca = params.g_ca * m_inf(v, params) * (v - params.e_ca)
    i_k = params.g_k * w * (v - params.e_k)
    i_leak = params.g_leak * (v - params.e_leak)
    # A product with 1/cm: the reciprocal leaves the solver's loop, a division in each stage would not.
    dv = (current - i_ca - i_k - i_leak) * (1 / params.cm)
    return MorrisLecarState(dv, params.phi * (w_inf(v, params) - w) / tau_w(v, params))


def spike_condition(state: MorrisLecarState, params: MorrisLecarParams) -> Scalar:
    """Return v - v_thresh; a spike is its upward zero."""
    return state.v - params.v_thresh


def reset(state: MorrisLecarState, params: MorrisLecarParams) -> MorrisLecarState:
    """Return the state as it is: the currents repolarise the membrane."""
    del params
    return state


def constraints(params: MorrisLecarParams) -> Mapping[str, BoolScalar]:
    return {
        "cm > 0": params.cm > 0,
        "g_ca >= 0": params.g_ca >= 0,
        "g_k >= 0": params.g_k >= 0,
        "g_leak >= 0": params.g_leak >= 0,
        "v2 > 0": params.v2 > 0,
        "v4 > 0": params.v4 > 0,
        "phi > 0": params.phi > 0,
    }


MorrisLecar = NeuronModel(
    "MorrisLecar", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)
