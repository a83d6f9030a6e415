"""What does the squid axon do at each current, and where do rest and firing exist side by side?

The spike and its gates, the f-I curve, every periodic orbit from the Hopf point up to strong currents, and the two
thresholds of the axon: the least current that evokes a spike when it is switched on (rheobase), and the least at which
rest is unstable. For pulses, the strength-duration curve.

Source: Hodgkin & Huxley (1952), J. Physiol. 117:500, doi:10.1113/jphysiol.1952.sp004764; cycles and bistability: Rinzel & Miller
(1980), Math. Biosci. 49:27, doi:10.1016/0025-5564(80)90109-1; up to three unstable cycles: Balti, Lanza & Aziz-Alaoui
(2018), Math. Biosci. Eng. 15:807, doi:10.3934/mbe.2018036.

What one should see: firing begins at full rate (about 50 Hz, class 2). Unstable cycles go from the subcritical Hopf point at
9.775 uA/cm2 through two folds near 7.9 to a third at 6.26, where the stable cycle begins. Between 6.26 and 9.775 the axon
rests or fires, as it came. A step of only 2.24 from rest evokes one spike; a short pulse needs a charge of 6.5 nC/cm2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_table, run_script
from experiments.hodgkin_huxley_cycles import HH, TIGHT, Cycles, follow, rest_at, samples
from jaxneuro import analysis

# From -65 mV, SciPy (DOP853 at 1e-12): first upward crossing of 0 mV (ms) and steady rate (Hz); spikes of one that stops.
FIRING = {6.5: (2.493843, 55.057), 10.0: (1.900972, 68.3237), 20.0: (1.270734, 86.4701)}
STOPPING = {5.0: 1, 6.0: 2, 6.2: 3}
RHEOBASE, HOPF, V_HOPF = 2.2403336, 9.77544, -59.65414  # uA/cm2, mV; SciPy


class Steps(NamedTuple):
    """What steps and pulses from rest evoke."""

    fi: Any  # FICurve
    first_spike: Any  # of the currents of FIRING, ms
    rheobase: float  # uA/cm2
    limit: float  # stability limit of rest, uA/cm2
    widths: Any  # of pulses, ms
    pulses: Any  # their thresholds, uA/cm2


class Artefacts(NamedTuple):
    cycles: Cycles
    orbits: Any  # (points of the branch, samples, 4): v, m, h, n over a period
    hopf: float  # current, uA/cm2
    steps: Steps | None
    folder: str


def main(
    *,
    num_currents: int = 96,
    duration: float = 1_000.0,
    top_current: float = 20.0,
    widths: tuple[float, ...] = (0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 1.5, 2.5, 4.0, 6.0, 10.0, 20.0),
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Compute all, compare with the references and draw.

    Args:
        num_currents: currents of the f-I curve.
        duration: length of its runs, ms.
        top_current: highest current of all curves, above the Hopf point, uA/cm2.
        widths: of the pulses of the strength-duration curve, ms.
        out: folder for the results (default results/hodgkin_huxley).
        smoke: only rest and the cycles, no steps and pulses, for tests.
    """
    run = begin("hodgkin_huxley", out, locals())
    params = HH.default_params()
    cycles, (v_hopf, hopf) = follow(params, top_current)
    orbits = np.asarray(samples(params, cycles))
    steps = None if smoke else steps_from_rest(params, np.linspace(0.0, top_current, num_currents), duration, widths)
    report(cycles, v_hopf, hopf, steps)
    numbers = {f"cycles_{k}": x for k, x in cycles._asdict().items()} | dict(orbits=orbits)
    found: dict[str, Any] = dict(hopf=hopf, folds_of_cycles=list(cycles.folds))
    if steps is not None:
        numbers |= dict(currents=steps.fi.currents, rate=steps.fi.rate, widths=steps.widths, pulses=steps.pulses)
        found |= dict(rheobase=steps.rheobase)
    v = jnp.linspace(-66.0, -55.0, 2000)
    currents = jax.vmap(rest_at, in_axes=(None, 0))(params, v)[1]
    figure = draw(cycles, orbits, (v, currents, v < v_hopf), hopf, steps)
    finish(run, {"hodgkin_huxley": figure}, numbers, **found)
    return Artefacts(cycles, orbits, hopf, steps, str(run.folder))


def steps_from_rest(params: Any, currents: Any, duration: float, widths: tuple[float, ...]) -> Steps:
    first = lambda i: jn.simulate(
        HH, params, i, 10.0, max_spikes=1, stop_after=1, stepsize_controller=TIGHT
    ).spike_times[0]
    pulse = lambda width: analysis.pulse_threshold(HH, params, width, t1=100.0).current
    return Steps(
        fi=analysis.fi_curve(HH, params, np.sort([*currents, *STOPPING, *FIRING]), duration),
        first_spike=np.asarray(jax.jit(jax.vmap(first))(jnp.asarray(list(FIRING)))),
        rheobase=float(analysis.rheobase(HH, params, bracket=(0.0, 10.0), t1=200.0).current),
        limit=float(analysis.stability_limit(HH, params).current),
        widths=np.asarray(widths),
        pulses=np.asarray(jax.jit(jax.vmap(pulse))(jnp.asarray(widths))),
    )


