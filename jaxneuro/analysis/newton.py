"""Newton's method for a state that returns to itself, step by step halved where it leads away."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxneuro.analysis.dense import solve
from jaxneuro.analysis.returns import onto_section, refractory_duration, return_map
from jaxneuro.hybrid.problem import where
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS, from_code
from jaxneuro.types import Array, BoolScalar, IntScalar, Params, Scalar, State

_SMALLEST_STEP = 1 / 64  # of Newton's step


class Search(NamedTuple):
    """The search between two evaluations of the return map; states are vectors."""

    x: Array  # the best start so far
    step: Array  # Newton's step from there
    scale: Scalar  # the part of it to try next
    period: Scalar  # after the whole step
    jacobian: Array  # of (state, time) after the return in x: (fields + 1, fields)
    error: Scalar
    turn: IntScalar
    done: BoolScalar
    result: Any


def fixed_return(
    model: NeuronModel, params: Params, current: Scalar, start: State, max_interval: Scalar, spikes: int, settle: int,
    max_iterations: Array, options: dict[str, Any],
) -> Search:  # fmt: skip
    """Search the fixed point of the return map; the first evaluation is the run that settles."""
    x0, unravel = ravel_pytree(start)
    size, tolerance = x0.size, float(jnp.finfo(x0.dtype).eps) ** 0.5

    def back(x: Array, turn: IntScalar) -> Any:
        first = turn == 0
        wait = jnp.where(first, 0.0, refractory_duration(model, params))
        number = jnp.where(first, settle, spikes).astype(jnp.int32)
        found = return_map(
            model, params, current, unravel(x), wait, number, max_interval * number,
            max_spikes=max(spikes, settle), forward=True, options=options,
        )  # fmt: skip
        image = jnp.append(ravel_pytree(found.state)[0], found.time)
        return image, (image, found.there, found.result)

    def body(now: Search) -> Search:
        first = now.turn == 0
        state = unravel(now.x + now.scale * now.step)
        x = ravel_pytree(where(first, state, onto_section(model, params, current, state)))[0]
        jacobian, (image, there, result) = jax.jacfwd(back, has_aux=True)(x, now.turn)
        moved = image[:size] - x
        error = jnp.max(jnp.abs(moved) / (1 + jnp.abs(x)))
        step = solve(jnp.eye(size, dtype=x.dtype) - jacobian[:size], moved)
        better = there & ~first & (error < jnp.maximum(now.error, tolerance))
        good = better & (now.error < tolerance)  # one evaluation more, so that the Jacobian is that of the orbit
        scale = jnp.where(better | first, 1.0, now.scale / 2)
        silent = ~there & jnp.isinf(now.error)  # it has not returned even once
        lost = silent | (scale < _SMALLEST_STEP) | (now.turn + 1 >= max_iterations)
        kept = Search(
            jnp.where(first, image[:size], x), jnp.where(first, 0.0, step), scale, image[size] + jacobian[size] @ step,
            jacobian, jnp.where(first, jnp.inf, error), now.turn, good, now.result,
        )  # fmt: skip
        after = where(better | first, kept, now)
        failed = RESULTS.where(silent, result, RESULTS.not_converged)
        return after._replace(
            scale=scale, turn=now.turn + 1, done=good | lost,
            result=RESULTS.where(good, RESULTS.successful, RESULTS.where(lost, failed, now.result)),
        )  # fmt: skip

    zero = jnp.zeros((), x0.dtype)
    begin = Search(
        x0, jnp.zeros_like(x0), zero + 1, zero, jnp.zeros((size + 1, size), x0.dtype), zero + jnp.inf,
        jnp.zeros((), jnp.int32), jnp.asarray(False), from_code(jnp.zeros((), jnp.int32)),
    )  # fmt: skip
    return jax.lax.while_loop(lambda now: ~now.done, body, begin)
