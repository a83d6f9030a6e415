"""How does a neuron with adaptation fire as its reset potential moves: regularly, in pairs, or in no pattern at all?

The adaptation current w of the AdEx model just after each spike, when the pattern has settled, over the reset potential v_reset;
and below it the largest Lyapunov exponent of the return map from spike to spike, from its derivative through the reset.

Source: Touboul & Brette (2008), Biol. Cybern. 99:319, doi:10.1007/s00422-008-0267-4, figure 8B. Parameters (C = 281 pF,
g_L = 30 nS, E_L = -70.6 mV, V_T = -50.4 mV, Delta_T = 2 mV, tau_w = 40 ms, a = 4 nS, b = 0.08 nA, I = 0.8 nA, spike at
V_T + 5 Delta_T) and the range -48.3 to -47.7 mV are those of the authors' script for the figure (an example of the Brian
simulator). Not from there: the wider range, the exponent, and w after its jump b at the spike, not before.

What one should see: from left to right one value of w, two, four, ...: a cascade of period doublings into chaos, and windows of
periodic firing with 3, 4, ... spikes in it. The exponent is negative where firing is periodic, touches zero where a period
doubles, and is positive in chaos. The first doubling lies where the Floquet multiplier of the period-1 orbit, which is
followed through it, is -1.
"""

from typing import Any, NamedTuple

import diffrax
import jax
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_failures, print_table, run_script, timed
from jaxneuro.analysis import periodic_orbit, return_map_exponent

CURRENT = 0.8  # nA
PAPER = (-48.3, -47.7)  # mV


class Artefacts(NamedTuple):
    v_reset: Any  # (neurons,), mV
    w: Any  # (neurons, spikes), nA, just after the spike
    exponent: Any  # (neurons,), per spike
    spikes_per_period: Any  # (neurons,), 0 where no period was found
    doubling: float  # v_reset at which the multiplier of the period-1 orbit is -1, mV
    exponent_there: float  # of the nearest neuron
    folder: str


def parameters(v_reset: Any) -> Any:
    return jn.AdEx.default_params(
        cm=0.281, g_leak=0.03, e_leak=-70.6, v_thresh=-50.4, delta_t=2.0, tau_w=40.0, a=0.004, b=0.08,
        v_peak=-50.4 + 5 * 2.0, tau_refrac=0.0, v_reset=v_reset,
    )  # fmt: skip


def main(
    *,
    num_neurons: int = 3_000,
    v_reset: tuple[float, float] = (-49.0, -47.4),
    num_spikes: int = 200,
    transient: int = 300,
    tolerance: float = 1e-8,
    batch_size: int | None = None,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Sweep the reset potential, find the first period doubling, and draw.

    Args:
        num_neurons: neurons, one per reset potential.
        v_reset: lowest and highest reset potential, mV.
        num_spikes: spikes shown of each.
        transient: spikes before those.
        tolerance: rtol and atol of the solver.
        batch_size: neurons per tile of the sweep (None: the library's choice).
        out: folder for the results (default results/chaos_in_adex).
        smoke: few neurons and spikes, for tests.
    """
    if smoke:
        num_neurons, num_spikes, transient = 32, 40, 60
    run = begin("chaos_in_adex", out, locals())
    controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)

    def neuron(point: dict[str, Any]) -> Any:
        found = return_map_exponent(
            jn.AdEx, parameters(point["v_reset"]), CURRENT, num_spikes=num_spikes, transient=transient, throw=False,
            stepsize_controller=controller,
        )  # fmt: skip
        return found.states.w, found.exponent, found.result

    grid = jn.grid(v_reset=np.linspace(*v_reset, num_neurons))
    (w, exponent, result), seconds = timed(lambda: jn.sweep(neuron, grid, batch_size=batch_size, progress=not smoke))
    failed = print_failures(result)
    v, w, exponent = np.asarray(grid["v_reset"]), np.asarray(w), np.asarray(exponent)
    doubling = first_doubling(*v_reset)
    nearest = int(np.argmin(np.abs(v - doubling)))
    periods = spikes_per_period(w)
    report(v, exponent, periods, doubling, nearest)
    print(
        f"{num_neurons} neurons x {num_spikes + transient} spikes: {seconds:.1f} s with tracing and compiling; {failed} failed"
    )
    numbers = {"v_reset": v, "w": w, "exponent": exponent, "spikes_per_period": periods}
    found = dict(doubling=doubling, exponent_there=exponent[nearest], seconds=seconds, failed=failed)
    finish(run, {"chaos_in_adex": draw(v, w, exponent, doubling)}, numbers, **found)
    return Artefacts(v, w, exponent, periods, doubling, float(exponent[nearest]), str(run.folder))


def first_doubling(low: float, high: float) -> float:
    """Return where the multiplier of the period-1 orbit is -1 (it falls with v_reset), by bisection to 1e-10 mV."""

    @jax.jit
    def stable(v: Any) -> Any:
        return periodic_orbit(jn.AdEx, parameters(v), CURRENT, throw=False).stable

    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if stable(middle) else (low, middle)
    return low


def spikes_per_period(w: Any, tolerance: float = 1e-5) -> Any:
    """Return the least number of spikes (up to 16) after which w comes back, 0 if it does not."""
    found = np.zeros(len(w), int)
    for k in range(16, 0, -1):
        found[np.max(np.abs(w[:, k:] - w[:, :-k]), axis=1) < tolerance * np.max(w)] = k
    return found


def report(v: Any, exponent: Any, periods: Any, doubling: float, nearest: int) -> None:
    rows = [
        (k, np.sum(periods == k), np.min(exponent[periods == k]), np.max(exponent[periods == k]))
        for k in np.unique(periods)
    ]
    headers = ["spikes in a period (0: none found)", "neurons", "least exponent", "largest, 1/spike"]
    print_table("Firing patterns", headers, rows)
    print(
        f"\nThe period doubles first at v_reset = {doubling:.8f} mV; exponent at {v[nearest]:.5f} mV: {exponent[nearest]:.4f}"
    )
    print(f"Chaos (exponent > 0.01): {np.mean(exponent > 0.01):.1%} of the neurons")


def draw(v: Any, w: Any, exponent: Any, doubling: float) -> Figure:
    figure = Figure(figsize=(14, 8), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey="row", height_ratios=[2, 1])
    inside = (v >= PAPER[0]) & (v <= PAPER[1])
    for (top, bottom), part, title in zip(axes.T, (slice(None), inside), ("", "range of figure 8B"), strict=True):
        x, values = v[part], w[part]
        top.plot(np.repeat(x, values.shape[1]), values.ravel(), ",k", alpha=0.5, rasterized=True)
        bottom.axhline(0, color="0.6", lw=0.8)
        bottom.plot(x, exponent[part], color="C0", lw=0.7)
        bottom.fill_between(x, 0, np.maximum(exponent[part], 0), color="C3", alpha=0.5, lw=0, label="chaos")
        bottom.set(xlabel="reset potential v_reset, mV", ylim=(-1.5, 0.75))
        top.set_title(title)
    for ax in axes[:, 0]:
        ax.axvline(doubling, color="C2", ls="--", lw=1, label="multiplier -1")
    axes[0, 0].legend(loc="upper left")
    axes[1, 0].legend(loc="lower left")
    axes[0, 0].set_ylabel("w just after a spike, nA")
    axes[1, 0].set_ylabel("Lyapunov exponent, 1/spike")
    return figure


if __name__ == "__main__":
    run_script(main)
