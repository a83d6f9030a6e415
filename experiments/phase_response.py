"""By how much does a small kick advance all later spikes, at each phase of periodic firing?

Five cells: LIF and QIF, whose phase response is known,

    Z(t) = 1/V'(t) along the orbit   (LIF: exp(t/tau)/(v_rest + r_m I - v_reset); 0 in refractoriness),

Izhikevich's regular-spiking cell, Hodgkin & Huxley's axon and Wang & Buzsaki's interneuron. The line is the derivative of the
spike times through steps, spikes and resets; the points are kicks of both signs, run on for 20 periods.

Source: Ermentrout & Terman (2010), Mathematical Foundations of Neuroscience, chapter 8, doi:10.1007/978-0-387-87708-2; models:
see their modules. Parameters are the models' defaults; the currents are chosen for this script.

What one should see: points on lines. A kick of v advances LIF and QIF at every phase, and the interneuron at nearly every one
(type 1). It delays Hodgkin & Huxley's axon in the middle of the period and advances it later (type 2). Izhikevich's cell is
delayed a little, up to a phase of 0.6, because a kick of v feeds its adaptation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_table, run_script
from jaxneuro.analysis import orbit_samples, periodic_orbit, perturbed_phase_response, phase_response


class Cell(NamedTuple):
    name: str
    model: Any
    params: Any
    current: float
    unit: str  # of the current
    closed: Callable | None  # (params, current, ts) -> Z of v, ms/mV


class Response(NamedTuple):
    """What was found of one cell."""

    ts: Any  # of one period, ms
    v: Any
    period: Any  # ms
    phases: Any
    response: Any  # Z of v from the gradient, ms/mV
    closed: Any  # the closed form, NaN where there is none
    kicked_phases: Any
    kicked: Any  # Z of v from kicks
    kick_error: Any  # largest difference of the two, as a part of the largest |Z|
    closed_error: Any  # the same between gradient and closed form


class Artefacts(NamedTuple):
    cells: dict[str, Response]
    folder: str


def lif_response(p: Any, current: float, ts: Any) -> Any:
    free = np.exp((ts - p.tau_refrac) / p.tau_m) * p.tau_m / (p.v_rest + p.r_m * current - p.v_reset)
    return np.where(ts >= p.tau_refrac, free, 0.0)


def qif_response(p: Any, current: float, ts: Any) -> Any:
    middle, q = (p.v_rest + p.v_crit) / 2, p.r_m * current - p.a * (p.v_crit - p.v_rest) ** 2 / 4
    angle = np.sqrt(p.a * q) * ts / p.tau_m + np.arctan((p.v_reset - middle) * np.sqrt(p.a / q))
    return p.tau_m * np.cos(angle) ** 2 / q


def cells() -> list[Cell]:
    lif, qif, izhikevich = (m.default_params() for m in (jn.LIF, jn.QIF, jn.Izhikevich))
    hh, wb = jn.HodgkinHuxley.default_params(), jn.WangBuzsaki.default_params()
    return [
        Cell("LIF", jn.LIF, lif, 3.0, "nA", lif_response),
        Cell("QIF", jn.QIF, qif, 3.0, "nA", qif_response),
        Cell("Izhikevich", jn.Izhikevich, izhikevich, 10.0, "", None),
        Cell("Hodgkin-Huxley", jn.HodgkinHuxley, hh, 10.0, "uA/cm2", None),
        Cell("Wang-Buzsaki", jn.WangBuzsaki, wb, 0.5, "uA/cm2", None),
    ]


def main(
    *,
    num_phases: int = 200,
    num_kicked: int = 20,
    kick: float = 1e-3,
    num_periods: int = 20,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Find the phase responses in v, by both ways, compare and draw them.

    Args:
        num_phases: phases of the gradient's curve.
        num_kicked: phases that are kicked.
        kick: size of the kicks of v, mV.
        num_periods: periods to run on after a kick.
        out: folder for the results (default results/phase_response).
        smoke: LIF alone, at few phases, for tests.
    """
    if smoke:
        num_phases, num_kicked = 10, 5
    run = begin("phase_response", out, locals())
    chosen = cells()[:1] if smoke else cells()
    found = {c.name: respond(c, num_phases, num_kicked, kick, num_periods) for c in chosen}
    rows = [
        (
            name,
            c.current,
            r.period,
            1e3 / r.period,
            np.max(r.response),
            np.min(r.response),
            r.kick_error,
            r.closed_error,
        )
        for c, (name, r) in zip(chosen, found.items(), strict=True)
    ]
    headers = ["cell", "current", "period, ms", "rate, Hz", "max Z", "min Z, ms/mV", "|Z - kicks|", "|Z - closed form|"]
    print_table(f"Phase response of v; kicks of {kick:g} mV; differences as a part of max |Z|", headers, rows)
    numbers = {f"{n}_{k}": x for n, r in found.items() for k, x in r._asdict().items()}
    errors = {n: {"kicks": r.kick_error, "closed_form": r.closed_error} for n, r in found.items()}
    finish(run, {"phase_response": draw(chosen, found)}, numbers, relative_error=errors)
    return Artefacts(found, str(run.folder))


