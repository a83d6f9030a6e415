"""Which solver, at which tolerance, gives spike times of a wanted accuracy soonest?

Four cells, a thousand neurons of each (a hundred of the last) at as many currents: Hodgkin & Huxley's axon, the
exponential and the quadratic integrate-and-fire cell with adaptation (AdEx, Izhikevich), and a stiff one, the relaxation
oscillator of FitzHugh & Nagumo whose recovery is fifty thousand times slower than its upstroke. Each is run by the
library's default over tolerances, by other diffrax solvers, by the exponential solver (adaptive, and at constant steps), and
on time grids (forward Euler, exponential Euler). Time is that of a compiled call, blocked, the least of its repeats, all
in one process; an implicit solver runs every tenth neuron of the first three cells, and its time is multiplied by ten.
The error is that of spike times against Dopri8 at a tolerance of 1e-11, for the stiff cell Kvaerno5 at 1e-10.

Source: Hairer & Wanner (1996), Solving Ordinary Differential Equations II, section IV.10 (work-precision diagrams),
doi:10.1007/978-3-642-05221-7; Rush & Larsen (1978), doi:10.1109/TBME.1978.326270; Rotter & Diesmann (1999),
doi:10.1007/s004220050570.

What one should see: lines whose slope is the inverse of the method's order. A grid's spike times are wrong by about its
step, so that halving their error doubles the time; methods of order five to eight with located spikes gain five digits for a
few times the work. The exponential solver is of second order, and for these cells no match for them. A turn of an implicit
solver costs some hundred explicit ones: it pays where stability holds those back by more than that, as in the last cell.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_table, run_script, timed
from jaxneuro.solvers import PredictiveController, RushLarsen


class Cell(NamedTuple):
    model: Any
    params: Any
    currents: tuple[float, float]
    duration: float  # ms
    max_spikes: int
    grids: tuple[float, ...]  # steps, ms
    stiff: bool = False


class Method(NamedTuple):
    label: str
    run: Callable[..., Any]  # (cell, current, setting) -> solution
    settings: tuple[float, ...] | None  # tolerances or steps; None: the grids of the cell
    style: str
    on_grid: bool = False
    implicit: bool = False


class Row(NamedTuple):
    cell: str
    method: str
    setting: float
    seconds: float  # least of the repeated calls
    median: float  # error of spike times (the largest of a neuron), over neurons, ms
    worst: float
    wrong: int  # neurons with another number of spikes than the reference, not counted in the errors


class Artefacts(NamedTuple):
    rows: list[Row]
    folder: str


def cells() -> dict[str, Cell]:
    adex, slow = jn.neurons.adex_tonic(), jn.FitzHughNagumo.default_params(eps=2e-5)
    return {
        "Hodgkin-Huxley": Cell(jn.HodgkinHuxley, jn.HodgkinHuxley.default_params(), (10, 20), 100.0, 16, (0.05, 0.02, 0.01)),
        "AdEx": Cell(jn.AdEx, adex, (0.4, 1.0), 100.0, 32, (0.1, 0.02, 0.005)),
        "Izhikevich": Cell(jn.Izhikevich, jn.Izhikevich.default_params(), (5, 20), 200.0, 32, (0.1, 0.02, 0.005)),
        "FitzHugh-Nagumo, stiff": Cell(jn.FitzHughNagumo, slow, (0.5, 0.9), 200_000.0, 16, (0.5, 0.25), stiff=True),
    }  # fmt: skip


def adaptive(solver: Any, controller: Any = diffrax.PIDController) -> Callable[..., Any]:
    return lambda cell, current, tolerance: jn.simulate(
        cell.model, cell.params, current, cell.duration, max_spikes=cell.max_spikes, max_steps=400_000, solver=solver,
        stepsize_controller=controller(rtol=tolerance, atol=tolerance),
    )  # fmt: skip


def constant(solver: Any) -> Callable[..., Any]:
    return lambda cell, current, step: jn.simulate(
        cell.model, cell.params, current, cell.duration, max_spikes=cell.max_spikes, max_steps=400_000, solver=solver,
        stepsize_controller=diffrax.ConstantStepSize(), dt0=step,
    )  # fmt: skip


def grid(scheme: str) -> Callable[..., Any]:
    return lambda cell, current, step: jn.simulate_grid(
        cell.model, cell.params, current, cell.duration, dt=step, scheme=scheme, max_spikes=cell.max_spikes
    )


def methods() -> tuple[Method, ...]:
    # Newton's method instead of diffrax's chord, which gives up where the Jacobian moves within a step.
    newton: Any = diffrax.with_stepsize_controller_tols(optimistix.Newton)()
    tolerances, fine = (1e-4, 1e-6, 1e-8), (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
    return (
        Method("default (Tsit5, predictive)", adaptive(None, PredictiveController), fine, "ko-"),
        Method("Tsit5, PID", adaptive(diffrax.Tsit5()), tolerances, "C0s-"),
        Method("Bosh3", adaptive(diffrax.Bosh3()), tolerances[:2], "C1^-"),
        Method("Dopri5", adaptive(diffrax.Dopri5()), tolerances, "C2v-"),
        Method("Dopri8", adaptive(diffrax.Dopri8()), tolerances, "C3D-"),
        Method(
            "Kvaerno3, Newton", adaptive(diffrax.Kvaerno3(root_finder=newton)), tolerances[:2], "C4<--", implicit=True
        ),
        Method("Kvaerno5, Newton", adaptive(diffrax.Kvaerno5(root_finder=newton)), tolerances, "C5>--", implicit=True),
        Method("RushLarsen, adaptive", adaptive(RushLarsen(), PredictiveController), (1e-3, 1e-4), "C6p-"),
        Method("RushLarsen, constant steps", constant(RushLarsen()), None, "C6P:"),
        Method("Euler grid", grid("euler"), None, "C7x:", on_grid=True),
        Method("exponential grid", grid("exponential"), None, "C8+:", on_grid=True),
    )


def main(
    *,
    num_neurons: int = 1_000,
    repeats: int = 3,
    longest: float = 6.0,
    target: float = 1e-3,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Run all cells by all methods, print the table and draw the work-precision diagrams.

    Args:
        num_neurons: neurons per cell, one per current; a tenth of it for the stiff cell.
        repeats: calls after the first, of which the fastest is reported (a call longer than a second is not repeated).
        longest: a method is not tried with finer settings once a run takes longer than this, s.
        target: the second table names the fastest setting whose largest error is below this, ms.
        out: folder for the results (default results/work_precision).
        smoke: few settings of a few neurons, for tests.
    """
    run = begin("work_precision", out, locals())
    chosen, tried = cells(), methods()
    if smoke:
        num_neurons, repeats = 8, 1
        chosen = {"Izhikevich": chosen["Izhikevich"]._replace(duration=50.0, grids=(0.1, 0.05))}
        tried = [m._replace(settings=m.settings and m.settings[:2]) for m in (tried[0], tried[8], tried[9])]
    rows: list[Row] = []
    for name, cell in chosen.items():
        currents = jnp.linspace(*cell.currents, max(num_neurons // 10, 1) if cell.stiff else num_neurons)
        exact = reference(cell, currents)
        print(
            f"\n{name}: {len(currents)} neurons x {cell.duration:g} ms, {np.isfinite(exact).sum()} spikes", flush=True
        )
        for method in tried:
            for found in measure(name, cell, method, currents, exact, repeats, longest):
                rows.append(found)
                print(f"  {found.method:<28} {found.setting:8.1g} {found.seconds:9.4f} s, error {found.median:9.2g} ms "
                      f"(largest {found.worst:8.2g}), {found.wrong} miscounted", flush=True)  # fmt: skip
    fastest = [best(rows, name, method.label, target) for name in chosen for method in tried]
    headers = ["cell", "method", "setting", "s", "median error, ms", "largest error, ms"]
    print_table(f"Fastest setting with an error below {target:g} ms", headers, [r[:6] for r in fastest if r])
    numbers = {field: [r[k] for r in rows] for k, field in enumerate(Row._fields)}
    finish(run, {"work_precision": draw(rows, list(chosen), tried)}, numbers, rows=[r._asdict() for r in rows])
    return Artefacts(rows, str(run.folder))


def reference(cell: Cell, currents: Any) -> Any:
    """Return the spike times to about 1e-8 ms."""
    newton: Any = diffrax.with_stepsize_controller_tols(optimistix.Newton)()
    solver, tolerance = (diffrax.Kvaerno5(root_finder=newton), 1e-10) if cell.stiff else (diffrax.Dopri8(), 1e-11)
    run = adaptive(solver)
    return np.asarray(jax.jit(jax.vmap(lambda current: run(cell, current, tolerance).spike_times))(currents))


def measure(
    name: str, cell: Cell, method: Method, currents: Any, exact: Any, repeats: int, longest: float
) -> list[Row]:
    """Time one method over its settings, from coarse to fine."""
    every = 10 if method.implicit and not cell.stiff else 1
    scale = len(currents) / len(currents[::every])
    currents, exact = currents[::every], exact[::every]
    spikes = lambda setting: jax.vmap(lambda current: method.run(cell, current, setting).spike_times)(currents)
    shared = jax.jit(spikes)  # tolerances and steps of `simulate` are traced: one program for all
    rows = []
    for setting in method.settings or cell.grids:
        # (A grid's step fixes its number of steps.)
        call = jax.jit(partial(spikes, setting)) if method.on_grid else partial(shared, setting)
        times, _ = timed(call)  # with trace and compile
        seconds = timed(call)[1]
        for _ in range(repeats - 1 if seconds < 1 else 0):
            seconds = min(seconds, timed(call)[1])
        rows.append(Row(name, method.label, setting, seconds * scale, *errors(np.asarray(times), exact)))
        if seconds > longest:
            break
    return rows


def errors(times: Any, exact: Any) -> tuple[float, float, int]:
    """Return the median and largest error over neurons, and how many have another number of spikes."""
    there = np.isfinite(exact)
    same = np.isfinite(times).sum(axis=1) == there.sum(axis=1)
    error = np.abs(np.where(there, times, 0.0) - np.where(there, exact, 0.0)).max(axis=1)[same]
    if not same.any():
        return np.nan, np.nan, len(same)
    return float(np.median(error)), float(error.max()), int(np.sum(~same))


def best(rows: list[Row], cell: str, method: str, target: float) -> Row | None:
    """Return the fastest row of a method whose largest error is below the target, None if there is none."""
    good = [r for r in rows if (r.cell, r.method) == (cell, method) and r.worst < target and r.wrong == 0]
    return min(good, key=lambda r: r.seconds, default=None)


def draw(rows: list[Row], names: list[str], tried: Any) -> Figure:
    columns = min(len(names), 2)
    figure = Figure(figsize=(6.5 * columns, 5 * -(-len(names) // columns) + 0.8), layout="constrained")
    axes = np.ravel(figure.subplots(-(-len(names) // columns), columns, squeeze=False))
    for ax, name in zip(axes, names, strict=False):
        for method in tried:
            mine = [r for r in rows if (r.cell, r.method) == (name, method.label)]
            ax.loglog(
                [max(r.median, 1e-12) for r in mine], [r.seconds for r in mine], method.style, ms=6, label=method.label
            )
        ax.set(title=name, xlabel="median error of spike times (ms)", ylabel="run time (s)")
        ax.invert_xaxis()
        ax.grid(alpha=0.3, which="both")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2 * columns)
    return figure


if __name__ == "__main__":
    run_script(main)
