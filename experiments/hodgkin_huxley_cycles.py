"""Every periodic orbit of the Hodgkin-Huxley axon, stable or not, by pseudo-arclength continuation (for `hodgkin_huxley`).

The unknowns are the gates at the upward crossing of the section v = v_rest, which every cycle around the resting point
crosses, also those too small to reach 0 mV, and v_rest itself, of which the current is a function:

    P(m, h, n; v_rest) = (m, h, n),    I = I_ss(v_rest), the current that holds v_rest

Source: Keller's method as in Kuznetsov (2004), Elements of Applied Bifurcation Theory, section 10.2,
doi:10.1007/978-1-4757-3978-7.
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
UNIT = 20.0  # mV, of v_rest beside the gates
TIGHT = diffrax.PIDController(rtol=1e-10, atol=1e-10)


class Cycles(NamedTuple):
    """The branch of periodic orbits, from strong currents to the Hopf point; arrays over its points."""

    current: Any  # uA/cm2
    state: Any  # (points, 4): v_rest, m, h, n at the upward crossing of v_rest
    period: Any  # ms
    multiplier: Any  # largest modulus of the three that are not trivial
    highest: Any  # of v on the orbit, mV
    lowest: Any
    folds: Any  # currents of the folds of cycles


class Point(NamedTuple):
    """One point of the branch."""

    z: Any  # (4,): m, h, n, v_rest/UNIT
    tangent: Any
    current: float
    period: float
    multiplier: float


def resting(params: Any, v: Any) -> tuple[Any, Any]:
    """Return the state with its gates steady at v, and the current that holds it there."""
    state = HodgkinHuxleyState(v, *map(steady, rates(v, params)))
    return state, -params.cm * HH.vector_field(jnp.zeros_like(v), state, params, jnp.zeros_like(v)).v


def follow(params: Any, top_current: float) -> Cycles:
    """Follow the cycles from the stable one at `top_current` through every fold to the Hopf point."""
    evaluate = return_map(params)
    v_top: Any = brentq(lambda v: float(resting(params, jnp.asarray(v))[1]) - top_current, -65.0, -50.0)
    z = np.array([0.1, 0.4, 0.5, v_top / UNIT])
    for _ in range(30):  # the cycle attracts
        z[:3] += evaluate(z)[1]
    first = correct(evaluate, z, np.array([0.0, 0.0, 0.0, -1.0]))
    assert first is not None, "there is no stable cycle at top_current"
    points, folds, step = [first], [], 0.02
    for _ in range(400):
        last = points[-1]
        found = correct(evaluate, last.z + step * last.tangent, last.tangent)
        if found is None or found.tangent @ last.tangent < 0.9:
            step /= 2
            continue
        if found.tangent[3] * last.tangent[3] < 0:  # the current turns
            points.append(fold(evaluate, last, step))
            folds.append(points[-1].current)
        points.append(found)
        step = min(1.3 * step, 0.05)
        still = np.asarray(resting(params, jnp.asarray(found.z[3] * UNIT))[0][1:])
        if np.max(np.abs(found.z[:3] - still)) < 0.003:
            break
    z, _, current, period, multiplier = (np.array(x) for x in zip(*points, strict=True))
    state = np.column_stack([z[:, 3] * UNIT, z[:, :3]])
    v = np.asarray(traces(params, *map(jnp.asarray, (current, state, period)))[1].v)
    return Cycles(current, state, period, multiplier, v.max(axis=1), v.min(axis=1), np.array(folds))


def return_map(params: Any) -> Callable[[Any], tuple[Any, Any, Any]]:
    """Return z -> (its Jacobian (3, 4), P(z) - z (3,), (current, period))."""

    def miss(z: Any) -> tuple[Any, Any]:
        gates, v = z[:3], z[3] * UNIT
        current = resting(params, v)[1]
        sol = jn.simulate(
            HH, params._replace(v_thresh=v), current, 100.0, state0=HodgkinHuxleyState(v, *gates), max_spikes=1, stop_after=1,
            stepsize_controller=TIGHT, adjoint=diffrax.ForwardMode(), throw=False,
        )  # fmt: skip
        out = jnp.stack(sol.final_state)[1:] - gates
        return out, (out, jnp.stack([current, sol.final_time]))

    jacobian = jax.jit(jax.jacfwd(miss, has_aux=True))

    def evaluate(z: Any) -> tuple[Any, Any, Any]:
        by_z, (out, values) = jacobian(jnp.asarray(z))
        return np.asarray(by_z), np.asarray(out), np.asarray(values)

    return evaluate


def correct(evaluate: Any, start: Any, tangent: Any) -> Point | None:
    """Return the point of the branch in the plane through `start` across the tangent; None where Newton fails."""
    z = start
    for _ in range(8):
        by_z, out, (current, period) = evaluate(z)
        if not np.all(np.isfinite(by_z)):
            return None
        system = np.vstack([by_z, tangent])
        if np.max(np.abs(out)) < 1e-9:
            t = np.linalg.solve(system, [0.0, 0.0, 0.0, 1.0])
            multiplier = np.max(np.abs(np.linalg.eigvals(by_z[:, :3] + np.eye(3))))
            return Point(z, t / np.linalg.norm(t), float(current), float(period), float(multiplier))
        z = z - np.linalg.solve(system, [*out, tangent @ (z - start)])
    return None


def fold(evaluate: Any, last: Point, step: float) -> Point:
    """Return the point within a step at which the current turns."""

    def ahead(s: float) -> Point:
        point = correct(evaluate, last.z + s * last.tangent, last.tangent)
        assert point is not None, "a step that was taken can be taken in part"
        return point

    s: Any = brentq(lambda s: ahead(s).tangent[3], 0.0, step, xtol=1e-10)
    return ahead(s)


@jax.jit
def traces(params: Any, currents: Any, states: Any, durations: Any) -> tuple[Any, Any]:
    """Return the times and states of 400 samples of runs from given states, (lanes, 400)."""

    def one(current: Any, state: Any, duration: Any) -> tuple[Any, Any]:
        ts = duration * jnp.linspace(0.0, 1.0, 400)
        never = params._replace(v_thresh=jnp.full_like(params.v_thresh, 1e3))
        sol = jn.simulate(
            HH, never, current, duration, state0=HodgkinHuxleyState(*state), saveat=ts, max_spikes=1, stepsize_controller=TIGHT,
        )  # fmt: skip
        return ts, sol.states

    return jax.vmap(one)(currents, states, durations)
