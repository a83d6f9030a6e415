"""The firing rate of the leaky integrate-and-fire neuron in white noise, in closed form up to one integral."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxneuro.neurons.lif import LIFParams
from jaxneuro.types import Scalar, ScalarLike

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
# Beyond this many sigma below threshold the rate is less than the smallest number, e^{-y^2}.
_FARTHEST = 30.0
# The Gauss function e^{-x^2} is nothing beyond.
_TAIL = 6.5


def siegert_rate(params: LIFParams, current: ScalarLike, noise: ScalarLike) -> Scalar:
    """Return the stationary firing rate of a LIF neuron under constant current and white noise, Siegert's formula.

        rate = 1000 / (tau_refrac + tau_m sqrt(pi) int_{y_r}^{y_th} e^{u^2} (1 + erf u) du),
        y = (v - v_rest - r_m I)/sigma at v = v_reset and v_thresh,  sigma = noise sqrt(tau_m)

    for dv = (v_rest - v + r_m I)/tau_m dt + noise dW, whose stationary variance without threshold is sigma^2/2.
    Evaluated as sqrt(pi) int = int_0^inf (e^{2 y_th z} - e^{2 y_r z}) e^{-z^2}/z dz with e^{-y_th^2} drawn out of it, by
    Gauss-Legendre quadrature: no overflow, no cancellation, 1e-11 or better in float64.

    Args:
        params: of `jn.LIF`.
        current: nA.
        noise: intensity, mV/sqrt(ms), > 0, as in `jn.simulate_white_noise`.

    Returns:
        Hz; 0 where it is smaller than the smallest number (threshold more than 27 sigma above the mean; v_thresh = inf).
        NaN where traced parameters are outside their range.

    Raises:
        ValueError: noise known and <= 0 (without noise the interval has the closed form of `jn.LIF`).

    Differentiable: in params, current and noise, to any order.

    Source: Siegert (1951), Phys. Rev. 81:617, doi:10.1103/PhysRev.81.617; Gerstner et al. (2014), Neuronal Dynamics, chapter 8,
    doi:10.1017/CBO9781107447615. The second form: Brunel & Hakim (1999), Neural Comput. 11:1621,
    doi:10.1162/089976699300016179.

    Example:
        >>> import jaxneuro as jn
        >>> params = jn.LIF.default_params(v_rest=0.0, v_reset=0.0, v_thresh=15.0, r_m=1.0)
        >>> round(float(siegert_rate(params, 15.0, (1.5 / 10.0) ** 0.5)), 4)
        27.1096
    """
    if not isinstance(noise, Tracer) and not np.all(np.asarray(noise) > 0):
        raise ValueError(f"noise must be > 0 mV/sqrt(ms); it is {noise}.")
    p = params
    silent = jnp.isinf(p.v_thresh)
    v_thresh = jnp.where(silent, p.v_reset + 1.0, p.v_thresh)
    sigma = jnp.asarray(noise, p.tau_m.dtype) * jnp.sqrt(p.tau_m)
    y = (v_thresh - p.v_rest - p.r_m * jnp.asarray(current, p.tau_m.dtype)) / sigma
    below = (v_thresh - p.v_reset) / sigma
    passage, scale = _scaled_integral(y, below)
    rate = 1e3 * scale / (p.tau_refrac * scale + p.tau_m * passage)
    return jnp.where(silent, 0.0, rate)


def _scaled_integral(y: Scalar, below: Scalar) -> tuple[Scalar, Scalar]:
    """Return e^{-b^2} int_0^inf (e^{2yz} - e^{2(y - below)z}) e^{-z^2}/z dz and e^{-b^2}, b = max(y, 0)."""
    y = jnp.minimum(y, _FARTHEST)
    top = jnp.maximum(y, 0.0)
    # The integrand is a Gauss function around y (its flank, for y < 0), over a start of the width 1/|y - below|. Nodes equally
    # dense in ln(z - lo + width) resolve both. Where the nodes lie has no part in the derivative.
    at, low = jax.lax.stop_gradient((top, y - below))
    lo = jnp.maximum(at - _TAIL, 0.0)
    width = lo + 1 / (1 + 2 * jnp.abs(low) + 2 * at)
    span = jnp.log1p((at + _TAIL - lo) / width)
    x, w = jnp.asarray(0.5 * (1 + _NODES), y.dtype), jnp.asarray(0.5 * _WEIGHTS, y.dtype)
    z = lo + width * jnp.expm1(span * x)
    dz = width * span * jnp.exp(span * x) * w
    exponent = -((z - y) ** 2) + y**2 - top**2
    return jnp.sum(jnp.exp(exponent) * -jnp.expm1(-2 * below * z) / z * dz), jnp.exp(-(top**2))
