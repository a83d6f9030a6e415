"""Izhikevich's simple model with two time constants and a free parabola.

    tau_a dv/dt = k2 v^2 + k1 v + k0 - u + I
    tau_b du/dt = a (b v - u)
    spike at v = v_peak, then v <- c, u <- u + d

tau_a = tau_b = 1, k2 = 0.04, k1 = 5, k0 = 140 (the defaults) is the model of 2003, in its own units (mV, ms, dimensionless
current); tau_a and tau_b slow membrane and recovery down separately.

Source: Izhikevich (2003), IEEE Trans. Neural Netw. 14:1569, eqs. 1-3, doi:10.1109/TNN.2003.820440. Deviation: the time constants
and coefficients of the parabola are parameters, and the reset is applied at the crossing itself, not at the next grid point.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class IzhikevichParams(NamedTuple):
    a: Scalar  # rate of recovery, 1/ms
    b: Scalar  # sensitivity of recovery to v, 1
    c: Scalar  # potential after a spike, mV, < v_peak
    d: Scalar  # jump of recovery at a spike
    v_peak: Scalar  # spike cutoff, mV
    tau_a: Scalar  # time constant of v, > 0 (1: the model of 2003)
    tau_b: Scalar  # time constant of u, > 0 (1: the model of 2003)
    k2: Scalar  # parabola, coefficient of v^2, 1/mV
    k1: Scalar  # parabola, coefficient of v
    k0: Scalar  # parabola, constant, mV


class IzhikevichState(NamedTuple):
    v: Scalar  # membrane potential, mV
    u: Scalar  # recovery


def default_params(**overrides: ScalarLike) -> IzhikevichParams:
    """Return the regular-spiking cell of 2003: a 0.02, b 0.2, c -65 mV, d 8, v_peak 30 mV, both time constants 1."""
    return make_params(
        IzhikevichParams,
        dict(a=0.02, b=0.2, c=-65.0, d=8.0, v_peak=30.0, tau_a=1.0, tau_b=1.0, k2=0.04, k1=5.0, k0=140.0),
        overrides,
    )


def init_state(params: IzhikevichParams) -> IzhikevichState:
    """Return v = c, u = b c: at c = -65 mV the start of the published program."""
    return IzhikevichState(v=params.c, u=params.b * params.c)


def vector_field(t: Scalar, state: IzhikevichState, params: IzhikevichParams, current: Scalar) -> IzhikevichState:
    """Return dv/dt in mV/ms and du/dt per ms."""
    del t
    v, u = state
    # Written as products with 1/tau: the reciprocals leave the solver's loop, a division in each stage would not.
    dv = (params.k2 * v * v + params.k1 * v + params.k0 - u + current) * (1 / params.tau_a)
    du = params.a * (params.b * v - u) * (1 / params.tau_b)
    return IzhikevichState(v=dv, u=du)


def spike_condition(state: IzhikevichState, params: IzhikevichParams) -> Scalar:
    """Return v - v_peak; a spike is its upward zero."""
    return state.v - params.v_peak


def reset(state: IzhikevichState, params: IzhikevichParams) -> IzhikevichState:
    """Return the state after a spike, v = c, u + d."""
    return IzhikevichState(v=params.c, u=state.u + params.d)


def constraints(params: IzhikevichParams) -> Mapping[str, BoolScalar]:
    return {
        "c < v_peak": params.c < params.v_peak,
        "tau_a > 0": params.tau_a > 0,
        "tau_b > 0": params.tau_b > 0,
    }


Izhikevich = NeuronModel(
    "Izhikevich", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)


def izhikevich_regular_spiking(**overrides: ScalarLike) -> IzhikevichParams:
    """Return the regular spiking (RS) cell of 2003, Fig. 2."""
    return default_params(**{**dict(a=0.02, b=0.2, c=-65.0, d=8.0), **overrides})


def izhikevich_intrinsically_bursting(**overrides: ScalarLike) -> IzhikevichParams:
    """Return the intrinsically bursting (IB) cell of 2003, Fig. 2."""
    return default_params(**{**dict(a=0.02, b=0.2, c=-55.0, d=4.0), **overrides})


def izhikevich_chattering(**overrides: ScalarLike) -> IzhikevichParams:
    """Return the chattering (CH) cell of 2003, Fig. 2."""
    return default_params(**{**dict(a=0.02, b=0.2, c=-50.0, d=2.0), **overrides})


def izhikevich_fast_spiking(**overrides: ScalarLike) -> IzhikevichParams:
    """Return the fast spiking (FS) cell of 2003, Fig. 2."""
    return default_params(**{**dict(a=0.1, b=0.2, c=-65.0, d=2.0), **overrides})


def izhikevich_low_threshold_spiking(**overrides: ScalarLike) -> IzhikevichParams:
    """Return the low-threshold spiking (LTS) cell of 2003, Fig. 2."""
    return default_params(**{**dict(a=0.02, b=0.25, c=-65.0, d=2.0), **overrides})


def izhikevich_thalamo_cortical(**overrides: ScalarLike) -> IzhikevichParams:
    """Return the thalamo-cortical (TC) cell of 2003, Fig. 2."""
    return default_params(**{**dict(a=0.02, b=0.25, c=-65.0, d=0.05), **overrides})


def izhikevich_resonator(**overrides: ScalarLike) -> IzhikevichParams:
    """Return the resonator (RZ) cell of 2003, Fig. 2."""
    return default_params(**{**dict(a=0.1, b=0.26, c=-65.0, d=2.0), **overrides})
