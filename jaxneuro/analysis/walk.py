"""Pseudo-arclength steps along a curve of fixed points, in units in which all its variables are of one size."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxneuro.analysis.critical import bialternate
from jaxneuro.analysis.dense import eigenvalues, solve
from jaxneuro.analysis.roots import Units, newton
from jaxneuro.results import RESULTS
from jaxneuro.types import Array, BoolScalar, IntScalar, Scalar

FIRST_STEP, LONGEST_STEP, SHORTEST_STEP = 1e-3, 0.02, 1e-9  # of arclength
TURN, SLIGHT = 0.98, 0.998  # cosines between successive tangents: smallest allowed, and above which the step grows
ATTEMPTS = 8  # of a step, for each point there is room for


class Curve(NamedTuple):
    """The curve equations(y) = 0 of scaled y = (state, value)/unknowns."""

    equations: Callable[[Array], Array]
    units: Units
    ends: tuple[Scalar, Scalar]  # lowest and highest value, scaled
    box: tuple[Array, Array] | None  # lowest and highest state, scaled


class Point(NamedTuple):
    """A point of the curve, and what its bifurcations show in."""

    y: Array
    tangent: Array
    eigenvalues: Array  # 1/ms, of the Jacobian
    sums: Scalar  # det 2J (.) I of the scaled Jacobian: changes sign at a Hopf point or neutral saddle


class Walk(NamedTuple):
    """The way in one direction."""

    at: Point
    step: Scalar
    landing: BoolScalar  # the next step ends on the bound that the last one would have passed
    count: IntScalar  # points behind the start
    attempts: IntScalar
    points: Point  # arrays
    done: BoolScalar
    result: Any


def plane(y: Array) -> Array:
    """Return y without all but its first variable and its value: the plane in which lengths and angles are measured."""
    return jnp.zeros_like(y).at[0].set(y[0]).at[-1].set(y[-1])


def length(y: Array) -> Scalar:
    """Return the length in that plane."""
    return jnp.sqrt(y[0] ** 2 + y[-1] ** 2)


def _last(y: Array) -> Array:
    return jnp.zeros_like(y).at[-1].set(1.0)


def describe(curve: Curve, y: Array, along: Array) -> Point:
    """Return the point at y, its tangent in the direction `along`."""
    derivatives = jax.jacfwd(curve.equations)(y)
    tangent = solve(jnp.concatenate([derivatives, plane(along)[None]]), _last(y))
    equations, unknowns = curve.units.equations, curve.units.unknowns[:-1]
    similar = derivatives[:, :-1] * (equations / unknowns)[:, None]  # to the Jacobian, so of the same eigenvalues
    similar = jnp.where(jnp.isfinite(similar), similar, 0.0)
    size = jnp.maximum(jnp.linalg.norm(similar), jnp.finfo(y.dtype).tiny)
    sums = jnp.linalg.det(bialternate(similar / size)) if similar.shape[0] > 1 else jnp.ones_like(size)
    return Point(y, tangent / length(tangent), eigenvalues(similar), sums)


def meet(curve: Curve, y: Array, row: Array, at: Array, by: Scalar) -> tuple[Array, BoolScalar]:
    """Return the point z of the curve near y with <row, z - at> = by, and whether Newton's method found it."""
    ones = jnp.ones_like(y)
    return newton(lambda z: jnp.append(curve.equations(z), row @ (z - at) - by), y, Units(ones, ones), max_steps=10)


def start(curve: Curve, y: Array) -> tuple[Point, BoolScalar]:
    """Return the point of the curve near y at the same value, with rising value, and whether there is one."""
    y, found = meet(curve, y, _last(y), y, jnp.zeros_like(y[0]))
    derivatives = jax.jacfwd(curve.equations)(y)
    tangent = jnp.linalg.svd(jnp.where(jnp.isfinite(derivatives), derivatives, 0.0))[2][-1]
    return describe(curve, y, jnp.where(tangent[-1] < 0, -tangent, tangent)), found


