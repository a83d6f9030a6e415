"""eventax; pip install eventax. One neuron, vmapped over its bias current; Tsit5 with adaptive steps, as its API allows.

A neuron at rest starts from v = 0, so LIF runs in v - v_rest. Gradients: `how="vmap"` asks for `vmap(grad)`, `how="one"`
takes the gradient of one neuron after the other. It is the derivative in the bias current alone: a, b, c, d are static in
`Izhikevich`, and `pIzhikevich`, where they are not, cannot be built (its constructor raises a TypeError in 0.1.0).
"""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import protocol
from eventax.evnn import EvNN  # pyright: ignore[reportMissingImports]
from eventax.neuron_models import LIF, Izhikevich  # pyright: ignore[reportMissingImports]
from eventax.neuron_models.refractory_wrapper import Refractory  # pyright: ignore[reportMissingImports]

MAX_SPIKES = 32


def network(task, setting):
    p, tolerance = task["params"], setting["tolerance"]
    if task["model"] == "LIF":
        kind = Refractory(LIF)
        height, floor = p["v_thresh"] - p["v_rest"], p["v_reset"] - p["v_rest"]
        cell = dict(thresh=height, vreset=floor, tmem=p["tau_m"], tsyn=1.0, t_refrac=p["tau_refrac"])
    else:
        kind, cell = Izhikevich, dict(a=p["a"], b=p["b"], c=p["c"], d=p["d"], v_thresh=p["v_peak"])
    return EvNN(
        kind, 1, task["duration"], 1, key=jax.random.key(0), wmask=jnp.zeros((2, 1)), init_weights=0.0, init_bias=0.0,
        dtype=jnp.float64, max_event_steps=MAX_SPIKES + 8, solver=dfx.Tsit5(), solver_stepsize=0.01,
        stepsize_controller=dfx.PIDController(rtol=tolerance, atol=tolerance),
        root_finder=optx.Newton(tolerance, tolerance, optx.rms_norm), **cell,
    )  # fmt: skip


def bias_of(net):
    return net.neuron_model.neuron.ic if hasattr(net.neuron_model, "neuron") else net.neuron_model.ic


def run(task, setting, job):
    jax.config.update("jax_enable_x64", True)
    net = network(task, setting)
    scale = task["params"].get("r_m", 1.0)
    nothing = jnp.full((1, 1), jnp.inf)

    def spikes(net, current):
        net = eqx.tree_at(bias_of, net, jnp.reshape(scale * current, (1,)))
        return net.spikes_until_t(nothing, task["duration"], max_spikes=MAX_SPIKES)[0]

    currents = jnp.asarray(protocol.currents(task))
    if task["kind"] == "gradient":
        return gradient(spikes, net, currents, setting, job), None
    forward = eqx.filter_jit(jax.vmap(lambda current: spikes(net, current)))
    times, measures = protocol.measure(
        lambda: jax.block_until_ready(forward(currents)), job["repeats"], job["budget"], compiles=True
    )
    lanes, slots = np.nonzero(np.isfinite(times))
    return measures, protocol.last_spikes(lanes, np.asarray(times)[lanes, slots], len(currents))


def gradient(spikes, net, currents, setting, job):
    def total(current):
        times = spikes(net, current)
        return jnp.sum(jnp.where(jnp.isfinite(times), times, 0.0))

    def timed(fn):
        batched = eqx.filter_jit(jax.vmap(fn) if setting["how"] == "vmap" else fn)
        call = (lambda: batched(currents)) if setting["how"] == "vmap" else lambda: [batched(i) for i in currents]
        once = lambda: jax.block_until_ready(call())
        return protocol.measure(once, job["repeats"], job["budget"], compiles=True)

    _, forward = timed(total)
    (_, slopes), times = _unzip(*timed(jax.value_and_grad(total)))
    note = f"in the bias current only; sum of derivatives {np.sum(slopes):.6g}"
    return {**protocol.beside(forward, times), "note": note}


def _unzip(pairs, times):
    """(values, slopes) of one batched call, or of a list of single ones."""
    return (pairs if isinstance(pairs, tuple) else tuple(zip(*pairs, strict=True))), times


if __name__ == "__main__":
    protocol.serve(run, ("eventax", "diffrax", "jax", "numpy"))
