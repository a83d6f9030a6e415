"""Which of Izhikevich's twenty firing patterns belong to his equations, and which to the steps that drew them?

The figure of 2004 was drawn by a program with steps of 0.1 to 0.5 ms: V by one forward-Euler step, u from the new V, a
spike where V >= 30 mV at the end of a step. Here that program runs beside the exact solution of the same equations, for
all twenty panels, and the behaviour that gives a panel its name is tested on both (`izhikevich_panels`).

Source: Izhikevich (2004), IEEE Trans. Neural Netw. 15:1063, Fig. 1, doi:10.1109/TNN.2004.832719. Panel R has a recovery
equation of its own, u' = a b (V + 65); G and L use 4.1 V + 108 in place of 5 V + 140.

What one should see: the spike counts differ in nine panels, and three behaviours exist in the published program only. P: the
spikes come earlier, so the second pulse finds another phase and does not stop them. Q: seven more spikes follow the first. T:
each spike lowers u by 2, which hastens the next: the firing runs away, and the run is ended when its slots for spikes are
full. A small change of one number, printed below the table, shows each of the three exactly.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import diffrax
import jax
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_table, run_script
from experiments.izhikevich_panels import PANELS, RETUNED, Panel, Trace
from jaxneuro import plotting

# Spikes and first spike, ms: of the published program, and of the exact solution (SciPy, DOP853, rtol 1e-12).
REFERENCE = {
    "A": (5, 13.0, 5, 12.630524), "B": (1, 43.75, 1, 42.746376), "C": (28, 25.0, 29, 24.493590),
    "D": (6, 39.0, 8, 38.239657), "E": (6, 20.0, 7, 19.451625), "F": (6, 10.25, 6, 9.991406),
    "G": (10, 84.5, 10, 83.941615), "H": (14, 105.75, 18, 104.337874), "I": (1, 26.6, 1, 16.592594),
}  # fmt: skip
STEPS = 1600  # of the published program in every panel, so that it compiles once; what lies beyond t1 is dropped
COLOURS = {"published": "tab:orange", "exact": "tab:blue"}
SHIFT = 130.0  # mV between the two traces of a panel


class Artefacts(NamedTuple):
    published: Mapping[str, Trace]  # by panel
    exact: Mapping[str, Trace]
    retuned: Mapping[str, Trace]  # P, Q, T, exact
    published_shown: Mapping[str, bool]  # whether the behaviour is there
    exact_shown: Mapping[str, bool]
    retuned_shown: Mapping[str, bool]
    folder: str


def main(
    *,
    tolerance: float = 1e-11,
    samples: int = 2_001,
    max_spikes: int = 256,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Run the twenty panels both ways and the retuned three, test the behaviours, print the table and draw.

    Args:
        tolerance: relative and absolute tolerance of the exact solution.
        samples: points of each exact trace.
        max_spikes: slots for spikes per panel; a run with more is ended there.
        out: folder for the results (default results/izhikevich_gallery).
        smoke: fewer samples; all panels run.
    """
    samples = 501 if smoke else samples
    run = begin("izhikevich_gallery", out, locals())
    exact = {k: exact_trace(panel, tolerance, samples, max_spikes) for k, panel in PANELS.items()}
    retuned = {k: exact_trace(panel, tolerance, samples, max_spikes) for k, (_, panel) in RETUNED.items()}
    published = {k: published_trace(panel, max_spikes) for k, panel in PANELS.items()}
    shown_by = lambda found: {k: not trace.failure and bool(PANELS[k].shown(trace)) for k, trace in found.items()}
    shown = (shown_by(published), shown_by(exact), shown_by(retuned))
    report(published, exact, retuned, *shown)
    figures = {
        "izhikevich_gallery": draw(PANELS, published, exact, shown[1], (5, 4)),
        "retuned": draw({k: panel for k, (_, panel) in RETUNED.items()}, {}, retuned, shown[2], (1, 3)),
    }
    numbers = {
        f"{k}_{name}_{field}": getattr(trace, field)
        for name, found in (("published", published), ("exact", exact), ("retuned", retuned))
        for k, trace in found.items()
        for field in ("spikes", "ts", "v")
    }
    names = ("published", "exact", "retuned")
    finish(run, figures, numbers, shown=dict(zip(names, shown, strict=True)))
    return Artefacts(published, exact, retuned, shown[0], shown[1], shown[2], str(run.folder))


def published_trace(panel: Panel, max_spikes: int) -> Trace:
    """Return the run of the published program."""
    n = round(panel.t1 / panel.dt)
    ts = panel.dt * np.minimum(np.arange(STEPS + 1), n)
    sol = jn.simulate_grid(
        panel.model, panel.params, panel.current, STEPS * panel.dt, dt=panel.dt, scheme="izhikevich_2004",
        state0=panel.state0, max_spikes=max_spikes, saveat=ts,
    )  # fmt: skip
    spikes = np.asarray(sol.spike_times)
    ends = np.asarray(sol.states.v)[: n + 1]
    return Trace(spikes[spikes < panel.t1], ts[: n + 1], ends, panel.t1, jn.RESULTS[sol.result])


