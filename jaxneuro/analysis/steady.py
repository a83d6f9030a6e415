"""The curve of fixed points, with the first variable of the model as its parameter.

In nearly every neuron model all other variables, and the current, follow from v at a fixed point: gates are at their
steady value, I = I_ss(v). The curve then needs no continuation, has folds where dI_ss/dv = 0, and passes every fixed point.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxneuro.analysis.dense import solve
from jaxneuro.analysis.inputs import Box
from jaxneuro.analysis.roots import Units, newton
from jaxneuro.model import NeuronModel
from jaxneuro.types import Array, BoolScalar, Params, Scalar, State


class Point(NamedTuple):
    """The point of the curve at one v."""

    x: Array  # (n,), the state, flat
    slack: Scalar  # the current (or what else stands for it)
    slope: Scalar  # d slack/dv
    matrix: Array  # (n, n), the Jacobian
    ok: BoolScalar  # Newton's method converged


def at_first_variable(field: Callable[[Array, Array], Array], v: Scalar, guess: Array, units: Units) -> Point:
    """Solve field(x, slack) = 0 for the other variables and the slack, at x[0] = v.

    Exact in one step where both enter linearly, as gates at given voltage and the current do.

    Args:
        field: (x, slack) -> dx/dt.
        v: the first variable.
        guess: (n + 1,), (x, slack), of which the first entry is not used.
        units: of (x, slack) and of the equations.
    """
    with_v = lambda z: jnp.concatenate([v[None], z])
    residual = lambda u: field(u[:-1], u[-1])
    found, converged = newton(lambda z: residual(with_v(z)), guess[1:], units._replace(unknowns=units.unknowns[1:]))
    u = with_v(found)
    derivatives = jax.jacfwd(residual)(u)
    slope = -solve(derivatives[:, 1:], derivatives[:, 0])[-1]
    ok = converged & jnp.all(jnp.isfinite(derivatives)) & jnp.isfinite(slope)
    return Point(u[:-1], u[-1], slope, derivatives[:, :-1], ok)


def threshold_distance(model: NeuronModel, params: Params) -> Scalar:
    """Return how far v of the initial state is from the spike threshold: the model's own unit of v."""
    x0, unravel = ravel_pytree(model.init_state(params))
    guard = lambda x: model.spike_condition(unravel(x), params)
    gap, slope = jax.value_and_grad(guard)(x0)
    distance = jnp.abs(gap / jnp.where(slope[0] == 0, 1.0, slope[0]))
    known = jnp.isfinite(distance) & (distance > 0) & (slope[0] != 0)
    return jax.lax.stop_gradient(jnp.where(known, distance, 1.0 + jnp.abs(x0[0])))


def units_of(field: Callable[..., Array], params: Params, x0: Array, value: Scalar, distance: Scalar) -> Units:
    """Return units of (state, value) and of dx/dt = field(x, params, value): how far they move when v moves by `distance`."""
    u0 = jnp.append(x0, value)
    derivatives = jax.jacfwd(lambda u: field(u[:-1], params, u[-1]))(u0)
    moves = solve(derivatives[:, 1:], derivatives[:, 0]) * distance
    size = jnp.abs(jnp.append(distance, moves)) + jnp.abs(u0).at[0].set(0.0)
    positive = lambda x: jnp.where(jnp.isfinite(x) & (x > 0), x, 1.0)
    size = positive(size)
    return jax.lax.stop_gradient(Units(size, positive(jnp.sum(jnp.abs(derivatives) * size[None, :], axis=1))))


def search_range(model: NeuronModel, params: Params, box: Box | None) -> tuple[Scalar, Scalar]:
    """Return the v to search: of the box, or 2 threshold distances below the initial state to 3 above it."""
    if box is not None:
        low, high = (ravel_pytree(corner)[0][0] for corner in box)
        return low, high
    v0 = ravel_pytree(model.init_state(params))[0][0]
    distance = threshold_distance(model, params)
    return jax.lax.stop_gradient((v0 - 2 * distance, v0 + 3 * distance))


def excluded(model: NeuronModel, params: Params, state: State) -> BoolScalar:
    """Return whether the neuron resets before it gets there: at or above threshold, and the reset moves it."""
    flat = lambda tree: ravel_pytree(tree)[0]
    moves = jnp.any(flat(model.reset(state, params)) != flat(state))
    return moves & ~(model.spike_condition(state, params) < 0)
