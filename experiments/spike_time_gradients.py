"""Are the derivatives of spike times right, through a dozen spikes?

A resting neuron gets a step of current I at t_on. Each of its first spike times t_n is differentiated in every
parameter, in I and in t_on, three times over: by automatic differentiation through `simulate` (reverse mode), by the
closed form (LIF), and by central differences of fourth order of the simulated times.

With D = r_m I, A = v_rest + D - v_thresh, B = v_rest + D - v_reset, the LIF neuron spikes at

    t_n = t_on + T0 + (n - 1)(T + tau_refrac),   T0 = tau_m ln(D/A),   T = tau_m ln(B/A).

Source: the closed form follows from Gerstner, Kistler, Naud & Paninski (2014), Neuronal Dynamics, section 1.3,
doi:10.1017/CBO9781107447615; derivatives of event times: Chen, Amos & Nickel (2021), ICLR,
doi:10.48550/arXiv.2011.03902.

What one should see: autodiff and closed form agree to the solver's tolerance, at the twelfth spike as at the first. No
surrogate derivative stands in for the threshold. Central differences agree up to their own error (noise of the solver
over the step), so they are the less accurate of the two. The derivative in t_on is 1 at every spike.
"""

from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import jaxneuro as jn
from experiments.common import begin, finish, print_table, run_script


class Gradients(NamedTuple):
    names: list[str]  # what the spike times are differentiated in
    spike_times: Any  # (spikes,), ms
    autodiff: Any  # (names, spikes), ms per unit
    central: Any  # (names, spikes)
    closed: Any  # (names, spikes); NaN for Izhikevich
    central_difference: Any  # (names, spikes), |autodiff - central|, relative; 0 where both are 0
    closed_difference: Any  # (names, spikes), |autodiff - closed|, relative; NaN for Izhikevich


class Artefacts(NamedTuple):
    lif: Gradients
    izhikevich: Gradients
    folder: str


