"""Folds and Hopf points of fixed points: located by Newton's method on the extended system, with their normal form."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxneuro.analysis.critical import BIFURCATIONS, critical_point
from jaxneuro.analysis.implicit import raise_eagerly
from jaxneuro.analysis.inputs import neuron, refused, state_of
from jaxneuro.analysis.linear import critical_frequency
from jaxneuro.analysis.roots import Units, flat_model
from jaxneuro.analysis.steady import threshold_distance, units_of
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS
from jaxneuro.types import Array, BoolScalar, Float, Params, Scalar, ScalarLike, State


class Bifurcation(NamedTuple):
    """A fold or a Hopf point; under `vmap` every array has the lanes in front."""

    value: Scalar  # of the parameter
    state: State  # the fixed point there
    omega: Scalar  # rad/ms, angular frequency of the oscillation at a Hopf point; 0 at a fold
    coefficient: (
        Scalar  # fold: quadratic coefficient; Hopf: first Lyapunov coefficient, < 0 supercritical, > 0 subcritical
    )
    result: Any  # an item of RESULTS


def fold_point(
    model: NeuronModel, params: Params, current: ScalarLike, state: State, *, parameter: str = "current",
    throw: bool | None = None,
) -> Bifurcation:  # fmt: skip
    """Find the fold (saddle-node) of fixed points near a guess, in the current or any other parameter.

        f(x, value) = 0,  det J(x, value) = 0;   quadratic coefficient a = <p, B(q, q)>/2

    J q = 0, J^T p = 0, <q, q> = <p, q> = 1, q with positive first component; on the centre manifold x' = a x^2 + ...
    `jax.vmap` over another parameter gives the curve of folds.

    Args:
        model: a `NeuronModel` record.
        params: its parameters.
        current: constant current, in the model's unit; the guess of the value where `parameter` is "current".
        state: guess of the state, as from `fixed_points` or `continuation`.
        parameter: "current" or a field of the parameters, whose value there is the guess.
        throw: None: raise on failure when called eagerly; True: also ask for it; False: never, see `result`.

    Returns:
        Bifurcation(value, state, omega, coefficient, result); NaN where Newton's method found none.

    Raises:
        ValueError, TypeError: for an unknown parameter, a state of another kind, no scalars.
        RuntimeError: eagerly, if Newton's method did not converge.

    Differentiable: value and state in every parameter (and the current, where it is not the unknown), by the implicit
        function theorem; the coefficient is without derivative.

    Source: Kuznetsov (2004), Elements of Applied Bifurcation Theory, sections 5.4 and 10.2, doi:10.1007/978-1-4757-3978-7.

    Example:
        >>> import jaxneuro as jn
        >>> p = jn.QIF.default_params(tau_m=10.0, a=0.04, v_rest=-65.0, v_crit=-50.0, r_m=10.0)
        >>> fold = jn.analysis.fold_point(jn.QIF, p, 0.2, jn.QIF.init_state(p))
        >>> round(float(fold.value), 3), round(float(fold.state.v), 3), round(float(fold.coefficient), 4)
        (0.225, -57.5, 0.004)
    """
    found = _locate(model, *neuron(params, current), state_of(model, params, state), parameter, BIFURCATIONS.fold)
    raise_eagerly("fold_point", found.result, throw)
    return found


def hopf_point(
    model: NeuronModel, params: Params, current: ScalarLike, state: State, *, parameter: str = "current",
    throw: bool | None = None,
) -> Bifurcation:  # fmt: skip
    """Find the Hopf point near a guess, in the current or any other parameter, and whether it is sub- or supercritical.

        f(x, value) = 0,  det 2J (.) I = 0;   J q = i omega q,  J^T p = -i omega p,  <q, q> = <p, q> = 1
        l1 = Re[<p, C(q, q, q*)> - 2 <p, B(q, J^-1 B(q, q*))> + <p, B(q*, (2 i omega - J)^-1 B(q, q))>]/(2 omega)

    l1 < 0: supercritical, a stable small orbit grows on the unstable side; l1 > 0: subcritical, an unstable one on the stable
    side. A neutral saddle (two real eigenvalues of sum zero) is none: `result` is not_converged.
    `jax.vmap` over another parameter gives the curve of Hopf points.

    Args: as `fold_point`.

    Returns:
        Bifurcation(value, state, omega, coefficient, result), the coefficient being l1; NaN where none was found.

    Raises: as `fold_point`.

    Differentiable: value, state and omega in every parameter (and the current, where it is not the unknown), by the
        implicit function theorem; the coefficient is without derivative.

    Source: Kuznetsov (2004), Elements of Applied Bifurcation Theory, sections 5.4 and 10.2, doi:10.1007/978-1-4757-3978-7.

    Example:
        >>> import jaxneuro as jn
        >>> p = jn.Izhikevich.default_params(a=0.02, b=0.2)
        >>> hopf = jn.analysis.hopf_point(jn.Izhikevich, p, 3.7, jn.Izhikevich.init_state(p))
        >>> round(float(hopf.value), 3), round(float(hopf.omega), 3)
        (3.797, 0.06)
    """
    found = _locate(model, *neuron(params, current), state_of(model, params, state), parameter, BIFURCATIONS.hopf)
    raise_eagerly("hopf_point", found.result, throw)
    return found


def with_value(params: Params, current: Scalar, parameter: str, value: Scalar) -> tuple[Params, Scalar]:
    """Return (params, current) with the value of one of them."""
    return (params, value) if parameter == "current" else (params._replace(**{parameter: value}), current)


def value_of(params: Params, current: Scalar, parameter: str) -> Scalar:
    """Return the value of the parameter, or raise ValueError for an unknown one."""
    if parameter != "current" and parameter not in getattr(type(params), "_fields", ()):
        names = ", ".join(getattr(type(params), "_fields", ()))
        raise ValueError(f"parameter must be 'current' or one of {names}; it is {parameter!r}.")
    return current if parameter == "current" else getattr(params, parameter)


@eqx.filter_jit
def _locate(
    model: NeuronModel, params: Params, current: Scalar, state: State, parameter: str, kind: Any
) -> Bifurcation:
    x0, _, field = flat_model(model, params)
    fixed = jax.lax.stop_gradient(params)
    guess = jnp.append(ravel_pytree(state)[0].astype(x0.dtype), value_of(params, current, parameter))
    by_value = lambda x, params, value: field(x, *with_value(params, current, parameter, value))
    units = units_of(by_value, fixed, guess[:-1], guess[-1], threshold_distance(model, fixed))
    located, _, _ = locate(model, parameter, (params, current), kind, guess, units)
    return located._replace(result=refused(model, params, current, located.result))


def locate(
    model: NeuronModel, parameter: str, theta: tuple[Params, Scalar], kind: Any, guess: Array, units: Units
) -> tuple[Bifurcation, BoolScalar, BoolScalar]:
    """Return the fold or Hopf point near a flat guess (state, value); whether Newton converged; and to what is asked for."""
    _, unravel, field = flat_model(model, theta[0])

    def by_value(x: Array, value: Scalar, theta: tuple[Params, Scalar]) -> Array:
        return field(x, *with_value(*theta, parameter, value))

    guard = lambda x, theta: model.spike_condition(unravel(x), theta[0])
    u, converged = critical_point(by_value, guard, theta, kind, guess, units)
    matrix = jax.jacfwd(by_value)(u[:-1], u[-1], theta)
    omega, growth = critical_frequency(matrix)
    hopf = kind == BIFURCATIONS.hopf
    tolerance = jnp.finfo(u.dtype).eps ** 0.4
    pure = jnp.abs(growth) <= tolerance * jnp.linalg.norm(jax.lax.stop_gradient(matrix))
    good = converged & (~hopf | pure)
    at = jax.lax.stop_gradient((u, theta))
    normal = normal_form(lambda x: by_value(x, at[0][-1], at[1]), at[0][:-1], jnp.where(hopf, omega, 0.0), hopf)
    result = RESULTS.where(good, RESULTS.successful, RESULTS.not_converged)
    u, omega, normal = (jnp.where(good, x, jnp.nan) for x in (u, jnp.where(hopf, omega, 0.0), normal))
    return Bifurcation(u[-1], unravel(u[:-1]), omega, normal, result), converged, good


def normal_form(field: Callable[[Array], Array], x: Float[Array, " n"], omega: Scalar, hopf: Any) -> Scalar:
    """Return the first Lyapunov coefficient (hopf) or the quadratic coefficient of a fold, at the critical point x."""
    if x.size == 1:  # q = p = 1, and nothing oscillates
        slope = lambda v: jax.grad(lambda v: field(v[None])[0])(v)
        return jax.grad(slope)(x[0]) / 2
    omega = jax.lax.stop_gradient(omega)
    first = jax.jacfwd(field)
    second = jax.jacfwd(first)
    matrix, b, c = first(x), second(x), jax.jacfwd(second)(x)
    identity = jnp.eye(x.size, dtype=x.dtype)
    u, _, vh = jnp.linalg.svd(matrix - 1j * omega * identity)
    q = vh[-1].conj()
    q = q * jnp.where(hopf, 1.0, jnp.sign(q[0].real))
    p = u[:, -1] / jnp.vdot(u[:, -1], q).conj()
    bilinear = lambda v, w: jnp.einsum("ijk,j,k->i", b, v, w)
    cubic = jnp.einsum("ijkl,j,k,l->i", c, q, q, q.conj())
    steady = jnp.linalg.solve(jnp.where(hopf, matrix, identity), bilinear(q, q.conj()))
    double = jnp.linalg.solve(2j * omega * identity - jnp.where(hopf, matrix, identity), bilinear(q, q))
    terms = cubic - 2 * bilinear(q, steady) + bilinear(q.conj(), double)
    lyapunov = jnp.vdot(p, terms).real / (2 * jnp.where(hopf, omega, 1.0))
    return jnp.where(hopf, lyapunov, jnp.vdot(p, bilinear(q, q)).real / 2)
