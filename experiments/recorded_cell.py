"""Which integrate-and-fire neuron is most like a recorded one, and does it predict a sweep it was not fitted to?

Five current steps into a real neuron (`data/steps_b6`; source and licence in the README there). Tens of thousands
of LIF parameter sets run through the recorded current, all at once; they are ranked on four of the sweeps, by

    mismatch = mean over the training sweeps of  |n_model - n_cell| / n_cell + (1 - Gamma)

and the best is tested on the fifth. Gamma is the coincidence factor: the share of spikes that agree within delta,
less what a Poisson train of the model's rate would get by chance, over its largest value (1: all agree; 0: chance).

Source: Kistler, Gerstner & van Hemmen (1997), Neural Comput. 9:1015, doi:10.1162/neco.1997.9.5.1015; Jolivet et al.
(2008), J. Neurosci. Methods 169:417, doi:10.1016/j.jneumeth.2007.11.006.

What one should see: rates within some percent, also on the sweep held out (by default the last, the strongest step:
an extrapolation). The spike times hardly: the cell adapts, its intervals double within the first few, while those
of this model are all the same. What Gamma it has on the training sweeps is in part luck, being the best of all
sets; that on the sweep held out is not. It is a reason to want a model with adaptation.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import qmc

import jaxneuro as jn
from experiments.common import BadInput, begin, finish, line_with_spikes, print_failures, print_table, run_script
from experiments.recording import Recording, check_delta, coincidence, load, rate_error

RECORDING = Path(__file__).parent / "data" / "steps_b6" / "idrest.npz"
# Lowest and highest value of what is drawn; time constant and resistance on a logarithmic scale.
RANGES = {
    "tau_m": (3.0, 100.0),  # ms
    "r_m": (50.0, 1_000.0),  # MOhm
    "v_thresh": (-60.0, -30.0),  # mV
    "v_reset": (-85.0, -60.5),  # mV; below every threshold
    "tau_refrac": (0.5, 20.0),  # ms
}


class Artefacts(NamedTuple):
    recorded_counts: Any  # (sweeps,)
    params: Any  # LIFParams of arrays (sets,)
    count: Any  # (sets, sweeps): spikes of each model (training sweeps; others -1)
    gamma: Any  # (sets, sweeps): coincidence factor (training sweeps; others NaN)
    mismatch: Any  # (sets,), what is ranked; inf where a run failed
    best: Any  # LIFParams of the best
    best_count: Any  # (sweeps,), the held-out one too
    best_gamma: Any  # (sweeps,)
    held_out: int
    failed: int
    folder: str


def main(
    *,
    recording: str | None = None,
    num_sets: int = 20_000,
    held_out: int = -1,
    delta: float = 4.0,
    rate_weight: float = 1.0,
    max_spikes: int = 256,
    batch_size: int = 1_024,
    seed: int = 0,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Sweep, rank on the training sweeps, and test the best on the sweep held out.

    Args:
        recording: an npz file with time_ms (times,), current_nA and voltage_mV (sweeps, times) and amplitude_nA
            (sweeps,) (None: the recording that comes with this script).
        num_sets: parameter sets to try (a scrambled Halton sequence in RANGES).
        held_out: the sweep that takes no part in the ranking (-1: the last).
        delta: precision of a coincidence, ms; less than half the shortest recorded interval.
        rate_weight: weight of the rate error in the mismatch.
        max_spikes: slots for spikes; a model that needs more ends there and counts as failed.
        batch_size: runs per tile of the sweep.
        seed: of the parameter sets.
        out: folder for the results (default results/recorded_cell).
        smoke: few parameter sets, for tests.
    """
    if smoke:
        num_sets, batch_size = 100, 100
    run = begin("recorded_cell", out, locals())
    rec = load(Path(recording) if recording else RECORDING)
    num_sweeps = len(rec.amplitude)
    if not -num_sweeps <= held_out < num_sweeps or num_sweeps < 2:
        raise BadInput(f"held_out={held_out}: the recording has {num_sweeps} sweeps; at least 2 are needed.")
    held_out %= num_sweeps
    check_delta(rec, delta)
    training = np.delete(np.arange(num_sweeps), held_out)
    params = draw_params(num_sets, float(np.median(rec.v_rest[training])), seed)
    score = score_fn(rec, params, delta, max_spikes)
    one = lambda point: score(point["index"], point["sweep"])[1]

    print(f"{num_sets} parameter sets x {len(training)} sweeps of {rec.ts[-1] - rec.ts[0]:g} ms")
    trained = jn.sweep(one, jn.grid(index=np.arange(num_sets), sweep=training), batch_size=batch_size, progress=True)
    failed = print_failures(trained.result)
    ranking = rank(trained, rec.counts[training], rate_weight)
    first = ranking.order[0]
    sols, best = jax.jit(jax.vmap(lambda sweep: score(first, sweep, rec.ts)))(jnp.arange(num_sweeps))
    best = jax.tree.map(np.asarray, best)
    print_failures(best.result)
    report(rec, params, ranking, best, held_out)

    best_params = jax.tree.map(lambda x: float(x[first]), params)
    figure = draw(rec, sols, best_params.v_reset, ranking, best, held_out)
    spread = lambda x, fill: np.insert(x, held_out, fill, axis=1)
    found = Artefacts(
        rec.counts, params, spread(trained.count, -1), spread(trained.gamma, np.nan), ranking.mismatch,
        best_params, best.count, best.gamma, held_out, failed, str(run.folder),
    )  # fmt: skip
    numbers = {k: x for k, x in found._asdict().items() if k not in ("params", "best", "folder")}
    numbers |= {f"params_{k}": x for k, x in params._asdict().items()}
    summary = {k: getattr(found, k) for k in ("recorded_counts", "best_count", "best_gamma", "held_out", "failed")}
    finish(run, {"recorded_cell": figure}, numbers, best=best_params._asdict(), **summary)
    return found


