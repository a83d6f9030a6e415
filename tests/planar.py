"""Two-variable models with known eigenvalues and bifurcations."""

from typing import NamedTuple

import jax.numpy as jnp

import jaxneuro as jn
from jaxneuro.model import make_params
from jaxneuro.types import Scalar


class Params(NamedTuple):
    a: Scalar
    b: Scalar
    c: Scalar
    d: Scalar
    ka: Scalar  # growth of a and d with the current
    kd: Scalar
    s: Scalar  # cubic coefficient


class State(NamedTuple):
    v: Scalar
    w: Scalar


def default_params(**overrides):
    return make_params(Params, dict(a=-1.0, b=0.0, c=0.0, d=-2.0, ka=0.0, kd=0.0, s=0.0), overrides)


def init_state(params):
    return State(jnp.zeros_like(params.a), jnp.zeros_like(params.a))


def vector_field(t, state, params, current):
    """Return [[a + ka I, b], [c, d + kd I]] (v, w) + s (v, w)(v^2 + w^2): at b = -c the normal form of a Hopf point."""
    del t
    (v, w), p = state, params
    cubic = p.s * (v * v + w * w)
    return State(
        (p.a + p.ka * current + cubic) * v + p.b * w,
        p.c * v + (p.d + p.kd * current + cubic) * w,
    )


Planar = jn.NeuronModel("Planar", default_params, init_state, vector_field, lambda s, p: s.v - 1.0, lambda s, p: s)


def broken_field(t, state, params, current):
    """Return a rate whose curve of fixed points, v = I, breaks off at v = 0.5."""
    del t
    return State(current + params.a * jnp.where(state.v < 0.5, state.v, state.v + 10.0), params.d * state.w)


Broken = jn.NeuronModel("Broken", default_params, init_state, broken_field, lambda s, p: s.v - 1.0, lambda s, p: s)
