"""The cell of Morris & Lecar (1981) whose calcium gate is a variable of its own, with a time constant as small as one likes."""

from typing import NamedTuple

import jax.numpy as jnp

import jaxneuro as jn
from jaxneuro.model import make_params
from jaxneuro.types import Scalar


class Params(NamedTuple):
    tau_m: Scalar  # time constant of the calcium gate, ms
    g_ca: Scalar  # mS/cm2
    phi: Scalar  # per ms


class State(NamedTuple):
    v: Scalar  # mV
    m: Scalar
    w: Scalar


def default_params(**overrides):
    return make_params(Params, dict(tau_m=1e-4, g_ca=4.0, phi=1 / 15), overrides)


def steady_m(v):
    return 0.5 * (1 + jnp.tanh((v + 1.2) / 18))


def init_state(params):
    v = jnp.full_like(params.g_ca, -40.0)
    return State(v, steady_m(v), jnp.zeros_like(v))


def vector_field(t, state, params, current):
    v, m, w = state
    ions = params.g_ca * m * (v - 120) + 8 * w * (v + 84) + 2 * (v + 60)
    x = (v - 12) / 17.4
    return State(
        (current - ions) / 20,
        (steady_m(v) - m) / params.tau_m,
        params.phi * jnp.cosh(x / 2) * (0.5 * (1 + jnp.tanh(x)) - w),
    )


Stiff = jn.NeuronModel("Stiff", default_params, init_state, vector_field, lambda s, p: s.v, lambda s, p: s)
