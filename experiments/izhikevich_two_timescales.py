"""What do two separate time constants do to Izhikevich's simple model?

    tau_a V' = 0.04 V^2 + 5 V + 140 - U + I      tau_b U' = a (b V - U)      V >= 30: V <- -65, U <- U + 8

with a = 0.02, b = 0.2, tau_a = 2 ms, tau_b = 300 ms from V = -65 mV, U = -16, beside the model of
2003 (tau_a = tau_b = 1).

Source: Izhikevich (2003), IEEE Trans. Neural Netw. 14:1569, eqs. 1-3, doi:10.1109/TNN.2003.820440 (the two time
constants are an addition). The reduction to a slow U and a V that follows it: Izhikevich (2007), Dynamical Systems
in Neuroscience, chapter 9, doi:10.7551/mitpress/2526.001.0001.

What one should see. The start is a fixed point of V for I = 0 (the left of its two), so without input the cell
rests. The recovery variable now has the time constant tau_b / a = 15 s, 300 times that of 2003, and V is twice
slower:
1. A step of current starts a burst in which U does little but jump by d = 8 per spike. The burst ends when U has
   passed I - 16.25, the top of the range in which V has no fixed point: after ceil((I - 0.25)/8) spikes, whatever
   tau_a.
2. Then U decays along the left branch of the V-nullcline back to I - 16.25, which lets out one spike, and so on:
   one spike per seconds, at intervals that the slow equation alone predicts (printed beside the measured ones). The
   2003 form fires tens of times per second at the same currents: U is forgotten between spikes and V no longer
   waits at its nullcline.
3. Close to I = 8 n + 0.25 the last spike of the burst is late: V creeps through the place where its fixed points
   just met.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, line_with_spikes, print_table, run_script
from jaxneuro.neurons.izhikevich import IzhikevichState

START = (-65.0, -16.0)  # V (mV), U
FORMS = ("two time constants", "2003 form")


class Artefacts(NamedTuple):
    ts: Any  # sample times, ms
    v: Any  # (forms, currents, times), mV
    u: Any  # (forms, currents, times)
    spike_times: Any  # (forms, currents, spikes), ms, padded with inf
    sweep_currents: Any  # (n,)
    steady_interval: Any  # (forms, n), ms
    predicted_interval: Any  # (n,), ms, of the form with two time constants
    burst: Any  # (forms, n), spikes within burst_window
    predicted_burst: Any  # (n,)
    folder: str


def main(
    *,
    currents: tuple[float, ...] = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0),
    phase_current: float = 40.0,
    num_sweep: int = 160,
    tau_a: float = 2.0,
    tau_b: float = 300.0,
    duration: float = 20_000.0,
    burst_window: float = 100.0,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Run both forms from the same start, over time, in the phase plane, and over a sweep of currents.

    Args:
        currents: input currents of the traces (dimensionless, as in the paper).
        phase_current: input current of the phase plane; one of `currents`.
        num_sweep: number of currents in the sweep, from 1 to the largest of `currents`.
        tau_a: time constant of V (2003: 1).
        tau_b: time constant of U (2003: 1).
        duration: length of the traces, ms.
        burst_window: spikes up to here count as the burst at the onset, ms.
        out: folder for the results (default results/izhikevich_two_timescales).
        smoke: a shorter run, for tests.
    """
    if smoke:
        currents, num_sweep, duration = (0.0, 40.0), 4, 4_000.0
        phase_current = currents[-1]
    run = begin("izhikevich_two_timescales", out, locals())
    forms = (jn.Izhikevich.default_params(tau_a=tau_a, tau_b=tau_b), jn.Izhikevich.default_params())
    params = jax.tree.map(lambda *x: jnp.stack(x), *forms)
    ts = np.concatenate([np.linspace(0.0, 100.0, 4_001), np.geomspace(100.0, duration, 2_001)[1:]])
    sol = traces(params, jnp.asarray(currents), jnp.asarray(ts).clip(max=duration), duration)
    v, u, spike_times = np.asarray(sol.states.v), np.asarray(sol.states.u), np.asarray(sol.spike_times)

    swept = np.linspace(1.0, max(currents), num_sweep)
    trains = np.asarray(long_trains(params, jnp.asarray(swept)))
    burst = np.sum(trains <= burst_window, axis=2)
    interval = np.apply_along_axis(last_interval, 2, trains)
    expected = predictions(forms[0], swept)
    show_table(swept, burst, interval, *expected)

    figures = {
        "time_courses": draw_traces(ts, v, u, spike_times, currents),
        "phase_plane": draw_phase_plane(forms, ts, v, u, spike_times, currents, phase_current),
        "current_sweep": draw_sweep(swept, burst, interval, *expected, burst_window),
    }
    found = Artefacts(ts, v, u, spike_times, swept, interval, expected[1], burst, expected[0], str(run.folder))
    finish(run, figures, {k: x for k, x in found._asdict().items() if k != "folder"})
    return found


