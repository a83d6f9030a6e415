"""One row per model: every property test runs over it. A new model adds its row here."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxneuro as jn
from jaxneuro.types import Params


class Case(NamedTuple):
    """A model, parameters around which to draw, a current that makes it spike, and its own closed form."""

    model: jn.NeuronModel
    current: float
    draw: Callable[[np.random.Generator], Params]  # seeded random parameters that spike at `current`
    spike_time: Any  # None, or (params, current, n) -> n-th spike from the initial state
    source: str
    duration: float = 100.0  # ms


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


def theta_spike_time(p: Params, current: Any, n: Any) -> Any:
    """Closed form: u = tan(theta/2) obeys tau u' = u^2 + I, from u = 0 to inf, then from -inf to inf."""
    return p.tau_m * (n - 0.5) * jnp.pi / jnp.sqrt(current)


SCIPY = "SciPy DOP853 in tests/test_models_reduced.py"
DRAW_EIF = spread(jn.EIF, cm=(0.08, 0.12), g_leak=(0.008, 0.012), delta_t=(1.5, 4), tau_refrac=(0, 3))
DRAW_ADEX = spread(jn.AdEx, cm=(0.2, 0.3), a=(0.002, 0.006), b=(0.02, 0.1), tau_w=(100, 200), tau_refrac=(0, 3))
DRAW_IZHIKEVICH2007 = spread(
    jn.Izhikevich2007, cm=(80, 110), k=(0.6, 0.8), a=(0.02, 0.04), b=(-3, -1), c=(-60, -50), d=(60, 120)
)
DRAW_MIHALAS_NIEBUR = spread(
    jn.MihalasNiebur, a=(0.002, 0.006), b=(0.008, 0.012), theta_inf=(-53, -50), a1=(-1, 1), a2=(-0.2, 0.1)
)
DRAW_HINDMARSH_ROSE = spread(jn.HindmarshRose, b=(2.9, 3.1), d=(4.8, 5.2), r=(0.001, 0.006), x_rest=(-1.65, -1.55))

LSODA = "SciPy LSODA in tests/test_models_conductance.py"
DRAW_HODGKIN_HUXLEY = spread(
    jn.HodgkinHuxley, g_na=(110, 130), g_k=(32, 38), g_leak=(0.2, 0.4), e_leak=(-56, -53), temperature=(5, 10)
)
DRAW_WANG_BUZSAKI = spread(jn.WangBuzsaki, cm=(0.8, 1.2), g_na=(30, 40), g_k=(8, 10), g_leak=(0.08, 0.12), phi=(4, 6))
DRAW_MORRIS_LECAR = spread(
    jn.MorrisLecar, cm=(16, 20), g_ca=(4.4, 5), g_k=(7.5, 8.5), g_leak=(1.8, 2.2), v4=(27, 31), phi=(0.05, 0.07)
)
DRAW_TRAUB_MILES = spread(
    jn.TraubMiles, cm=(0.8, 1.2), g_na=(80, 120), g_k=(25, 35), g_leak=(0.04, 0.1), v_t=(-65, -60)
)
DRAW_CONNOR_STEVENS = spread(
    jn.ConnorStevens, cm=(0.9, 1.1), g_na=(110, 130), g_k=(18, 22), g_a=(40, 50), g_leak=(0.25, 0.35)
)
DRAW_POSPISCHIL = spread(
    jn.Pospischil, g_na=(50, 60), g_k=(4, 6), g_m=(0.03, 0.1), g_leak=(0.02, 0.04), tau_max=(500, 1000)
)


CASES = (
    Case(jn.LIF, 3.0, draw_lif, lif_spike_time, "closed form, Gerstner et al. (2014), eq. 1.9 ff."),
    Case(jn.QIF, 3.0, draw_qif, qif_spike_time, "closed form, integral of dv/(a v^2 + q)"),
    Case(jn.Izhikevich, 15.0, draw_izhikevich, None, "SciPy DOP853 in tests/test_accuracy.py"),
    Case(jn.Theta, 1.5, spread(jn.Theta, tau_m=(2, 8)), theta_spike_time, "closed form, integral of du/(u^2 + I)"),
    Case(jn.EIF, 0.1, DRAW_EIF, None, SCIPY),
    Case(jn.AdEx, 1.0, DRAW_ADEX, None, SCIPY),
    Case(jn.Izhikevich2007, 150.0, DRAW_IZHIKEVICH2007, None, SCIPY),
    Case(jn.MihalasNiebur, 2.5, DRAW_MIHALAS_NIEBUR, None, SCIPY),
    Case(jn.FitzHughNagumo, 0.8, spread(jn.FitzHughNagumo, a=(0.6, 0.8), b=(0.7, 0.9), eps=(0.07, 0.12)), None, SCIPY),
    Case(jn.HindmarshRose, 3.0, DRAW_HINDMARSH_ROSE, None, SCIPY),
    Case(jn.HodgkinHuxley, 12.0, DRAW_HODGKIN_HUXLEY, None, LSODA),
    Case(jn.WangBuzsaki, 2.0, DRAW_WANG_BUZSAKI, None, LSODA),
    Case(jn.MorrisLecar, 130.0, DRAW_MORRIS_LECAR, None, LSODA),
    Case(jn.TraubMiles, 4.0, DRAW_TRAUB_MILES, None, LSODA),
    Case(jn.ConnorStevens, 25.0, DRAW_CONNOR_STEVENS, None, LSODA),
    Case(jn.Pospischil, 5.0, DRAW_POSPISCHIL, None, LSODA),
)


def draws(case: Case, number: int, seed: int = 0) -> Params:
    """Return `number` seeded parameter draws, stacked for vmap."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda *x: jnp.stack(x), *[case.draw(rng) for _ in range(number)])
