"""Hindmarsh-Rose model of bursting.

    dx/dt = y - a x^3 + b x^2 - z + I
    dy/dt = c - d x^2 - y
    dz/dt = r (s (x - x_rest) - z)
    spike at the upward crossing of x_thresh; no reset

Dimensionless.

Source: Hindmarsh & Rose (1984), Proc. R. Soc. Lond. B 221:87, doi:10.1098/rspb.1984.0024. Deviation: the threshold that counts a
spike is ours.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class HindmarshRoseParams(NamedTuple):
    a: Scalar  # cubic coefficient of x
    b: Scalar  # quadratic coefficient of x
    c: Scalar  # constant of y
    d: Scalar  # quadratic coefficient of y
    r: Scalar  # rate of the slow adaptation z, > 0
    s: Scalar  # sensitivity of the adaptation to x
    x_rest: Scalar  # leftmost fixed point without adaptation
    x_thresh: Scalar  # a spike is counted where x crosses it upwards


class HindmarshRoseState(NamedTuple):
    x: Scalar  # membrane potential
    y: Scalar  # fast recovery
    z: Scalar  # slow adaptation


def default_params(**overrides: ScalarLike) -> HindmarshRoseParams:
    """Return the values of 1984: a 1, b 3, c 1, d 5, r 0.001, s 4, x_rest -1.6 (bursting at I = 2); x_thresh 0."""
    return make_params(
        HindmarshRoseParams, dict(a=1.0, b=3.0, c=1.0, d=5.0, r=0.001, s=4.0, x_rest=-1.6, x_thresh=0.0), overrides
    )


def init_state(params: HindmarshRoseParams) -> HindmarshRoseState:
    """Return x = x_rest with y and z steady there, close to rest at I = 0."""
    x = params.x_rest
    return HindmarshRoseState(x=x, y=params.c - params.d * x * x, z=jnp.zeros_like(x))


def vector_field(
    t: Scalar, state: HindmarshRoseState, params: HindmarshRoseParams, current: Scalar
) -> HindmarshRoseState:
    """Return dx/dt, dy/dt and dz/dt."""
    del t
    x, y, z = state
    dx = y - params.a * x * x * x + params.b * x * x - z + current
    dy = params.c - params.d * x * x - y
    dz = params.r * (params.s * (x - params.x_rest) - z)
    return HindmarshRoseState(x=dx, y=dy, z=dz)


def spike_condition(state: HindmarshRoseState, params: HindmarshRoseParams) -> Scalar:
    """Return x - x_thresh; a spike is its upward zero."""
    return state.x - params.x_thresh


def reset(state: HindmarshRoseState, params: HindmarshRoseParams) -> HindmarshRoseState:
    """Return the state: there is no reset."""
    del params
    return state


def constraints(params: HindmarshRoseParams) -> Mapping[str, BoolScalar]:
    return {"r > 0": params.r > 0, "x_rest < x_thresh": params.x_rest < params.x_thresh}


HindmarshRose = NeuronModel(
    "HindmarshRose", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)
