"""What the analysis of equilibria shares: the vector field on flat arrays, and Newton's method in sensible units."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optimistix as optx
from jax.flatten_util import ravel_pytree

from jaxneuro.model import NeuronModel
from jaxneuro.types import Array, BoolScalar, Params


def flat_model(model: NeuronModel, params: Params) -> tuple[Array, Callable[[Array], Any], Callable[..., Array]]:
    """Return (x0, unravel, field): the initial state as a vector, the way back, and field(x, params, current) = dx/dt."""
    x0, unravel = ravel_pytree(model.init_state(params))

    def field(x: Array, params: Params, current: Array) -> Array:
        return ravel_pytree(model.vector_field(jnp.zeros((), x.dtype), unravel(x), params, current))[0]

    return x0, unravel, field


class Units(NamedTuple):
    """The sizes in which unknowns and equations are measured, so that one tolerance serves millivolts beside gates."""

    unknowns: Array
    equations: Array


def newton(
    residual: Callable[[Array], Array], guess: Array, units: Units, max_steps: int = 64,
    within: tuple[Array, Array] | None = None,
) -> tuple[Array, BoolScalar]:  # fmt: skip
    """Return a root of `residual` near `guess` to rounding, and whether Newton's method converged.

    Each step is clipped to `within`, lowest and highest values.
    Not differentiable: `implicit_root` makes it so.
    """
    guess, units = jax.lax.stop_gradient((guess, units))
    # The step after a correction of eps^0.6 is exact: Newton squares the error.
    tolerance = float(jnp.finfo(guess.dtype).eps) ** 0.6
    solver = optx.Newton(rtol=tolerance, atol=tolerance)
    scaled = lambda y, _: residual(y * units.unknowns) / units.equations
    limits: dict[str, Array] = {}
    if within is not None:
        limits = {"lower": within[0] / units.unknowns, "upper": within[1] / units.unknowns}
    solved = optx.root_find(scaled, solver, guess / units.unknowns, options=limits, max_steps=max_steps, throw=False)
    root = jax.lax.stop_gradient(solved.value * units.unknowns)
    return root, (solved.result == optx.RESULTS.successful) & jnp.all(jnp.isfinite(root))