def draw_params(num_sets: int, v_rest: float, seed: int) -> Any:
    """Return LIFParams of arrays (num_sets,), a low-discrepancy sequence in RANGES; v_rest is given."""
    unit = qmc.Halton(len(RANGES), rng=seed).random(num_sets).T
    values = {}
    for (name, (low, high)), x in zip(RANGES.items(), unit, strict=True):
        values[name] = low * (high / low) ** x if name in ("tau_m", "r_m") else low + (high - low) * x
    return jn.LIF.default_params(v_rest=np.full(num_sets, v_rest), **values)


class Score(NamedTuple):
    count: Any  # spikes of the model
    gamma: Any  # coincidence factor
    result: Any


class Ranking(NamedTuple):
    order: Any  # (sets,): the sets, best first
    mismatch: Any  # (sets,): what is ranked; inf where a run failed
    error: Any  # (sets, training sweeps): rate error
    gamma: Any  # (sets, training sweeps)


def rank(trained: Score, recorded: Any, rate_weight: float) -> Ranking:
    error = rate_error(trained.count, recorded)
    mismatch = np.mean(rate_weight * error + 1 - trained.gamma, axis=1)
    mismatch = np.where(np.all(trained.result == jn.RESULTS.successful, axis=1), mismatch, np.inf)
    order = np.argsort(mismatch)
    if not np.isfinite(mismatch[order[0]]):
        raise BadInput("Every parameter set failed on some sweep (see above): pass a larger max_spikes.")
    return Ranking(order, mismatch, error, trained.gamma)


def score_fn(rec: Recording, params: Any, delta: float, max_spikes: int) -> Callable[..., tuple[Any, Score]]:
    """Return the function that runs one parameter set on one sweep; both are indices, so that they can be swept."""
    params = jax.tree.map(jnp.asarray, params)
    change_times, change_values = jnp.asarray(rec.change_times), jnp.asarray(rec.change_values)
    pad = lambda train: np.pad(train, (0, int(np.max(rec.counts)) - len(train)), constant_values=np.inf)
    trains, active = jnp.asarray(np.stack([pad(train) for train in rec.spike_times])), jnp.asarray(rec.active)
    t0, t1 = rec.ts[0], rec.ts[-1]

    def score(index: Any, sweep: Any, saveat: Any = None) -> tuple[Any, Score]:
        set_ = jax.tree.map(lambda x: x[index], params)
        current = jn.sampled(change_times, change_values[sweep], "hold")
        sol = jn.simulate(jn.LIF, set_, current, t1, t0=t0, saveat=saveat, max_spikes=max_spikes)
        gamma = coincidence(trains[sweep], sol.spike_times, active[sweep], delta)
        return sol, Score(sol.num_spikes, gamma, sol.result)

    return score


