"""Generalised linear integrate-and-fire neuron with a variable threshold and two spike-induced currents.

    cm dv/dt = I + i1 + i2 - g_leak (v - e_leak)
    di_j/dt = -k_j i_j
    dtheta/dt = a (v - e_leak) - b (theta - theta_inf)
    spike at v = theta, then v <- v_reset, i_j <- r_j i_j + a_j, theta <- max(theta_reset, theta)

Units: ms, mV, nF, uS, nA; k_j, a, b in 1/ms. The maximum has a kink where the threshold just before the spike equals
theta_reset: the derivative is one-sided there.

Source: Mihalas & Niebur (2009), Neural Comput. 21:704, eqs. 2.1 and 2.2, doi:10.1162/neco.2008.12-07-680. The paper prints
rates in 1/s and everything divided by C, in V/s. With cm = 1 nF (the default) its numbers for A_j/C and I_e/C, in V/s = nA/nF,
are ours for a_j and I in nA; G/C = 50 /s is g_leak = 0.05 uS, and rates are divided by 1000.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from jaxneuro.model import NeuronModel, make_params
from jaxneuro.types import BoolScalar, Scalar, ScalarLike


class MihalasNieburParams(NamedTuple):
    cm: Scalar  # membrane capacitance, nF, > 0
    g_leak: Scalar  # leak conductance, uS, >= 0
    e_leak: Scalar  # leak reversal potential, mV
    v_reset: Scalar  # potential after a spike, mV, < theta_reset
    a: Scalar  # coupling of the threshold to v, 1/ms
    b: Scalar  # rate at which the threshold returns to theta_inf, 1/ms
    theta_inf: Scalar  # threshold at v = e_leak, mV
    theta_reset: Scalar  # least threshold after a spike, mV
    k1: Scalar  # decay rate of i1, 1/ms
    k2: Scalar  # decay rate of i2, 1/ms
    r1: Scalar  # part of i1 that a spike leaves
    r2: Scalar  # part of i2 that a spike leaves
    a1: Scalar  # part of i1 that a spike adds, nA
    a2: Scalar  # part of i2 that a spike adds, nA


class MihalasNieburState(NamedTuple):
    v: Scalar  # membrane potential, mV
    theta: Scalar  # threshold, mV
    i1: Scalar  # spike-induced current, nA
    i2: Scalar  # spike-induced current, nA


def default_params(**overrides: ScalarLike) -> MihalasNieburParams:
    """Return spike-frequency adaptation (a 5 /s, no spike-induced currents), as `mihalas_niebur_adaptation`."""
    return make_params(
        MihalasNieburParams,
        dict(
            cm=1.0, g_leak=0.05, e_leak=-70.0, v_reset=-70.0, a=0.005, b=0.01, theta_inf=-50.0, theta_reset=-60.0,
            k1=0.2, k2=0.02, r1=0.0, r2=1.0, a1=0.0, a2=0.0,
        ),
        overrides,
    )  # fmt: skip


def init_state(params: MihalasNieburParams) -> MihalasNieburState:
    """Return rest at I = 0: v = e_leak, theta = theta_inf, no spike-induced currents."""
    zero = jnp.zeros_like(params.e_leak)
    return MihalasNieburState(v=params.e_leak, theta=params.theta_inf, i1=zero, i2=zero)


def vector_field(
    t: Scalar, state: MihalasNieburState, params: MihalasNieburParams, current: Scalar
) -> MihalasNieburState:
    """Return dv/dt and dtheta/dt in mV/ms, di1/dt and di2/dt in nA/ms."""
    del t
    v, theta, i1, i2 = state
    above_rest = v - params.e_leak
    return MihalasNieburState(
        # A product with 1/cm: the reciprocal leaves the solver's loop, a division in each stage would not.
        v=(current + i1 + i2 - params.g_leak * above_rest) * (1 / params.cm),
        theta=params.a * above_rest - params.b * (theta - params.theta_inf),
        i1=-params.k1 * i1,
        i2=-params.k2 * i2,
    )


def spike_condition(state: MihalasNieburState, params: MihalasNieburParams) -> Scalar:
    """Return v - theta; a spike is its upward zero."""
    del params
    return state.v - state.theta


def reset(state: MihalasNieburState, params: MihalasNieburParams) -> MihalasNieburState:
    """Return the state after a spike: v = v_reset, r_j i_j + a_j, theta at least theta_reset."""
    return MihalasNieburState(
        v=params.v_reset,
        theta=jnp.maximum(params.theta_reset, state.theta),
        i1=params.r1 * state.i1 + params.a1,
        i2=params.r2 * state.i2 + params.a2,
    )


def constraints(params: MihalasNieburParams) -> Mapping[str, BoolScalar]:
    return {
        "cm > 0": params.cm > 0,
        "g_leak >= 0": params.g_leak >= 0,
        "v_reset < theta_reset": params.v_reset < params.theta_reset,
    }


MihalasNiebur = NeuronModel(
    "MihalasNiebur", default_params, init_state, vector_field, spike_condition, reset, constraints=constraints
)


def mihalas_niebur_tonic_spiking(**overrides: ScalarLike) -> MihalasNieburParams:
    """Return panel A of Table 1, tonic spiking at 1.5 nA, and B, class 1 just above 1 nA: a leaky integrate-and-fire neuron."""
    return default_params(**{**dict(a=0.0), **overrides})


def mihalas_niebur_adaptation(**overrides: ScalarLike) -> MihalasNieburParams:
    """Return panels C to J of Table 1: adaptation at 2 nA, phasic spiking at 1.5 nA, rebound spike after -3.5 nA, ..."""
    return default_params(**overrides)


def mihalas_niebur_hyperpolarizing_spiking(**overrides: ScalarLike) -> MihalasNieburParams:
    """Return panel K of Table 1, spiking at -1 nA (a 30 /s)."""
    return default_params(**{**dict(a=0.03), **overrides})


def mihalas_niebur_hyperpolarizing_bursting(**overrides: ScalarLike) -> MihalasNieburParams:
    """Return panel L of Table 1, bursting at -1 nA (a 30 /s, A 10 and -0.6 V/s)."""
    return default_params(**{**dict(a=0.03, a1=10.0, a2=-0.6), **overrides})


def mihalas_niebur_tonic_bursting(**overrides: ScalarLike) -> MihalasNieburParams:
    """Return panels M to O of Table 1: tonic bursting at 2 nA, phasic at 1.5 nA, rebound burst after -3.5 nA."""
    return default_params(**{**dict(a1=10.0, a2=-0.6), **overrides})


def mihalas_niebur_mixed_mode(**overrides: ScalarLike) -> MihalasNieburParams:
    """Return panels P and Q of Table 1: mixed mode at 2 nA, afterpotentials after a pulse (A 5 and -0.3 V/s)."""
    return default_params(**{**dict(a1=5.0, a2=-0.3), **overrides})


def mihalas_niebur_basal_bistability(**overrides: ScalarLike) -> MihalasNieburParams:
    """Return panel R of Table 1: pulses of 5 nA for 10 ms switch firing on and off (a 0, A 8 and -0.1 V/s)."""
    return default_params(**{**dict(a=0.0, a1=8.0, a2=-0.1), **overrides})
