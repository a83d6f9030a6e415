"""Does the integrator reproduce the charging of a passive membrane, and the spikes it makes with a threshold?

A leaky integrate-and-fire neuron (tau_m 10 ms, v_rest -70 mV, r_m 10 MOhm) gets 10 nA from rest, to which a spike
also resets it. Both answers are known:

    without threshold   V(t) = v_rest + r_m I (1 - exp(-t / tau_m)) = 30 - 100 exp(-t/10) mV
    with threshold      t_n = n T + (n - 1) tau_refrac,   T = tau_m ln(r_m I / (v_rest + r_m I - v_thresh))

Source: Gerstner, Kistler, Naud & Paninski (2014), Neuronal Dynamics, section 1.3, doi:10.1017/CBO9781107447615.

What one should see: the curve and the closed form lie on each other. The error is of the order of the tolerance
asked of the solver, here at each tolerance of a row, and so is the error of the spike times, which no time grid
limits.
"""

from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, line_with_spikes, print_table, run_script


class Artefacts(NamedTuple):
    ts: Any  # sample times, ms
    v: Any  # (tolerances, times), mV, without threshold
    v_exact: Any
    voltage_error: Any  # (tolerances,), largest over time, mV
    spike_times: Any  # (tolerances, refractory periods, spikes), ms, padded with inf
    spike_times_exact: Any  # (refractory periods, spikes)
    spike_error: Any  # (tolerances, refractory periods), largest over the spikes, ms
    folder: str


