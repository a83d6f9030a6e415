"""What conductance-based models share: the kinetics of a gate, and the sodium and potassium rates of Traub & Miles.

dx/dt = alpha (1 - x) - beta x,    steady state alpha/(alpha + beta)
"""

from typing import TypeAlias

import jax.numpy as jnp

from jaxneuro.numerics import linoid
from jaxneuro.types import Scalar

Rates: TypeAlias = tuple[Scalar, Scalar]
"""Opening and closing rate (alpha, beta) of a gate, per ms."""


def gate(x: Scalar, rates: Rates) -> Scalar:
    """Return dx/dt = alpha (1 - x) - beta x."""
    alpha, beta = rates
    return alpha - (alpha + beta) * x


def steady(rates: Rates) -> Scalar:
    """Return the steady state alpha/(alpha + beta)."""
    alpha, beta = rates
    return alpha / (alpha + beta)


def traub_miles_rates(u: Scalar) -> tuple[Rates, Rates, Rates]:
    """Return the rates of m, h and n at u = v - v_t (mV), per ms.

        alpha_m = 0.32 (13 - u)/(exp((13 - u)/4) - 1)      beta_m = 0.28 (u - 40)/(exp((u - 40)/5) - 1)
        alpha_h = 0.128 exp((17 - u)/18)                   beta_h = 4/(1 + exp((40 - u)/5))
        alpha_n = 0.032 (15 - u)/(exp((15 - u)/5) - 1)     beta_n = 0.5 exp((10 - u)/40)

    Source: Traub & Miles (1991), Neuronal Networks of the Hippocampus, doi:10.1017/CBO9780511895401, as printed by
    Brette et al. (2007), J. Comput. Neurosci. 23:349, doi:10.1007/s10827-007-0038-6.
    """
    m = 0.32 * 4 * linoid((u - 13) / 4), 0.28 * 5 * linoid((40 - u) / 5)
    h = 0.128 * jnp.exp((17 - u) / 18), 4 / (1 + jnp.exp((40 - u) / 5))
    n = 0.032 * 5 * linoid((u - 15) / 5), 0.5 * jnp.exp((10 - u) / 40)
    return m, h, n
