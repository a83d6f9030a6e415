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
from jaxneuro.neurons.hodgkin_huxley import HodgkinHuxleyState

HH = jn.HodgkinHuxley
PIECES = 8
TIGHT = diffrax.PIDController(rtol=1e-10, atol=1e-10)
# Units along the branch: of (v, m, h, n) of each piece, of the period (ms) and of the current (uA/cm2).
UNITS = np.append(np.tile(np.sqrt(PIECES) * np.array([50.0, 1.0, 1.0, 1.0]), PIECES), [10.0, 5.0])


class Cycles(NamedTuple):
    """The branch of periodic orbits, from strong currents to the Hopf point; arrays over its points."""

    current: Any  # uA/cm2
    state: Any  # (points, 4): v, m, h, n somewhere on the orbit
    period: Any  # ms
    multiplier: Any  # largest modulus of the three that are not trivial
    highest: Any  # of v on the orbit, mV
    lowest: Any
    folds: Any  # currents of the folds of cycles


class Point(NamedTuple):
    """One point of the branch."""

    z: Any  # (4 PIECES + 2,): states, period and current in UNITS
    tangent: Any
    multiplier: float


def follow(params: Any, top_current: float) -> Cycles:
    """Follow the cycles from the stable one at `top_current` through every fold to the Hopf point."""
    evaluate = shooting(params)
    z = stable_cycle(params, top_current)
    first = correct(evaluate, z, z, np.append(np.zeros(z.size - 1), -1.0))
    assert first is not None, "there is no stable cycle at top_current"
    points, folds, step = [first], [], 0.1
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
        if np.ptp(found.z[:-2:4]) * UNITS[0] < 1.0:  # mV: it shrinks to the Hopf point
            break
    z, _, multiplier = (np.array(x) for x in zip(*points, strict=True))
    state, period, current = z[:, :4] * UNITS[:4], z[:, -2] * UNITS[-2], z[:, -1] * UNITS[-1]
    v = np.asarray(traces(params, *map(jnp.asarray, (current, state, period)))[1].v)
    return Cycles(current, state, period, multiplier, v.max(axis=1), v.min(axis=1), np.array(folds))


def stable_cycle(params: Any, current: float) -> Any:
    """Return an approximate z of the cycle that the axon comes to fire on."""
    sol = jn.simulate(HH, params, current, 1000.0, max_spikes=12, stop_after=12)
    period = sol.spike_times[11] - sol.spike_times[10]
    lane = lambda x: jnp.asarray(x)[None]
    states = traces(params, lane(current), lane(jnp.stack(sol.final_state)), lane(period))[1]
    pieces = np.stack([np.asarray(x)[0, :: 400 // PIECES] for x in states], axis=1)
    return np.array([*pieces.ravel(), float(period), current]) / UNITS


def shooting(params: Any) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
    """Return (z, z') -> (Jacobian, residual, Jacobian of the flow around the cycle)."""
    never = params._replace(v_thresh=jnp.asarray(1e3))

    def flow(x: Any, period: Any, current: Any) -> tuple[Any, Any]:
        sol = jn.simulate(
            HH, never, current, period / PIECES, state0=HodgkinHuxleyState(*x), max_spikes=1, throw=False,
            stepsize_controller=TIGHT, adjoint=diffrax.ForwardMode(),
        )  # fmt: skip
        end = jnp.stack(sol.final_state)
        return end, end

    slopes = jax.jit(jax.vmap(jax.jacfwd(flow, argnums=(0, 1, 2), has_aux=True), in_axes=(0, None, None)))
    rate = jax.jit(lambda x, i: jnp.stack(HH.vector_field(jnp.zeros_like(i), HodgkinHuxleyState(*x), params, i)))

    def evaluate(z: Any, before: Any) -> tuple[Any, Any, Any]:
        x, (period, current) = (z * UNITS)[:-2].reshape(PIECES, 4), (z * UNITS)[-2:]
        (by_x, by_period, by_current), end = jax.tree.map(np.asarray, slopes(*map(jnp.asarray, (x, period, current))))
        old = before * UNITS
        direction = np.asarray(rate(jnp.asarray(old[:4]), jnp.asarray(old[-1]))) / UNITS[:4] ** 2
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
def traces(params: Any, currents: Any, states: Any, durations: Any) -> tuple[Any, Any]:
    """Return the times and states of 400 samples of runs from given states, (lanes, 400)."""

    def one(current: Any, state: Any, duration: Any) -> tuple[Any, Any]:
        ts = duration * jnp.arange(400) / 400
        never = params._replace(v_thresh=jnp.full_like(params.v_thresh, 1e3))
        sol = jn.simulate(
            HH, never, current, duration, state0=HodgkinHuxleyState(*state), saveat=ts, max_spikes=1, stepsize_controller=TIGHT,
        )  # fmt: skip
        return ts, sol.states

    return jax.vmap(one)(currents, states, durations)
