"""The current at which rest loses its stability, as a solved and differentiable quantity."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.analysis.critical import BIFURCATIONS, critical_point
from jaxneuro.analysis.dense import eigenvalues
from jaxneuro.analysis.implicit import raise_eagerly
from jaxneuro.analysis.inputs import Box, check_box, interval, neuron
from jaxneuro.analysis.linear import critical_frequency
from jaxneuro.analysis.roots import flat_model
from jaxneuro.analysis.steady import Point, at_first_variable, excluded, search_range, units_of
from jaxneuro.model import NeuronModel, valid_params
from jaxneuro.results import RESULTS
from jaxneuro.types import Array, BoolScalar, IntScalar, Params, Scalar, ScalarLike, State

SAMPLES = 256  # of v, to find where rest ends
ROUNDS = 3  # of sampling, each between two samples of the one before


class StabilityLimit(NamedTuple):
    """What `stability_limit` returns."""

    current: Scalar  # the lowest constant current at which rest is not stable, in the model's unit
    state: State  # the fixed point there
    kind: Any  # an item of BIFURCATIONS: fold, hopf or threshold
    omega: Scalar  # rad/ms, angular frequency of the growing oscillation at a Hopf point; 0 else
    result: Any  # an item of RESULTS


def stability_limit(
    model: NeuronModel,
    params: Params,
    *,
    bounds: tuple[ScalarLike, ScalarLike] | None = None,
    box: Box | None = None,
    throw: bool | None = None,
) -> StabilityLimit:
    """Return the lowest constant current at which rest loses its stability, and how it does.

        f(x, I) = 0  and  det J = 0 (fold)  or  det 2J (.) I = 0 (Hopf)  or  spike_condition(x) = 0 (threshold)

    Rest is the stable fixed point of lowest v at the lowest current of the bounds. The curve of fixed points is followed
    from there towards higher currents, stability is read off the eigenvalues, and the first change is located by Newton on
    the extended system. A model that resets also stops resting where the stable point passes its threshold.

    Args:
        model: a `NeuronModel` record, whose fixed points are a curve over its first variable v.
        params: its parameters.
        bounds: lowest and highest current to consider, in the model's unit. None: rest at zero current, or, where there is
            none, the rest of lowest v at any current; no highest.
        box: (lowest state, highest state), of which the first variable is used: the v to search. None: from 2 distances to
            threshold below `init_state` to 3 above it.
        throw: None: raise on failure when called eagerly; True: also ask for it; False: never, see `result`.

    Returns:
        StabilityLimit(current, state, kind, omega, result); NaN where `result` is not successful.

    Raises:
        ValueError, TypeError: what is known while tracing: bounds that do not rise, a box that is no pair of states, no scalars.
        RuntimeError: eagerly, if rest is not stable at the lower bound or stays stable up to the upper one.

    Differentiable: current, state and omega in every parameter, by the implicit function theorem.

    Source: Kuznetsov (2004), Elements of Applied Bifurcation Theory, section 10.2, doi:10.1007/978-1-4757-3978-7.

    Example:
        >>> import jaxneuro as jn
        >>> limit = jn.analysis.stability_limit(jn.LIF, jn.LIF.default_params())
        >>> round(float(limit.current), 6), bool(limit.kind == jn.analysis.BIFURCATIONS.threshold)
        (2.0, True)
    """
    params, zero = neuron(params)
    check_box(model, params, box)
    limit = _solve(model, params, interval("bounds", bounds, zero.dtype), box)
    raise_eagerly("stability_limit", limit.result, throw)
    return limit


@eqx.filter_jit
def _solve(model: NeuronModel, params: Params, bounds: Any, box: Box | None) -> StabilityLimit:
    x0, unravel, field = flat_model(model, params)
    frozen = jax.lax.stop_gradient(params)
    low, high = search_range(model, frozen, box)
    units = units_of(field, frozen, x0, jnp.zeros((), x0.dtype), (high - low) / 5)

    def point(v: Scalar) -> tuple[Point, BoolScalar]:
        found = at_first_variable(lambda x, i: field(x, frozen, i), v, jnp.append(x0, 0.0), units)
        matrix = jnp.where(found.ok, found.matrix, jnp.eye(x0.size, dtype=x0.dtype))
        found = found._replace(matrix=matrix)
        rests = (eigenvalues(matrix)[0].real < 0) & ~excluded(model, frozen, unravel(found.x))
        return found, rests

    end, exists = _end_of_rest(jax.vmap(point), low, high, bounds)
    kind = BIFURCATIONS.where(eigenvalues(end.matrix)[0].imag != 0, BIFURCATIONS.hopf, BIFURCATIONS.fold)
    kind = BIFURCATIONS.where(excluded(model, frozen, unravel(end.x)), BIFURCATIONS.threshold, kind)
    guard = lambda x, params: model.spike_condition(unravel(x), params)
    by_value = lambda x, i, params: field(x, params, i)
    u, converged = critical_point(by_value, guard, params, kind, jnp.append(end.x, end.slack), units)
    near = converged & (jnp.abs(u[0] - end.x[0]) <= (high - low) / SAMPLES)

    least, most = (-jnp.inf, jnp.inf) if bounds is None else bounds
    within = exists & (u[-1] >= least) & (u[-1] <= most)
    result = RESULTS.where(near | ~within, RESULTS.successful, RESULTS.not_converged)
    result = RESULTS.where(within, result, RESULTS.not_bracketed)
    result = RESULTS.where(valid_params(model, params), result, RESULTS.bad_parameters)
    u = jnp.where(result == RESULTS.successful, u, jnp.nan)
    hopf = kind == BIFURCATIONS.hopf
    omega = critical_frequency(jax.jacfwd(field)(u[:-1], params, u[-1]))[0]
    return StabilityLimit(u[-1], unravel(u[:-1]), kind, jnp.where(hopf, omega, 0.0), result)


def _end_of_rest(points: Callable, low: Scalar, high: Scalar, bounds: Any) -> tuple[Point, BoolScalar]:
    """Return the point just outside of the end of rest, in the direction of higher currents, and whether there is one.

    Samples from `low` to `high`, then again from the last sample inside to the first outside, so that a Hopf point is
    parted from a fold that follows it closely.
    """

    def refine(k: IntScalar, carry: tuple[Array, Point, BoolScalar]) -> tuple[Array, Point, BoolScalar]:
        ends, _, exists = carry
        v = ends[0] + (ends[1] - ends[0]) * jnp.linspace(0.0, 1.0, SAMPLES, dtype=ends.dtype)
        curve, rests = points(v)
        inside, outside, found = _leaves(curve, rests, bounds)
        later = jnp.maximum(jnp.argmin(rests), 1)
        inside, outside = jnp.where(k == 0, inside, later - 1), jnp.where(k == 0, outside, later)
        end = jax.tree.map(lambda x: x[outside], curve)
        return jnp.stack([v[inside], v[outside]]), end, jnp.where(k == 0, found, exists)

    like = jax.eval_shape(lambda: points(low[None])[0])
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape[1:], x.dtype), like)
    _, end, exists = jax.lax.fori_loop(0, ROUNDS, refine, (jnp.stack([low, high]), empty, jnp.asarray(False)))
    return end, exists


def _leaves(curve: Point, rests: Array, bounds: Any) -> tuple[IntScalar, IntScalar, BoolScalar]:
    """Return the sample at which rest ends, the next one outside, and whether there is such an end."""
    index = jnp.arange(SAMPLES)
    least = 0.0 if bounds is None else bounds[0]
    step = jnp.abs(curve.x[1, 0] - curve.x[0, 0])

    def ends(current: Array, slope: Array, rests: Array) -> tuple[Array, Array]:
        """Return, for every sample, whether rest ends behind it while the current rises, and began below `least`."""
        leaves = rests & ~jnp.roll(rests, -1) & (slope > 0) & (index < SAMPLES - 1)
        first = jax.lax.cummax(jnp.where(rests, 0, index + 1))
        room = jnp.abs(slope) * step  # the ends of rest lie up to a sample beyond
        begins = (current - room)[jnp.minimum(first, SAMPLES - 1)]
        return leaves, leaves & (begins <= least) & (current + room >= least)

    up = ends(curve.slack, curve.slope, rests)
    down = [x[::-1] for x in ends(curve.slack[::-1], -curve.slope[::-1], rests[::-1])]
    leaves, contains = (jnp.concatenate(pair) for pair in zip(up, down, strict=True))
    # Without bounds, a neuron that does not rest at zero current still has its limit, at a negative one.
    wanted = jnp.where(jnp.any(contains), contains, leaves) if bounds is None else contains
    sample = jnp.concatenate([index, index[::-1]])
    chosen = jnp.argmin(jnp.where(wanted, sample, SAMPLES))
    inside = sample[chosen]
    return inside, jnp.where(chosen < SAMPLES, inside + 1, inside - 1), jnp.any(wanted)
