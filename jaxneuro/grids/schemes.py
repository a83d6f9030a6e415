"""The update rules, as their sources print them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxneuro.model import NeuronModel
from jaxneuro.numerics import exprel
from jaxneuro.types import Params, Scalar, State


class Scheme(NamedTuple):
    update: Callable  # (model, t, dt, state, params, current) -> state one step later
    at_end: bool  # a spike carries the time of the end of its step (else of its start)
    open_windows: bool  # a window of input that starts on the grid acts from the next step on (t > t_on)


def _euler(model: NeuronModel, t: Scalar, dt: Scalar, y: State, params: Params, current: Any) -> State:
    """y + dt f(t, y), every variable from the old state."""
    return jax.tree.map(lambda a, f: a + dt * f, y, model.vector_field(t, y, params, current))


def _gauss_seidel(model: NeuronModel, t: Scalar, dt: Scalar, y: State, params: Params, current: Any) -> State:
    """Forward Euler for the first variable, then for the others from its new value."""
    first = y._replace(**{y._fields[0]: y[0] + dt * model.vector_field(t, y, params, current)[0]})
    slope = model.vector_field(t, first, params, current)
    return y._make([first[0], *(a + dt * f for a, f in zip(y[1:], slope[1:], strict=True))])


def _exponential(model: NeuronModel, t: Scalar, dt: Scalar, y: State, params: Params, current: Any) -> State:
    """y_i + dt f_i exprel(dt df_i/dy_i): the exact flow of each variable with the others held."""

    def advance(i: int) -> Scalar:
        field = lambda y_i: model.vector_field(t, y._make([*y[:i], y_i, *y[i + 1 :]]), params, current)[i]
        slope, rate = jax.jvp(field, (y[i],), (jnp.ones_like(y[i]),))
        return y[i] + dt * slope * exprel(dt * rate)

    return y._make([advance(i) for i in range(len(y))])


SCHEMES = {
    "euler": Scheme(_euler, at_end=True, open_windows=False),
    "izhikevich_2004": Scheme(_gauss_seidel, at_end=False, open_windows=True),
    "exponential": Scheme(_exponential, at_end=True, open_windows=False),
}
