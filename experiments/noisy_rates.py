"""How often does a neuron in white noise fire, and what does it take to get that right on steps of 0.1 ms?

    LIF:  dv = (v_rest - v + r_m I)/tau_m dt + noise dW,   EIF: its drift in place of the leak alone

are run by `jn.simulate_white_noise` with and without the bridge, over the mean input and over the step. The LIF rate is
known (Siegert), the EIF rate is that of the stationary Fokker-Planck equation, integrated down from the spike.

A grid simulator looks at the voltage at the ends of its steps only and misses the paths that cross and come back in between:
for LIF the threshold seems higher by 0.58 noise sqrt(dt), so the rate is too low by an amount of order sqrt(dt).

Source: Siegert (1951), Phys. Rev. 81:617, doi:10.1103/PhysRev.81.617; Richardson (2007), Phys. Rev. E 76:021919,
doi:10.1103/PhysRevE.76.021919 (threshold integration); Broadie, Glasserman & Kou (1997), Math. Finance 7:325,
doi:10.1111/1467-9965.00035 (the shift of the threshold, the dashed line).

What one should see: with the bridge the LIF rates lie on Siegert's formula from 0.01 to 1 ms, to the width of the confidence
intervals; without it they are about 3 % low at 0.1 ms and 10 % at 1 ms, along the dashed line. The EIF neuron hardly
needs it: its spike is a run-away that no noise turns back.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_failures, print_table, run_script
from jaxneuro.analysis.siegert import siegert_rate

SHIFT = 0.5826  # -zeta(1/2)/sqrt(2 pi): the shift of a threshold looked at between steps only, in noise sqrt(dt)


class Rates(NamedTuple):
    x: Any  # (points,): mean input (nA) or step (ms)
    rate: Any  # (2, points), Hz: with the bridge, without
    half_width: Any  # (2, points), Hz: of the 95 % confidence interval
    reference: Any  # (points,), Hz


class Artefacts(NamedTuple):
    lif_current: Rates
    lif_dt: Rates
    eif_current: Rates
    eif_dt: Rates
    shifted: Any  # (steps,), Hz: Siegert's rate for the LIF threshold raised by SHIFT noise sqrt(dt)
    failed: int
    folder: str


def main(
    *,
    lif_noise: float = 0.4,
    eif_noise: float = 1.5,
    lif_current: float = 15.0,
    eif_current: float = 0.1,
    dt: float = 0.1,
    steps: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    num_currents: int = 9,
    num_runs: int = 200,
    duration: float = 5_000.0,
    seed: int = 0,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Measure the rates of both neurons over mean input and over step, print the tables and draw them.

    Args:
        lif_noise: noise of the LIF neuron, mV/sqrt(ms); its threshold lies 15 mV above rest, r_m is 1 MOhm.
        eif_noise: noise of the EIF neuron, mV/sqrt(ms).
        lif_current: mean input at which the step is varied, nA.
        eif_current: the same for EIF, nA.
        dt: step at which the mean input is varied, ms.
        steps: the steps, ms.
        num_currents: mean inputs, from below to above threshold.
        num_runs: independent runs per point; their spread gives the confidence interval.
        duration: of each run, ms; the first tenth is not counted.
        seed: of the random key.
        out: folder for the results (default results/noisy_rates).
        smoke: few short runs, for tests.
    """
    if smoke:
        steps, num_currents, num_runs, duration = (0.1, 1.0), 3, 20, 1_000.0
    run = begin("noisy_rates", out, locals())
    keys = jax.random.split(jax.random.key(seed), num_runs)
    lif = jn.LIF.default_params(v_rest=0.0, v_reset=0.0, v_thresh=15.0, r_m=1.0)
    eif = jn.EIF.default_params()
    siegert = lambda current, params=lif: float(siegert_rate(params, current, lif_noise))
    stationary = lambda current: threshold_integration(eif, current, eif_noise)
    failed, found = 0, []
    for model, params, noise, at, reach, reference in (
        (jn.LIF, lif, lif_noise, lif_current, 3.0, siegert),
        (jn.EIF, eif, eif_noise, eif_current, 0.15, stationary),
    ):
        print(f"{model.name}: {num_runs} runs of {duration:g} ms per point")
        currents = np.linspace(at - reach, at + reach, num_currents)
        points = np.append(currents, np.full(len(steps), at)), np.append(np.full(num_currents, dt), steps)
        known = np.array([reference(current) for current in points[0]])
        runs, bad = measure(model, params, *points, keys=keys, noise=noise, duration=duration)
        half_width = 1.96 * runs.std(-1, ddof=1) / np.sqrt(num_runs)
        both = [Rates(x, runs.mean(-1)[:, k], half_width[:, k], known[k])
                for x, k in ((currents, slice(num_currents)), (np.asarray(steps), slice(num_currents, None)))]  # fmt: skip
        over_current, over_dt = both
        failed, found = failed + bad, [*found, *both]
        report(f"{model.name} over mean input at dt = {dt:g} ms", "current, nA", over_current)
        report(f"{model.name} over the step at {at:g} nA", "dt, ms", over_dt)
    raised = [lif._replace(v_thresh=lif.v_thresh + SHIFT * lif_noise * h**0.5) for h in steps]
    result = Artefacts(
        found[0],
        found[1],
        found[2],
        found[3],
        np.array([siegert(lif_current, p) for p in raised]),
        failed,
        str(run.folder),
    )
    at_dt = np.argmin(np.abs(np.asarray(steps) - dt))
    errors = [np.abs(r.rate[:, at_dt] / r.reference[at_dt] - 1) for r in (result.lif_dt, result.eif_dt)]
    print(
        f"\nAt dt = {steps[at_dt]:g} ms, relative error with and without the bridge: LIF {errors[0]}, EIF {errors[1]}"
    )
    curves = {name: getattr(result, name) for name in ("lif_current", "lif_dt", "eif_current", "eif_dt")}
    numbers = {f"{name}_{field}": x for name, r in curves.items() for field, x in r._asdict().items()}
    figures = {"noisy_rates": draw(result, dt)}
    finish(run, figures, numbers | {"shifted": result.shifted}, lif_error=errors[0], eif_error=errors[1], failed=failed)
    return result


