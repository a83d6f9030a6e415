"""By which bifurcations does a neuron begin to fire? The three parameter sets of Morris & Lecar's model.

For each set: the branch of fixed points over the current with its folds and Hopf points, the periodic orbits, stable or not,
the f-I curve (the frequency of the stable ones), and a phase plane.

Source: Rinzel & Ermentrout (1998), "Analysis of neural excitability and oscillations", in Koch & Segev (eds.), Methods in
Neuronal Modeling, 2nd ed., MIT Press, ch. 7; Morris & Lecar (1981), Biophys. J. 35:193, doi:10.1016/S0006-3495(81)84782-0.

What one should see:
- Hopf set: rest loses stability in a subcritical Hopf point at 93.86 uA/cm2; a stable cycle of full size exists already from
  about 88.3, beside rest and an unstable cycle between. Firing sets in at a finite rate (class 2).
- SNLC set: rest meets a saddle on the cycle itself (fold at 39.963), so the rate rises from zero as the root of the
  distance (class 1). Firing ends in a fold of cycles beyond the subcritical Hopf point at 97.8.
- homoclinic set (a faster potassium current): the same curve of fixed points, but the cycle begins on the saddle's own loop,
  below the fold: rest and firing coexist, and the rate rises from zero steeply, as -1/log of the distance.

How the cycles are found: at the voltage v* of the upper fixed point every cycle around it crosses upwards once, at some w below
that of the point. The map from w to w at the next crossing is evaluated on a grid of w; where it crosses the diagonal,
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
from jaxneuro.neurons.morris_lecar import MorrisLecarState

ML = neurons.MorrisLecar
SETS = (
    ("Hopf", neurons.morris_lecar_hopf),
    ("SNLC", neurons.morris_lecar_snlc),
    ("homoclinic", neurons.morris_lecar_homoclinic),
)
BOUNDS = (-30.0, 250.0)  # of the branch, uA/cm2
DIAGRAMS = ((50.0, 250.0), (-30.0, 140.0), (25.0, 50.0))  # what the diagrams show, uA/cm2
WINDOWS = ((80.0, 225.0), (39.0, 120.0), (33.0, 45.0))  # where the cycles are, uA/cm2
PLANES = (90.0, 42.0, 37.0)  # currents of the phase planes, uA/cm2
# (what, number along the branch) -> uA/cm2: SciPy, zeros of the trace and of dI_ss/dv.
REFERENCE = {
    ("Hopf", "Hopf point", 0): 93.85761837, ("Hopf", "Hopf point", 1): 212.01881610,
    ("SNLC", "fold", 0): 39.96315309, ("SNLC", "fold", 1): -9.94903932, ("SNLC", "Hopf point", 0): 97.78788896,
    ("homoclinic", "fold", 0): 39.96315309, ("homoclinic", "fold", 1): -9.94903932,
    ("homoclinic", "Hopf point", 0): 36.31621750,
}  # fmt: skip
RATES = {45.0: 10.06966, 60.0: 17.05860}  # of the SNLC set, Hz: SciPy, DOP853


class PlanePoints(NamedTuple):
    """Fixed points at one current, as `plotting.phase_plane` draws them."""

    states: Any
    stable: Any


class Cycles(NamedTuple):
    """Periodic orbits of one set, arrays over them."""

    current: Any  # uA/cm2
    rate: Any  # Hz
    stable: Any
    v: Any  # (orbits, samples), mV
    w: Any


class Artefacts(NamedTuple):
    branches: Any  # Branch of the three sets, stacked
    cycles: list[Cycles]
    rates: Any  # of the SNLC set at the currents of RATES, Hz
    failed: int  # cycles that Newton's method lost
    folder: str


def main(*, num_currents: int = 120, num_starts: int = 160, out: str | None = None, smoke: bool = False) -> Artefacts:
    """Compute branches and cycles of the three sets, compare with the references and draw.

    Args:
        num_currents: currents at which cycles are looked for, in each set.
        num_starts: values of w on the section at which the return map is evaluated.
        out: folder for the results (default results/morris_lecar_bifurcations).
        smoke: few currents and starts, for tests.
    """
    if smoke:
        num_currents, num_starts = 8, 96
    run = begin("morris_lecar_bifurcations", out, locals())
    params = jax.tree.map(lambda *x: jnp.stack(x), *(make() for _, make in SETS))
    branches = jax.jit(jax.vmap(follow))(params)
    # The last of each row is that of the phase plane, the two before are those of the table of rates.
    currents = [[*np.linspace(*window, num_currents), *RATES, i] for window, i in zip(WINDOWS, PLANES, strict=True)]
    points = jax.jit(jax.vmap(jax.vmap(points_at, (None, 0))))(params, jnp.asarray(currents))
    cycles, failed = find_cycles(params, jnp.asarray(currents), points, num_starts)
    snlc = cycles[1]
    rates = np.array([np.max(snlc.rate[(snlc.current == i) & snlc.stable]) for i in RATES])
    report(branches, cycles, rates)
    print(f"\n{failed} of {failed + sum(len(c.rate) for c in cycles)} cycles were lost by Newton's method")
    numbers = {f"{name}_{k}": x for (name, _), c in zip(SETS, cycles, strict=True) for k, x in c._asdict().items()}
    numbers |= {"branch_values": branches.values, "branch_v": branches.states.v, "branch_stable": branches.stable}
    numbers |= {"fold": branches.folds.value, "hopf": branches.hopfs.value}
    at_plane = jax.tree.map(lambda x: x[:, -1], (points.states, points.stable))
    figure = draw(params, branches, cycles, at_plane)
    finish(run, {"morris_lecar_bifurcations": figure}, numbers, snlc_rates=rates, failed=failed)
    return Artefacts(branches, cycles, rates, failed, str(run.folder))


def follow(params: Any) -> Any:
    """Return the branch of fixed points of one set."""
    return analysis.continuation(ML, params, 0.0, ML.init_state(params), bounds=BOUNDS, throw=False)


def points_at(params: Any, current: Any) -> Any:
    return analysis.fixed_points(ML, params, current, max_points=3, throw=False)


def find_cycles(params: Any, currents: Any, points: Any, num_starts: int) -> tuple[list[Cycles], int]:
    """Return the cycles of each set around the upper fixed point at its currents, and how many were lost."""
    upper = jnp.maximum(points.num_points - 1, 0)[..., None]
    v, w = (jnp.take_along_axis(x, upper, axis=-1)[..., 0] for x in points.states)
    # Denser towards the point, where the small cycles are; a hundredth of the way down is the smallest looked for.
    half = num_starts // 2
    parts = jnp.sort(jnp.concatenate([jnp.geomspace(0.01, 0.99, half), jnp.linspace(0.1, 1.0, num_starts - half)]))
    rows = np.indices(currents.shape).reshape(2, -1)
    starts = np.asarray(w)[*rows, None] * (1 - np.asarray(parts))
    lanes = lambda rows: (jax.tree.map(lambda x: x[rows[0]], params), currents[*rows], v[*rows])
    rows, ends = brackets(lanes, rows, starts)
    orbit, trace = jax.tree.map(np.asarray, jax.jit(jax.vmap(orbit_from))(*lanes(rows), jnp.asarray(ends.mean(axis=0))))
    room = 0.01 * np.abs(np.asarray(w)[*rows] - ends[0])
    inside = (orbit.state.w > ends.min(axis=0) - room) & (orbit.state.w < ends.max(axis=0) + room)
    good = np.asarray(orbit.result == jn.RESULTS.successful) & inside
    stable, at = np.asarray(orbit.stable), np.asarray(currents)[*rows]
    of_set = [good & (rows[0] == number) for number in range(len(SETS))]
    return [Cycles(at[x], orbit.rate[x], stable[x], trace.v[x], trace.w[x]) for x in of_set], int(np.sum(~good))


def brackets(lanes: Any, rows: Any, starts: Any) -> tuple[Any, Any]:
    """Return the rows of (set, current) with a cycle, and w on both sides of it: where the map crosses the diagonal.

    Refined twice, between the ends of what was found: unstable cycles repel strongly, so Newton's method needs a near guess.
    """
    evaluate, count, ends = jax.jit(jax.vmap(jax.vmap(beyond, (None, None, None, 0)))), len(starts), starts[:, :2].T
    for _ in range(3):
        pieces = [slice(at, at + count) for at in range(0, len(starts), count)]
        error = np.concatenate([padded(evaluate, count, *lanes(rows[:, x]), jnp.asarray(starts[x])) for x in pieces])
        lane, at = np.nonzero(error[:, :-1] * error[:, 1:] < 0)
        rows, ends = rows[:, lane], np.stack([starts[lane, at], starts[lane, at + 1]])
        starts = np.linspace(ends[0], ends[1], starts.shape[1], axis=-1)
    return rows, ends


def padded(evaluate: Any, count: int, *lanes: Any) -> Any:
    """Evaluate fewer than `count` lanes as `count`, so that one compiled program serves."""
    number = lanes[-1].shape[0]
    index = np.minimum(np.arange(count), number - 1)
    return np.asarray(evaluate(*jax.tree.map(lambda x: x[index], lanes)))[:number]


def beyond(params: Any, current: Any, v: Any, start: Any) -> Any:
    """Return how far the next upward crossing of v lies above `start`; NaN where there is none."""
    section, state = params._replace(v_thresh=v), MorrisLecarState(v, start)
    sol = jn.simulate(ML, section, current, 1500.0, state0=state, max_spikes=1, stop_after=1, throw=False)
    return jnp.where(sol.num_spikes > 0, sol.final_state.w - start, jnp.nan)


def orbit_from(params: Any, current: Any, v: Any, start: Any) -> Any:
    """Return the cycle through about (v, start), and 200 samples of it."""
    section, state = params._replace(v_thresh=v), MorrisLecarState(v, start)
    orbit = analysis.periodic_orbit(ML, section, current, state0=state, settle=1, max_iterations=15, throw=False)
    return orbit, analysis.orbit_samples(ML, section, current, orbit, 200).states


def report(branches: Any, cycles: list[Cycles], rates: Any) -> None:
    """Print folds and Hopf points beside their references, and where the stable cycles are."""
    rows = []
    for k, (name, _) in enumerate(SETS):
        for what, points, number in (
            ("fold", branches.folds, branches.num_folds[k]), ("Hopf point", branches.hopfs, branches.num_hopfs[k]),
        ):  # fmt: skip
            for j in range(int(number)):
                value, v, omega, c = (
                    float(x[k, j]) for x in (points.value, points.state.v, points.omega, points.coefficient)
                )
                known = REFERENCE.get((name, what, j), np.nan)
                kind = what if what == "fold" else f"{what}, {'sub' if c > 0 else 'super'}critical"
                numbers = f"{value:.8f}", f"{known:.8f}", f"{abs(value - known):.1e}", v, 1e3 * omega / (2 * np.pi)
                rows.append((name, kind, *numbers))
    headers = ["set", "bifurcation", "I, uA/cm2", "reference", "difference", "v, mV", "frequency, Hz"]
    print_table("Bifurcations of the fixed points (reference: SciPy)", headers, rows)
    rows = [
        (name, c.current[c.stable].min(), c.current[c.stable].max(), c.rate[c.stable].min(), c.rate[c.stable].max())
        for (name, _), c in zip(SETS, cycles, strict=True)
    ]
    headers = ["set", "from, uA/cm2", "to", "lowest rate, Hz", "highest"]
    print_table("Stable cycles on the grid of currents", headers, rows)
    rows = [(i, float(rate), known) for (i, known), rate in zip(RATES.items(), rates, strict=True)]
    print_table("Rates of the SNLC set (reference: SciPy)", ["I, uA/cm2", "rate, Hz", "reference, Hz"], rows)


def draw(params: Any, branches: Any, cycles: list[Cycles], at_plane: Any) -> Figure:
    """Draw a row per set: bifurcation diagram, frequencies, phase plane."""
    figure = Figure(figsize=(15, 12), layout="constrained")
    grid = figure.subplots(3, 3, width_ratios=(1.3, 1, 1))
    lines = jax.jit(jax.vmap(lambda p, i: analysis.nullclines(ML, p, i, jnp.linspace(-75.0, 45.0, 400))))
    lines = lines(params, jnp.asarray(PLANES))
    for k, (diagram, fi, plane) in enumerate(grid):
        branch, line, (states, stable) = (
            jax.tree.map(lambda x, k=k: x[k], tree) for tree in (branches, lines, at_plane)
        )
        c = cycles[k]
        plotting.bifurcation_diagram(branch, diagram, units=("uA/cm2", "mV"))
        plotting.phase_plane(line, plane, points=PlanePoints(states, stable))
        for chosen, filling, name in ((c.stable, "tab:blue", "stable cycle"), (~c.stable, "none", "unstable cycle")):
            style: dict[str, Any] = dict(ms=3, mfc=filling, mec="tab:blue", mew=0.7)
            for extremum, label in ((c.v.max(axis=1), f"{name}, extrema"), (c.v.min(axis=1), None)):
                diagram.plot(c.current[chosen], extremum[chosen], "o", label=label, **style)
            fi.plot(c.current[chosen], c.rate[chosen], "o", label=name, **style)
            here = chosen & (c.current == PLANES[k])
            dash = "-" if filling != "none" else "--"
            for v, w in zip(c.v[here], c.w[here], strict=True):
                plane.plot(v, w, dash, color="tab:blue", lw=1.2, label=name)
        diagram.set(title=f"{SETS[k][0]} set", xlim=DIAGRAMS[k], ylim=(-75, 45))
        fi.set(title="frequency of the cycles", xlabel="current (uA/cm2)", ylabel="rate (Hz)", ylim=(0, None))
        plane.set(title=f"phase plane at {PLANES[k]:g} uA/cm2", xlim=(-75, 45), ylim=(-0.05, 0.7))
        for ax in (diagram, fi, plane):
            ax.grid(alpha=0.3)
            ax.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    run_script(main)
