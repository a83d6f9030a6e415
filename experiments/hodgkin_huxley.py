"""What does the squid axon do at each current, and where do rest and firing exist side by side?

The spike and its gates, the f-I curve, every periodic orbit from strong currents down to the Hopf point, and the two
thresholds of the axon: the least current that evokes a spike when it is switched on (rheobase), and the least at which
rest is unstable.

Source: Hodgkin & Huxley (1952), J. Physiol. 117:500, doi:10.1113/jphysiol.1952.sp004764; cycles and bistability: Rinzel & Miller
(1980), Math. Biosci. 49:27, doi:10.1016/0025-5564(80)90109-1.

What one should see: firing begins at full rate (about 50 Hz, class 2). The stable cycle ends near 6.3 uA/cm2 in a fold of
cycles; the unstable cycle goes from there, with two more folds between 7.8 and 8, to the subcritical Hopf point at 9.775.
Between 6.3 and 9.8 the axon rests or fires, as it came. A step of only 2.24 from rest evokes one spike.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_table, run_script
from experiments.hodgkin_huxley_cycles import HH, TIGHT, Cycles, follow, traces
from jaxneuro import analysis
from jaxneuro.neurons.gating import steady
from jaxneuro.neurons.hodgkin_huxley import HodgkinHuxleyState, rates

# First upward crossing of 0 mV (ms) and steady rate (Hz) from -65 mV: SciPy, DOP853 at 1e-12.
REFERENCE = {6.5: (2.493843, 55.057), 10.0: (1.900972, 68.3237), 20.0: (1.270734, 86.4701)}


class Artefacts(NamedTuple):
    fi: Any  # FICurve of steps from rest
    cycles: Cycles
    rheobase: float
    limit: float  # Hopf point
    widths: Any
    pulses: Any  # thresholds of pulses
    first_spike: Any  # of the currents of REFERENCE, ms
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
        top_current: highest current, where the branch of cycles starts, uA/cm2.
        widths: of the pulses of the strength-duration curve, ms; none leaves it out.
        out: folder for the results (default results/hodgkin_huxley).
        smoke: few currents, no pulses, for tests.
    """
    if smoke:
        num_currents, duration, widths = 8, 300.0, ()
    run = begin("hodgkin_huxley", out, locals())
    params = HH.default_params()
    currents = np.sort([*np.linspace(0.0, top_current, num_currents), 5.0, 6.0, 6.2, *REFERENCE])
    fi = analysis.fi_curve(HH, params, currents, duration)
    cycles = follow(params, top_current)
    rest = rest_curve(params)
    threshold = analysis.rheobase(HH, params, bracket=(0.0, 10.0), t1=200.0)
    limit = analysis.stability_limit(HH, params)
    pulses = np.zeros(0)
    if widths:
        solve = lambda width: analysis.pulse_threshold(HH, params, width, t1=100.0).current
        pulses = np.asarray(jax.jit(jax.vmap(solve))(jnp.asarray(widths)))
    start = jnp.stack(HH.init_state(params))[None]
    ts, states = traces(params, jnp.array([10.0]), start, jnp.array([60.0]))
    spikes = ts[0], jax.tree.map(lambda x: x[0], states)
    at_reference = [int(np.flatnonzero(currents == i)[0]) for i in REFERENCE]
    first = np.asarray(first_spikes(params, tuple(REFERENCE)))
    report(fi, at_reference, first, cycles, threshold, limit, np.asarray(widths), pulses)
    figure = draw(fi, cycles, rest, spikes, float(threshold.current), float(limit.current), widths, pulses)
    numbers = {f"cycles_{k}": x for k, x in cycles._asdict().items()}
    numbers |= {"currents": currents, "rate": fi.rate, "num_spikes": fi.num_spikes, "widths": widths, "pulses": pulses}
    found = dict(rheobase=float(threshold.current), hopf=float(limit.current), folds_of_cycles=list(cycles.folds))
    finish(run, {"hodgkin_huxley": figure}, numbers, **found)
    return Artefacts(
        fi, cycles, float(threshold.current), float(limit.current), np.asarray(widths), pulses, first, str(run.folder)
    )


def rest_curve(params: Any) -> tuple[Any, Any, Any]:
    """Return v, current and stability of rest."""

    def point(v: Any) -> tuple[Any, Any]:
        state = HodgkinHuxleyState(v, *map(steady, rates(v, params)))
        zero = jnp.zeros_like(v)
        current = -params.cm * HH.vector_field(zero, state, params, zero).v  # the current that holds v
        return current, analysis.stability(HH, params, current, state).stable

    v = jnp.linspace(-66.0, -55.0, 2000)
    return (v, *jax.vmap(point)(v))


def first_spikes(params: Any, currents: Any) -> Any:
    one = lambda i: jn.simulate(HH, params, i, 10.0, max_spikes=1, stop_after=1, stepsize_controller=TIGHT).spike_times[
        0
    ]
    return jax.jit(jax.vmap(one))(jnp.asarray(currents))


