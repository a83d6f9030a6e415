"""Functions with a removable singularity, whose value and derivatives are right there too."""

import math

import jax.numpy as jnp

from jaxneuro.types import Array, Float


def exprel(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return (exp(x) - 1)/x, continued by exprel(0) = 1.

    Near 0 the Taylor series sum_k x^k/(k+1)! is summed, elsewhere the quotient is taken: so value and
    derivatives are accurate to rounding on both sides, where differentiating `expm1(x)/x` loses eps/x per
    order. Costs one `exp`.

    Args:
        x: dimensionless argument, any shape, floating.

    Returns:
        exprel(x), of the shape and dtype of `x`; exprel(-inf) = 0.

    Differentiability: smooth; exprel'(0) = 1/2, exprel''(0) = 1/3.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> float(exprel(jnp.array(0.0))), float(jax.grad(exprel)(0.0))
        (1.0, 0.5)
    """
    x = jnp.asarray(x)
    # Terms until 0.5^k/(k+1)! is below a hundredth of the unit roundoff: the second derivative is then
    # still exact.
    terms = 17 if x.dtype == jnp.float64 else 10
    near = jnp.abs(x) < 0.5
    small, large = jnp.where(near, x, 0.0), jnp.where(near, 1.0, x)
    series = jnp.zeros_like(x)
    for k in reversed(range(terms)):
        series = series * small + 1.0 / math.factorial(k + 1)
    return jnp.where(near, series, (jnp.exp(large) - 1.0) / large)


__all__ = ["exprel"]
