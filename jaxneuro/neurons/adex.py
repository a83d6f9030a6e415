"""Adaptive exponential integrate-and-fire neuron (AdEx).

    cm dv/dt = -g_leak (v - e_leak) + g_leak delta_t exp((v - v_thresh)/delta_t) - w + I
    tau_w dw/dt = a (v - e_leak) - w
    spike at v = v_peak, then v <- v_reset, held there for tau_refrac, and w <- w + b

Units: ms, mV, nF, uS, nA (so a is in uS, b in nA). In refractoriness w flows. The exponential is written as it stands: a trial
step far beyond v_peak may overflow, and the controller rejects it.

Source: Brette & Gerstner (2005), J. Neurophysiol. 94:3637, doi:10.1152/jn.00686.2005. Deviation: the refractory period
(0 in the paper) is a parameter.

The named sets are the firing patterns of Naud, Marcille, Clopath & Gerstner (2008), Biol. Cybern. 99:335, Table 1,
doi:10.1007/s00422-008-0264-7, each under a step of current from v = e_leak, w = 0; a spike is v = 0 mV there. Deviation: panels f
and g have the values to which P. Mueller (kip.uni-heidelberg.de, publication 3445) changed them so that they match the figures.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, Refractory, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class AdExParams(NamedTuple):
    cm: Scalar  # membrane capacitance, nF, > 0
    g_leak: Scalar  # leak conductance, uS, > 0
    e_leak: Scalar  # leak reversal potential, mV
    v_thresh: Scalar  # threshold V_T, where the slope of the I-V curve at w = 0 vanishes, mV, < v_peak
    delta_t: Scalar  # slope factor (sharpness of the spike), mV, > 0
    v_peak: Scalar  # spike cutoff, mV, > v_reset
    v_reset: Scalar  # potential after a spike, mV
    a: Scalar  # subthreshold adaptation, uS
    tau_w: Scalar  # adaptation time constant, ms, > 0
    b: Scalar  # jump of the adaptation current at a spike, nA
    tau_refrac: Scalar  # absolute refractory period, ms, >= 0


class AdExState(NamedTuple):
    v: Scalar  # membrane potential, mV
    w: Scalar  # adaptation current, nA


def default_params(**overrides: ScalarLike) -> AdExParams:
    """Return the regular-spiking cell of Brette & Gerstner (2005), as `adex_brette_gerstner`."""
    return make_params(
        AdExParams,
        dict(
            cm=0.281, g_leak=0.03, e_leak=-70.6, v_thresh=-50.4, delta_t=2.0, v_peak=20.0, v_reset=-70.6, a=0.004, tau_w=144.0,
            b=0.0805, tau_refrac=0.0,
        ),
        overrides,
    )  # fmt: skip


def init_state(params: AdExParams) -> AdExState:
    """Return v = e_leak, w = 0."""
    return AdExState(v=params.e_leak, w=jnp.zeros_like(params.e_leak))


def vector_field(t: Scalar, state: AdExState, params: AdExParams, current: Scalar) -> AdExState:
    """Return dv/dt in mV/ms and dw/dt in nA/ms."""
    del t
    v, w = state
    # Products with reciprocals: they leave the solver's loop, a division in each stage would not.
    spike = params.delta_t * jnp.exp((v - params.v_thresh) * (1 / params.delta_t))
    dv = (params.g_leak * (params.e_leak - v + spike) - w + current) * (1 / params.cm)
    dw = (params.a * (v - params.e_leak) - w) * (1 / params.tau_w)
    return AdExState(v=dv, w=dw)


def spike_condition(state: AdExState, params: AdExParams) -> Scalar:
    """Return v - v_peak; a spike is its upward zero."""
    return state.v - params.v_peak


def reset(state: AdExState, params: AdExParams) -> AdExState:
    """Return the state after a spike, v = v_reset, w + b."""
    return AdExState(v=params.v_reset, w=state.w + params.b)


def refractory(params: AdExParams) -> Refractory:
    """Hold v for tau_refrac after each spike; w flows."""
    return Refractory(params.tau_refrac, held=("v",))


def constraints(params: AdExParams) -> Mapping[str, BoolScalar]:
    return {
        "cm > 0": params.cm > 0,
        "g_leak > 0": params.g_leak > 0,
        "delta_t > 0": params.delta_t > 0,
        "v_thresh < v_peak": params.v_thresh < params.v_peak,
        "v_reset < v_peak": params.v_reset < params.v_peak,
        "tau_w > 0": params.tau_w > 0,
        "tau_refrac >= 0": params.tau_refrac >= 0,
    }


AdEx = NeuronModel("AdEx", default_params, init_state, vector_field, spike_condition, reset, refractory, constraints)


def adex_brette_gerstner(**overrides: ScalarLike) -> AdExParams:
    """Return the regular-spiking cell of Brette & Gerstner (2005); rest is lost at 0.627 nA, above which it keeps firing."""
    return default_params(**overrides)


_NAUD = ("cm", "g_leak", "e_leak", "a", "tau_w", "b", "v_reset")


def _naud(row: tuple[float | int, ...], overrides: Mapping[str, ScalarLike]) -> AdExParams:
    """Return a row of Table 1 of Naud et al. (2008), given as printed: pF, nS, mV, nS, ms, pA, mV."""
    thousandths = ("cm", "g_leak", "a", "b")
    printed = {name: x / 1e3 if name in thousandths else x for name, x in zip(_NAUD, row, strict=True)}
    return default_params(**{**printed, **dict(v_thresh=-50.0, delta_t=2.0, v_peak=0.0), **overrides})


def adex_tonic(**overrides: ScalarLike) -> AdExParams:
    """Return tonic spiking, Naud et al. (2008), Fig. 4a; step of 0.5 nA."""
    return _naud((200, 10, -70, 2, 30, 0, -58), overrides)


def adex_adaptation(**overrides: ScalarLike) -> AdExParams:
    """Return spike-frequency adaptation, Naud et al. (2008), Fig. 4b; step of 0.5 nA."""
    return _naud((200, 12, -70, 2, 300, 60, -58), overrides)


def adex_initial_burst(**overrides: ScalarLike) -> AdExParams:
    """Return initial bursting, Naud et al. (2008), Fig. 4c; step of 0.4 nA."""
    return _naud((130, 18, -58, 4, 150, 120, -50), overrides)


def adex_regular_bursting(**overrides: ScalarLike) -> AdExParams:
    """Return regular bursting, Naud et al. (2008), Fig. 4d; step of 0.21 nA."""
    return _naud((200, 10, -58, 2, 120, 100, -46), overrides)


def adex_delayed_accelerating(**overrides: ScalarLike) -> AdExParams:
    """Return delayed accelerating spikes, Naud et al. (2008), Fig. 4e; step of 0.3 nA."""
    return _naud((200, 12, -70, -10, 300, 0, -58), overrides)


def adex_delayed_regular_bursting(**overrides: ScalarLike) -> AdExParams:
    """Return delayed regular bursting, Naud et al. (2008), Fig. 4f, as corrected by Mueller (2011); step of 0.11 nA."""
    return _naud((100, 10, -65, -10, 90, 30, -47), overrides)


def adex_transient(**overrides: ScalarLike) -> AdExParams:
    """Return transient spiking, Naud et al. (2008), Fig. 4g, as corrected by Mueller (2011); step of 0.18 nA."""
    return _naud((100, 10, -65, 10, 90, 100, -47), overrides)


def adex_irregular(**overrides: ScalarLike) -> AdExParams:
    """Return irregular spiking, Naud et al. (2008), Fig. 4h; step of 0.16 nA."""
    return _naud((100, 12, -60, -11, 130, 30, -48), overrides)
