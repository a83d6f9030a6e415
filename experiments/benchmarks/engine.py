"""How fast is the hybrid loop, and what does its exactness cost?

Izhikevich's cell (a 0.02, b 0.2, c -65, d 8), I from 0 to 20, 1000 ms from (-65, -13), at library defaults in float64,
beside the float32 Euler grid (dt 0.1 ms) of the same task, in one process on one device. Reported for each row: compile,
first call, steady state (minimum of repeats, blocked), and the error of the last spike against a converged reference.
A lane whose number of spikes differs from the reference is looked at: it counts as sitting at the bifurcation when
moving its current by 1e-6 changes the reference's own number of spikes.

    python -m experiments.benchmarks.engine            (about half a minute)
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxneuro as jn
from experiments import common


class Row(NamedTuple):
    """One line of the table; times in s."""

    task: str
    compile: float
    first: float
    steady: float


def measure(task: str, fn: Callable, *args: Any, repeats: int = 5) -> tuple[Row, Any]:
    """Compile, call and time `jit(fn)(*args)`."""
    compiled, compile_s = common.timed(lambda: jax.jit(fn).lower(*args).compile())
    runs = [common.timed(lambda: compiled(*args)) for _ in range(1 + repeats)]
    times = [seconds for _, seconds in runs]
    row = Row(task, compile_s, times[0], min(times[1:]))
    print(f"{row.task:<58} {row.compile:9.2f} {row.first:9.3f} {row.steady:9.4f}", flush=True)
    return row, runs[0][0]


def spike_times(i: Any, **settings: Any) -> Any:
    params = jn.Izhikevich.default_params()
    return jn.simulate(jn.Izhikevich, params, i, 1000.0, **settings).spike_times


def sum_of_spikes(a: Any, b: Any, c: Any, d: Any, i: Any) -> Any:
    """The sum of all spike times, to be differentiated in five parameters; the start is held at (-65, -13)."""
    base = jn.Izhikevich.default_params()
    params = base._replace(a=a, b=b, c=c, d=d)
    start = jn.Izhikevich.init_state(base)
    times = jn.simulate(jn.Izhikevich, params, i, 1000.0, state0=start).spike_times
    return jnp.sum(jnp.where(jnp.isfinite(times), times, 0.0))


def gradient(i: Any) -> Any:
    p = jn.Izhikevich.default_params()
    return jax.value_and_grad(sum_of_spikes, argnums=(0, 1, 2, 3, 4))(p.a, p.b, p.c, p.d, i)


def errors(times: Any, exact: Any, currents: Any) -> dict[str, Any]:
    """Return last-spike errors, and the lanes with another number of spikes than the reference."""
    times, exact = np.asarray(times), np.asarray(exact)
    n, m = np.isfinite(exact).sum(1), np.isfinite(times).sum(1)
    same = (n == m) & (n > 0)
    last = np.abs(times[same, n[same] - 1] - exact[same, n[same] - 1])
    odd = np.flatnonzero(n != m)
    moved = jnp.concatenate([currents[odd] - 1e-6, currents[odd] + 1e-6])
    tight = dict(stepsize_controller=dfx.PIDController(rtol=1e-11, atol=1e-11))
    around = (
        np.isfinite(np.asarray(jax.vmap(lambda i: spike_times(i, **tight))(moved))).sum(1) if odd.size else np.zeros(0)
    )
    at_bifurcation = int(np.sum((around[: odd.size] != n[odd]) | (around[odd.size :] != n[odd])))
    worst = dict(median=np.median(last), p99=np.quantile(last, 0.99), max=last.max())
    return dict(**worst, wrong=odd.size, at_bifurcation=at_bifurcation)


def eager_call() -> float:
    """Return the time of a second eager call, in s."""
    params = jn.LIF.default_params()
    call = lambda current: jn.simulate(jn.LIF, params, current, 20.0).spike_times
    times = [common.timed(functools.partial(call, current))[1] for current in (1.0, 2.0, 3.0, 2.5)]
    return min(times[1:])


def grid(dtype: Any) -> Callable:
    params = jax.tree.map(lambda x: x.astype(dtype), jn.Izhikevich.default_params())
    return lambda i: jn.simulate_grid(jn.Izhikevich, params, i, 1000.0, dt=0.1)


def euler_last(i: Any) -> tuple[Any, Any]:
    """Counts and last spike of forward Euler, float32, as bare as a lax.scan can be."""
    f = jnp.float32

    def body(carry: Any, k: Any) -> Any:
        v, u, n, last = carry
        v1 = v + f(0.1) * (f(0.04) * v * v + f(5) * v + f(140) - u + i)
        u1 = u + f(0.1) * (f(0.02) * (f(0.2) * v - u))
        spike = v1 >= 30
        return (
            jnp.where(spike, f(-65), v1),
            jnp.where(spike, u1 + 8, u1),
            n + spike,
            jnp.where(spike, k * f(0.1), last),
        ), None

    start = (f(-65), f(-13), jnp.int32(0), f(jnp.inf))
    (_, _, n, last), _ = jax.lax.scan(body, start, jnp.arange(1, 10_001, dtype=f))
    return n, last


def main(*, neurons: int = 10_000, out: str | None = None) -> dict[str, Any]:
    """Run the table: `neurons` lanes, a thousand of them, and one."""
    job = common.begin("engine_benchmark", out, dict(neurons=neurons))
    currents = jnp.linspace(0.0, 20.0, neurons)
    thousand = currents[:: max(1, neurons // 1000)]
    print(f"{'task':<58} {'compile s':>9} {'first s':>9} {'steady s':>9}")
    rows = {}

    def run(key: str, task: str, fn: Callable, *args: Any) -> Any:
        rows[key], value = measure(task, fn, *args)
        return value

    single, on_grid = currents.astype(jnp.float32), grid(jnp.float32)
    number, times_of = lambda i: on_grid(i).num_spikes, lambda i: on_grid(i).spike_times
    run("grid", f"Euler grid float32, counts and last spike, {neurons}", jax.vmap(euler_last), single)
    run("grid_count", f"simulate_grid float32, num_spikes, {neurons}", jax.vmap(number), single)
    run("grid_times", f"simulate_grid float32, spike_times, {neurons}", jax.vmap(times_of), single)
    times = run("exact", f"simulate, spike_times, {neurons}", jax.vmap(spike_times), currents)
    run("exact_1000", f"simulate, spike_times, {len(thousand)}", jax.vmap(spike_times), thousand)
    run("exact_1", "simulate, spike_times, 1 (I = 15)", spike_times, jnp.asarray(15.0))
    run("grad", f"value and gradient, {neurons}", jax.vmap(gradient), currents)
    run("grad_1000", f"value and gradient, {len(thousand)}", jax.vmap(gradient), thousand)
    run("grad_1", "value and gradient, 1 (I = 15)", gradient, jnp.asarray(15.0))
    run("grid_again", f"Euler grid float32, again, {neurons}", jax.vmap(euler_last), single)
    tight = dict(stepsize_controller=dfx.PIDController(rtol=1e-11, atol=1e-11), max_spikes=128)
    exact = jax.jit(jax.vmap(lambda i: spike_times(i, **tight)))(currents)
    report = summary(rows, errors(times[:, :128], exact, currents), neurons)
    common.finish(
        job, {}, {key: row[1:] for key, row in rows.items()}, tasks={k: r._asdict() for k, r in rows.items()}, **report
    )
    return report


def summary(rows: dict[str, Row], error: dict[str, Any], neurons: int) -> dict[str, Any]:
    """Print and return the ratios. The grid ran before and after the rest: the faster of the two is compared with."""
    steps, steady = neurons * 10_000, {key: row.steady for key, row in rows.items()}
    report = dict(
        exact_over_grid=steady["exact"] / min(steady["grid"], steady["grid_again"]),
        gradient_over_forward_all=steady["grad"] / steady["exact"],
        gradient_over_forward_1000=steady["grad_1000"] / steady["exact_1000"],
        gradient_over_forward_1=steady["grad_1"] / steady["exact_1"],
        grid_steps_per_s_counts=steps / steady["grid_count"],
        grid_steps_per_s_times=steps / steady["grid_times"],
        eager_second_call_s=eager_call(),
        **{f"last_spike_error_{key}": float(value) for key, value in error.items()},
    )
    for key, value in report.items():
        print(f"{key:<40} {value:.4g}")
    return report


if __name__ == "__main__":
    jn.configure_cpu()  # no persistent cache here: compile times are part of the table
    tyro.cli(main, description=__doc__)
