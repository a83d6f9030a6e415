"""How long does each public entry point take to trace and compile, and is that within its budget?

`simulate` forward, its gradient and its forward mode for every model; `simulate_grid`, `sweep`, `fit` and the functions of
`analysis` once each. Each program is compiled for a batch of neurons (analysis: for one) from `jit(...).lower(...)` on, after
one small program has started the back end and without the persistent cache. What calls programs of its own eagerly
(`sweep`, `fit`) is timed as its first call less its second. Budgets stand below, in seconds on a quiet machine of two cores.

    python -m experiments.benchmarks.compile_times                        (some minutes)
    python -m experiments.benchmarks.compile_times --only simulate        (lines that contain this)

What one should see: every line within its budget. In your own work a second process need not pay again: JAX's persistent
compilation cache, as experiments.common sets it, holds all of these programs.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxneuro as jn
from experiments import common
from experiments.benchmarks.report import table

FORWARD, GRADIENT, DUAL, OTHER = 1.5, 3.0, 3.0, 5.0  # budgets, s
CONDUCTANCES = (
    "HodgkinHuxley",
    "TraubMiles",
    "WangBuzsaki",
    "ConnorStevens",
    "Pospischil",
)  # of Hodgkin & Huxley's kind
FACTOR = 5 / 3  # their budgets: HH 2.5 s forward, 5 s gradient


class Entry(NamedTuple):
    name: str
    budget: float  # s
    compile: Callable[[], float]  # returns seconds


class Row(NamedTuple):
    name: str
    seconds: float
    budget: float

    @property
    def within(self) -> bool:
        return self.seconds <= self.budget


COLUMNS: dict[str, Callable[[Row], str]] = {
    "entry point": lambda r: r.name,
    "compile, s": lambda r: f"{r.seconds:.2f}",
    "budget, s": lambda r: f"{r.budget:.2f}",
    "": lambda r: "" if r.within else "over",
}


class Artefacts(NamedTuple):
    rows: list[Row]
    folder: str


def main(
    *, only: str = "", neurons: int = 1000, repeats: int = 1, out: str | None = None, smoke: bool = False
) -> Artefacts:
    """Compile all entry points and print the table.

    Args:
        only: entry points whose name contains this.
        neurons: lanes of `simulate` and `simulate_grid`.
        repeats: how often each is compiled; the least counts.
        out: folder for the results (default results/compile_times).
        smoke: one entry point, for tests.
    """
    run = common.begin("compile_times", out, locals())
    cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_compilation_cache_dir", None)
    jax.block_until_ready(jax.jit(lambda x: x + 1)(jnp.zeros(3)))
    rows = []
    print(f"{'entry point':<44} {'s':>8} {'budget':>8}")
    for entry in entries(neurons):
        if only not in entry.name or (smoke and entry.name != "simulate_grid(LIF)"):
            continue
        seconds = min(_fresh(entry.compile) for _ in range(repeats))
        rows.append(Row(entry.name, seconds, entry.budget))
        print(f"{entry.name:<44} {seconds:8.2f} {entry.budget:8.2f}{'' if rows[-1].within else '  OVER'}", flush=True)
    jax.config.update("jax_compilation_cache_dir", cache)
    (run.folder / "compile_times.md").write_text(table(COLUMNS, rows))
    over = [r.name for r in rows if not r.within]
    print(f"{len(over)} of {len(rows)} over their budget{': ' if over else ''}{', '.join(over)}")
    numbers = dict(seconds=np.array([r.seconds for r in rows]), budget=np.array([r.budget for r in rows]))
    common.finish(run, {}, numbers, rows=[r._asdict() for r in rows], over=over)
    return Artefacts(rows, str(run.folder))


def entries(neurons: int) -> Iterator[Entry]:
    """Every public entry point that compiles."""
    for model in jn.ALL_MODELS:
        factor = FACTOR if model.name in CONDUCTANCES else 1.0
        yield Entry(f"simulate({model.name})", factor * FORWARD, lambda m=model: ahead(spikes(m), m, neurons))
        yield Entry(f"grad(simulate({model.name}))", factor * GRADIENT, lambda m=model: ahead(slope(m), m, neurons))
        yield Entry(f"jvp(simulate({model.name}))", factor * DUAL, lambda m=model: ahead(tangent(m), m, neurons))
    hh = jn.HodgkinHuxley
    yield Entry("simulate(HodgkinHuxley, saveat)", FACTOR * FORWARD, lambda: ahead(voltage(hh), hh, neurons))
    yield Entry(
        "grad(simulate(HodgkinHuxley, saveat))", FACTOR * GRADIENT, lambda: ahead(jax.grad(voltage(hh)), hh, neurons)
    )
    yield Entry("simulate_grid(LIF)", FORWARD, lambda: ahead(on_grid(jn.LIF), jn.LIF, neurons))
    yield Entry("simulate_grid(HodgkinHuxley)", FACTOR * FORWARD, lambda: ahead(on_grid(hh), hh, neurons))
    yield Entry("sweep(LIF)", 2 * FORWARD, sweep)
    yield Entry("fit(mlp)", OTHER, fit)
    yield from analyses()


def spikes(model: Any) -> Callable:
    return lambda params, current: jn.simulate(model, params, current, 100.0).spike_times


def total(model: Any) -> Callable:
    def loss(params: Any, current: Any) -> Any:
        times = spikes(model)(params, current)
        return jnp.sum(jnp.where(jnp.isfinite(times), times, 0.0))

    return loss


def voltage(model: Any) -> Callable:
    """Mean of v^2 at a thousand times."""
    ts = jnp.linspace(0.1, 100.0, 1000)
    return lambda params, current: jnp.mean(jn.simulate(model, params, current, 100.0, saveat=ts).states.v ** 2)


def slope(model: Any) -> Callable:
    return jax.grad(total(model), argnums=(0, 1))


def tangent(model: Any) -> Callable:
    def forward(params: Any, current: Any) -> Any:
        run = lambda p: jn.simulate(model, p, current, 100.0, adjoint=diffrax.ForwardMode()).spike_times
        return jax.jvp(run, (params,), (jax.tree.map(jnp.ones_like, params),))[1]

    return forward


def on_grid(model: Any) -> Callable:
    return lambda params, current: jn.simulate_grid(model, params, current, 100.0, dt=0.1).spike_times


def ahead(fn: Callable, model: Any, neurons: int) -> float:
    """Return the seconds of tracing and compiling `fn(params, current)` for many currents."""
    params, currents = model.default_params(), jnp.linspace(0.0, 1.0, neurons)
    program = jax.jit(jax.vmap(fn, in_axes=(None, 0)))
    return common.timed(lambda: program.lower(params, currents).compile())[1]


def first_less_second(call: Callable[[], Any]) -> float:
    return common.timed(call)[1] - common.timed(call)[1]


def sweep() -> float:
    params = jn.LIF.default_params()
    point = lambda p: jn.simulate(jn.LIF, params, p["current"], 100.0).num_spikes
    return first_less_second(lambda: jn.sweep(point, jn.grid(current=np.linspace(0.0, 5.0, 256)), batch_size=64))


def fit() -> float:
    key = jax.random.key(0)
    x, y = jax.random.normal(key, (256, 8)), jnp.zeros(256, jnp.int32)
    loss = jn.losses.classification(lambda params, x, key: jn.mlp_apply(params, x))
    params = jn.mlp_init(key, (8, 16, 2))
    optimizer = optax.adam(1e-3)
    call = lambda: jn.fit(loss, params, (x, y), key=key, optimizer=optimizer, num_epochs=2, progress=False)[0]
    return first_less_second(call)


def analyses() -> Iterator[Entry]:
    """Each function of `analysis`, for one neuron, as a function of its parameters."""
    a, phases = jn.analysis, jnp.linspace(0.0, 1.0, 20)
    wide = dict(bounds=(0.0, 20.0))
    calls: list[tuple[str, Any, Callable[[Any], Any]]] = [
        ("fi_curve", jn.Izhikevich, lambda p: a.fi_curve(jn.Izhikevich, p, jnp.linspace(0.0, 20.0, 16))),
        ("rheobase", jn.LIF, lambda p: a.rheobase(jn.LIF, p)),
        ("rheobase", jn.HodgkinHuxley, lambda p: a.rheobase(jn.HodgkinHuxley, p)),
        ("pulse_threshold", jn.HodgkinHuxley, lambda p: a.pulse_threshold(jn.HodgkinHuxley, p, 1.0)),
        ("stability_limit", jn.HodgkinHuxley, lambda p: a.stability_limit(jn.HodgkinHuxley, p)),
        ("nullclines", jn.Izhikevich, lambda p: a.nullclines(jn.Izhikevich, p, 2.0, jnp.linspace(-80.0, 20.0, 50))),
        ("fixed_points", jn.HodgkinHuxley, lambda p: a.fixed_points(jn.HodgkinHuxley, p, 2.0)),
        ("continuation", jn.HodgkinHuxley, lambda p: a.continuation(jn.HodgkinHuxley, p, 0.0, start(p), **wide)),
        ("hopf_point", jn.HodgkinHuxley, lambda p: a.hopf_point(jn.HodgkinHuxley, p, 9.8, start(p))),
        ("periodic_orbit", jn.Izhikevich, lambda p: a.periodic_orbit(jn.Izhikevich, p, 10.0)),
        ("periodic_orbit", jn.HodgkinHuxley, lambda p: a.periodic_orbit(jn.HodgkinHuxley, p, 10.0)),
        ("phase_response", jn.Izhikevich, lambda p: a.phase_response(jn.Izhikevich, p, 10.0, phases)),
        ("lyapunov_exponent", jn.Izhikevich, lambda p: a.lyapunov_exponent(jn.Izhikevich, p, 10.0)),
        ("return_map_exponent", jn.Izhikevich, lambda p: a.return_map_exponent(jn.Izhikevich, p, 10.0)),
        ("siegert_rate", jn.LIF, lambda p: a.siegert_rate(p, 2.0, 0.5)),
    ]  # fmt: skip
    for name, model, call in calls:
        yield Entry(f"analysis.{name}({model.name})", OTHER, lambda m=model, c=call: analysis(m, c))


def start(params: Any) -> Any:
    return jn.HodgkinHuxley.init_state(params)


def analysis(model: Any, call: Callable[[Any], Any]) -> float:
    params = model.default_params()
    return common.timed(lambda: jax.jit(call).lower(params).compile())[1]


def _fresh(compile: Callable[[], float]) -> float:
    jax.clear_caches()
    return compile()


if __name__ == "__main__":
    jn.configure_cpu()
    common.command_line(main)
