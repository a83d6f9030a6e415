"""All fixed points of a neuron in a range of its first variable."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxneuro.analysis.implicit import implicit_root, raise_eagerly
from jaxneuro.analysis.inputs import Box, check_box, neuron, refused
from jaxneuro.analysis.linear import stability_of
from jaxneuro.analysis.roots import Units, flat_model, newton
from jaxneuro.analysis.steady import Point, at_first_variable, excluded, search_range, units_of
from jaxneuro.hybrid import prepare
from jaxneuro.model import NeuronModel
from jaxneuro.results import RESULTS
from jaxneuro.types import Array, BoolScalar, Integer, IntScalar, Params, Scalar, ScalarLike, State

SAMPLES = 256  # of v
TURNS = 4  # of locating where phi turns back, for pairs of points closer than two samples


class FixedPoints(NamedTuple):
    """What `fixed_points` returns, ascending in the first variable; under `vmap` every array has the lanes in front."""

    states: State  # arrays (max_points,), padded with NaN
    num_points: IntScalar
    eigenvalues: Any  # complex, 1/ms, (max_points, fields of the state), the largest real part first; padded with NaN
    kind: Any  # items of FIXED_POINTS, (max_points,); `none` where there is no point
    stable: Array  # (max_points,)
    result: Any  # an item of RESULTS


class Sample(NamedTuple):
    """phi at one v."""

    v: Scalar
    phi: Scalar
    slope: Scalar
    x: Array  # (n,), the state
    ok: BoolScalar  # the other variables were found
    rests: BoolScalar  # a fixed point here would lie below the threshold of a model that resets


class Bracket(NamedTuple):
    """An interval that holds one fixed point, if `wanted`."""

    low: Scalar
    high: Scalar
    guess: Array  # (n,), the state where a straight line through both ends of phi is zero
    wanted: BoolScalar


def fixed_points(
    model: NeuronModel, params: Params, current: ScalarLike, *, box: Box | None = None, max_points: Integer = 8,
    throw: bool | None = None,
) -> FixedPoints:  # fmt: skip
    """Find all fixed points of a neuron at constant current, with their stability.

        phi(v) = 0,  phi the rate of v with all other variables steady at v

    phi is sampled at 256 v with its derivative. Every change of sign holds a point; where the derivative changes sign, the
    turning point between is located, so that two points closer than a sample are found; each is polished by Newton's method on
    the whole system. At a fold itself the double point counts once. A neuron that resets does not rest at or above
    its threshold: such points are left out.

    Args:
        model: a `NeuronModel` record. Its other variables must follow from the first at a fixed point (as gates do from v).
        params: its parameters.
        current: constant current, in the model's unit.
        box: (lowest state, highest state). None: v from 2 distances to threshold below `init_state` to 3 above it.
        max_points: slots for points.
        throw: None: raise on failure when called eagerly; True: also ask for it; False: never, see `result`.

    Returns:
        FixedPoints(states, num_points, eigenvalues, kind, stable, result).

    Raises:
        RuntimeError: eagerly, if there is none (no_fixed_point), or more than max_points (too_many_points), or if the current
            is not finite (bad_stimulus).
        ValueError, TypeError: what is known while tracing: max_points < 1, a box that is no pair of states, no scalars.

    Differentiable: states and eigenvalues in every parameter and the current, by the implicit function theorem.

    Example:
        >>> import jaxneuro as jn
        >>> p = jn.QIF.default_params(v_rest=-65.0, v_crit=-50.0)
        >>> found = jn.analysis.fixed_points(jn.QIF, p, 0.0, max_points=2)
        >>> print(found.states.v.round(6), found.stable)
        [-65. -50.] [ True False]
    """
    params, current = neuron(params, current)
    check_box(model, params, box)
    found = _solve(model, params, current, box, prepare.positive("max_points", max_points))
    raise_eagerly("fixed_points", found.result, throw)
    return found


@eqx.filter_jit
def _solve(model: NeuronModel, params: Params, current: Scalar, box: Box | None, max_points: int) -> FixedPoints:
    x0, unravel, field = flat_model(model, params)
    fixed, i = jax.lax.stop_gradient((params, current))
    low, high = search_range(model, fixed, box)
    units = units_of(field, fixed, x0, jnp.zeros((), x0.dtype), (high - low) / 5)
    # The slack is -phi, a rate: its unit is that of the first equation.
    units = units._replace(unknowns=units.unknowns.at[-1].set(units.equations[0]))
    first = jnp.zeros_like(x0).at[0].set(1.0)

    def point(v: Scalar) -> Point:
        return at_first_variable(lambda x, slack: field(x, fixed, i) + slack * first, v, jnp.append(x0, 0.0), units)

    def sample(v: Scalar) -> Sample:
        found = point(v)
        return Sample(v, -found.slack, -found.slope, found.x, found.ok, ~excluded(model, fixed, unravel(found.x)))

    v = low + (high - low) * jnp.linspace(0.0, 1.0, SAMPLES, dtype=x0.dtype)
    brackets = _brackets(jax.vmap(sample), v, units.equations[0])
    (slots,) = jnp.nonzero(brackets.wanted, size=max_points, fill_value=0)
    present = jnp.arange(max_points) < jnp.sum(brackets.wanted)

    def solve(bracket: Bracket, present: BoolScalar) -> tuple[Array, BoolScalar, BoolScalar]:
        # Clipped to the bracket, in which phi is monotonic.
        ends = [jnp.full_like(x0, end).at[0].set(v) for end, v in ((-jnp.inf, bracket.low), (jnp.inf, bracket.high))]
        of_point = Units(units.unknowns[:-1], units.equations)
        x, converged = newton(lambda x: field(x, fixed, i), bracket.guess, of_point, within=(ends[0], ends[1]))
        inside = jnp.asarray(True)
        if box is not None:
            least, most = (ravel_pytree(corner)[0] for corner in box)
            inside = jnp.all((x >= least) & (x <= most))
        return x, present & converged & inside & ~excluded(model, fixed, unravel(x)), present & ~converged

    x, valid, lost = jax.vmap(solve)(jax.tree.map(lambda leaf: leaf[slots], brackets), present)
    order = jnp.argsort(~valid, stable=True)
    x, valid = x[order], valid[order]

    def finish(x: Array, valid: BoolScalar) -> Any:
        residual = lambda x, theta: jnp.where(valid, field(x, *theta), x)
        x = implicit_root(residual, jnp.where(valid, x, x0), (params, current))
        matrix = jax.jacfwd(field)(x, params, current)
        return jnp.where(valid, x, jnp.nan), stability_of(jnp.where(valid, matrix, jnp.nan))

    x, linear = jax.vmap(finish)(x, valid)
    number = jnp.sum(valid)
    result = RESULTS.where(number > 0, RESULTS.successful, RESULTS.no_fixed_point)
    result = RESULTS.where(jnp.any(lost), RESULTS.not_converged, result)
    result = RESULTS.where(jnp.sum(brackets.wanted) > max_points, RESULTS.too_many_points, result)
    result = refused(model, params, current, result)
    return FixedPoints(jax.vmap(unravel)(x), number, linear.eigenvalues, linear.kind, linear.stable, result)


def _brackets(samples: Callable[[Array], Sample], v: Array, unit: Scalar) -> Bracket:
    """Return two brackets for each pair of neighbouring samples: before and behind the turning point of phi between."""

    def choose(where: Array, a: Any, b: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(where.reshape(-1, *(1,) * (a.ndim - 1)), a, b), a, b)

    def turn(k: IntScalar, carry: tuple[Sample, ...]) -> tuple[Sample, ...]:
        begin, end, low, high, _ = carry
        new = samples(jnp.where(k == 0, v, jnp.append(_turning_point(low, high), v[-1])))
        middle, following = jax.tree.map(lambda x: x[:-1], new), jax.tree.map(lambda x: x[1:], new)
        before = (middle.slope > 0) == (low.slope > 0)
        low, high = choose(before, middle, low), choose(before, high, middle)
        sampled = (middle, following, middle, following, following)
        return choose(jnp.broadcast_to(k == 0, before.shape), sampled, (begin, end, low, high, middle))

    empty = jax.tree.map(lambda x: jnp.zeros((SAMPLES - 1, *x.shape[1:]), x.dtype), jax.eval_shape(samples, v))
    begin, end, _, _, middle = jax.lax.fori_loop(0, TURNS + 1, turn, (empty,) * 5)
    turns = ((begin.slope > 0) != (end.slope > 0)) & middle.ok
    middle = choose(turns, middle, end)

    def between(low: Sample, high: Sample) -> Bracket:
        changes = (low.phi >= 0) != (high.phi >= 0)
        fine = low.ok & high.ok & (low.rests | high.rests)
        part = jnp.where(changes, low.phi / jnp.where(changes, low.phi - high.phi, 1.0), 0.0)
        return Bracket(low.v, high.v, low.x + part[:, None] * (high.x - low.x), changes & fine)

    first, second = between(begin, middle), between(middle, end)
    # Two points that are one to rounding: phi touches zero without a change of sign.
    touches = turns & ~first.wanted & ~second.wanted & middle.rests & begin.ok & end.ok
    touches &= jnp.abs(middle.phi) <= 100 * jnp.finfo(v.dtype).eps * unit
    first = choose(touches, Bracket(middle.v, middle.v, middle.x, touches), first)
    return jax.tree.map(lambda *x: jnp.stack(x, axis=1).reshape(-1, *x[0].shape[1:]), first, second)


def _turning_point(low: Sample, high: Sample) -> Array:
    """Return where the cubic through values and slopes at both ends has slope zero, the slopes being of opposite sign."""
    h, step = high.v - low.v, high.phi - low.phi
    a = 3 * h * (low.slope + high.slope) - 6 * step
    b = 6 * step - h * (4 * low.slope + 2 * high.slope)
    c = h * low.slope
    root = jnp.sqrt(jnp.maximum(b * b - 4 * a * c, 0.0))
    below = jnp.where(c >= 0, root - b, -root - b)
    part = jnp.where(below != 0, 2 * c / jnp.where(below != 0, below, 1.0), 0.5)
    return low.v + h * jnp.clip(part, 0.0, 1.0)
