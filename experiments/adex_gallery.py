"""How many firing patterns does one model with two variables have?

Eight parameter sets of the adaptive exponential integrate-and-fire neuron, each under a step of current from rest,

    cm v' = -g_leak (v - e_leak) + g_leak delta_t exp((v - v_thresh)/delta_t) - w + I,   tau_w w' = a (v - e_leak) - w,

with v <- v_reset, w <- w + b where v reaches v_peak.

Source: Naud, Marcille, Clopath & Gerstner (2008), Biol. Cybern. 99:335, Fig. 4 and Table 1, doi:10.1007/s00422-008-0264-7;
delayed regular bursting and transient spiking as corrected by Mueller (2011), see `jaxneuro.neurons.adex`.

What one should see: each pattern follows from where the reset puts the state in the phase plane. Below the nullcline v' = 0
(red) the next spike comes at once, above it v falls first: a detour, and a long interval. Tonic spiking lands far below it
(which lies above the picture); in a burst w climbs by b per spike until the reset lands above. Where a < 0 the nullcline of w
(green) falls, and w pulls the membrane up for a long time before the first spike.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_table, run_script
from jaxneuro import analysis, plotting
from jaxneuro.neurons import adex


class Pattern(NamedTuple):
    """A row of the paper's Table 1."""

    params: Callable[[], Any]
    current: float  # step, nA
    reference: tuple[
        float, float, float
    ]  # spikes in 500 ms, first and last, ms (SciPy, LSODA, rtol 1e-11); NaN where not known


UNKNOWN = (np.nan, np.nan, np.nan)
PATTERNS = {
    "tonic spiking": Pattern(adex.adex_tonic, 0.5, (51, 14.222934, 490.939374)),
    "adaptation": Pattern(adex.adex_adaptation, 0.5, (10, 14.904044, 431.516445)),
    "initial burst": Pattern(adex.adex_initial_burst, 0.4, (10, 5.463509, 454.826115)),
    "regular bursting": Pattern(adex.adex_regular_bursting, 0.21, UNKNOWN),
    "delayed accelerating": Pattern(adex.adex_delayed_accelerating, 0.3, UNKNOWN),
    "delayed regular bursting": Pattern(adex.adex_delayed_regular_bursting, 0.11, UNKNOWN),
    "transient spiking": Pattern(adex.adex_transient, 0.18, UNKNOWN),
    "irregular spiking": Pattern(adex.adex_irregular, 0.16, UNKNOWN),
}


class Artefacts(NamedTuple):
    names: list[str]
    spike_times: Any  # (patterns, max_spikes), ms, padded with inf
    counts: Any  # (patterns,)
    ts: Any  # (samples,), ms
    v: Any  # (patterns, samples), mV
    w: Any  # (patterns, samples), nA
    folder: str


def main(
    *,
    duration: float = 500.0,
    samples: int = 5_001,
    tolerance: float = 1e-11,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Run the eight patterns in one vmapped call, print the table and draw.

    Args:
        duration: length of the step of current and of the runs, ms.
        samples: points of each trace.
        tolerance: relative and absolute tolerance of the solver.
        out: folder for the results (default results/adex_gallery).
        smoke: fewer samples; all patterns run.
    """
    samples = 1_001 if smoke else samples
    run = begin("adex_gallery", out, locals())
    params = [pattern.params() for pattern in PATTERNS.values()]
    currents = jnp.array([pattern.current for pattern in PATTERNS.values()])
    ts = jnp.linspace(0.0, duration, samples)
    sol = simulate(jax.tree.map(lambda *x: jnp.stack(x), *params), currents, ts, tolerance)
    report(duration, sol.spike_times)
    runs = [jax.tree.map(lambda x, i=i: np.asarray(x[i]), sol._replace(result=None)) for i in range(len(params))]
    found = Artefacts(
        list(PATTERNS), np.asarray(sol.spike_times), np.asarray(sol.num_spikes), np.asarray(ts), np.asarray(sol.states.v),
        np.asarray(sol.states.w), str(run.folder),
    )  # fmt: skip
    numbers = {k: x for k, x in found._asdict().items() if k != "folder"}
    finish(run, {"adex_gallery": draw(params, currents, runs)}, numbers)
    return found


@jax.jit
def simulate(params: Any, currents: Any, ts: Any, tolerance: Any) -> Any:
    controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)
    one = lambda p, i: jn.simulate(
        jn.AdEx, p, i, ts[-1], saveat=ts, max_spikes=512, stepsize_controller=controller, throw=True
    )
    return jax.vmap(one)(params, currents)


def report(duration: float, spike_times: Any) -> None:
    rows = []
    for (name, pattern), train in zip(PATTERNS.items(), np.asarray(spike_times), strict=True):
        train = train[np.isfinite(train)]
        intervals = np.diff(train) if len(train) > 1 else np.array([np.nan])
        n, *known = pattern.reference if duration == 500.0 else UNKNOWN
        digits = ["-" if np.isnan(t) else f"{t:.6f}" for t in (train[0], known[0], train[-1], known[1])]
        rows.append([name, pattern.current, len(train), n, *digits, intervals.min(), intervals.max()])
    headers = [
        "pattern",
        "I, nA",
        "spikes",
        "ref.",
        "first, ms",
        "ref.",
        "last, ms",
        "ref.",
        "shortest interval",
        "longest",
    ]
    print_table(f"Spikes of the eight patterns in {duration:g} ms", headers, rows)


def draw(params: list[Any], currents: Any, runs: list[Any]) -> Figure:
    """Draw each pattern: the voltage with its spikes, and beside it the phase plane."""
    figure = Figure(figsize=(20, 15), layout="constrained")
    axes = figure.subplots(4, 4, width_ratios=(1.5, 1, 1.5, 1)).reshape(8, 2)
    v = jnp.linspace(-75.0, 0.0, 301)
    for (left, right), name, p, current, sol in zip(axes, PATTERNS, params, currents, runs, strict=True):
        peak, reset = float(p.v_peak), float(p.v_reset)
        plotting.voltage(sol, left, peak=peak, reset=reset, lw=0.9)
        left.set_title(f"{name}: I = {float(current):g} nA, {sol.num_spikes} spike{'s' if sol.num_spikes > 1 else ''}")
        # In pA, as in the paper.
        scaled = lambda tree: jax.tree.map(lambda w: 1e3 * w, tree)
        lines = analysis.nullclines(jn.AdEx, p, current, v)
        in_pa = sol._replace(states=sol.states._replace(w=1e3 * sol.states.w))
        plotting.phase_plane(
            lines._replace(second=scaled(lines.second)), right, sol=in_pa, peak=peak, units=("mV", "pA")
        )
        right.axvline(reset, color="0.6", lw=0.8, ls=":", label="reset")
        right.set(xlim=(-75.0, 2.0))
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


if __name__ == "__main__":
    run_script(main)
