"""By which bifurcations does a neuron begin to fire? The three parameter sets of Morris & Lecar's model.

For each set: the branch of fixed points over the current with its folds and Hopf points, the periodic orbits, stable or not,
the f-I curve (the frequency of the stable ones), and a phase plane.

Source: Rinzel & Ermentrout (1998), "Analysis of neural excitability and oscillations", in Koch & Segev (eds.), Methods in Neuronal
Modeling, 2nd ed., MIT Press, ch. 7, figs. 7.3 to 7.7; Morris & Lecar (1981), Biophys. J. 35:193,
doi:10.1016/S0006-3495(81)84782-0.

What one should see:
- Hopf set: rest loses stability in a subcritical Hopf point at 93.86 uA/cm2; a stable cycle of full size exists already from 88.3,
  beside rest and an unstable cycle between. Firing sets in at a finite rate (class 2).
- SNLC set: rest meets a saddle on the cycle itself (fold at 39.963), so the rate rises from zero as the root of the
  distance (class 1). Firing ends in a fold of cycles beyond the subcritical Hopf point at 97.8.
- homoclinic set (a faster potassium current): the same curve of fixed points, but the cycle begins on the saddle's own loop, below
  the fold: rest and firing coexist, and the rate rises from zero steeply, as -1/log of the distance.

How the cycles are found: at the voltage v* of the upper fixed point every cycle around it crosses upwards once, at some w below
that of the point. The map from w to w at the next crossing is evaluated on a grid of w; where it crosses the diagonal
`jn.analysis.periodic_orbit` finds the cycle by Newton's method, stable or not.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_table, run_script
from jaxneuro import analysis, neurons, plotting

ML = neurons.MorrisLecar
SETS = (
    ("Hopf", neurons.morris_lecar_hopf),
    ("SNLC", neurons.morris_lecar_snlc),
    ("homoclinic", neurons.morris_lecar_homoclinic),
)
BOUNDS = (-30.0, 250.0)  # of the branch, uA/cm2
WINDOWS = ((80.0, 225.0), (39.0, 120.0), (33.0, 45.0))  # where the cycles are, uA/cm2
PLANES = (90.0, 42.0, 37.0)  # currents of the phase planes, uA/cm2
SLOTS = 3  # cycles at one current
# (what, number along the branch) -> uA/cm2: SciPy, zeros of the trace and of dI_ss/dv.
REFERENCE = {
    ("Hopf", "Hopf point", 0): 93.85761837, ("Hopf", "Hopf point", 1): 212.01881610,
    ("SNLC", "fold", 0): 39.96315309, ("SNLC", "fold", 1): -9.94903932, ("SNLC", "Hopf point", 0): 97.78788896,
    ("homoclinic", "fold", 0): 39.96315309, ("homoclinic", "fold", 1): -9.94903932,
    ("homoclinic", "Hopf point", 0): 36.31621750,
}  # fmt: skip
RATES = {45.0: 10.06966, 60.0: 17.05860}  # of the SNLC set, Hz: SciPy, DOP853


class Cycles(NamedTuple):
    """Periodic orbits over the current; arrays (currents, SLOTS), NaN where there is none."""

    current: Any  # (currents,), uA/cm2
    rate: Any  # Hz
    highest: Any  # of v on the orbit, mV
    lowest: Any
    stable: Any


class Artefacts(NamedTuple):
    branches: Any  # Branch of the three sets, stacked
    cycles: list[Cycles]
    rates: Any  # of the SNLC set at the currents of RATES, Hz
    folder: str


def main(*, num_currents: int = 120, num_starts: int = 48, out: str | None = None, smoke: bool = False) -> Artefacts:
    """Compute branches and cycles of the three sets, compare with the references and draw.

    Args:
        num_currents: currents at which cycles are looked for, in each set.
        num_starts: values of w on the section at which the return map is evaluated.
        out: folder for the results (default results/morris_lecar_bifurcations).
        smoke: few currents and starts, for tests.
    """
    if smoke:
        num_currents, num_starts = 8, 8
    run = begin("morris_lecar_bifurcations", out, locals())
    params = jax.tree.map(lambda *x: jnp.stack(x), *(make() for _, make in SETS))
    branches = jax.jit(jax.vmap(follow))(params)
    currents = np.stack([np.linspace(*window, num_currents) for window in WINDOWS])
    currents = np.concatenate([currents, np.tile(list(RATES), (3, 1))], axis=1)  # the last two for the table
    every = jax.tree.map(np.asarray, cycles(params, jnp.asarray(currents), num_starts))
    found = [Cycles(*(x[k, :num_currents] for x in every)) for k in range(3)]
    rates = np.nanmax(np.where(every.stable[1], every.rate[1], np.nan)[num_currents:], axis=1)
    report(branches, found, rates)
    numbers = {f"{name}_{k}": x for (name, _), c in zip(SETS, found, strict=True) for k, x in c._asdict().items()}
    numbers |= {f"branch_{k}": getattr(branches, k) for k in ("values", "stable")}
    numbers |= {"branch_v": branches.states.v, "fold": branches.folds.value, "hopf": branches.hopfs.value}
    finish(run, {"morris_lecar_bifurcations": draw(params, branches, found)}, numbers, snlc_rates=rates)
    return Artefacts(branches, found, rates, str(run.folder))


def follow(params: Any) -> Any:
    """Return the branch of fixed points of one set."""
    return analysis.continuation(ML, params, 0.0, ML.init_state(params), bounds=BOUNDS, throw=False)


@jax.jit(static_argnums=2)
def cycles(params: Any, currents: Any, num_starts: int) -> Cycles:
    """Return the cycles of stacked parameter sets at currents (sets, currents)."""
    return jax.vmap(jax.vmap(lambda p, i: cycles_at(p, i, num_starts), (None, 0)))(params, currents)


def cycles_at(params: Any, current: Any, num_starts: int) -> Cycles:
    """Return the cycles around the upper fixed point at one current."""
    points = analysis.fixed_points(ML, params, current, max_points=3, throw=False)
    v, w = (jnp.take(x, jnp.maximum(points.num_points - 1, 0)) for x in points.states)
    section = params._replace(v_thresh=v)
    state = type(ML.init_state(params))

    def beyond(start: Any) -> Any:
        """Return how far the next crossing lies above `start`; NaN where there is none."""
        sol = jn.simulate(ML, section, current, 1500.0, state0=state(v, start), max_spikes=1, stop_after=1, throw=False)
        return jnp.where(sol.num_spikes > 0, sol.final_state.w - start, jnp.nan)

    # Denser towards the point, where the small cycles are; a hundredth of the way is the smallest looked for.
    starts = w * (1 - jnp.geomspace(0.01, 1.0, num_starts))
    error = jax.vmap(beyond)(starts)
    crosses = error[:-1] * error[1:] < 0
    (left,) = jnp.nonzero(crosses, size=SLOTS, fill_value=0)
    part = error[left] / (error[left] - error[left + 1])
    near = starts[left] + part * (starts[left + 1] - starts[left])

    def orbit_from(start: Any, there: Any) -> tuple[Any, ...]:
        orbit = analysis.periodic_orbit(ML, section, current, state0=state(v, start), settle=1, throw=False)
        trace = analysis.orbit_samples(ML, section, current, orbit, 200).states.v
        good = there & (orbit.result == jn.RESULTS.successful)
        values = (orbit.rate, jnp.max(trace), jnp.min(trace))
        return *(jnp.where(good, x, jnp.nan) for x in values), good & orbit.stable

    return Cycles(current, *jax.vmap(orbit_from)(near, jnp.arange(SLOTS) < jnp.sum(crosses)))


def report(branches: Any, found: list[Cycles], rates: Any) -> None:
    """Print folds and Hopf points beside their references, and where the stable cycles are."""
    rows = []
    for k, (name, _) in enumerate(SETS):
        for what, points, number in (
            ("fold", branches.folds, branches.num_folds[k]), ("Hopf point", branches.hopfs, branches.num_hopfs[k]),
        ):  # fmt: skip
            for j in range(int(number)):
                value, v, omega, c = (float(x[k, j]) for x in (points.value, points.state.v, points.omega, points.coefficient))
                known = REFERENCE.get((name, what, j), np.nan)
                kind = what if what == "fold" else f"{what}, {'sub' if c > 0 else 'super'}critical"
                rows.append((name, kind, f"{value:.7f}", f"{known:.7f}", f"{abs(value - known):.1e}", v, 1e3 * omega / (2 * np.pi)))
    headers = ["set", "bifurcation", "I, uA/cm2", "reference", "difference", "v, mV", "frequency, Hz"]
    print_table("Bifurcations of the fixed points (reference: SciPy)", headers, rows)
    rows = []
    for (name, _), c in zip(SETS, found, strict=True):
        at = c.current[np.any(c.stable, axis=1)]
        slowest = np.nanmin(np.where(c.stable, c.rate, np.nan))
        rows.append((name, float(at.min()), float(at.max()), float(slowest)))
    print_table("Stable cycles on the grid of currents", ["set", "from, uA/cm2", "to", "lowest rate, Hz"], rows)
    rows = [(i, float(rate), known) for (i, known), rate in zip(RATES.items(), rates, strict=True)]
    print_table("Rates of the SNLC set", ["I, uA/cm2", "rate, Hz", "reference, Hz"], rows)


def draw(params: Any, branches: Any, found: list[Cycles]) -> Figure:
    """Draw a row per set: bifurcation diagram, f-I curve, phase plane."""
    figure = Figure(figsize=(15, 12), layout="constrained")
    for k, axes in enumerate(figure.subplots(3, 3, width_ratios=(1.3, 1, 1))):
        lane = lambda tree, k=k: jax.tree.map(lambda x: x[k], tree)
        p, c, diagram, fi, plane = lane(params), found[k], *axes
        plotting.bifurcation_diagram(lane(branches), diagram, units=("uA/cm2", "mV"))
        order = np.repeat(c.current[:, None], SLOTS, axis=1)
        for chosen, filling, name in ((c.stable, "tab:blue", "stable cycle"), (~c.stable, "none", "unstable cycle")):
            style: dict[str, Any] = dict(ms=3, mfc=filling, mec="tab:blue", mew=0.7)
            diagram.plot(order[chosen], c.highest[chosen], "o", label=f"{name}, extrema", **style)
            diagram.plot(order[chosen], c.lowest[chosen], "o", **style)
            fi.plot(order[chosen], c.rate[chosen], "o", label=name, **style)
        low, high = WINDOWS[k]
        room = 0.6 * (high - low)
        diagram.set(title=f"{SETS[k][0]} set", xlim=(low - room, high + room), ylim=(-75, 45))
        fi.set(title="frequency of the cycles", xlabel="current (uA/cm2)", ylabel="rate (Hz)", ylim=(0, None))
        draw_plane(p, PLANES[k], plane)
        for ax in axes:
            ax.grid(alpha=0.3)
            ax.legend(fontsize=8)
    return figure


def draw_plane(params: Any, current: float, ax: Any) -> None:
    """Draw nullclines, fixed points and a run from (0 mV, w = 0.1) at one current."""
    lines = analysis.nullclines(ML, params, current, jnp.linspace(-75.0, 45.0, 400))
    points = analysis.fixed_points(ML, params, current, max_points=3)
    state0 = ML.init_state(params)._replace(v=jnp.asarray(0.0), w=jnp.asarray(0.1))
    sol = jn.simulate(ML, params, current, 600.0, state0=state0, saveat=jnp.linspace(0.0, 600.0, 6001))
    plotting.phase_plane(lines, ax, points=points)
    ax.plot(sol.states.v, sol.states.w, lw=0.9, color="tab:blue", label="run from v = 0, w = 0.1")
    ax.set(title=f"phase plane at {current:g} uA/cm2", xlim=(-75, 45), ylim=(-0.05, 0.7))


if __name__ == "__main__":
    run_script(main)
