"""One row per model: every property test runs over it. A new model adds its row here."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxneuro as jn
from jaxneuro.types import Params


class Case(NamedTuple):
    """A model, parameters around which to draw, a current that makes it spike for 100 ms, and its own closed form."""

    model: jn.NeuronModel
    current: float
    draw: Callable[[np.random.Generator], Params]  # seeded random parameters that spike at `current`
    spike_time: Any  # None, or (params, current, n) -> n-th spike from the initial state
    source: str


def spread(model: jn.NeuronModel, **ranges: tuple[float, float]) -> Callable[[np.random.Generator], Params]:
    """Return a draw of the named parameters, each uniform in its range; the others keep their default."""
    return lambda rng: model.default_params(**{name: rng.uniform(*ends) for name, ends in ranges.items()})


def draw_lif(rng: np.random.Generator) -> Params:
    v_rest = rng.uniform(-75, -60)
    return jn.LIF.default_params(
        tau_m=rng.uniform(5, 30), v_rest=v_rest, r_m=rng.uniform(12, 20), v_thresh=v_rest + rng.uniform(8, 20),
        v_reset=v_rest - rng.uniform(0, 10), tau_refrac=rng.uniform(0, 5),
    )  # fmt: skip


def lif_spike_time(p: Params, current: Any, n: Any) -> Any:
    """Closed form of references: T = tau ln((v_inf - v_reset)/(v_inf - v_thresh)), from v_rest for the first."""
    v_inf = p.v_rest + p.r_m * current
    first = p.tau_m * jnp.log((v_inf - p.v_rest) / (v_inf - p.v_thresh))
    interval = p.tau_m * jnp.log((v_inf - p.v_reset) / (v_inf - p.v_thresh)) + p.tau_refrac
    return first + (n - 1) * interval


def draw_qif(rng: np.random.Generator) -> Params:
    v_rest = rng.uniform(-70, -60)
    return jn.QIF.default_params(
        tau_m=rng.uniform(5, 15), a=rng.uniform(0.02, 0.06), v_rest=v_rest, v_crit=v_rest + rng.uniform(5, 15),
        r_m=rng.uniform(8, 15), v_peak=rng.uniform(0, 30), v_reset=v_rest - rng.uniform(0, 10),
    )  # fmt: skip


def qif_spike_time(p: Params, current: Any, n: Any) -> Any:
    """Closed form of references, shifted and scaled: tau w' = a w^2 + q, with w = v - (v_rest + v_crit)/2."""
    middle = (p.v_rest + p.v_crit) / 2
    q = p.r_m * current - p.a * (p.v_crit - p.v_rest) ** 2 / 4
    root = jnp.sqrt(p.a / q)
    phase = lambda v: jnp.arctan((v - middle) * root)
    speed = jnp.sqrt(p.a * q) / p.tau_m
    return (phase(p.v_peak) - phase(p.v_rest) + (n - 1) * (phase(p.v_peak) - phase(p.v_reset))) / speed


def draw_izhikevich(rng: np.random.Generator) -> Params:
    r = rng.uniform()
    return jn.Izhikevich.default_params(
        a=rng.uniform(0.02, 0.06), b=rng.uniform(0.18, 0.22), c=-65 + 10 * r, d=8 - 5 * r,
        tau_a=rng.uniform(0.8, 1.5), tau_b=rng.uniform(0.8, 1.5),
    )  # fmt: skip


CASES = (
    Case(jn.LIF, 3.0, draw_lif, lif_spike_time, "closed form, Gerstner et al. (2014), eq. 1.9 ff."),
    Case(jn.QIF, 3.0, draw_qif, qif_spike_time, "closed form, integral of dv/(a v^2 + q)"),
    Case(jn.Izhikevich, 15.0, draw_izhikevich, None, "SciPy DOP853 in tests/test_accuracy.py"),
)


def draws(case: Case, number: int, seed: int = 0) -> Params:
    """Return `number` seeded parameter draws, stacked for vmap."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda *x: jnp.stack(x), *[case.draw(rng) for _ in range(number)])
