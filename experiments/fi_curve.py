"""How fast do 10,000 neurons fire at 10,000 currents, and how long does it take to find out?

One call of `jn.sweep` runs a second of every neuron: leaky integrate-and-fire with refractoriness, whose rate is
known,

    f(I) = 1000 / (tau_refrac + tau_m ln((v_rest + r_m I - v_reset)/(v_rest + r_m I - v_thresh)))   Hz,

and Izhikevich's regular-spiking cell, whose rate is checked against the same run at a tolerance of 1e-10.

Source: Gerstner, Kistler, Naud & Paninski (2014), Neuronal Dynamics, section 1.3, doi:10.1017/CBO9781107447615;
Izhikevich (2003), IEEE Trans. Neural Netw. 14:1569, doi:10.1109/TNN.2003.820440.

What one should see: both curves rise from zero at their rheobase (LIF: 2 nA, with infinite slope; Izhikevich: about
3.8). The rate is that between the first and the last spike, so it has no step of 1/duration as a count has; the LIF
curve lies on its closed form to a relative error near the solver's tolerance. The sweep takes a fraction of a
second once it is compiled.
"""

from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_failures, print_table, run_script, timed


class Curve(NamedTuple):
    current: Any  # (neurons,)
    rate: Any  # (neurons,), Hz, from first to last spike; 0 for fewer than two spikes
    count: Any  # (neurons,), spikes
    reference: Any  # (neurons,), Hz: closed form (LIF), or NaN where not computed (Izhikevich)
    error: Any  # (neurons,), relative; NaN where there is no reference, or fewer than two spikes
    failed: int  # neurons whose run failed
    first_s: float  # first call: trace, compile (or load from the cache) and run, s
    steady_s: float  # least of the repeated calls, s


class Artefacts(NamedTuple):
    lif: Curve
    izhikevich: Curve
    lif_count_differs: int  # neurons whose spike count is not that of the closed form
    folder: str


