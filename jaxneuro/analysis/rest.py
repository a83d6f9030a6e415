"""The resting state: the stable fixed point at zero current."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxneuro.analysis.dense import eigenvalues, solve
from jaxneuro.analysis.implicit import implicit_root
from jaxneuro.analysis.roots import flat_model
from jaxneuro.hybrid.problem import where
from jaxneuro.model import NeuronModel
from jaxneuro.types import Array, BoolScalar, Params, State

_STEPS = 48  # of implicit Euler
_FIRST_STEP = 0.01  # ms; it doubles every step


def resting_state(model: NeuronModel, params: Params) -> tuple[State, BoolScalar]:
    """Return the stable fixed point at zero current that the flow from `init_state` leads to, and whether there is one.

    Implicit Euler steps x + (1/h - J)^-1 f(x), whose length doubles, follow the flow first and end as Newton's method
    (pseudo-transient continuation). It must be stable and below the spike threshold; where it is not, `init_state` is
    returned.

    Differentiable: in every parameter, by the implicit function theorem.

    Source: Kelley & Keyes (1998), SIAM J. Numer. Anal. 35:508, doi:10.1137/S0036142996304796.

    Example:
        >>> import jaxneuro as jn
        >>> state, found = resting_state(jn.QIF, jn.QIF.default_params(v_rest=-65.0))
        >>> float(state.v), bool(found)
        (-65.0, True)
    """
    x0, unravel, field = flat_model(model, params)
    frozen, zero = jax.lax.stop_gradient(params), jnp.zeros((), x0.dtype)
    f = lambda x: field(x, frozen, zero)
    identity = jnp.eye(x0.size, dtype=x0.dtype)

    def euler(k: Array, steps: tuple[Array, Array]) -> tuple[Array, Array]:
        _, x = steps
        h = _FIRST_STEP * 2.0 ** k.astype(x.dtype)
        return x, x + solve(identity / h - jax.jacfwd(f)(x), f(x))

    start = jax.lax.stop_gradient(x0)
    near, x = jax.lax.fori_loop(0, _STEPS, euler, (start, start))
    tolerance = float(jnp.finfo(x.dtype).eps) ** 0.6
    converged = jnp.all(jnp.abs(x - near) <= tolerance * (1.0 + jnp.abs(x)))  # not so where one is NaN
    below = model.spike_condition(unravel(x), frozen) < 0
    jacobian = jax.jacfwd(f)(x)
    values = eigenvalues(jnp.where(jnp.all(jnp.isfinite(jacobian)), jacobian, identity))
    found = converged & below & jnp.all(values.real < 0)
    # Where there is none, a residual of its own keeps the derivative finite.
    residual = lambda x, p: jnp.where(found, ravel_pytree(field(x, p, zero))[0], x)
    return where(
        found, unravel(implicit_root(residual, jnp.where(found, x, x0), params)), model.init_state(params)
    ), found
