"""The cell of Hodgkin & Huxley (1952), modern signs: a model with variables of different units, and without reset."""

from typing import NamedTuple

import jax.numpy as jnp

import jaxneuro as jn
from jaxneuro.model import make_params
from jaxneuro.numerics import exprel
from jaxneuro.types import Scalar


class Params(NamedTuple):
    g_na: Scalar  # mS/cm2
    g_k: Scalar
    g_leak: Scalar


class State(NamedTuple):
    v: Scalar  # mV
    m: Scalar
    h: Scalar
    n: Scalar


def default_params(**overrides):
    return make_params(Params, dict(g_na=120.0, g_k=36.0, g_leak=0.3), overrides)


def rates(v):
    """Return (alpha, beta) of m, h and n, per ms."""
    m = 1 / exprel(-(v + 40) / 10), 4 * jnp.exp(-(v + 65) / 18)
    h = 0.07 * jnp.exp(-(v + 65) / 20), 1 / (1 + jnp.exp(-(v + 35) / 10))
    n = 0.1 / exprel(-(v + 55) / 10), 0.125 * jnp.exp(-(v + 65) / 80)
    return m, h, n


def init_state(params):
    v = jnp.full_like(params.g_na, -65.0)
    return State(v, *(a / (a + b) for a, b in rates(v)))


def vector_field(t, state, params, current):
    v, m, h, n = state
    ions = params.g_na * m**3 * h * (v - 50) + params.g_k * n**4 * (v + 77) + params.g_leak * (v + 54.387)
    return State(current - ions, *(a * (1 - x) - b * x for (a, b), x in zip(rates(v), (m, h, n), strict=True)))


HH = jn.NeuronModel("HH", default_params, init_state, vector_field, lambda s, p: s.v, lambda s, p: s)