def main(
    *,
    num_spikes: int = 12,
    lif_current: float = 3.0,
    izhikevich_current: float = 10.0,
    t_on: float = 5.0,
    tolerance: float = 1e-12,
    relative_step: float = 1e-4,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Differentiate the spike times of both models, print the tables and draw the differences.

    Args:
        num_spikes: spike times to differentiate.
        lif_current: step of current into the LIF neuron, nA.
        izhikevich_current: step of current into Izhikevich's cell (dimensionless).
        t_on: onset of the step, ms.
        tolerance: relative and absolute tolerance of the solver.
        relative_step: step of the central differences, relative to the quantity.
        out: folder for the results (default results/spike_time_gradients).
        smoke: nothing to shrink: it takes seconds as it is.
    """
    run = begin("spike_time_gradients", out, locals())
    lif_params = jn.LIF.default_params(v_reset=-68.0)
    izh_params = jn.Izhikevich.default_params()
    rest = jn.Izhikevich.init_state(izh_params)._replace(v=jnp.asarray(-70.0), u=jnp.asarray(-14.0))
    options: dict[str, Any] = dict(t_on=t_on, num_spikes=num_spikes, tolerance=tolerance, relative_step=relative_step)
    lif = differentiate(jn.LIF, lif_params, lif_current, None, **options)
    izh = differentiate(jn.Izhikevich, izh_params, izhikevich_current, rest, **options)
    lif = against_closed_form(lif, lif_derivatives(lif_params, lif_current, num_spikes))
    report("LIF", lif)
    report("Izhikevich", izh)
    numbers = {f"{n}_{k}": x for n, g in (("lif", lif), ("izhikevich", izh)) for k, x in g._asdict().items()}
    largest = {
        "lif_closed": np.max(lif.closed_difference),
        "lif_central": np.max(lif.central_difference),
        "izhikevich_central": np.max(izh.central_difference),
    }
    print("\nLargest relative difference: " + ", ".join(f"{k} {x:.2g}" for k, x in largest.items()))
    finish(run, {"spike_time_gradients": draw(lif, izh)}, numbers, largest_relative_difference=largest)
    return Artefacts(lif, izh, str(run.folder))


def differentiate(
    model: Any, params: Any, current: float, state0: Any, *, t_on: float, num_spikes: int, tolerance: float, relative_step: float,
) -> Gradients:  # fmt: skip
    """Return the derivatives of the first spike times in (params, current, t_on), by autodiff and by differences."""
    inputs = (params, jnp.asarray(current), jnp.asarray(t_on))
    flat, restore = ravel_pytree(inputs)
    controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)

    def spike_times(flat: Any) -> Any:
        params, current, t_on = restore(flat)
        stimulus = jn.step(current, t_on)
        sol = jn.simulate(model, params, stimulus, 10_000.0, state0=state0, max_spikes=num_spikes,
                          stop_after=num_spikes, stepsize_controller=controller)  # fmt: skip
        return sol.spike_times

    @jax.jit
    def value_and_jacobian(flat: Any) -> tuple[Any, Any]:
        times, pullback = jax.vjp(spike_times, flat)  # jax.jacrev, with the value
        return times, jax.vmap(pullback)(jnp.eye(num_spikes))[0]

    times, autodiff = value_and_jacobian(flat)
    h = relative_step * jnp.maximum(jnp.abs(flat), 1e-3)
    points = flat[None, None] + jnp.array([-2.0, -1.0, 1.0, 2.0])[:, None, None] * jnp.diag(h)[None]
    shifted = jax.jit(jax.vmap(spike_times))(points.reshape(-1, flat.size))
    far_below, below, above, far_above = shifted.reshape(4, flat.size, num_spikes)
    central = (8 * (above - below) - (far_above - far_below)) / (12 * h[:, None])
    names = [*type(params)._fields, "current", "t_on"]
    autodiff, central = np.asarray(autodiff).T, np.asarray(central)
    nan = np.full(autodiff.shape, np.nan)
    return Gradients(names, np.asarray(times), autodiff, central, nan, relative(autodiff, central), nan)


def relative(a: Any, b: Any) -> Any:
    """Return |a - b| over |b|; the absolute difference where |b| is next to nothing (a zero derivative)."""
    return np.abs(a - b) / np.where(np.abs(b) > 1e-9, np.abs(b), 1.0)


def lif_derivatives(params: Any, current: float, num_spikes: int) -> dict[str, Any]:
    """Return d t_n / d x for each x, written out by hand from the closed form."""
    p = type(params)(*map(float, params))
    drive = p.r_m * current
    a, b, n = p.v_rest + drive - p.v_thresh, p.v_rest + drive - p.v_reset, np.arange(num_spikes)
    per_drive = lambda x: x * (p.tau_m * (1 / drive - 1 / a) + n * p.tau_m * (1 / b - 1 / a))
    return {
        "tau_m": np.log(drive / a) + n * np.log(b / a),
        "v_rest": -p.tau_m / a + n * p.tau_m * (1 / b - 1 / a),
        "r_m": per_drive(current),
        "v_thresh": p.tau_m / a * (1 + n),
        "v_reset": -p.tau_m / b * n,
        "tau_refrac": 1.0 * n,
        "current": per_drive(p.r_m),
        "t_on": np.ones(num_spikes),
    }


def against_closed_form(found: Gradients, closed: dict[str, Any]) -> Gradients:
    exact = np.stack([closed[name] for name in found.names])
    return found._replace(closed=exact, closed_difference=relative(found.autodiff, exact))


def report(title: str, found: Gradients) -> None:
    last = len(found.spike_times)
    columns = (
        found.names, found.autodiff[:, 0], found.autodiff[:, -1], found.closed[:, -1], found.central[:, -1],
        np.max(found.closed_difference, axis=1), np.max(found.central_difference, axis=1),
    )  # fmt: skip
    headers = ["in", "d t_1", f"d t_{last}", "closed form", "central", "largest |auto - closed|", "|auto - central|"]
    title = (
        f"{title}: derivatives of {last} spike times from {found.spike_times[0]:.4f} to {found.spike_times[-1]:.4f} ms"
    )
    print_table(f"{title} (differences relative)", headers, zip(*columns, strict=True))


def draw(lif: Gradients, izh: Gradients) -> Figure:
    figure = Figure(figsize=(14, 5), layout="constrained")
    panels = (
        ("LIF: autodiff - closed form", lif, lif.closed_difference),
        ("LIF: autodiff - central difference", lif, lif.central_difference),
        ("Izhikevich: autodiff - central difference", izh, izh.central_difference),
    )
    for ax, (title, found, difference) in zip(figure.subplots(1, 3, sharey=True), panels, strict=True):
        number = 1 + np.arange(difference.shape[1])
        for k, name in enumerate(found.names):
            # Equal to the last digit is drawn at the bottom.
            style = dict(marker="osv^Dx+*<>ph"[k % 12], ms=4, lw=0.8)
            ax.semilogy(number, np.maximum(difference[k], 1e-17), label=name, color=f"C{k % 10}", **style)
        ax.set(title=title, xlabel="spike number", xticks=number, ylim=(5e-18, 1e-4))
        ax.legend(fontsize=8, ncol=3, loc="upper center")
        ax.grid(alpha=0.3)
    figure.axes[0].set_ylabel("relative difference of d(spike time)")
    return figure


if __name__ == "__main__":
    run_script(main)