def report(cycles: Cycles, v_hopf: float, hopf: float, steps: Steps | None) -> None:
    rows = [("Hopf point: current", hopf, HOPF), ("Hopf point: v, mV", v_hopf, V_HOPF)]
    rows += [("fold of cycles", float(fold), np.nan) for fold in cycles.folds]
    if steps is not None:
        rows += [("rheobase", steps.rheobase, RHEOBASE), ("stability limit", steps.limit, HOPF)]
        at = lambda current: int(np.flatnonzero(steps.fi.currents == current)[0])
        spikes, steady_rates = zip(*FIRING.values(), strict=True)
        columns = (FIRING, steps.first_spike, spikes, [float(steps.fi.rate[at(i)]) for i in FIRING], steady_rates)
        headers = ["current", "first spike, ms", "reference", "rate, Hz", "reference"]
        print_table("Steps from -65 mV (uA/cm2)", headers, zip(*columns, strict=True))
        counts = [(i, int(steps.fi.num_spikes[at(i)]), n) for i, n in STOPPING.items()]
        print_table("Spikes before it rests again", ["current", "spikes", "reference"], counts)
        headers = ["width, ms", "amplitude, uA/cm2", "charge, nC/cm2"]
        charges = steps.widths * steps.pulses
        print_table("Pulses from rest", headers, zip(steps.widths, steps.pulses, charges, strict=True))
    print_table("Thresholds (uA/cm2)", ["", "found", "reference"], rows)


def draw(cycles: Cycles, orbits: Any, rest: Any, hopf: float, steps: Steps | None) -> Figure:
    figure = Figure(figsize=(15, 8), layout="constrained")
    (v_ax, band_ax, fi_ax), (gates_ax, zoom_ax, pulse_ax) = figure.subplots(2, 3)
    stable = np.flatnonzero(cycles.multiplier < 1)
    shown = stable[np.argmin(np.abs(cycles.current[stable] - 10))]
    ts = np.arange(3 * orbits.shape[1]) / orbits.shape[1] * cycles.period[shown]
    for ax, field, name, color in (
        (v_ax, 0, "v", "k"), (gates_ax, 1, "m", "tab:red"), (gates_ax, 2, "h", "tab:orange"), (gates_ax, 3, "n", "tab:blue"),
    ):  # fmt: skip
        ax.plot(ts, np.tile(orbits[shown, :, field], 3), color=color, lw=1.5, label=name)
    v_ax.set(title=f"Firing at {cycles.current[shown]:.2f} uA/cm2, three periods", xlabel="time (ms)", ylabel="v (mV)")
    gates_ax.set(title="Gates", xlabel="time (ms)", ylabel="open fraction")
    gates_ax.legend(loc="upper right")
    extremes = orbits[:, :, 0].max(axis=1), orbits[:, :, 0].min(axis=1)
    draw_band(band_ax, cycles, extremes, rest)
    band_ax.set(title="Rest and cycles (dashed: unstable)", xlim=(0, np.max(cycles.current)))
    draw_band(zoom_ax, cycles, extremes, rest)
    zoom_ax.axvspan(np.min(cycles.folds), hopf, color="0.9", zorder=0, label="rest or firing")
    zoom_ax.set(title="The bistable band", xlim=(5.8, 10.4), ylim=(-80, 50))
    zoom_ax.legend(loc="center right", fontsize=8)
    draw_rates(fi_ax, cycles, hopf, steps)
    if steps is not None:
        pulse_ax.loglog(steps.widths, steps.pulses, "o-", color="tab:purple", ms=4, label="threshold of a pulse")
        pulse_ax.axhline(steps.rheobase, color="tab:purple", ls=":", label="rheobase")
        pulse_ax.legend()
    pulse_ax.set(title="Strength-duration curve", xlabel="width of the pulse (ms)", ylabel="amplitude (uA/cm2)")
    return figure


def draw_rates(ax: Any, cycles: Cycles, hopf: float, steps: Steps | None) -> None:
    for stable, style in ((True, "-"), (False, "--")):
        chosen = np.where((cycles.multiplier < 1) == stable, 1e3 / cycles.period, np.nan)
        ax.plot(cycles.current, chosen, style, color="tab:green", lw=2, label=f"{'' if stable else 'un'}stable cycle")
    if steps is not None:
        ax.plot(steps.fi.currents, steps.fi.rate, ".", color="k", ms=4, label="step from rest")
        ax.axvline(steps.rheobase, color="tab:purple", ls=":", lw=1.5, label=f"rheobase: {steps.rheobase:.3f}")
    ax.axvline(hopf, color="tab:red", ls=":", lw=1.5, label=f"rest unstable: {hopf:.3f}")
    ax.set(title="f-I curve", xlabel="current (uA/cm2)", ylabel="rate (Hz)", xlim=(0, None), ylim=(-3, None))
    ax.legend(fontsize=8, loc="lower right")


def draw_band(ax: Any, cycles: Cycles, extremes: Any, rest: Any) -> None:
    """Draw v at rest and the extrema of v on the cycles over the current."""
    v, current, stable = map(np.asarray, rest)
    for flag, style in ((True, "-"), (False, "--")):
        ax.plot(
            current, np.where(stable == flag, v, np.nan), style, color="k", label=f"rest, {'' if flag else 'un'}stable"
        )
        chosen = (cycles.multiplier < 1) == flag
        for k, extreme in enumerate(extremes):
            label = None if k else f"cycle, {'' if flag else 'un'}stable"
            ax.plot(cycles.current, np.where(chosen, extreme, np.nan), style, color="tab:green", label=label)
    ax.set(xlabel="current (uA/cm2)", ylabel="v (mV)")
    ax.grid(alpha=0.3)


if __name__ == "__main__":
    run_script(main)