@jax.jit
def traces(params: Any, currents: Any, ts: Any, duration: Any) -> Any:
    start = IzhikevichState(*map(jnp.asarray, START))
    one = lambda p, i: jn.simulate(
        jn.Izhikevich, p, i, duration, state0=start, saveat=ts, max_spikes=4_096, max_steps=200_000
    )
    return jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))(params, currents)


@jax.jit
def long_trains(params: Any, currents: Any) -> Any:
    """Return the first 40 spikes of every form and current: enough for the last interval to be the steady one."""
    start = IzhikevichState(*map(jnp.asarray, START))
    one = lambda p, i: (
        jn.simulate(jn.Izhikevich, p, i, 100_000.0, state0=start, max_spikes=40, stop_after=40).spike_times
    )
    return jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))(params, currents)


def last_interval(train: Any) -> float:
    train = train[np.isfinite(train)]
    return train[-1] - train[-2] if len(train) >= 5 else np.nan


def predictions(p: Any, currents: Any) -> tuple[Any, Any]:
    """Return the size of the burst, and the interval after it if V sits on the left branch of its nullcline."""
    p = type(p)(*map(float, p))
    edge = p.k0 - p.k1**2 / (4 * p.k2) + currents  # where the two fixed points of V meet
    burst = np.ceil(np.maximum(edge - START[1], 0.0) / p.d)
    u = edge[:, None] + p.d * np.linspace(0.0, 1.0, 2_001) ** 2  # denser at the edge, where V has infinite slope
    left = (-p.k1 - np.sqrt(np.maximum(p.k1**2 - 4 * p.k2 * (p.k0 - u + currents[:, None]), 0.0))) / (2 * p.k2)
    fall = u - p.b * left
    resting = np.any(fall <= 0, axis=1)  # U comes to rest before it reaches the edge: no further spike
    interval = np.trapezoid(p.tau_b / (p.a * np.where(fall > 0, fall, 1.0)), u, axis=1)
    return burst, np.where(resting, np.nan, interval)


def show_table(currents: Any, burst: Any, interval: Any, burst_predicted: Any, interval_predicted: Any) -> None:
    rows = np.unique(np.linspace(0, len(currents) - 1, 9).round().astype(int))
    headers = ["I", "burst", "predicted", "interval, ms", "predicted, ms", "burst 2003", "interval 2003, ms"]
    columns = [currents, burst[0], burst_predicted.astype(int), interval[0], interval_predicted, burst[1], interval[1]]
    table = zip(*[column[rows] for column in columns], strict=True)
    print_table("Spikes of the first burst, and steady interval", headers, table)