def report(rec: Recording, params: Any, ranking: Ranking, best: Score, held_out: int) -> None:
    names = (*RANGES, "v_rest")
    scores = lambda k: (100 * ranking.error[k].mean(), ranking.gamma[k].mean(), ranking.mismatch[k])
    rows = [[*(float(getattr(params, n)[k]) for n in names), *scores(k)] for k in ranking.order[:8]]
    headers = [*names, "rate error, %", "Gamma", "mismatch"]
    print_table("Best parameter sets on the training sweeps (ms, MOhm, mV)", headers, rows)
    use = ["HELD OUT" if k == held_out else "training" for k in range(len(rec.amplitude))]
    columns = (rec.amplitude, rec.counts, best.count, 100 * rate_error(best.count, rec.counts), best.gamma, use)
    headers = ["step, nA", "spikes of cell", "of model", "rate error, %", "Gamma", ""]
    print_table("The best of them", headers, zip(*columns, strict=True))


def draw(rec: Recording, sols: Any, reset: float, ranking: Ranking, best: Score, held_out: int) -> Figure:
    figure = Figure(figsize=(13, 10), layout="constrained")
    panels = figure.subplot_mosaic([["v", "v", "v"], ["raster", "raster", "raster"], ["fi", "cloud", "gamma"]],
                                   height_ratios=(1.2, 1.2, 1.1))  # fmt: skip
    line = line_with_spikes(rec.ts, sols.states.v[held_out], sols.spike_times[held_out], 20.0, reset)
    start, stop = rec.change_times[1] - 50, rec.change_times[1] + 600
    panels["v"].plot(rec.ts, rec.voltage[held_out], lw=0.8, color="k")
    panels["v"].plot(*line, lw=0.9, color="tab:red")  # its spikes drawn to 20 mV
    panels["v"].set(
        title=f"Sweep held out, {rec.amplitude[held_out]:.3f} nA: cell (black), best model (red)", xlim=(start, stop)
    )
    panels["v"].set(xlabel="time (ms)", ylabel="membrane potential (mV)")
    for k, train in enumerate(np.asarray(sols.spike_times)):
        panels["raster"].plot(rec.spike_times[k], np.full(len(rec.spike_times[k]), k + 0.17), "|", ms=13, color="k")
        panels["raster"].plot(train, np.full(len(train), k - 0.17), "|", ms=13, color="tab:red")
    held = lambda k: " (held out)" if k == held_out else ""
    labels = [f"{a:.3f} nA{held(k)}" for k, a in enumerate(rec.amplitude)]
    panels["raster"].set(yticks=range(len(labels)), yticklabels=labels, xlabel="time (ms)")
    panels["raster"].set(title="Spikes of the cell (black) and of the best model (red)", ylim=(-0.6, len(labels) - 0.4))
    draw_scores(panels, rec, ranking, best, held_out)
    return figure


def draw_scores(panels: Any, rec: Recording, ranking: Ranking, best: Score, held_out: int) -> None:
    fi, cloud, bars = panels["fi"], panels["cloud"], panels["gamma"]
    fi.plot(rec.amplitude, rec.counts, "ko-", label="cell")
    fi.plot(rec.amplitude, best.count, "s--", color="tab:red", label="best model")
    fi.plot(rec.amplitude[held_out], best.count[held_out], "o", ms=16, mfc="none", color="grey", label="held out")
    fi.set(title="Spikes per sweep", xlabel="step (nA)", ylabel="spikes")
    good, first = np.isfinite(ranking.mismatch), ranking.order[0]
    error, gamma = 100 * ranking.error.mean(axis=1), ranking.gamma.mean(axis=1)
    cloud.semilogx(error[good], gamma[good], ".", ms=1.5, color="tab:blue", label="all sets")
    cloud.plot(error[first], gamma[first], "s", color="tab:red", label="best model")
    cloud.set(title=f"{good.sum()} parameter sets, training sweeps", xlabel="mean rate error (%)")
    cloud.set(ylabel="mean coincidence factor")
    colors = ["grey" if k == held_out else "tab:red" for k in range(len(rec.amplitude))]
    bars.bar([f"{a:.3f}" for a in rec.amplitude], best.gamma, color=colors)
    bars.axhline(0.0, color="k", lw=0.8)
    bars.set(title="Best model (grey: held out)", xlabel="step (nA)", ylabel="coincidence factor", ylim=(None, 1))
    for ax in (fi, cloud):
        ax.legend(fontsize=8)


if __name__ == "__main__":
    run_script(main)
