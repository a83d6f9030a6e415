"""Izhikevich's simple model in the dimensional form of his book.

    cm dv/dt = k (v - v_rest)(v - v_thresh) - u + I
    du/dt = a (b (v - v_rest) - u)
    spike at v = v_peak, then v <- c, u <- u + d

Units: ms, mV, pF, pA, k in nS/mV, b in nS.

Source: Izhikevich (2007), Dynamical Systems in Neuroscience, MIT Press, eqs. 8.5 and 8.6,
doi:10.7551/mitpress/2526.001.0001. Deviation: the reset is applied at the crossing itself, not at the next grid point. The
book's cells whose u-equation or reset has another form (fast spiking, low-threshold spiking, thalamic) are not of this model.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class Izhikevich2007Params(NamedTuple):
    cm: Scalar  # membrane capacitance, pF, > 0
    k: Scalar  # curvature, nS/mV, > 0
    v_rest: Scalar  # resting potential, mV
    v_thresh: Scalar  # instantaneous threshold, mV
    v_peak: Scalar  # spike cutoff, mV, > c
    a: Scalar  # rate of recovery, 1/ms
    b: Scalar  # sensitivity of recovery to v, nS
    c: Scalar  # potential after a spike, mV
    d: Scalar  # jump of recovery at a spike, pA


class Izhikevich2007State(NamedTuple):
    v: Scalar  # membrane potential, mV
    u: Scalar  # recovery current, pA


def default_params(**overrides: ScalarLike) -> Izhikevich2007Params:
    """Return the regular-spiking cell, as `izhikevich2007_regular_spiking`."""
    return make_params(
        Izhikevich2007Params,
        dict(cm=100.0, k=0.7, v_rest=-60.0, v_thresh=-40.0, v_peak=35.0, a=0.03, b=-2.0, c=-50.0, d=100.0),
        overrides,
    )


def init_state(params: Izhikevich2007Params) -> Izhikevich2007State:
    """Return v = v_rest, u = 0, a fixed point at I = 0."""
    return Izhikevich2007State(v=params.v_rest, u=jnp.zeros_like(params.v_rest))


def vector_field(
    t: Scalar, state: Izhikevich2007State, params: Izhikevich2007Params, current: Scalar
) -> Izhikevich2007State:
    """Return dv/dt in mV/ms and du/dt in pA/ms."""
    del t
    v, u = state
    # A product with 1/cm: the reciprocal leaves the solver's loop, a division in each stage would not.
    dv = (params.k * (v - params.v_rest) * (v - params.v_thresh) - u + current) * (1 / params.cm)
    du = params.a * (params.b * (v - params.v_rest) - u)
    return Izhikevich2007State(v=dv, u=du)


def spike_condition(state: Izhikevich2007State, params: Izhikevich2007Params) -> Scalar:
    """Return v - v_peak; a spike is its upward zero."""
    return state.v - params.v_peak


def reset(state: Izhikevich2007State, params: Izhikevich2007Params) -> Izhikevich2007State:
    """Return the state after a spike, v = c, u + d."""
    return Izhikevich2007State(v=params.c, u=state.u + params.d)


def constraints(params: Izhikevich2007Params) -> Mapping[str, BoolScalar]:
    return {
        "cm > 0": params.cm > 0,
        "k > 0": params.k > 0,
        "v_rest < v_peak": params.v_rest < params.v_peak,
        "v_thresh < v_peak": params.v_thresh < params.v_peak,
        "c < v_peak": params.c < params.v_peak,
    }


Izhikevich2007 = NeuronModel(
    "Izhikevich2007", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)


def izhikevich2007_regular_spiking(**overrides: ScalarLike) -> Izhikevich2007Params:
    """Return the layer-5 regular-spiking pyramidal cell, book Fig. 8.12; rheobase about 51 pA, shown at 60 to 100 pA."""
    return default_params(**overrides)


def izhikevich2007_intrinsically_bursting(**overrides: ScalarLike) -> Izhikevich2007Params:
    """Return the layer-5 intrinsically bursting cell, book Fig. 8.19; shown at 300 to 600 pA."""
    cell = dict(cm=150.0, k=1.2, v_rest=-75.0, v_thresh=-45.0, v_peak=50.0, a=0.01, b=5.0, c=-56.0, d=130.0)
    return default_params(**{**cell, **overrides})


def izhikevich2007_chattering(**overrides: ScalarLike) -> Izhikevich2007Params:
    """Return the chattering cell of cat visual cortex, book Fig. 8.23; shown at 200 to 600 pA."""
    cell = dict(cm=50.0, k=1.5, v_rest=-60.0, v_thresh=-40.0, v_peak=25.0, a=0.03, b=1.0, c=-40.0, d=150.0)
    return default_params(**{**cell, **overrides})


def izhikevich2007_medium_spiny(**overrides: ScalarLike) -> Izhikevich2007Params:
    """Return the striatal medium spiny cell, book section 8.4."""
    cell = dict(cm=50.0, k=1.0, v_rest=-80.0, v_thresh=-25.0, v_peak=40.0, a=0.01, b=-20.0, c=-55.0, d=150.0)
    return default_params(**{**cell, **overrides})
