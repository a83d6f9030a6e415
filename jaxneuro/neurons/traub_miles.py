"""Cortical cell of the COBAHH benchmark: Hodgkin-Huxley currents with the rates of Traub & Miles (1991).

    cm dv/dt = I - g_na m^3 h (v - e_na) - g_k n^4 (v - e_k) - g_leak (v - e_leak)
    dx/dt = alpha_x (1 - x) - beta_x x,  x = m, h, n,    rates at v - v_t: see `gating.traub_miles_rates`
    spike at the upward crossing of v_thresh; no reset

Units: ms, mV, uF/cm2, mS/cm2, uA/cm2.

Source: Brette et al. (2007), J. Comput. Neurosci. 23:349 (the benchmark of Hodgkin-Huxley cells),
doi:10.1007/s10827-007-0038-6, after Traub & Miles (1991), Neuronal Networks of the Hippocampus,
doi:10.1017/CBO9780511895401. The benchmark gives 1 uF/cm2, 5e-5 S/cm2 (leak), 100 and 30 mS/cm2, on 20,000 um2. Deviations: the
cell alone, without synapses; the benchmark does not say what a spike is: v_thresh is ours, 0 mV.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.neurons.gating import Rates, gate, steady, traub_miles_rates
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class TraubMilesParams(NamedTuple):
    cm: Scalar  # membrane capacitance, uF/cm2, > 0
    g_na: Scalar  # sodium conductance, mS/cm2, >= 0
    g_k: Scalar  # potassium conductance, mS/cm2, >= 0
    g_leak: Scalar  # leak conductance, mS/cm2, >= 0
    e_na: Scalar  # reversal potential of sodium, mV
    e_k: Scalar  # reversal potential of potassium, mV
    e_leak: Scalar  # reversal potential of the leak, mV
    v_t: Scalar  # shifts all rates along v, and so the firing threshold, mV
    v_thresh: Scalar  # upward crossing that counts as a spike, mV


class TraubMilesState(NamedTuple):
    v: Scalar  # membrane potential, mV
    m: Scalar  # sodium activation
    h: Scalar  # sodium inactivation (1: available)
    n: Scalar  # potassium activation


def default_params(**overrides: ScalarLike) -> TraubMilesParams:
    """Return the cell of COBAHH: cm 1, g 100/30/0.05, E 50/-90/-65 mV, v_t -63 mV; v_thresh 0 mV."""
    return make_params(
        TraubMilesParams,
        dict(cm=1.0, g_na=100.0, g_k=30.0, g_leak=0.05, e_na=50.0, e_k=-90.0, e_leak=-65.0, v_t=-63.0, v_thresh=0.0),
        overrides,
    )


def rates(v: Scalar, params: TraubMilesParams) -> tuple[Rates, Rates, Rates]:
    """Return (alpha, beta) of m, h and n at v (mV), per ms."""
    return traub_miles_rates(v - params.v_t)


def init_state(params: TraubMilesParams) -> TraubMilesState:
    """Return v = -65 mV, near rest at the default parameters, with the gates steady there."""
    v = jnp.full_like(params.cm, -65.0)
    m, h, n = rates(v, params)
    return TraubMilesState(v, steady(m), steady(h), steady(n))


def vector_field(t: Scalar, state: TraubMilesState, params: TraubMilesParams, current: Scalar) -> TraubMilesState:
    """Return dv/dt in mV/ms and the rates of change of the gates, per ms."""
    del t
    v, m, h, n = state
    i_na = params.g_na * m**3 * h * (v - params.e_na)
    i_k = params.g_k * n**4 * (v - params.e_k)
    i_leak = params.g_leak * (v - params.e_leak)
    rates_m, rates_h, rates_n = rates(v, params)
    # A product with 1/cm: the reciprocal leaves the solver's loop, a division in each stage would not.
    dv = (current - i_na - i_k - i_leak) * (1 / params.cm)
    return TraubMilesState(dv, gate(m, rates_m), gate(h, rates_h), gate(n, rates_n))


def spike_condition(state: TraubMilesState, params: TraubMilesParams) -> Scalar:
    """Return v - v_thresh; a spike is its upward zero."""
    return state.v - params.v_thresh


def reset(state: TraubMilesState, params: TraubMilesParams) -> TraubMilesState:
    """Return the state as it is: the currents repolarise the membrane."""
    del params
    return state


def constraints(params: TraubMilesParams) -> Mapping[str, BoolScalar]:
    return {
        "cm > 0": params.cm > 0,
        "g_na >= 0": params.g_na >= 0,
        "g_k >= 0": params.g_k >= 0,
        "g_leak >= 0": params.g_leak >= 0,
    }


TraubMiles = NeuronModel(
    "TraubMiles", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)
