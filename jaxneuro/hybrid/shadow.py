"""A perturbation followed beside the state, which caps the steps where the state itself shows no error."""

import math
from collections.abc import Callable
from functools import reduce
from itertools import combinations
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import Literal

from jaxneuro.hybrid.problem import Carry, Config, Settings, combine_stim
from jaxneuro.hybrid.tolerance import tolerance
from jaxneuro.hybrid.turn import Flow, rate
from jaxneuro.solvers import rough_power
from jaxneuro.types import Scalar, State

# What a unit perturbation of the state may lose in one step, in units of rtol.
_SHADOW_TOLERANCE = 600.0


def no_contrast(config: Config, zero: Scalar) -> Any:
    """Return the contrast where something new may perturb the lane: one, with a stiff solver one for each variable."""
    return (zero + 1,) * config.num_fields if config.stiff else zero + 1


def shadow_cap(config: Config, settings: Settings, flow: Flow, carry: Carry, wanted: Scalar) -> tuple[Scalar, Any]:
    """Return the step, shortened to what a perturbation of the state survives accurately, and its decay rate (per ms).

    A controller measures the error of the state alone. Where the state rests, or moves in a straight line, it measures
    nothing, the steps grow without bound, and the derivative of the flow, which decays like e^(rate t), would be lost. So
    a perturbation is followed beside the state: `contrast`, the inverse of its size, is 1 where something new may perturb
    the lane, and a step of z = h rate of a method of order k may err by z^(k+1)/(k+1)!/contrast. The rate of a variable
    is |J_ii| + max_j sqrt|J_ij J_ji|, whatever the units of the variables, and what decays is surely -J_ii less that
    coupling. A state whose motion bends by more than the perturbation's would is in the controller's sight, and does not count.
    """
    columns, bends = _jacobian(config, flow, carry.t, carry.y)
    order = eqx.combine(settings.solver, config.solver).order(dfx.ODETerm(lambda t, y, args: y))
    allowed = math.factorial(order + 1) * _SHADOW_TOLERANCE * tolerance(config, settings)
    if config.stiff:
        return _cap_of_each(
            columns, bends, carry, wanted, lambda contrast: rough_power(allowed * contrast, 1 / (order + 1))
        )
    fastest, decay = jnp.zeros_like(wanted), jnp.zeros_like(wanted)
    pairs = {(i, j): jnp.sqrt(jnp.abs(columns[i][j] * columns[j][i])) for i, j in combinations(range(len(bends)), 2)}
    for i, bend in enumerate(bends):
        coupling = reduce(jnp.maximum, [c for pair, c in pairs.items() if i in pair], jnp.zeros_like(wanted))
        rate_i = jnp.abs(columns[i][i]) + coupling
        faster = (jnp.abs(bend) * carry.contrast < rate_i * rate_i) & (rate_i > fastest)
        decay = jnp.where(faster, jnp.maximum(-columns[i][i] - coupling, 0.0), decay)
        fastest = jnp.where(faster, rate_i, fastest)
    z = rough_power(allowed * carry.contrast, 1 / (order + 1))
    h = jnp.where(wanted * fastest > z, z / jnp.where(fastest > 0, fastest, 1.0), wanted)
    return _cap_of_input(config, flow, carry, bends, h, rough_power(allowed, 1 / (order + 1))), decay


def _cap_of_input(config: Config, flow: Flow, carry: Carry, bends: list[Scalar], wanted: Scalar, z: Scalar) -> Scalar:
    """Return the step, shortened to what a relative change of the input, which is the current at each instant, survives.

    Where the input is added to the equation, as most often, it acts alike everywhere, and nothing is to be done. But the
    theta neuron at I = 1 turns uniformly, without any error and with J = 0, while its sensitivity to I, 1 + cos theta, varies.
    """
    piece = combine_stim(config, flow.stim).piece(flow.positions)
    value = jax.tree.map(lambda x: jnp.asarray(x, config.dtype), piece.value(carry.t, ()))

    def force(y: State) -> State:
        return jax.jvp(lambda i: config.model.vector_field(carry.t, y, flow.params, i), (value,), (value,))[1]

    if not depends(force, carry.y):
        return wanted
    flowing = lambda y: rate(config, flow, carry.t, y)
    changing = lambda y: jax.jvp(force, (y,), (flowing(y),))[1]
    velocity = flowing(carry.y)
    first, second = jax.jvp(changing, (carry.y,), (velocity,))
    for f, once, twice, bend in zip(*map(jax.tree.leaves, (velocity, first, second)), bends, strict=True):
        f, once, twice = jnp.abs(f), jnp.abs(once), jnp.abs(twice)
        # wanted * rate > z, where the rate is the larger of once/f and sqrt(twice/f)
        fast = (wanted * once > z * f) | (wanted * wanted * twice > z * z * f)
        slower = z * jnp.minimum(f / once, jnp.sqrt(f / twice))  # inf where a change is zero
        wanted = jnp.where(fast & (bend * bend < jnp.maximum(once * once, twice * f)), slower, wanted)
    return wanted