def main(
    *,
    num_neurons: int = 10_000,
    duration: float = 1_000.0,
    lif_currents: tuple[float, float] = (0.0, 5.0),
    izhikevich_currents: tuple[float, float] = (0.0, 20.0),
    tau_refrac: float = 2.0,
    batch_size: int | None = None,
    max_spikes: int = 256,
    repeats: int = 3,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Sweep both models over their currents, and compare, time and draw.

    Args:
        num_neurons: neurons per model, one per current.
        duration: simulated time, ms.
        lif_currents: lowest and highest current of the LIF neuron, nA.
        izhikevich_currents: lowest and highest current of Izhikevich's cell (dimensionless).
        tau_refrac: refractory period of the LIF neuron, ms.
        batch_size: neurons per tile of the sweep (None: the library's choice).
        max_spikes: slots for spikes per neuron.
        repeats: calls after the first, of which the fastest is reported.
        out: folder for the results (default results/fi_curve).
        smoke: a small sweep, for tests.
    """
    if smoke:
        num_neurons, repeats = 200, 1
    run = begin("fi_curve", out, locals())
    lif_params = jn.LIF.default_params(tau_refrac=tau_refrac)
    options: dict[str, Any] = dict(duration=duration, batch_size=batch_size, max_spikes=max_spikes, repeats=repeats)
    lif = curve(jn.LIF, lif_params, np.linspace(*lif_currents, num_neurons), **options)
    izh_params = jn.Izhikevich.default_params()
    izh = curve(jn.Izhikevich, izh_params, np.linspace(*izhikevich_currents, num_neurons), **options)

    lif = compare(lif, lif_rate(lif_params, lif.current))
    lif_differs = int(np.sum(lif.count != lif_count(lif_params, lif.current, duration)))
    rows = np.unique(np.linspace(0, num_neurons - 1, 11).round().astype(int))
    izh = compare(izh, tight_rates(jn.Izhikevich, izh_params, izh.current, rows, duration, max_spikes))
    report("LIF (current in nA), reference: closed form", lif, rows)
    print(f"  {lif_differs} of {num_neurons} spike counts differ from those of the closed form")
    report("Izhikevich, reference: the same at a tolerance of 1e-10", izh, rows)
    for name, found in (("LIF", lif), ("Izhikevich", izh)):
        print(
            f"{name}: {num_neurons} neurons x {duration:g} ms; first call {found.first_s:.2f} s, of which trace and "
            f"compile (or load from the cache) {found.first_s - found.steady_s:.2f} s; steady state "
            f"{found.steady_s:.3f} s (blocked, least of {repeats})"
        )
    numbers = {f"{n}_{k}": x for n, c in (("lif", lif), ("izhikevich", izh)) for k, x in c._asdict().items()}
    timing = {f"{n}_{k}": numbers[f"{n}_{k}"] for n in ("lif", "izhikevich") for k in ("first_s", "steady_s")}
    finish(run, {"fi_curve": draw(lif, izh)}, numbers, lif_count_differs=lif_differs, **timing)
    return Artefacts(lif, izh, lif_differs, str(run.folder))


def curve(
    model: Any, params: Any, currents: Any, *, duration: float, batch_size: int | None, max_spikes: int, repeats: int
) -> Curve:
    """Sweep one model over its currents, first with a progress bar, then again for the time it takes."""

    def neuron(point: dict[str, Any]) -> Any:
        sol = jn.simulate(model, params, point["current"], duration, max_spikes=max_spikes)
        return jn.spikes.rate(sol.spike_times), sol.num_spikes, sol.result

    grid = jn.grid(current=currents)
    print(f"{model.name}: {len(currents)} neurons")
    (rate, count, result), first = timed(lambda: jn.sweep(neuron, grid, batch_size=batch_size, progress=True))
    steady = min(timed(lambda: jn.sweep(neuron, grid, batch_size=batch_size))[1] for _ in range(repeats))
    nan = np.full(len(currents), np.nan)
    return Curve(currents, rate, count, nan, nan, print_failures(result), first, steady)


def lif_intervals(params: Any, current: Any) -> tuple[Any, Any]:
    """Return the closed form's time to the first spike and interval, ms; inf where the threshold is not reached."""
    top = params.v_rest + params.r_m * np.asarray(current)
    over = np.where(top > params.v_thresh, top - params.v_thresh, np.nan)
    first, rise = (params.tau_m * np.log((top - v) / over) for v in (params.v_rest, params.v_reset))
    return np.nan_to_num(first, nan=np.inf), np.nan_to_num(rise + params.tau_refrac, nan=np.inf)


def lif_rate(params: Any, current: Any) -> Any:
    return 1e3 / lif_intervals(params, current)[1]


def lif_count(params: Any, current: Any, duration: float) -> Any:
    first, interval = lif_intervals(params, current)
    reached = first <= duration
    return np.where(reached, 1 + np.floor(np.where(reached, duration - first, 0.0) / interval), 0).astype(int)


def tight_rates(model: Any, params: Any, currents: Any, rows: Any, duration: float, max_spikes: int) -> Any:
    """Return the rates at a tolerance of 1e-10 for some of the currents, NaN for the others."""
    controller = diffrax.PIDController(rtol=1e-10, atol=1e-10)
    rate = lambda current: jn.spikes.rate(
        jn.simulate(model, params, current, duration, max_spikes=max_spikes, stepsize_controller=controller).spike_times
    )
    reference = np.full(len(currents), np.nan)
    reference[rows] = jax.jit(jax.vmap(rate))(jnp.asarray(currents[rows]))
    return reference


def compare(found: Curve, reference: Any) -> Curve:
    known = (found.count >= 2) & (reference > 0)
    error = np.where(known, np.abs(found.rate - reference) / np.where(known, reference, 1.0), np.nan)
    return found._replace(reference=reference, error=error)


def report(title: str, found: Curve, rows: Any) -> None:
    columns = (found.current, found.count, found.rate, found.reference, found.error)
    headers = ["current", "spikes", "rate, Hz", "reference, Hz", "relative error"]
    print_table(title, headers, zip(*[c[rows] for c in columns], strict=True))
    known = np.isfinite(found.error)
    print(f"  largest relative error of {known.sum()} neurons with two spikes or more: {found.error[known].max():.2g}")


def draw(lif: Curve, izh: Curve) -> Figure:
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    (lif_ax, izh_ax), (lif_error, izh_error) = figure.subplots(2, 2, height_ratios=(2, 1), sharex="col")
    lif_ax.plot(lif.current, lif.rate, lw=3, color="tab:blue", label=f"simulate, {len(lif.current)} neurons")
    lif_ax.plot(lif.current, lif.reference, "k--", lw=1.2, label="closed form")
    izh_ax.plot(izh.current, izh.rate, lw=3, color="tab:blue", label=f"simulate, {len(izh.current)} neurons")
    izh_ax.plot(izh.current, izh.reference, "ko", ms=5, label="at tolerance 1e-10")
    lif_ax.set(title="Leaky integrate-and-fire with refractoriness", ylabel="rate (Hz)")
    izh_ax.set(title="Izhikevich, regular spiking", ylabel="rate (Hz)")
    lif_error.semilogy(lif.current, np.maximum(lif.error, 1e-16), ",", color="tab:blue")
    izh_error.semilogy(izh.current, np.maximum(izh.error, 1e-16), "o", color="tab:blue")
    lif_error.set(xlabel="current (nA)", ylabel="relative error of the rate")
    izh_error.set(xlabel="current (dimensionless)", ylabel="relative error of the rate")
    for ax in (lif_ax, izh_ax, lif_error, izh_error):
        ax.grid(alpha=0.3)
    for ax in (lif_ax, izh_ax):
        ax.legend(loc="lower right")
    return figure


if __name__ == "__main__":
    run_script(main)