def walk(curve: Curve, begin: Point, found: BoolScalar, room: int) -> Walk:
    """Follow the curve from `begin` along its tangent, until it meets an end, leaves the box, stalls or fills the room."""
    empty = jax.tree.map(lambda x: jnp.zeros((room, *x.shape), x.dtype), begin)
    value = begin.y[-1]
    out = (value < curve.ends[0]) | (value > curve.ends[1]) | ~_in_box(curve, begin.y)
    # On an end, and heading out: this way there is nothing to do.
    there = jnp.where(begin.tangent[-1] > 0, value >= curve.ends[1], value <= curve.ends[0])
    result = RESULTS.where(out, RESULTS.left_box, RESULTS.successful)
    result = RESULTS.where(found, result, RESULTS.not_converged)
    first = Walk(
        begin, jnp.full_like(value, FIRST_STEP), jnp.asarray(False), jnp.asarray(0), jnp.asarray(0), empty,
        ~found | out | there, result,
    )  # fmt: skip
    return jax.lax.while_loop(lambda now: ~now.done, lambda now: _stride(curve, now, room), first)


def _in_box(curve: Curve, y: Array) -> BoolScalar:
    if curve.box is None:
        return jnp.asarray(True)
    return jnp.all((y[:-1] >= curve.box[0]) & (y[:-1] <= curve.box[1]))


def _stride(curve: Curve, now: Walk, room: int) -> Walk:
    """Try one step."""
    low, high = curve.ends
    y, tangent = now.at.y, now.at.tangent
    end = jnp.where(tangent[-1] > 0, high, low)
    row = jnp.where(now.landing, _last(y), plane(tangent))
    by = jnp.where(now.landing, end - y[-1], now.step)
    ahead = jnp.where(now.landing, by / jnp.where(tangent[-1] == 0, 1.0, tangent[-1]), now.step)
    z, converged = meet(curve, y + ahead * tangent, row, y, by)
    new = describe(curve, z, tangent)
    cosine = plane(tangent) @ new.tangent
    good = converged & (cosine > TURN) & (length(z - y) <= 2 * now.step)
    passes = good & ~now.landing & ((z[-1] > high) | (z[-1] < low))
    leaves = good & ~_in_box(curve, z)
    taken = good & ~passes & ~leaves
    grown = jnp.where(cosine > SLIGHT, jnp.minimum(1.5 * now.step, LONGEST_STEP), now.step)
    step = jnp.where(good, jnp.where(passes, now.step, grown), now.step / 2)
    full = taken & ~now.landing & (now.count + 1 >= room)
    stalled = (step < SHORTEST_STEP) | (now.attempts >= ATTEMPTS * room)
    result = RESULTS.where(full, RESULTS.too_many_points, now.result)
    result = RESULTS.where(stalled, RESULTS.stalled, result)
    result = RESULTS.where(leaves, RESULTS.left_box, result)
    choose = lambda a, b: jax.tree.map(lambda a, b: jnp.where(taken, a, b), a, b)
    # A mask, not a scatter: that is what XLA's CPU back end fuses without failing, under vmap too.
    here = taken & (jnp.arange(room) == now.count)
    put = lambda all_, one: jnp.where(here.reshape(-1, *(1,) * one.ndim), one[None], all_)
    return Walk(
        choose(new, now.at), step, passes, now.count + taken, now.attempts + 1, jax.tree.map(put, now.points, new),
        (taken & now.landing) | full | stalled | leaves, result,
    )  # fmt: skip


def join(begin: Point, walks: Walk, max_points: int) -> tuple[Point, IntScalar]:
    """Return the points of both ways as one, from the end of the first to that of the second, and their number."""
    back, forth = walks.count[0], walks.count[1]
    room = walks.points.sums.shape[1]
    j = jnp.arange(max_points)
    number = back + 1 + forth
    index = jnp.clip(
        jnp.where(j < back, back - 1 - j, jnp.where(j == back, 2 * room, room + j - back - 1)), 0, 2 * room
    )
    turned = walks.points._replace(tangent=walks.points.tangent * jnp.asarray([-1, 1], begin.y.dtype)[:, None, None])
    both = jax.tree.map(lambda x, one: jnp.concatenate([x[0], x[1], one[None]])[index], turned, begin)
    return both, number
