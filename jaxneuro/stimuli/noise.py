"""Coloured noise."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxneuro.stimuli.base import scalars
from jaxneuro.stimuli.waveforms import Sampled
from jaxneuro.types import KeyLike, ScalarLike, checked_key


def ou_noise(
    key: KeyLike, mean: ScalarLike, std: ScalarLike, tau: ScalarLike, t1: ScalarLike, dt: ScalarLike
) -> Sampled:
    """Return a path of Ornstein-Uhlenbeck noise from 0 to t1, a current sampled every dt.

        dI = (mean - I) dt/tau + std sqrt(2/tau) dW,  sampled exactly:
        I_{k+1} = mean + (I_k - mean) e^{-dt/tau} + std sqrt(1 - e^{-2 dt/tau}) xi_k,  I_0 from the stationary law

    At the samples the law is exact for every dt: normal of `mean` and `std`, correlation exp(-|s|/tau). Between them the
    current is a straight line (`jn.sampled`), less variable than the process, so take dt well below tau. The solver lands on
    every sample. One path; many are a `jax.vmap` over keys.

    Args:
        key: a JAX random key.
        mean, std: in the model's unit of current; std >= 0.
        tau: correlation time, ms, > 0.
        t1, dt: end and distance of the samples, ms, known numbers (they fix how many samples there are). The last sample is the
            first at or after t1, after which the current stays constant.

    Raises:
        ValueError: tau <= 0, dt <= 0, t1 < 0 or std < 0, where known; t1 or dt traced; values that are not scalar.
        TypeError: a key that is none.

    Differentiable: in mean, std and tau, along the path of the same random numbers.

    Source: Gillespie (1996), Phys. Rev. E 54:2084, doi:10.1103/PhysRevE.54.2084.

    Example:
        >>> import jax, jaxneuro as jn
        >>> current = jn.ou_noise(jax.random.key(0), 2.5, 0.5, 5.0, 100.0, 0.1)
        >>> current.ts.shape, float(current.ts[-1])
        ((1001,), 100.0)
    """
    key = checked_key(key)
    for name, value, least in (("t1", t1, 0.0), ("dt", dt, np.nextafter(0.0, 1.0))):
        if isinstance(value, Tracer) or np.ndim(value) != 0 or not least <= float(np.asarray(value)) < np.inf:
            raise ValueError(
                f"{name} must be one known, finite number in ms, {'>= 0' if least == 0 else '> 0'}; it is {value}."
            )
    values = scalars(mean=mean, std=std, tau=tau)
    for name, good in (("std", values["std"] >= 0), ("tau", values["tau"] > 0)):  # (false for a NaN)
        if not isinstance(good, Tracer) and not good:
            raise ValueError(f"{name} must be {'>= 0' if name == 'std' else '> 0 ms'}; it is {values[name]}.")
    t1, dt = (float(str(np.asarray(x)[()])) for x in (t1, dt))  # by its digits: a float32 0.1 is a tenth here
    steps = int(np.ceil(t1 / dt * (1 - 1e-9)))
    mean, std, tau = values["mean"], values["std"], values["tau"]
    xi = jax.random.normal(key, (steps + 1,), mean.dtype)
    decay, innovation = jnp.exp(-dt / tau), jnp.sqrt(-jnp.expm1(-2 * dt / tau))
    follow = lambda x, xi: (decay * x + innovation * xi, decay * x + innovation * xi)
    path = jax.lax.scan(follow, xi[0], xi[1:])[1]
    ts = jnp.asarray(dt * np.arange(steps + 1), mean.dtype)
    return Sampled(ts, mean + std * jnp.append(xi[0], path), "linear")