def report(
    fi: Any, rows: list[int], first: Any, cycles: Cycles, threshold: Any, limit: Any, widths: Any, pulses: Any
) -> None:
    spikes, steady_rates = zip(*REFERENCE.values(), strict=True)
    headers = ["current", "first spike, ms", "reference", "rate, Hz", "reference"]
    columns = (list(REFERENCE), first, spikes, np.asarray(fi.rate)[rows], steady_rates)
    print_table("Steps from -65 mV (uA/cm2)", headers, zip(*columns, strict=True))
    few = {5.0: 1, 6.0: 2, 6.2: 3}
    counts = [(i, int(fi.num_spikes[np.flatnonzero(fi.currents == i)[0]]), n) for i, n in few.items()]
    print_table("Spikes before it rests again", ["current", "spikes", "reference"], counts)
    rows_of = [
        ("rheobase (step from rest)", float(threshold.current), 2.2403336),
        ("Hopf point: current", float(limit.current), 9.77544),
        ("Hopf point: v, mV", float(limit.state.v), -59.65414),
        *(("fold of cycles", fold, np.nan) for fold in cycles.folds),
    ]
    print_table("Thresholds (uA/cm2)", ["", "found", "reference"], rows_of)
    if len(widths):
        headers = ["width, ms", "amplitude, uA/cm2", "charge, nC/cm2"]
        print_table("Pulses from rest", headers, zip(widths, pulses, widths * pulses, strict=True))


def draw(
    fi: Any, cycles: Cycles, rest: Any, spikes: Any, rheobase: float, hopf: float, widths: Any, pulses: Any
) -> Figure:
    figure = Figure(figsize=(15, 8), layout="constrained")
    (v_ax, band_ax, fi_ax), (gates_ax, zoom_ax, pulse_ax) = figure.subplots(2, 3)
    ts, states = spikes
    v_ax.plot(ts, states.v, color="k", lw=1.2)
    v_ax.set(title="Spikes at 10 uA/cm2", xlabel="time (ms)", ylabel="v (mV)")
    for name, color in (("m", "tab:red"), ("h", "tab:orange"), ("n", "tab:blue")):
        gates_ax.plot(ts, getattr(states, name), color=color, label=name)
    gates_ax.set(title="Gates", xlabel="time (ms)", ylabel="open fraction")
    gates_ax.legend(loc="upper right")
    draw_band(band_ax, cycles, rest)
    band_ax.set(title="Rest and cycles (dashed: unstable)", xlim=(0, np.max(cycles.current)))
    draw_band(zoom_ax, cycles, rest)
    zoom_ax.axvspan(np.min(cycles.folds, initial=hopf), hopf, color="0.9", zorder=0, label="rest or firing")
    zoom_ax.set(title="The bistable band", xlim=(5.8, 10.4), ylim=(-80, 50))
    zoom_ax.legend(loc="center right", fontsize=8)
    for stable, style in ((True, "-"), (False, "--")):
        chosen = np.where((cycles.multiplier < 1) == stable, 1e3 / cycles.period, np.nan)
        fi_ax.plot(
            cycles.current, chosen, style, color="tab:green", lw=2, label=f"{'' if stable else 'un'}stable cycle"
        )
    fi_ax.plot(fi.currents, fi.rate, ".", color="k", ms=4, label="step from rest")
    for x, name, color in ((rheobase, "rheobase", "tab:purple"), (hopf, "rest unstable", "tab:red")):
        fi_ax.axvline(x, color=color, ls=":", lw=1.5, label=f"{name}: {x:.3f}")
    fi_ax.set(title="f-I curve", xlabel="current (uA/cm2)", ylabel="rate (Hz)", xlim=(0, None), ylim=(-3, None))
    fi_ax.legend(fontsize=8, loc="lower right")
    if len(widths):
        pulse_ax.loglog(widths, pulses, "o-", color="tab:purple", ms=4, label="threshold of a pulse")
    pulse_ax.axhline(rheobase, color="tab:purple", ls=":", label="rheobase")
    pulse_ax.set(title="Strength-duration curve", xlabel="width of the pulse (ms)", ylabel="amplitude (uA/cm2)")
    pulse_ax.legend()
    return figure


def draw_band(ax: Any, cycles: Cycles, rest: Any) -> None:
    """Draw v at rest and the extrema of v on the cycles over the current."""
    v, current, stable = map(np.asarray, rest)
    for flag, style in ((True, "-"), (False, "--")):
        ax.plot(
            current, np.where(stable == flag, v, np.nan), style, color="k", label=f"rest, {'' if flag else 'un'}stable"
        )
        chosen = (cycles.multiplier < 1) == flag
        for k, extreme in enumerate((cycles.highest, cycles.lowest)):
            label = None if k else f"cycle, {'' if flag else 'un'}stable"
            ax.plot(cycles.current, np.where(chosen, extreme, np.nan), style, color="tab:green", label=label)
    ax.set(xlabel="current (uA/cm2)", ylabel="v (mV)")
    ax.grid(alpha=0.3)


if __name__ == "__main__":
    run_script(main)