def main(
    *,
    current: float = 10.0,
    duration: float = 100.0,
    v_thresh: float = -50.0,
    v_reset: float = -70.0,
    tau_refracs: tuple[float, ...] = (0.0, 2.0),
    tolerances: tuple[float, ...] = (1e-6, 1e-9, 1e-12),
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Charge the membrane, compare with the closed form, and draw both.

    Args:
        current: injected current, nA.
        duration: length of the run, ms.
        v_thresh: threshold of the spiking runs, mV.
        v_reset: potential after a spike, mV.
        tau_refracs: refractory periods to compare, ms.
        tolerances: relative and absolute tolerances of the solver to compare (`simulate`'s default is 1e-6).
        out: folder for the results (default results/membrane_charging).
        smoke: a shorter run, for tests.
    """
    if smoke:
        duration = 30.0
    run = begin("membrane_charging", out, locals())
    params = jn.LIF.default_params(tau_m=10.0, v_rest=-70.0, r_m=10.0, v_reset=v_reset)
    ts = np.linspace(0.0, duration, 501)
    refracs, tols = jnp.asarray(tau_refracs), [float(tol) for tol in tolerances]
    exact = voltage_exact(params, current, ts)
    params = params._replace(v_thresh=jnp.asarray(v_thresh))
    spikes_exact = np.stack([spikes_exact_at(params, current, duration, r) for r in refracs])
    v, spikes, v_spiking = zip(*[simulate_at(params, current, ts, refracs, tol) for tol in tols], strict=True)
    v, spikes = np.stack(v), np.stack(spikes)
    voltage_error = np.max(np.abs(v - exact), axis=1)
    spike_error = np.max(difference(spikes, spikes_exact), axis=2)

    cases = zip(np.sum(np.isfinite(spikes_exact), axis=1), refracs, strict=True)
    headers = ["rtol = atol", "voltage, mV", *[f"{n} spikes, tau_refrac {r:g} ms" for n, r in cases]]
    rows = zip(tols, voltage_error, *spike_error.T, strict=True)
    print_table("Largest error against the closed form (spikes: ms)", headers, rows)
    figure = draw(ts, tols, refracs, v, exact, v_spiking[-1], spikes, spikes_exact, v_thresh, v_reset)
    numbers = dict(ts=ts, v=v, v_exact=exact, spike_times=spikes, spike_times_exact=spikes_exact, tolerances=tols)
    finish(run, {"membrane_charging": figure}, numbers, voltage_error_mv=voltage_error, spike_error_ms=spike_error)
    return Artefacts(ts, v, exact, voltage_error, spikes, spikes_exact, spike_error, str(run.folder))


def simulate_at(params: Any, current: float, ts: Any, refracs: Any, tol: float) -> tuple[Any, Any, Any]:
    """Return the passive potential, and spike times and potential with threshold for each refractory period."""
    # Tolerances as arrays: one compilation for all of them.
    controller = diffrax.PIDController(rtol=jnp.asarray(tol), atol=jnp.asarray(tol))
    run = lambda p: jn.simulate(jn.LIF, p, current, ts[-1], saveat=ts, stepsize_controller=controller)
    passive = run(params._replace(v_thresh=jnp.asarray(jnp.inf)))
    spiking = jax.vmap(lambda r: run(params._replace(tau_refrac=r)))(refracs)
    assert passive.states is not None and spiking.states is not None  # asked for by saveat
    return passive.states.v, spiking.spike_times, spiking.states.v


def voltage_exact(params: Any, current: float, ts: Any) -> Any:
    return np.asarray(params.v_rest + params.r_m * current * (1 - np.exp(-ts / params.tau_m)))


def spikes_exact_at(params: Any, current: float, duration: float, tau_refrac: Any, slots: int = 256) -> Any:
    """Return the closed form's spike times up to `duration`, padded with inf. The first starts at v_rest."""
    top = params.v_rest + params.r_m * current
    first, interval = (
        params.tau_m * np.log((top - v) / (top - params.v_thresh)) for v in (params.v_rest, params.v_reset)
    )
    times = first + (interval + tau_refrac) * np.arange(slots)
    return np.where(times <= duration, times, np.inf)


def difference(spikes: Any, exact: Any) -> Any:
    """Return |difference| in ms; 0 where both are padding, inf where one train has a spike more."""
    both = np.isfinite(spikes) & np.isfinite(exact)
    missing = np.where(np.isfinite(spikes) == np.isfinite(exact), 0.0, np.inf)
    return np.where(both, np.abs(np.where(both, spikes, 0.0) - np.where(both, exact, 0.0)), missing)


def draw(
    ts: Any, tols: Any, refracs: Any, v: Any, exact: Any, v_spiking: Any, spikes: Any, spikes_exact: Any,
    v_thresh: float, v_reset: float,
) -> Figure:  # fmt: skip
    figure = Figure(figsize=(11, 7), layout="constrained")
    (charge, train), (charge_error, train_error) = figure.subplots(2, 2)
    charge.plot(ts, v[-1], lw=3, color="tab:blue", label=f"simulate, tolerance {tols[-1]:g}")
    charge.plot(ts, exact, "k--", lw=1.2, label="closed form")
    charge.set(title="No threshold", xlabel="time (ms)", ylabel="membrane potential (mV)")
    shown = ts <= 20
    for k, refrac in enumerate(refracs):
        line = line_with_spikes(ts[shown], v_spiking[k][shown], spikes[-1, k], v_thresh, v_reset)
        train.plot(*line, label=f"tau_refrac {refrac:g} ms", lw=1.5)
        exact_here = spikes_exact[k][spikes_exact[k] <= 20]
        train.plot(exact_here, np.full(len(exact_here), v_thresh + 1 + k), "v", ms=5, color=f"C{k}")
    train.set(title=f"Threshold {v_thresh:g} mV (triangles: closed form)", xlabel="time (ms)")
    train.set(ylabel="membrane potential (mV)", ylim=(None, v_thresh + 7))
    for i, tol in enumerate(tols):
        charge_error.semilogy(ts, floor(np.abs(v[i] - exact)), color=f"C{i}", label=f"tolerance {tol:g}")
        for k, refrac in enumerate(refracs):
            error = difference(spikes[i, k], spikes_exact[k])[np.isfinite(spikes_exact[k])]
            label = f"{tol:g}, tau_refrac {refrac:g} ms"
            train_error.semilogy(1 + np.arange(len(error)), floor(error), marker="ox^"[k % 3], ms=3, lw=0.8,
                                 color=f"C{i}", label=label)  # fmt: skip
    charge_error.set(title="Error of the potential", xlabel="time (ms)", ylabel="|simulated - closed form| (mV)")
    train_error.set(title="Error of the spike times", xlabel="spike number", ylabel="|simulated - closed form| (ms)")
    train_error.set(ylim=(1e-15, None))
    for ax in (charge, train, charge_error, train_error):
        ax.legend(fontsize=7, ncol=len(tols) if ax is train_error else 1, columnspacing=1, handlelength=1.5)
        ax.grid(alpha=0.3)
    return figure


def floor(error: Any) -> Any:
    """Raise zeros to the resolution of a float, so that a logarithmic axis shows them."""
    return np.maximum(error, 1e-16)


if __name__ == "__main__":
    run_script(main)
