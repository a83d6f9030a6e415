"""What the analysis of equilibria takes from a user: checked while tracing, cast to the dtype of the parameters."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.flatten_util import ravel_pytree

from jaxneuro.hybrid import prepare
from jaxneuro.model import NeuronModel, valid_params
from jaxneuro.results import RESULTS
from jaxneuro.types import BoolScalar, Params, Scalar, ScalarLike, State

Box = tuple[State, State]


def known_to_fail(condition: BoolScalar) -> bool:
    """Return whether the condition is known, not traced, and does not hold."""
    return not (isinstance(condition, Tracer) or bool(condition))


def neuron(params: Params, current: ScalarLike = 0.0) -> tuple[Params, Scalar]:
    """Return parameters and current as scalars of one dtype, or say which of them is none."""
    dtype = prepare.float_dtype(params)
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), params), prepare.scalar("current", current, dtype)


def state_of(model: NeuronModel, params: Params, state: State) -> State:
    """Return the state as scalars of the dtype of the parameters, or say what it should be."""
    return prepare.initial_state(model, params, state, prepare.float_dtype(params))


def interval(name: str, value: Any, dtype: Any) -> Any:
    """Return a pair of scalars, the lower first; None for None."""
    if value is None:
        return None
    if not (isinstance(value, (tuple, list)) and len(value) == 2):
        raise ValueError(f"{name} must be (lowest, highest); it is {value!r}.")
    low, high = (prepare.scalar(f"{name}[{k}]", x, dtype) for k, x in enumerate(value))
    if known_to_fail(low < high):
        raise ValueError(f"{name} must be (lowest, highest), the first below the second; it is ({low}, {high}).")
    return low, high


def check_box(model: NeuronModel, params: Params, box: Box | None) -> None:
    """Raise ValueError unless the box is None or a pair of states of the model, the lowest first."""
    if box is None:
        return
    state = model.init_state(params)
    pair = isinstance(box, tuple) and len(box) == 2
    if not (pair and all(jax.tree.structure(x) == jax.tree.structure(state) for x in box)):
        raise ValueError(
            f"box must be a pair of states (lowest {type(state).__name__}, highest), or None; it is {box!r}."
        )
    low, high = (ravel_pytree(corner)[0] for corner in box)
    if known_to_fail(jnp.all(low <= high)):
        raise ValueError(
            f"box must be (lowest state, highest), each field of the first below the second; it is {box!r}."
        )


def refused(model: NeuronModel, params: Params, current: Scalar, result: Any) -> Any:
    """Return `result`, or what is wrong with the values that led to it."""
    result = RESULTS.where(jnp.isfinite(current), result, RESULTS.bad_stimulus)
    return RESULTS.where(valid_params(model, params), result, RESULTS.bad_parameters)
