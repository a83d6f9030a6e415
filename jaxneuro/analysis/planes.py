"""Nullclines of planar models, solved point by point."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.analysis.implicit import implicit_root
from jaxneuro.analysis.inputs import neuron
from jaxneuro.analysis.roots import Units, flat_model, newton
from jaxneuro.model import NeuronModel
from jaxneuro.types import Array, BoolScalar, Params, Scalar, ScalarLike, State


class Nullclines(NamedTuple):
    """What `nullclines` returns, at one v or, like `v`, at an array of them."""

    v: Array  # the first variable
    second: State  # in each field the second variable at which that field's rate is zero; NaN where there is none
    solved: State  # bools: whether one was found


def nullclines(model: NeuronModel, params: Params, current: ScalarLike, v: Any) -> Nullclines:
    """Solve both nullclines of a model of two variables: for each v, the w at which dv/dt = 0, and that at which dw/dt = 0.

    Newton's method from the initial state's w, at each v by itself; exact in one step where w enters linearly.

    Args:
        model: a `NeuronModel` record of two variables.
        params: its parameters.
        current: constant current, in the model's unit.
        v: values of the first variable, a scalar or an array.

    Returns:
        Nullclines(v, second, solved): `second.v` is w on the nullcline of v (by the names of the state's fields).
        Where Newton's method finds none (the nullcline does not pass this v, or has a pole there) it is NaN, and `solved`
        False.

    Raises:
        ValueError: if the model has not two variables.

    Differentiable: in every parameter, the current and v, by the implicit function theorem.

    Example:
        >>> import jaxneuro as jn
        >>> lines = jn.analysis.nullclines(jn.Izhikevich, jn.Izhikevich.default_params(), 0.0, -60.0)
        >>> round(float(lines.second.v), 3), round(float(lines.second.u), 3)
        (-16.0, -12.0)
    """
    params, current = neuron(params, current)
    x0, _, _ = flat_model(model, params)
    if x0.size != 2:
        raise ValueError(
            f"nullclines are lines for two state variables; {model.name} has {x0.size}. Hold the others fixed."
        )
    return _nullclines(model, params, current, jnp.asarray(v, x0.dtype))


@eqx.filter_jit
def _nullclines(model: NeuronModel, params: Params, current: Scalar, v: Array) -> Nullclines:
    x0, unravel, field = flat_model(model, params)
    theta = (params, current)

    def solve(v: Scalar, k: int) -> tuple[Scalar, BoolScalar]:
        residual = lambda w, theta: field(jnp.stack([theta[0], w]), *theta[1])[k]
        fixed = jax.lax.stop_gradient((v, theta))
        slope = jnp.abs(jax.grad(residual)(x0[1], fixed))
        size = jnp.abs(x0[1]) + jnp.where(slope > 0, jnp.abs(residual(x0[1], fixed)) / slope, 1.0)
        size = jnp.where(jnp.isfinite(size) & (size > 0), size, 1.0)[None]
        units = Units(size, jnp.where(jnp.isfinite(slope) & (slope > 0), slope, 1.0)[None] * size)
        w, solved = newton(lambda w: residual(w[0], fixed)[None], x0[1:], units)
        safe = lambda w, theta: jnp.where(solved, residual(w, theta), w)
        return jnp.where(solved, implicit_root(safe, jnp.where(solved, w[0], x0[1]), (v, theta)), jnp.nan), solved

    lines = [jax.vmap(lambda v, k=k: solve(v, k))(v.ravel()) for k in range(2)]
    second, solved = ([x.reshape(v.shape) for x in both] for both in zip(*lines, strict=True))
    kind = jax.tree.structure(model.init_state(params))
    return Nullclines(v, kind.unflatten(second), kind.unflatten(solved))