def measure(
    model: Any, params: Any, currents: Any, steps: Any, *, keys: Any, noise: float, duration: float
) -> tuple[Any, int]:
    """Return the rates (bridge or not, pair of current and step, run), and how many runs failed."""

    def rate(key: Any, current: Any, dt: Any, bridge: bool) -> Any:
        sol = jn.simulate_white_noise(
            model, params, current, duration, noise=noise, dt=dt, key=key, bridge=bridge, max_spikes=int(duration / 2)
        )
        return jn.spikes.count_rate(sol.spike_times, 0.1 * duration, duration), sol.result

    rates, failed = [], 0
    for bridge in (True, False):
        runs = jax.jit(
            jax.vmap(lambda key, current, dt, bridge=bridge: rate(key, current, dt, bridge), (0, None, None))
        )
        for k, (current, dt) in enumerate(zip(currents, steps, strict=True)):
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, k)  # so that the points err independently
            per_run, result = runs(own, jnp.asarray(current), jnp.asarray(dt))
            rates.append(np.asarray(per_run))
            failed += print_failures(result)
    return np.stack(rates).reshape(2, len(currents), -1), failed


def threshold_integration(
    params: Any, current: float, noise: float, low: float = -130.0, points: int = 100_000
) -> float:
    """Return the stationary rate of the EIF neuron, Hz, from dp/dv = (2/noise^2)(f p - J), integrated down from v_peak.

    J = 1 above v_reset and 0 below; the density p belongs to one spike per ms, so its integral is the mean time between the end
    of refractoriness and the next spike. Each step is exact for a constant drift.
    """
    p = type(params)(*map(float, params))
    v = np.linspace(low, p.v_peak, points + 1)
    middle, width = 0.5 * (v[1:] + v[:-1]), v[1] - v[0]
    drive = p.g_leak * (p.e_leak - middle + p.delta_t * np.exp((middle - p.v_thresh) / p.delta_t)) + current
    slope = 2 * drive / p.cm / noise**2
    kept = np.exp(-slope * width)
    gained = 2 / noise**2 * width * np.where(middle > p.v_reset, -np.expm1(-slope * width) / (slope * width), 0.0)
    density, passage = 0.0, 0.0
    for keep, gain in zip(kept[::-1], gained[::-1], strict=True):
        below = density * keep + gain
        passage += 0.5 * width * (density + below)
        density = below
    return 1e3 / (p.tau_refrac + passage)


def report(title: str, name: str, found: Rates) -> None:
    error = 100 * (found.rate / found.reference - 1)
    half = 100 * found.half_width / found.reference
    columns = (found.x, found.reference, found.rate[0], error[0], half[0], found.rate[1], error[1], half[1])
    headers = [name, "reference, Hz", "bridge, Hz", "error, %", "+- 95 %", "no bridge, Hz", "error, %", "+- 95 %"]
    print_table(title, headers, zip(*columns, strict=True))


def draw(found: Artefacts, dt: float) -> Figure:
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    styles = (("with the bridge", "tab:blue", "o"), ("ends of steps only", "tab:red", "s"))
    for row, name, over_current, over_dt in (
        (axes[0], "LIF", found.lif_current, found.lif_dt),
        (axes[1], "EIF", found.eif_current, found.eif_dt),
    ):
        reference = "Siegert" if name == "LIF" else "Fokker-Planck"
        row[0].plot(over_current.x, over_current.reference, "k-", lw=1, label=reference)
        row[1].axhline(0, color="k", lw=1, label=reference)
        if name == "LIF":
            shifted = 100 * (found.shifted / over_dt.reference - 1)
            row[1].plot(over_dt.x, shifted, "k--", lw=1, label="Siegert, threshold + 0.58 noise sqrt(dt)")
        for k, (label, color, marker) in enumerate(styles):
            style: dict[str, Any] = dict(fmt=marker, ms=5, color=color, capsize=3, label=label, mfc="none")
            row[0].errorbar(over_current.x, over_current.rate[k], over_current.half_width[k], **style)
            error, half = (100 * x[k] / over_dt.reference for x in (over_dt.rate, over_dt.half_width))
            row[1].errorbar(over_dt.x, error - 100, half, **style)
        row[0].set(title=f"{name} in white noise, dt = {dt:g} ms", xlabel="mean input (nA)", ylabel="rate (Hz)")
        row[1].set(title=f"{name}: error over the step", xlabel="dt (ms)", ylabel="error of the rate (%)", xscale="log")
        for ax in row:
            ax.legend(fontsize=9)
            ax.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    run_script(main)
