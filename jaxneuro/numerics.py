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


# B_2k/(2k)! of the series x/(1 - exp(-x)) = 1 + x/2 + sum_k B_2k/(2k)! x^2k, |x| < 2 pi.
_BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
    -3617 / 10670622842880000, 43867 / 5109094217170944000,
)  # fmt: skip


def linoid(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return x/(1 - exp(-x)) = 1/exprel(-x), continued by linoid(0) = 1: the rates of Hodgkin & Huxley's m and n.

    As accurate as `exprel`, by the same means; its series has half the terms. Costs one `exp` and one division.

    Args:
        x: dimensionless argument, any shape, floating.

    Returns:
        linoid(x), of the shape and dtype of `x`; x for x -> inf, 0 for x -> -inf.

    Differentiability: smooth; linoid'(0) = 1/2, linoid''(0) = 1/6.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> float(linoid(jnp.array(0.0))), float(jax.grad(linoid)(0.0))
        (1.0, 0.5)
    """
    x = jnp.asarray(x)
    near = jnp.abs(x) < 0.5
    small, large = jnp.where(near, x, 0.0), jnp.where(near, 1.0, x)
    square, series = small * small, jnp.zeros_like(x)
    for coefficient in reversed(_BERNOULLI[: 9 if x.dtype == jnp.float64 else 5]):
        series = (series + coefficient) * square
    return jnp.where(near, 1 + 0.5 * small + series, large / (1 - jnp.exp(-large)))


__all__ = ["exprel", "linoid"]
