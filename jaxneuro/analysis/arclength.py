"""Continuation of a fixed point in one parameter, around folds, with its bifurcations."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxneuro.analysis.bifurcations import Bifurcation, locate, value_of, with_value
from jaxneuro.analysis.critical import BIFURCATIONS
from jaxneuro.analysis.implicit import raise_eagerly
from jaxneuro.analysis.inputs import Box, check_box, interval, neuron, refused, state_of
from jaxneuro.analysis.roots import flat_model
from jaxneuro.analysis.steady import threshold_distance, units_of
from jaxneuro.analysis.walk import Curve, Point, join, length, start, walk
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS
from jaxneuro.types import Array, BoolScalar, Integer, IntScalar, Params, Scalar, ScalarLike, State


class Branch(NamedTuple):
    """What `continuation` returns, in the order of arclength; under `vmap` every array has the lanes in front."""

    values: Array  # of the parameter, (max_points,), padded with NaN
    states: State  # arrays (max_points,)
    eigenvalues: Any  # complex, 1/ms, (max_points, fields of the state), the largest real part first
    stable: Array  # (max_points,)
    num_points: IntScalar
    folds: Bifurcation  # arrays (max_bifurcations,), padded with NaN
    hopfs: Bifurcation  # arrays (max_bifurcations,)
    num_folds: IntScalar
    num_hopfs: IntScalar
    result: Any  # an item of RESULTS


def continuation(
    model: NeuronModel, params: Params, current: ScalarLike, state0: State, *, bounds: tuple[ScalarLike, ScalarLike],
    parameter: str = "current", box: Box | None = None, max_points: Integer = 400, max_bifurcations: Integer = 4,
    throw: bool | None = None,
) -> Branch:  # fmt: skip
    """Follow a fixed point in one parameter, in both directions, through folds, and locate its folds and Hopf points.

        f(x, value) = 0,  <t, (x, value) - (x0, value0)> = ds     (pseudo-arclength; t the unit tangent at the last point)

    Lengths and angles are those in the plane of the first variable, in units of its distance to threshold, and the
    parameter, in units of the range of `bounds`; the other variables are carried along. A step is halved where Newton's
    method fails or the tangent turns by more than 11 degrees, and grows else, up to 0.02. Between two points, a fold shows in
    the sign of the tangent's last component and a Hopf point in that of det 2J (.) I; each is then located to rounding as by
    `fold_point` and `hopf_point`. Two of a kind within one step are missed. The reset of a model plays no part. `jax.vmap`
    over another parameter gives the curves of folds and Hopf points.

    Args:
        model: a `NeuronModel` record.
        params: its parameters.
        current: constant current, in the model's unit (where to start, if `parameter` is "current").
        state0: a state near a fixed point there, as from `fixed_points`.
        bounds: lowest and highest value of the parameter.
        parameter: "current" or a field of the parameters, from whose value there to start.
        box: (lowest state, highest state): the branch ends, with left_box, where it leaves it.
        max_points: room for points, half of it in each direction.
        max_bifurcations: room for folds, and for Hopf points.
        throw: None: raise on failure when called eagerly; True: also ask for it; False: never, see `result`.

    Returns:
        Branch(values, states, eigenvalues, stable, num_points, folds, hopfs, num_folds, num_hopfs, result); the
        result is successful where both ends lie on the bounds.

    Raises:
        ValueError, TypeError: for an unknown parameter, bounds that do not rise, a box or state0 that is not of the model's
            states, max_points < 4 or max_bifurcations < 1, no scalars.
        RuntimeError: eagerly: not_converged (no fixed point near state0, or a bifurcation that Newton's method lost), left_box,
            stalled, too_many_points (the branch is longer than max_points allows, or has more bifurcations than fit).

    Differentiable: folds and hopfs, as those of `fold_point` and `hopf_point`; the points between are without derivative.

    Source: Keller (1977), in Rabinowitz (ed.), Applications of Bifurcation Theory, Academic Press, p. 359; Kuznetsov (2004),
    Elements of Applied Bifurcation Theory, section 10.2, doi:10.1007/978-1-4757-3978-7.

    Example:
        >>> import jaxneuro as jn
        >>> p = jn.QIF.default_params(tau_m=10.0, a=0.04, v_rest=-65.0, v_crit=-50.0, r_m=10.0)
        >>> branch = jn.analysis.continuation(jn.QIF, p, 0.0, jn.QIF.init_state(p), bounds=(-0.5, 0.5))
        >>> round(float(branch.folds.value[0]), 3), int(branch.num_folds)
        (0.225, 1)
    """
    if max_points < 4 or max_bifurcations < 1:
        raise ValueError(
            f"max_points must be at least 4 and max_bifurcations at least 1; they are {max_points} and {max_bifurcations}."
        )
    params, current = neuron(params, current)
    check_box(model, params, box)
    value_of(params, current, parameter)
    state0, ends = state_of(model, params, state0), interval("bounds", bounds, current.dtype)
    branch = _solve(model, params, current, state0, ends, parameter, box, int(max_points), int(max_bifurcations))
    raise_eagerly("continuation", branch.result, throw)
    return branch


@eqx.filter_jit
def _solve(
    model: NeuronModel, params: Params, current: Scalar, state0: State, bounds: tuple[Scalar, Scalar], parameter: str,
    box: Box | None, max_points: int, slots: int,
) -> Branch:  # fmt: skip
    curve, y = _scaled(model, params, current, state0, bounds, parameter, box)
    begin, found = start(curve, y)
    turned = lambda sign: begin._replace(tangent=sign * begin.tangent)
    walks = jax.vmap(lambda sign: walk(curve, turned(sign), found, (max_points - 1) // 2))(
        jnp.asarray([-1, 1], y.dtype)
    )
    points, number = join(begin, walks, max_points)
    (folds, num_folds), (hopfs, num_hopfs), located = _bifurcations(
        model, parameter, (params, current), curve, points, number, slots
    )
    back, forth = (jax.tree.map(lambda x, k=k: x[k], walks.result) for k in range(2))
    result = RESULTS.where(back == RESULTS.successful, forth, back)
    result = RESULTS.where(result == RESULTS.successful, located, result)
    result = refused(model, params, current, result)
    there = found & (jnp.arange(max_points) < number)
    u = jnp.where(there[:, None], points.y * curve.units.unknowns[None, :], jnp.nan)
    unravel = flat_model(model, params)[1]
    return Branch(
        u[:, -1], jax.vmap(unravel)(u[:, :-1]), jnp.where(there[:, None], points.eigenvalues, jnp.nan),
        there & (points.eigenvalues[:, 0].real < 0), jnp.where(found, number, 0), folds, hopfs, num_folds, num_hopfs, result,
    )  # fmt: skip


def _scaled(
    model: NeuronModel, params: Params, current: Scalar, state0: State, bounds: tuple[Scalar, Scalar], parameter: str,
    box: Box | None,
) -> tuple[Curve, Array]:  # fmt: skip
    """Return the curve of fixed points and the start, in the problem's units."""
    x0, _, field = flat_model(model, params)
    fixed: Any = jax.lax.stop_gradient((params, current))
    flat = lambda state: jax.lax.stop_gradient(ravel_pytree(state)[0].astype(x0.dtype))
    guess = jnp.append(flat(state0), value_of(fixed[0], fixed[1], parameter))
    by_value = lambda x, fixed, value: field(x, *with_value(fixed[0], fixed[1], parameter, value))
    units = units_of(by_value, fixed, guess[:-1], guess[-1], threshold_distance(model, fixed[0]))
    size = units.unknowns.at[-1].set(jnp.abs(bounds[1] - bounds[0]))
    equations = lambda y: by_value(y[:-1] * size[:-1], fixed, y[-1] * size[-1]) / units.equations
    corners = None if box is None else (flat(box[0]) / size[:-1], flat(box[1]) / size[:-1])
    ends = jax.lax.stop_gradient((bounds[0] / size[-1], bounds[1] / size[-1]))
    return Curve(equations, units._replace(unknowns=jax.lax.stop_gradient(size)), ends, corners), guess / size


Located = tuple[Bifurcation, IntScalar]


def _bifurcations(
    model: NeuronModel, parameter: str, theta: tuple[Params, Scalar], curve: Curve, points: Point, number: IntScalar, slots: int
) -> tuple[Located, Located, Any]:  # fmt: skip
    """Return folds and Hopf points between the points, their numbers, and how it went."""
    size = curve.units.unknowns
    known = jnp.arange(points.sums.size - 1) < number - 1
    tests = (points.tangent[:, -1], points.sums)
    changes = [known & ((x[:-1] >= 0) != (x[1:] >= 0)) for x in tests]
    left = [jnp.nonzero(x, size=slots, fill_value=0)[0] for x in changes]
    part = jnp.concatenate([x[j] / (x[j] - x[j + 1]) for x, j in zip(tests, left, strict=True)])
    begin, end = (points.y[jnp.concatenate(left) + k] for k in range(2))

    def find(is_fold: BoolScalar, there: BoolScalar, begin: Array, end: Array, part: Scalar) -> tuple:
        kind = BIFURCATIONS.where(is_fold, BIFURCATIONS.fold, BIFURCATIONS.hopf)
        guess = begin + part * (end - begin)
        found, converged, pure = locate(model, parameter, theta, kind, guess * size, curve.units)
        y = jnp.append(ravel_pytree(found.state)[0], found.value) / size
        valid = there & pure & (length(y - guess) <= length(end - begin))
        result = RESULTS.where(valid, found.result, RESULTS.not_converged)
        numbers = jax.tree.map(lambda x: jnp.where(valid, x, jnp.nan), found._replace(result=None))
        return numbers._replace(result=result), valid, there & ~valid & ~(converged & ~pure)

    present = jnp.concatenate([jnp.arange(slots) < jnp.sum(x) for x in changes])
    found, valid, lost = jax.vmap(find)(jnp.arange(2 * slots) < slots, present, begin, end, part)
    crowded = (jnp.sum(changes[0]) > slots) | (jnp.sum(changes[1]) > slots)
    result = RESULTS.where(jnp.any(lost), RESULTS.not_converged, RESULTS.successful)
    result = RESULTS.where(crowded, RESULTS.too_many_points, result)

    def kept(part: slice) -> Located:
        """Return those that are there first, in the order of the branch."""
        order = jnp.argsort(~valid[part], stable=True)
        return jax.tree.map(lambda x: x[part][order], found), jnp.sum(valid[part])

    return kept(slice(slots)), kept(slice(slots, None)), result
