"""FitzHugh-Nagumo model.

    dv/dt = v - v^3/3 - w + I
    dw/dt = eps (v + a - b w)
    spike at the upward crossing of v_thresh; no reset

Dimensionless.

Source: FitzHugh (1961), Biophys. J. 1:445, doi:10.1016/S0006-3495(61)86902-6; Nagumo, Arimoto & Yoshizawa (1962), Proc. IRE
50:2061, doi:10.1109/JRPROC.1962.288235. Signs, scaling of time and eps = 0.08 (1/c^2 = 1/9 in 1961) are those of FitzHugh (1969),
"Mathematical models of excitation and propagation in nerve", in Schwan (ed.), Biological Engineering, McGraw-Hill, ch. 1.
Deviation: the threshold that counts a spike is ours.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class FitzHughNagumoParams(NamedTuple):
    a: Scalar  # offset of the recovery nullcline, > 0 (a < 0 is the mirror image)
    b: Scalar  # slope of the recovery nullcline, >= 0
    eps: Scalar  # rate of recovery, > 0
    v_thresh: Scalar  # a spike is counted where v crosses it upwards


class FitzHughNagumoState(NamedTuple):
    v: Scalar  # membrane potential
    w: Scalar  # recovery


def default_params(**overrides: ScalarLike) -> FitzHughNagumoParams:
    """Return a 0.7, b 0.8, eps 0.08, v_thresh 0."""
    return make_params(FitzHughNagumoParams, dict(a=0.7, b=0.8, eps=0.08, v_thresh=0.0), overrides)


def init_state(params: FitzHughNagumoParams) -> FitzHughNagumoState:
    """Return the fixed point at I = 0 (the one of lowest v where there are three), differentiable in a and b.

    v solves v + a = b (v - v^3/3), w = v - v^3/3.
    """

    def newton(v: Scalar, params: FitzHughNagumoParams) -> Scalar:
        residual = v + params.a - params.b * (v - v**3 / 3)
        return v - residual / (1 - params.b * (1 - v * v))

    # The start lies left of every root, where the residual is increasing and concave: Newton climbs to the lowest root.
    constant = jax.lax.stop_gradient(params)
    v = jax.lax.fori_loop(0, 30, lambda _, v: newton(v, constant), -2 - constant.a)
    # The derivative of a Newton step at the root is that of the root; a second step gives the second derivative.
    v = newton(newton(v, params), params)
    return FitzHughNagumoState(v=v, w=v - v**3 / 3)


def vector_field(
    t: Scalar, state: FitzHughNagumoState, params: FitzHughNagumoParams, current: Scalar
) -> FitzHughNagumoState:
    """Return dv/dt and dw/dt."""
    del t
    v, w = state
    dv = v - v * v * v * (1 / 3) - w + current
    dw = params.eps * (v + params.a - params.b * w)
    return FitzHughNagumoState(v=dv, w=dw)


def spike_condition(state: FitzHughNagumoState, params: FitzHughNagumoParams) -> Scalar:
    """Return v - v_thresh; a spike is its upward zero."""
    return state.v - params.v_thresh


def reset(state: FitzHughNagumoState, params: FitzHughNagumoParams) -> FitzHughNagumoState:
    """Return the state: there is no reset."""
    del params
    return state


def constraints(params: FitzHughNagumoParams) -> Mapping[str, BoolScalar]:
    return {"a > 0": params.a > 0, "b >= 0": params.b >= 0, "eps > 0": params.eps > 0}


FitzHughNagumo = NeuronModel(
    "FitzHughNagumo", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)
