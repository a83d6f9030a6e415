"""Quadratic integrate-and-fire neuron.

    tau_m dv/dt = a (v - v_rest)(v - v_crit) + r_m I
    spike at v = v_peak, then v <- v_reset

Units: ms, mV, MOhm, nA; a in 1/mV. With v_rest = v_crit = 0, a = tau_m = r_m = 1 this is V' = V^2 + I, whose interspike
interval is [atan(v_peak/sqrt I) - atan(v_reset/sqrt I)]/sqrt I for I > 0.

Source: Latham, Richmond, Nelson & Nirenberg (2000), J. Neurophysiol. 83:808, doi:10.1152/jn.2000.83.2.808; in the form of
Gerstner et al. (2014), Neuronal Dynamics, section 5.3, doi:10.1017/CBO9781107447615.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class QIFParams(NamedTuple):
    tau_m: Scalar  # membrane time constant, ms, > 0
    a: Scalar  # curvature, 1/mV, > 0
    v_rest: Scalar  # resting potential at I = 0, mV
    v_crit: Scalar  # critical potential at I = 0, mV
    r_m: Scalar  # membrane resistance, MOhm, > 0
    v_peak: Scalar  # spike cutoff, mV, > v_reset
    v_reset: Scalar  # potential after a spike, mV


class QIFState(NamedTuple):
    v: Scalar  # membrane potential, mV


def default_params(**overrides: ScalarLike) -> QIFParams:
    """Return QIF parameters: tau_m 10 ms, a 0.04 /mV, v_rest -65, v_crit -50, r_m 10 MOhm, v_peak 30, v_reset -70."""
    return make_params(
        QIFParams, dict(tau_m=10.0, a=0.04, v_rest=-65.0, v_crit=-50.0, r_m=10.0, v_peak=30.0, v_reset=-70.0), overrides
    )


def init_state(params: QIFParams) -> QIFState:
    """Return v = v_rest, the stable state at I = 0 where v_rest < v_crit."""
    return QIFState(v=params.v_rest)


def vector_field(t: Scalar, state: QIFState, params: QIFParams, current: Scalar) -> QIFState:
    """Return dv/dt in mV/ms."""
    del t
    parabola = params.a * (state.v - params.v_rest) * (state.v - params.v_crit)
    # A product with 1/tau: the reciprocal leaves the solver's loop, a division in each stage would not.
    return QIFState(v=(parabola + params.r_m * current) * (1 / params.tau_m))


def spike_condition(state: QIFState, params: QIFParams) -> Scalar:
    """Return v - v_peak; a spike is its upward zero."""
    return state.v - params.v_peak


def reset(state: QIFState, params: QIFParams) -> QIFState:
    """Return the state after a spike, v = v_reset."""
    del state
    return QIFState(v=params.v_reset)


def constraints(params: QIFParams) -> Mapping[str, BoolScalar]:
    return {
        "tau_m > 0": params.tau_m > 0,
        "a > 0": params.a > 0,
        "r_m > 0": params.r_m > 0,
        "v_reset < v_peak": params.v_reset < params.v_peak,
    }


QIF = NeuronModel("QIF", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints)