def respond(cell: Cell, num_phases: int, num_kicked: int, kick: float, num_periods: int) -> Response:
    where = (cell.model, cell.params, cell.current)
    orbit = periodic_orbit(*where)
    samples = orbit_samples(*where, orbit, 400)
    # Both at the middles of equal parts: away from the spike itself, where LIF and QIF's curves end.
    phases, kicked_phases = ((jnp.arange(n) + 0.5) / n for n in (num_phases, num_kicked))
    both = phase_response(*where, jnp.concatenate([phases, kicked_phases]))
    kicked = perturbed_phase_response(*where, kicked_phases, field="v", kick=kick, num_periods=num_periods)
    z, at_kicks = np.split(np.asarray(both.response.v), [num_phases])
    closed = np.full(num_phases, np.nan)
    if cell.closed is not None:
        closed = cell.closed(jax.tree.map(float, cell.params), cell.current, np.asarray(both.ts[:num_phases]))
    largest = np.max(np.abs(z))
    return Response(
        samples.ts, samples.states.v, float(orbit.period), phases, z, closed, kicked_phases, kicked.response,
        np.max(np.abs(at_kicks - kicked.response)) / largest, np.max(np.abs(z - closed)) / largest,
    )  # fmt: skip


def draw(chosen: list[Cell], found: dict[str, Response]) -> Figure:
    figure = Figure(figsize=(3.4 * len(chosen) + 0.6, 5.5), layout="constrained")
    axes = figure.subplots(2, len(chosen), sharex=True, squeeze=False, height_ratios=[1, 2])
    for (top, bottom), cell in zip(axes.T, chosen, strict=True):
        r = found[cell.name]
        top.plot(np.asarray(r.ts) / r.period, r.v, color="C7", lw=1.2)
        top.set_title(f"{cell.name}, I = {cell.current:g} {cell.unit}\nT = {r.period:.4f} ms", fontsize=10)
        bottom.axhline(0, color="0.8", lw=0.8)
        bottom.plot(r.phases, r.response, color="C0", label="gradient")
        bottom.plot(r.kicked_phases, r.kicked, "o", color="C3", ms=4, mfc="none", label="kicks")
        if np.isfinite(r.closed).all():
            bottom.plot(r.phases, r.closed, "--", color="k", lw=0.8, label="closed form")
        bottom.set(xlabel="phase", xlim=(0, 1))
        bottom.legend(fontsize=8)
    axes[0, 0].set_ylabel("v, mV")
    axes[1, 0].set_ylabel("advance of later spikes, ms per mV")
    return figure


if __name__ == "__main__":
    run_script(main)
