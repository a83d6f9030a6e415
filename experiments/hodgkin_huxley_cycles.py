"""Every periodic orbit of the Hodgkin-Huxley axon, stable or not, by continuation of a multiple-shooting problem.

    x_{k+1} = flow of x_k over T/8 (k = 0 ... 7, x_8 = x_0),    f(x'_0) . (x_0 - x'_0) = 0

for the states x_k, the period T and the current, x' being the point before on the branch. Eight pieces, because the unstable
cycles repel by factors of up to 10^6 a period: one shot around such a cycle leaves Newton's method hardly a neighbourhood.
The branch is followed by its arc length, so it passes the folds of cycles, where the current turns.

Source: Kuznetsov (2004), Elements of Applied Bifurcation Theory, sections 10.1.4 and 10.2, doi:10.1007/978-1-4757-3978-7.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

import jaxneuro as jn
from jaxneuro.neurons.gating import steady
from jaxneuro.neurons.hodgkin_huxley import HodgkinHuxleyState, rates

HH = jn.HodgkinHuxley
PIECES, SAMPLES = 8, 240
TIGHT = diffrax.PIDController(rtol=1e-10, atol=1e-10)
# Units along the branch: of (v, m, h, n) of each piece, of the period (ms) and of the current (uA/cm2).
UNITS = np.append(np.tile(np.sqrt(PIECES) * np.array([50.0, 1.0, 1.0, 1.0]), PIECES), [10.0, 5.0])


class Cycles(NamedTuple):
    """The branch of periodic orbits from the Hopf point to strong currents; arrays over its points."""

    current: Any  # uA/cm2
    states: Any  # (points, PIECES, 4): v, m, h, n at the start of each piece
    period: Any  # ms
    multiplier: Any  # largest modulus of the three that are not trivial
    folds: Any  # currents of the folds of cycles, in the order of the branch


class Point(NamedTuple):
    """One point of the branch."""

    z: Any  # (4 PIECES + 2,): states, period and current in UNITS
    tangent: Any
    multiplier: float


def rest_at(params: Any, v: Any) -> tuple[Any, Any]:
    """Return the state with its gates steady at v, and the current that holds it there."""
    state, zero = HodgkinHuxleyState(v, *map(steady, rates(v, params))), jnp.zeros_like(v)
    return state, -params.cm * HH.vector_field(zero, state, params, zero).v


def follow(params: Any, top_current: float) -> tuple[Cycles, tuple[float, float]]:
    """Follow the cycles from the Hopf point up to `top_current`; return them, and v and current of the Hopf point."""
    evaluate = shooting(params)
    hopf, start, tangent = small_cycle(params)
    first = correct(evaluate, start, start, tangent)
    assert first is not None, "no cycles begin at the Hopf point"
    points, folds, step = [first], [], 0.02
    for _ in range(600):
        last = points[-1]
        found = correct(evaluate, last.z, last.z + step * last.tangent, last.tangent)
        if found is None or found.tangent @ last.tangent < 0.95:
            step /= 2
            continue
        if found.tangent[-1] * last.tangent[-1] < 0:  # the current turns
            points.append(fold(evaluate, last, step))
            folds.append(points[-1].z[-1] * UNITS[-1])
        points.append(found)
        step = min(1.4 * step, 0.25)
        if found.z[-1] * UNITS[-1] > top_current:
            break
    z, _, multiplier = (np.array(x) for x in zip(*points, strict=True))
    states = (z * UNITS)[:, :-2].reshape(-1, PIECES, 4)
    return Cycles(z[:, -1] * UNITS[-1], states, z[:, -2] * UNITS[-2], multiplier, np.array(folds)), hopf


def small_cycle(params: Any) -> tuple[tuple[float, float], Any, Any]:
    """Return the Hopf point, a cycle of 1 mV around it, rest + Re(q exp(i omega t)), and the tangent of the branch."""

    @jax.jit
    def linear(v: Any) -> tuple[Any, Any, Any]:
        state, current = rest_at(params, v)
        field = lambda x: jnp.stack(HH.vector_field(v, HodgkinHuxleyState(*x), params, current))
        return jnp.stack(state), current, jax.jacfwd(field)(jnp.stack(state))

    growth = lambda v: np.max(np.linalg.eigvals(np.asarray(linear(v)[2])).real)
    v: Any = brentq(growth, -64.0, -55.0, xtol=1e-12)
    rest, current, matrix = map(np.asarray, linear(v))
    values, vectors = np.linalg.eig(matrix)
    k = np.argmax(np.imag(values))
    turns = np.exp(2j * np.pi * np.arange(PIECES) / PIECES)
    wave = (turns[:, None] * (vectors[:, k] / vectors[0, k])[None, :]).real
    z = np.array([*(rest + wave).ravel(), 2 * np.pi / values[k].imag, current]) / UNITS
    tangent = np.array([*wave.ravel(), 0.0, 0.0]) / UNITS
    return (v, float(current)), z, tangent / np.linalg.norm(tangent)


def flow(params: Any, x: Any, duration: Any, current: Any) -> Any:
    """Return the state after `duration` (no spikes are asked for, so this is plain diffrax)."""
    term = diffrax.ODETerm(lambda t, y, args: HH.vector_field(jnp.asarray(t), y, *args))
    sol = diffrax.diffeqsolve(
        term, diffrax.Tsit5(), 0.0, duration, None, HodgkinHuxleyState(*x), (params, current), stepsize_controller=TIGHT,
        adjoint=diffrax.ForwardMode(), throw=False,
    )  # fmt: skip
    return jnp.concatenate(jax.tree.leaves(sol.ys))


def shooting(params: Any) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
    """Return (z, z') -> (Jacobian, residual, Jacobian of the flow around the cycle)."""

    def piece(x: Any, period: Any, current: Any) -> tuple[Any, Any]:
        end = flow(params, x, period / PIECES, current)
        return end, end

    slopes = jax.jit(jax.vmap(jax.jacfwd(piece, argnums=(0, 1, 2), has_aux=True), in_axes=(0, None, None)))
    rate = jax.jit(lambda x, i: jnp.stack(HH.vector_field(jnp.zeros_like(i), HodgkinHuxleyState(*x), params, i)))

    def evaluate(z: Any, before: Any) -> tuple[Any, Any, Any]:
        x, (period, current) = (z * UNITS)[:-2].reshape(PIECES, 4), (z * UNITS)[-2:]
        (by_x, by_period, by_current), end = jax.tree.map(np.asarray, slopes(*map(jnp.asarray, (x, period, current))))
        old = before * UNITS
        direction = np.asarray(rate(jnp.asarray(old[:4]), jnp.asarray(old[-1]))) / UNITS[:4] ** 2
        direction /= np.linalg.norm(direction * UNITS[:4])
        size = 4 * PIECES
        matrix, around = np.zeros((size + 1, size + 2)), np.eye(4)
        for k in range(PIECES):
            rows, following = slice(4 * k, 4 * k + 4), slice(4 * k + 4, 4 * k + 8) if k < PIECES - 1 else slice(0, 4)
            matrix[rows, rows] += by_x[k]
            matrix[rows, following] -= np.eye(4)
            around = by_x[k] @ around
        matrix[:size, -2], matrix[:size, -1] = by_period.ravel(), by_current.ravel()
        matrix[size, :4] = direction
        out = np.append((end - np.roll(x, -1, axis=0)).ravel(), direction @ (x[0] - old[:4]))
        return matrix * UNITS, out, around

    return evaluate


def correct(evaluate: Any, before: Any, start: Any, tangent: Any) -> Point | None:
    """Return the point of the branch in the plane through `start` across the tangent; None where Newton fails."""
    z = start
    for _ in range(8):
        by_z, out, around = evaluate(z, before)
        if not (z[-2] > 0 and np.all(np.isfinite(by_z)) and np.max(np.abs(out)) < 100):  # far off
            return None
        system = np.vstack([by_z, tangent])
        change = np.linalg.solve(system, [*out, tangent @ (z - start)])
        z = z - change
        if np.max(np.abs(change)) < 1e-8:
            by_z, _, around = evaluate(z, z)  # the phase that the next step keeps
            system = np.vstack([by_z, tangent])
            t = np.linalg.solve(system, np.append(np.zeros(z.size - 1), 1.0))
            values = np.linalg.eigvals(around)
            others = np.delete(values, np.argmin(np.abs(values - 1)))
            return Point(z, t / np.linalg.norm(t), float(np.max(np.abs(others))))
    return None


def fold(evaluate: Any, last: Point, step: float) -> Point:
    """Return the point within a step at which the current turns."""

    def ahead(s: float) -> Point:
        point = correct(evaluate, last.z, last.z + s * last.tangent, last.tangent)
        assert point is not None, "a step that was taken can be taken in part"
        return point

    s: Any = brentq(lambda s: ahead(s).tangent[-1], 0.0, step, xtol=1e-10)
    return ahead(s)


@jax.jit
def samples(params: Any, cycles: Cycles) -> Any:
    """Return v, m, h, n on each cycle at SAMPLES equal parts of the period, (points, SAMPLES, 4)."""
    parts = jnp.arange(SAMPLES // PIECES) / SAMPLES

    def one(states: Any, period: Any, current: Any) -> Any:
        lanes = jax.vmap(jax.vmap(flow, in_axes=(None, None, 0, None)), in_axes=(None, 0, None, None))
        return jnp.reshape(lanes(params, states, period * parts, current), (SAMPLES, 4))

    return jax.vmap(one)(cycles.states, cycles.period, cycles.current)