def draw_traces(ts: Any, v: Any, u: Any, spike_times: Any, currents: Any) -> Figure:
    figure = Figure(figsize=(13, 10), layout="constrained")
    axes = figure.subplots(3, 2, sharey="row")
    gap = 115.0  # mV between the stacked traces
    early = ts <= 100
    for form, (top, middle, bottom) in enumerate(axes.T):
        # Beyond 300 ms the samples are too sparse for the sawtooth of the fast form.
        drawn = (ts > 0) & (ts <= (ts[-1] if form == 0 else 300.0))
        for k, current in enumerate(currents):
            line = line_with_spikes(ts[early], v[form, k][early], spike_times[form, k], 30.0, -65.0)
            top.plot(line[0], line[1] + gap * k, lw=1, color=f"C{k}")
            middle.semilogx(ts[drawn], u[form, k][drawn], lw=1, color=f"C{k}", label=f"I = {current:g}")
            bottom.plot(spike_times[form, k], np.full(spike_times.shape[2], k), "|", ms=14, color=f"C{k}")
        top.set(title=f"{FORMS[form]}: first 100 ms", xlabel="time (ms)", yticks=-65 + gap * np.arange(len(currents)))
        top.set_yticklabels([f"I = {current:g}" for current in currents])
        middle.set(title=f"{FORMS[form]}: recovery, first {ts[drawn][-1]:.0f} ms")
        middle.set(xlabel="time (ms, logarithmic)", xlim=(0.5, ts[-1]))
        bottom.set(xscale="log", xlim=(0.5, ts[-1]), xlabel="time (ms, logarithmic)", title=f"{FORMS[form]}: spikes")
        bottom.set(yticks=range(len(currents)), yticklabels=[f"I = {current:g}" for current in currents])
        bottom.set_ylim(-0.6, len(currents) - 0.4)
    axes[0, 0].plot([2, 2], [-55, 45], "k", lw=3)
    axes[0, 0].text(3.5, -15, "100 mV", va="center")
    axes[0, 0].set_ylabel("V (mV), traces shifted")
    axes[1, 0].set_ylabel("recovery U")
    axes[1, 1].legend(fontsize=8, loc="upper left")
    return figure


def draw_phase_plane(
    forms: Any, ts: Any, v: Any, u: Any, spike_times: Any, currents: Any, current: float
) -> Figure:  # fmt: skip
    k = list(currents).index(current)
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    for form, ax in enumerate(figure.subplots(1, 2, sharey=True)):
        p, grid = forms[form], np.linspace(-90.0, 32.0, 400)
        spikes = spike_times[form, k][spike_times[form, k] <= ts[-1]]
        before = u[form, k][np.searchsorted(ts, spikes, side="right") - 1]  # U hardly moves between two samples
        vs = line_with_spikes(ts, v[form, k], spikes, 30.0, -65.0)[1]
        us = line_with_spikes(ts, u[form, k], spikes, before, before + p.d)[1]
        shown = ts[-1] if form == 0 else 100.0  # beyond 100 ms the samples are too sparse for the fast form
        until = np.searchsorted(line_with_spikes(ts, ts, spikes, spikes, spikes)[0], shown, side="right")
        ax.plot(vs[:until], us[:until], lw=0.9, zorder=3, color="tab:blue", label=f"trajectory, first {shown:g} ms")
        for i, style in ((0.0, ":"), (current, "-")):
            parabola = p.k2 * grid**2 + p.k1 * grid + p.k0 + i
            ax.plot(grid, parabola, style, color="tab:red", label=f"V' = 0 at I = {i:g}")
        ax.plot(grid, p.b * grid, color="tab:green", label="U' = 0")
        ax.plot(*START, "ko", label="start")
        ax.axvline(30.0, color="grey", lw=0.8, ls="--", label="spike")
        ax.set(xlim=(-90, 34), ylim=(-25, current + 30), xlabel="V (mV)", ylabel="U")
        ax.set_title(f"{FORMS[form]}, I = {current:g}")
        ax.legend(fontsize=8, loc="upper right")
    return figure


def draw_sweep(
    currents: Any, burst: Any, interval: Any, burst_predicted: Any, interval_predicted: Any, window: float
) -> Figure:  # fmt: skip
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for form, name in enumerate(FORMS):
        left.plot(currents, burst[form], ".", ms=4, color=f"C{form}", label=name)
        right.semilogy(currents, 1e3 / interval[form], ".", ms=4, color=f"C{form}", label=name)
    left.plot(currents, burst_predicted, "k-", lw=0.8, label="ceil((I - 0.25)/8)")
    right.semilogy(currents, 1e3 / interval_predicted, "k-", lw=0.8, label="slow equation alone")
    left.set(title=f"Spikes in the first {window:g} ms", xlabel="I (dimensionless)", ylabel="number of spikes")
    right.set(title="Steady rate", xlabel="I (dimensionless)", ylabel="1 / last interval (Hz)")
    for ax in (left, right):
        ax.legend(fontsize=9)
        ax.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    run_script(main)