def depends(fn: Callable, x: Any) -> bool:
    """Return whether fn(x) can depend on x: not, if no operation leads from there to the result."""
    jaxpr = jax.make_jaxpr(fn)(x).jaxpr
    reached = set(jaxpr.invars)
    for eqn in jaxpr.eqns:
        if any(v in reached for v in eqn.invars if not isinstance(v, Literal)):
            reached.update(eqn.outvars)
    return any(v in reached for v in jaxpr.outvars if not isinstance(v, Literal))


def _cap_of_each(columns: Any, bends: Any, carry: Carry, wanted: Scalar, allowed_z: Callable) -> tuple[Scalar, Any]:
    """Return the same for a stiff solver, for which each variable has a contrast of its own.

    An explicit method's step stays below what the fastest variable is stable at, hence small for all others. A stiff one
    steps over a variable that has decayed, and must then still see the perturbation of a slower one. Between variables of
    different speeds the coupling is weaker, min(sqrt|J_ij J_ji|, 2 |J_ij J_ji| / |J_ii - J_jj|): a bound of what it moves
    the eigenvalues of the two by.
    """
    h, decays = wanted, []
    for i, (bend, contrast) in enumerate(zip(bends, carry.contrast, strict=True)):
        coupling = jnp.zeros_like(wanted)
        for j in range(len(bends)):
            if j != i:
                product, apart = jnp.abs(columns[i][j] * columns[j][i]), jnp.abs(columns[i][i] - columns[j][j])
                weak = 4 * product < apart * apart
                shift = jnp.where(weak, 2 * product / jnp.where(weak, apart, 1.0), jnp.sqrt(product))
                coupling = jnp.maximum(coupling, shift)
        rate_i, z = jnp.abs(columns[i][i]) + coupling, allowed_z(contrast)
        quiet = (jnp.abs(bend) * contrast < rate_i * rate_i) & (h * rate_i > z)
        h = jnp.where(quiet, z / jnp.where(quiet, rate_i, 1.0), h)
        decays.append(jnp.maximum(-columns[i][i] - coupling, 0.0))
    return h, tuple(decays)


def _jacobian(config: Config, flow: Flow, t: Scalar, y: State) -> tuple[list[list[Scalar]], list[Scalar]]:
    """Return columns[j][i] = df_i/dy_j and y'' = J f + df/dt; what they share, XLA computes once."""
    leaves, tree = jax.tree.flatten(y)
    field = lambda t, *leaves: jax.tree.leaves(rate(config, flow, t, jax.tree.unflatten(tree, leaves)))
    columns = []
    for j, x in enumerate(leaves):
        along = lambda x, j=j: field(t, *leaves[:j], x, *leaves[j + 1 :])
        columns.append(jax.jvp(along, (x,), (jnp.ones_like(x),))[1])
    f, bends = jax.jvp(lambda t: field(t, *leaves), (t,), (jnp.ones_like(t),))
    for column, velocity in zip(columns, f, strict=True):
        bends = [bend + entry * velocity for bend, entry in zip(bends, column, strict=True)]
    return columns, bends


def contrast_after(config: Config, carry: Carry, h: Scalar, decay: Any) -> Any:
    """Return the contrast after a step of length h: growing as the perturbation decays, but no more than a method lets it.

    A perturbation decays by at least 1 + z + z^2/2 (from 1/e^z); beyond z = 2 an explicit method leaves more and more
    of it (z^6/720 for one of order five, bounded here by a line), until at 3 it does not decay any more. With a stiff one
    it decays by at least 1 + z, and by 2 + 0.15 z at long steps (from the stability functions of ImplicitEuler and
    Kvaerno3, 4, 5; RushLarsen is above).
    """
    if config.stiff:
        gain = lambda z: jnp.minimum(1 + z, 2 + 0.15 * z)
        return tuple(jnp.minimum(c * gain(h * d), 1e20) for c, d in zip(carry.contrast, decay, strict=True))
    z = decay * h
    gain = jnp.minimum(1 + z + 0.5 * z * z, 20.2 - 6.4 * z)
    return jnp.minimum(carry.contrast * jnp.maximum(gain, 1.0), 1e20)
