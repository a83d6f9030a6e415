"""Exponential integrate-and-fire neuron with absolute refractoriness.

    cm dv/dt = -g_leak (v - e_leak) + g_leak delta_t exp((v - v_thresh)/delta_t) + I
    spike at v = v_peak, then v <- v_reset, held there for tau_refrac

Units: ms, mV, nF, uS, nA. Rest is lost in a fold at I = g_leak (v_thresh - e_leak - delta_t). The exponential is written as it
stands: a trial step far beyond v_peak may overflow, and the controller rejects it.

Source: Fourcaud-Trocme, Hansel, van Vreeswijk & Brunel (2003), J. Neurosci. 23:11628,
doi:10.1523/JNEUROSCI.23-37-11628.2003. Deviation: units of a whole cell of 1e-4 cm2 in place of densities.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, Refractory, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class EIFParams(NamedTuple):
    cm: Scalar  # membrane capacitance, nF, > 0
    g_leak: Scalar  # leak conductance, uS, > 0
    e_leak: Scalar  # leak reversal potential, mV
    v_thresh: Scalar  # threshold V_T, where the slope of the I-V curve vanishes, mV, < v_peak
    delta_t: Scalar  # slope factor (sharpness of the spike), mV, > 0
    v_peak: Scalar  # spike cutoff, mV, > v_reset
    v_reset: Scalar  # potential after a spike, mV
    tau_refrac: Scalar  # absolute refractory period, ms, >= 0


class EIFState(NamedTuple):
    v: Scalar  # membrane potential, mV


def default_params(**overrides: ScalarLike) -> EIFParams:
    """Return the fit of 2003 to the Wang-Buzsaki cell: tau_m 10 ms, v_thresh -59.9, delta_t 3.48, v_reset -68 mV, 1.7 ms."""
    return make_params(
        EIFParams,
        dict(
            cm=0.1, g_leak=0.01, e_leak=-65.0, v_thresh=-59.9, delta_t=3.48, v_peak=-30.0, v_reset=-68.0, tau_refrac=1.7
        ),
        overrides,
    )


def init_state(params: EIFParams) -> EIFState:
    """Return v = e_leak."""
    return EIFState(v=params.e_leak)


def vector_field(t: Scalar, state: EIFState, params: EIFParams, current: Scalar) -> EIFState:
    """Return dv/dt in mV/ms."""
    del t
    # Products with reciprocals: they leave the solver's loop, a division in each stage would not.
    spike = params.delta_t * jnp.exp((state.v - params.v_thresh) * (1 / params.delta_t))
    return EIFState(v=(params.g_leak * (params.e_leak - state.v + spike) + current) * (1 / params.cm))


def spike_condition(state: EIFState, params: EIFParams) -> Scalar:
    """Return v - v_peak; a spike is its upward zero."""
    return state.v - params.v_peak


def reset(state: EIFState, params: EIFParams) -> EIFState:
    """Return the state after a spike, v = v_reset."""
    del state
    return EIFState(v=params.v_reset)


def refractory(params: EIFParams) -> Refractory:
    """Hold v for tau_refrac after each spike."""
    return Refractory(params.tau_refrac, held=("v",))


def constraints(params: EIFParams) -> Mapping[str, BoolScalar]:
    return {
        "cm > 0": params.cm > 0,
        "g_leak > 0": params.g_leak > 0,
        "delta_t > 0": params.delta_t > 0,
        "v_thresh < v_peak": params.v_thresh < params.v_peak,
        "v_reset < v_peak": params.v_reset < params.v_peak,
        "tau_refrac >= 0": params.tau_refrac >= 0,
    }


EIF = NeuronModel("EIF", default_params, init_state, vector_field, spike_condition, reset, refractory, constraints)
