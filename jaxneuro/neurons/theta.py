"""Theta neuron, the normal form of a saddle-node on an invariant circle.

    tau_m dtheta/dt = 1 - cos theta + (1 + cos theta) I
    spike at theta = pi, then theta <- theta - 2 pi

theta in radians, I dimensionless. With u = tan(theta/2) it is tau_m u' = u^2 + I, the quadratic integrate-and-fire neuron between
-inf and inf: at I > 0 it fires with period pi tau_m/sqrt I. At I = 1 exactly the phase turns at constant speed, theta' = 2/tau_m.

Source: Ermentrout & Kopell (1986), SIAM J. Appl. Math. 46:233, doi:10.1137/0146017. Deviation: the time constant is a parameter;
the paper's is 1.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class ThetaParams(NamedTuple):
    tau_m: Scalar  # time constant, ms, > 0


class ThetaState(NamedTuple):
    theta: Scalar  # phase, rad


def default_params(**overrides: ScalarLike) -> ThetaParams:
    """Return tau_m = 1."""
    return make_params(ThetaParams, dict(tau_m=1.0), overrides)


def init_state(params: ThetaParams) -> ThetaState:
    """Return theta = 0, the fixed point at I = 0."""
    return ThetaState(theta=jnp.zeros_like(params.tau_m))


def vector_field(t: Scalar, state: ThetaState, params: ThetaParams, current: Scalar) -> ThetaState:
    """Return dtheta/dt in rad/ms."""
    del t
    cos = jnp.cos(state.theta)
    # A product with 1/tau: the reciprocal leaves the solver's loop, a division in each stage would not.
    return ThetaState(theta=(1 - cos + (1 + cos) * current) * (1 / params.tau_m))


def spike_condition(state: ThetaState, params: ThetaParams) -> Scalar:
    """Return theta - pi; a spike is its upward zero."""
    del params
    return state.theta - math.pi


def reset(state: ThetaState, params: ThetaParams) -> ThetaState:
    """Return the same point of the circle, theta - 2 pi."""
    del params
    return ThetaState(theta=state.theta - 2 * math.pi)


def constraints(params: ThetaParams) -> Mapping[str, BoolScalar]:
    return {"tau_m > 0": params.tau_m > 0}


Theta = NeuronModel("Theta", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints)
