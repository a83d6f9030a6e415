"""Leaky integrate-and-fire neuron with absolute refractoriness.

    tau_m dv/dt = v_rest - v + r_m I
    spike at v = v_thresh, then v <- v_reset, held there for tau_refrac

Units: ms, mV, MOhm, nA. `v_thresh = inf` is the passive membrane: no spikes, finite gradients.

Source: Gerstner, Kistler, Naud & Paninski (2014), Neuronal Dynamics, section 1.3, doi:10.1017/CBO9781107447615.
The interspike interval at constant I is tau_refrac + tau_m ln((v_rest + r_m I - v_reset)/(v_rest + r_m I - v_thresh)).
"""

from collections.abc import Mapping
from typing import NamedTuple

from jaxneuro.model import NeuronModel, Refractory, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class LIFParams(NamedTuple):
    tau_m: Scalar  # membrane time constant, ms, > 0
    v_rest: Scalar  # resting potential, mV
    r_m: Scalar  # membrane resistance, MOhm, > 0
    v_thresh: Scalar  # threshold, mV, > v_reset; inf for none
    v_reset: Scalar  # potential after a spike, mV
    tau_refrac: Scalar  # absolute refractory period, ms, >= 0


class LIFState(NamedTuple):
    v: Scalar  # membrane potential, mV


def default_params(**overrides: ScalarLike) -> LIFParams:
    """Return LIF parameters: tau_m 10 ms, v_rest -70 mV, r_m 10 MOhm, v_thresh -50, v_reset -70, tau_refrac 2 ms."""
    return make_params(
        LIFParams, dict(tau_m=10.0, v_rest=-70.0, r_m=10.0, v_thresh=-50.0, v_reset=-70.0, tau_refrac=2.0), overrides
    )


def init_state(params: LIFParams) -> LIFState:
    """Return the resting state, v = v_rest."""
    return LIFState(v=params.v_rest)


def vector_field(t: Scalar, state: LIFState, params: LIFParams, current: Scalar) -> LIFState:
    """Return dv/dt in mV/ms."""
    del t
    # A product with 1/tau: the reciprocal leaves the solver's loop, a division in each stage would not.
    return LIFState(v=(params.v_rest - state.v + params.r_m * current) * (1 / params.tau_m))


def spike_condition(state: LIFState, params: LIFParams) -> Scalar:
    """Return v - v_thresh; a spike is its upward zero."""
    return state.v - params.v_thresh


def reset(state: LIFState, params: LIFParams) -> LIFState:
    """Return the state after a spike, v = v_reset."""
    del state
    return LIFState(v=params.v_reset)


def refractory(params: LIFParams) -> Refractory:
    """Hold v for tau_refrac after each spike."""
    return Refractory(params.tau_refrac, held=("v",))


def constraints(params: LIFParams) -> Mapping[str, BoolScalar]:
    return {
        "tau_m > 0": params.tau_m > 0,
        "r_m > 0": params.r_m > 0,
        "v_reset < v_thresh": params.v_reset < params.v_thresh,
        "tau_refrac >= 0": params.tau_refrac >= 0,
    }


LIF = NeuronModel("LIF", default_params, init_state, vector_field, spike_condition, reset, refractory, constraints)


def lif_cortical(**overrides: ScalarLike) -> LIFParams:
    """Return a cortical pyramidal cell: tau_m 20 ms, r_m 40 MOhm (0.5 nF, 25 nS), rest -70, threshold -50, reset -55 mV, 2 ms.

    Source: Wang (2002), Neuron 36:955, doi:10.1016/S0896-6273(02)01092-9, Experimental Procedures.
    """
    cell = dict(tau_m=20.0, v_rest=-70.0, r_m=40.0, v_thresh=-50.0, v_reset=-55.0, tau_refrac=2.0)
    return default_params(**{**cell, **overrides})
