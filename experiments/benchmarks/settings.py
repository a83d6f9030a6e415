"""Which settings of which tool run at which task."""

from typing import Any, NamedTuple

OURS = "jaxneuro"
TOOLS: tuple[str, ...] = (OURS, "brian2", "nest", "brainpy", "neuron", "jaxley", "eventax")
TOLERANCES = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9)


class Setting(NamedTuple):
    tool: str
    label: str  # with the tool, the name of a row
    family: str  # rows of one family are one line of the figure
    options: dict[str, Any]
    process: str = ""  # settings with the same non-empty name run in one process, one after the other


def settings(tool: str, task: str) -> list[Setting]:
    """Return the settings of one tool at one task, in the order in which they run; none: the tool has no such task."""
    table = {OURS: ours, "brian2": brian2, "nest": nest, "brainpy": brainpy, "neuron": neuron, "jaxley": jaxley}
    return (table | {"eventax": eventax})[tool](task)


def ours(task: str) -> list[Setting]:
    if task in ("lif", "izhikevich", "hh", "adex"):
        return _ours_forward(task)
    if task.startswith("gradient") and task != "gradient_short":
        options: list[Any] = [dict(devices=d, neurons=n) for n, d in ((1000, 1), (10_000, 1), (10_000, 2))]
        return [
            _ours(f"{o['neurons']:,} neurons on {_devices(o['devices'])}", "gradient", kind="gradient", **o)
            for o in options
        ]
    if task == "voltage_hh":
        exact = _ours(
            "Dopri8 1e-10 (reference)", "reference", kind="voltage", sample=0.1, tolerance=1e-10, solver="Dopri8"
        )
        return [exact, _ours("defaults, 1 device", "voltage", kind="voltage", sample=0.1)]
    if task == "lanes":
        counts = (100, 1000, 10_000, 100_000, 1_000_000)
        return [_ours(f"{n:,} neurons", "LIF", kind="count", neurons=n, devices=2) for n in counts]
    if task == "spikes":
        times = (30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
        return [_ours(f"{t:g} ms", "LIF", kind="count", duration=t, devices=2, max_spikes=2048) for t in times]
    if task == "gradient_short":
        return [_ours("all parameters", "gradient", kind="gradient")]
    return [_ours("defaults, 1 device", "defaults", kind="spikes")]


def _ours_forward(task: str) -> list[Setting]:
    at = lambda tolerance, **solver: dict(kind="spikes", devices=2, tolerance=tolerance, **solver)
    scheme, dt = ("exponential", 0.01) if task == "hh" else ("euler", 0.1)
    on_grid = lambda dtype: dict(kind="grid", devices=2, scheme=scheme, dt=dt, dtype=dtype)
    both, eighth, types = _devices(2), dict(solver="Dopri8"), ("float64", "float32")
    return [
        _ours("defaults, 1 device", "defaults", kind="spikes", devices=1),
        _ours(f"defaults, {both}", f"defaults, {both}", kind="spikes", devices=2),
        _ours("defaults, one core", "defaults, one core", kind="spikes", devices=1, pinned=True),
        _ours(f"defaults, sweep on {both}", "sweep", kind="sweep", devices=2),
        *(_ours(f"tolerance {tol:g}, {both}", f"tolerances, {both}", "tolerances", **at(tol)) for tol in TOLERANCES),
        *(
            _ours(f"Dopri8 {tol:g}, {both}", f"Dopri8, {both}", "Dopri8", **at(tol, **eighth))
            for tol in (1e-6, 1e-8, 1e-10)
        ),
        *(_ours(f"grid, {scheme} {dt:g}, {x}", f"grid, {x}", "grid", **on_grid(x)) for x in types),
    ]


def _ours(label: str, family: str, process: str = "", **options: Any) -> Setting:
    return Setting(OURS, label, family, options, process)


def _devices(number: int) -> str:
    return f"{number} device{'s' * (number > 1)}"


def brian2(task: str) -> list[Setting]:
    def compiled(method: str, threads: int, steps: tuple[float, ...]) -> list[Setting]:
        options = dict(target="standalone", method=method, threads=threads)
        family = f"C++, {method}" + (f", {threads} threads" if threads > 1 else "")
        return [
            Setting("brian2", f"{family}, {dt:g} ms", family, dict(options, dt=dt, last=dt == steps[-1]), family)
            for dt in steps
        ]

    cython = lambda method, dt: Setting(
        "brian2", f"Cython, {method}, {dt:g} ms", "Cython", dict(target="runtime", method=method, dt=dt)
    )
    if task == "lif":  # "exact": Brian2's own choice for linear equations
        return [*compiled("euler", 1, (0.1,)), *compiled("euler", 2, (0.1,)), *compiled("exact", 2, (0.1, 0.01, 0.001))]
    if task == "izhikevich":
        return [*compiled("euler", 1, (0.1,)), *compiled("euler", 2, (0.1, 0.01, 0.001)), cython("euler", 0.1)]
    if task == "adex":
        return [*compiled("euler", 1, (0.1,)), *compiled("euler", 2, (0.1, 0.01))]
    if task == "hh":
        method = "exponential_euler"
        return [*compiled(method, 1, (0.01,)), *compiled(method, 2, (0.05, 0.01, 0.002)), cython(method, 0.01)]
    return []


def nest(task: str) -> list[Setting]:
    def make(model: str, steps: tuple[float, ...], threads: int = 2, **options: Any) -> list[Setting]:
        family = f"{model}, {threads} thread{'s' * (threads > 1)}"
        rows = dict(model=model, threads=threads, **options)
        return [Setting("nest", f"{family}, {dt:g} ms", family, dict(rows, dt=dt)) for dt in steps]

    if task == "lif":
        precise = [
            *make("iaf_psc_delta_ps", (0.1,), 1),
            *make("iaf_psc_delta_ps", (1.0, 0.1)),
            *make("iaf_psc_exp_ps", (0.1,)),
        ]
        return [*precise, *make("iaf_psc_delta", (0.1,), 1), *make("iaf_psc_delta", (0.1, 0.01))]
    if task == "izhikevich":
        return [*make("izhikevich", (0.1,), 1), *make("izhikevich", (0.1, 0.01))]
    if task == "hh":
        event = "its spike is the maximum of v, not the upward crossing: no error given"
        return make("hh_psc_alpha", (0.1,), other_event=event)
    if task == "adex":  # an adaptive solver in every step: minutes for all of them
        return [*make("aeif_cond_alpha", (0.1,), neurons=500), *make("aeif_psc_delta", (0.1,), neurons=50)]
    return []


def brainpy(task: str) -> list[Setting]:
    steps = {"lif": (0.1, 0.01), "izhikevich": (0.1, 0.01), "hh": (0.01,)}.get(task, ())
    return [
        Setting("brainpy", f"{dtype}, {dt:g} ms", dtype, dict(dt=dt, dtype=dtype))
        for dtype in ("float32", "float64")
        for dt in (steps if dtype == "float64" else steps[:1])
    ]


def neuron(task: str) -> list[Setting]:
    if task != "hh":
        return []
    cvode = [
        Setting("neuron", f"CVODE {t:g}", "CVODE", dict(method="cvode", tolerance=t, neurons=1000))
        for t in (1e-3, 1e-6, 1e-9)
    ]
    fixed = [("implicit Euler", 0.025, 0), ("Crank-Nicolson", 0.025, 2), ("Crank-Nicolson", 0.01, 2)]
    return cvode + [
        Setting("neuron", f"{name}, {dt:g} ms", name, dict(method="fixed", dt=dt, secondorder=order, neurons=1000))
        for name, dt, order in fixed
    ]


def jaxley(task: str) -> list[Setting]:
    if task != "voltage_hh":
        return []
    return [
        Setting("jaxley", f"{solver}, 0.025 ms", solver, dict(dt=0.025, sample=0.1, solver=solver))
        for solver in ("bwd_euler", "crank_nicolson")
    ]


def eventax(task: str) -> list[Setting]:
    make = lambda label, **options: Setting("eventax", label, label, dict(tolerance=1e-6, **options))
    if task in ("lif_short", "izhikevich_short"):
        return [make("Tsit5 1e-6, vmap")]
    if task == "gradient_short":
        return [make("one neuron at a time", how="one", neurons=20), make("vmap(grad)", how="vmap", neurons=20)]
    return []