def exact_trace(panel: Panel, tolerance: float, samples: int, max_spikes: int) -> Trace:
    """Return the exact solution; all panels of one model share one compiled program."""
    sol = jn.simulate(
        panel.model, panel.params, panel.current, panel.t1, state0=panel.state0, max_spikes=max_spikes,
        saveat=np.linspace(0.0, panel.t1, samples), throw=False,
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
    )  # fmt: skip
    spikes, ts, v = np.asarray(sol.spike_times), np.asarray(sol.ts), np.asarray(sol.states.v)
    return Trace(spikes[np.isfinite(spikes)], ts, v, float(sol.final_time), jn.RESULTS[sol.result])


def report(
    published: Mapping[str, Trace], exact: Mapping[str, Trace], retuned: Mapping[str, Trace],
    published_shown: Mapping[str, bool], exact_shown: Mapping[str, bool], retuned_shown: Mapping[str, bool],
) -> None:  # fmt: skip
    """Print the counts beside those of the references, and the three panels that need other numbers."""
    kept = {True: "yes", False: "NO"}
    digits = lambda t: "-" if np.isnan(t) else f"{t:.6f}"
    count_first = lambda trace: (len(trace.spikes), trace.spikes[0])
    rows = []
    for k, panel in PANELS.items():
        n, first, n_exact, first_exact = REFERENCE.get(k, ("-", np.nan, "-", np.nan))
        count, time = count_first(exact[k])
        rows.append([
            f"{k} {panel.name}", *count_first(published[k]), n, first, kept[published_shown[k]],
            count, digits(time), n_exact, digits(first_exact), kept[exact_shown[k]],
        ])  # fmt: skip
    headers = [
        "panel",
        *["published: n", "first, ms", "ref.", "ref.", "shown"],
        *["exact: n", "first, ms", "ref.", "ref.", "shown"],
    ]
    print_table(
        "Spikes of the published program and of the exact solution, and whether the behaviour is shown", headers, rows
    )
    differ = [k for k in PANELS if len(published[k].spikes) != len(exact[k].spikes)]
    print(f"  the counts differ in {len(differ)} of {len(PANELS)} panels: {', '.join(differ)}")
    for k, panel in PANELS.items():
        if exact[k].failure:
            print(f"  {k}: the exact solution was ended at {exact[k].end:.4f} ms. {exact[k].failure}")
        if not exact_shown[k]:
            print(f"  {k}, {panel.name}: {panel.behaviour}. In the published program only.")
    for k, (change, _) in RETUNED.items():
        n, first = count_first(retuned[k])
        train = (
            f"{n} spike at {first:.6f} ms" if n == 1 else f"{n} spikes, {first:.6f} ... {retuned[k].spikes[-1]:.6f} ms"
        )
        print(f"  {k} with {change}: {train}; shown by the exact solution: {kept[retuned_shown[k]]}")


def draw(
    panels: Mapping[str, Panel], published: Mapping[str, Trace], exact: Mapping[str, Trace], shown: Mapping[str, bool],
    shape: tuple[int, int],
) -> Figure:  # fmt: skip
    """Draw each panel: the published trace above the exact one, their spike counts at the right, the input below."""
    figure = Figure(figsize=(4.6 * shape[1], 3.2 * shape[0]), layout="constrained")
    axes = np.reshape(figure.subplots(*shape), shape)
    for ax, (k, panel) in zip(axes.ravel(), panels.items(), strict=True):
        traces = {"exact": (exact[k], 0.0)} | ({"published": (published[k], SHIFT)} if k in published else {})
        for kind, (trace, shift) in traces.items():
            there = trace.ts <= trace.end
            ts, v = plotting.line_with_spikes(trace.ts[there], trace.v[there], trace.spikes, 30.0, panel.abcd[2])
            ax.plot(ts, v + shift, lw=0.9, color=COLOURS[kind], label=kind)
            count = f"{len(trace.spikes)}{'+' if trace.failure else ''}"
            ax.text(1.01, shift - 20.0, count, color=COLOURS[kind], transform=ax.get_yaxis_transform(), fontsize=9)
        draw_input(ax, panel)
        title = f"{k}  {panel.name}" + ("" if published else f"\n{RETUNED[k][0]}")
        title += "" if shown[k] else " (published only)"
        ax.set_title(title, fontsize=10, color="k" if shown[k] else "tab:red")
        levels = [(v, v + shift) for _, shift in traces.values() for v in (-60, 30)]
        ax.set(yticks=[y for _, y in levels], yticklabels=[str(v) for v, _ in levels], xlim=(0, panel.t1))
        ax.tick_params(labelsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("time (ms)")
    for ax in axes[:, 0]:
        ax.set_ylabel("V (mV); I below")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=2, title="V, and its number of spikes")
    return figure


@jax.jit
def sample(current: Any, ts: Any) -> Any:
    return jax.vmap(current)(ts)


def draw_input(ax: Any, panel: Panel) -> None:
    """Draw the input below the traces, scaled to 30 mV, with its lowest and highest value."""
    ts = np.linspace(0.0, panel.t1, 1_001)
    current = np.asarray(sample(panel.current, ts))
    low, high = current.min(), current.max()
    ax.plot(ts, -140.0 + 30.0 * (current - low) / (high - low), lw=0.9, color="k")
    ax.text(1.01, -145.0, f"{low:.3g}", transform=ax.get_yaxis_transform(), fontsize=7)
    ax.text(1.01, -115.0, f"{high:.3g}", transform=ax.get_yaxis_transform(), fontsize=7)


if __name__ == "__main__":
    run_script(main)
