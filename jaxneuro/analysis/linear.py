"""The linear view of a fixed point: Jacobian, eigenvalues, and what kind of point it is."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxneuro.analysis.dense import eigenvalues
from jaxneuro.analysis.inputs import neuron, state_of
from jaxneuro.analysis.roots import flat_model
from jaxneuro.model import NeuronModel
from jaxneuro.types import Array, BoolScalar, Float, Params, Scalar, ScalarLike, State


class FIXED_POINTS(eqx.Enumeration):
    """What kind of fixed point the eigenvalues of the Jacobian make; compare with `kind == FIXED_POINTS.saddle`."""

    stable_node = "All eigenvalues have negative real parts, the one nearest to zero is real."
    stable_focus = "All eigenvalues have negative real parts, those nearest to zero are a complex pair."
    saddle = "Some eigenvalues have positive and some negative real parts, and an odd number is real and positive."
    unstable_node = "The eigenvalue of largest, positive real part is real."
    unstable_focus = "The eigenvalues of largest, positive real part are a complex pair."
    none = "There is no point in this slot."


class Stability(NamedTuple):
    """What `stability` returns."""

    eigenvalues: Any  # complex, 1/ms, the largest real part first
    kind: Any  # an item of FIXED_POINTS
    stable: BoolScalar  # all real parts are negative


def jacobian(model: NeuronModel, params: Params, current: ScalarLike, state: State) -> Float[Array, "n n"]:
    """Return the Jacobian of the vector field, d(dx_i/dt)/dx_j, rows and columns in the order of the state's fields.

    Args:
        model: a `NeuronModel` record.
        params: its parameters.
        current: constant current, in the model's unit.
        state: where, a state of the model.

    Returns:
        (n, n) array, per ms.

    Differentiable: in all arguments.

    Example:
        >>> import jaxneuro as jn
        >>> p = jn.QIF.default_params(tau_m=10.0, a=0.04, v_rest=-65.0, v_crit=-50.0)
        >>> print(jn.analysis.jacobian(jn.QIF, p, 0.0, jn.QIF.init_state(p)).round(3))
        [[-0.06]]
    """
    _, _, field = flat_model(model, params)
    x = ravel_pytree(state_of(model, params, state))[0]
    return jax.jacfwd(field)(x, *neuron(params, current))


def stability(model: NeuronModel, params: Params, current: ScalarLike, state: State) -> Stability:
    """Return eigenvalues, kind and stability of a fixed point.

    A point with eigenvalues on both sides is called a saddle where an odd number of them is real and positive (its
    index is -1: what a fold makes); else an unstable node or focus after the eigenvalue of largest real part.

    Args:
        model: a `NeuronModel` record.
        params: its parameters.
        current: constant current, in the model's unit.
        state: a fixed point (not checked), as `fixed_points` returns them.

    Returns:
        Stability(eigenvalues, kind, stable).

    Differentiable: the eigenvalues, where they are distinct.

    Source: Kuznetsov (2004), Elements of Applied Bifurcation Theory, chapter 2, doi:10.1007/978-1-4757-3978-7.

    Example:
        >>> import jaxneuro as jn
        >>> p = jn.QIF.default_params(tau_m=10.0, a=0.04, v_rest=-65.0, v_crit=-50.0)
        >>> bool(jn.analysis.stability(jn.QIF, p, 0.0, jn.QIF.init_state(p)).stable)
        True
    """
    return stability_of(jacobian(model, params, current, state))


def stability_of(matrix: Float[Array, "n n"]) -> Stability:
    """Return the same for a given Jacobian; one that is not finite has kind `none`."""
    finite = jnp.all(jnp.isfinite(matrix))
    values = eigenvalues(jnp.where(finite, matrix, 0.0))
    stable = finite & (values[0].real < 0)
    turning = values[0].imag != 0
    odd = jnp.sum((values.real > 0) & (values.imag == 0)) % 2 == 1
    saddle = ~stable & odd & jnp.any(values.real < 0)
    where, kinds = FIXED_POINTS.where, FIXED_POINTS
    unstable = where(saddle, kinds.saddle, where(turning, kinds.unstable_focus, kinds.unstable_node))
    kind = where(stable, where(turning, kinds.stable_focus, kinds.stable_node), unstable)
    return Stability(jnp.where(finite, values, jnp.nan), where(finite, kind, kinds.none), stable)


def critical_frequency(matrix: Float[Array, "n n"]) -> tuple[Scalar, Scalar]:
    """Return the angular frequency of the complex pair nearest to the imaginary axis, rad/ms, and its real part.

    Zero and infinity where there is no complex pair.
    """
    values = eigenvalues(matrix)
    turning = values.imag > 0
    nearest = jnp.argmin(jnp.where(turning, jnp.abs(values.real), jnp.inf))
    found = turning[nearest]
    return jnp.where(found, values[nearest].imag, 0.0), jnp.where(found, values[nearest].real, jnp.inf)
