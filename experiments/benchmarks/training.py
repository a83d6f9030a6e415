"""What do `mlp_apply` and `fit` cost beside training written by hand?

A network 784-128-10 (ReLU), batches of 128 float32 images, Adam 1e-3, cross-entropy. Side by side in one process, in turns,
blocked, the least of the repeats:

    step    one jitted step of `mlp_apply` against the same step written with x @ w + b
    epoch   40 batches: `fit`, called eagerly, against a jitted `lax.scan` over the same steps with the same shuffling
    xor     1,000 networks 2-4-1, 1,000 epochs, in one call (experiments.xor)

    python -m experiments.benchmarks.training          (about half a minute)
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import tyro

import jaxneuro as jn
from experiments import common, xor

SIZES, BATCH, STEPS = (784, 128, 10), 128, 40
OPTIMIZER = optax.adam(1e-3)


def in_turns(tasks: dict[str, Callable[[], Any]], repeats: int) -> dict[str, tuple[float, float]]:
    """Return the seconds of the first call and the least of the others, of each task."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(1 + repeats):
        for name, task in tasks.items():
            seconds[name].append(common.timed(task)[1])
    return {name: (times[0], min(times[1:])) for name, times in seconds.items()}


def bare_loss(params: Any, x: Any, y: Any) -> Any:
    (w1, b1), (w2, b2) = params
    logits = jax.nn.relu(x @ w1 + b1[None]) @ w2 + b2[None]
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))


def our_loss(params: Any, x: Any, y: Any) -> Any:
    logits = jax.vmap(lambda x: jn.mlp_apply(params, x))(x)
    return jnp.mean(jn.losses.cross_entropy(logits, y))


def loss_fn(params: Any, batch: Any, key: Any) -> Any:
    return our_loss(params, *batch)


def step(loss: Callable, params: Any, opt_state: Any, x: Any, y: Any) -> Any:
    value, grads = jax.value_and_grad(loss)(params, x, y)
    updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, value


def bare_epoch(params: Any, opt_state: Any, key: Any, x: Any, y: Any) -> Any:
    order = jax.random.permutation(key, len(x)).reshape(-1, BATCH)

    def body(carry: Any, index: Any) -> Any:
        params, opt_state = carry
        params, opt_state, value = step(bare_loss, params, opt_state, x[index], y[index])
        return (params, opt_state), value

    return jax.lax.scan(body, (params, opt_state), order)


def main(*, epochs: int = 20, repeats: int = 10, out: str | None = None) -> dict[str, Any]:
    """Time the three tasks and print the ratios."""
    run = common.begin("training_benchmark", out, dict(epochs=epochs, repeats=repeats))
    key = jax.random.key(0)
    x = jax.random.normal(key, (BATCH * STEPS, SIZES[0]), jnp.float32)
    y = jax.random.randint(key, (BATCH * STEPS,), 0, 10, jnp.int32)
    ours = jn.mlp_init(key, SIZES, dtype=jnp.float32)
    bare = [(layer.weight.T, layer.bias) for layer in ours.layers]
    bare_state, our_state = OPTIMIZER.init(bare), OPTIMIZER.init(ours)
    jitted = {name: jax.jit(step, static_argnums=0) for name in ("bare", "ours")}
    whole = jax.jit(bare_epoch)

    def by_hand() -> Any:
        params, opt_state = bare, bare_state
        for k in range(epochs):
            (params, opt_state), _ = whole(params, opt_state, jax.random.fold_in(key, k), x, y)
        return params

    def by_fit() -> Any:
        return jn.fit(loss_fn, ours, (x, y), key=key, optimizer=optax.adam(1e-3), num_epochs=epochs, batch_size=BATCH)[
            0
        ]

    steps = in_turns(
        {
            "step, by hand": lambda: jitted["bare"](bare_loss, bare, bare_state, x[:BATCH], y[:BATCH]),
            "step, mlp_apply": lambda: jitted["ours"](our_loss, ours, our_state, x[:BATCH], y[:BATCH]),
        },
        50 * repeats,
    )
    loops = in_turns({"epochs, by hand": by_hand, "epochs, fit": by_fit}, repeats)
    keys = jax.random.split(key, 1000)
    ensemble = in_turns({"xor, 1,000 x 1,000": lambda: xor.train_all(keys, jnp.asarray(1e-3), 4, 1000)}, repeats)
    rows = [(name, first, 1e3 * best) for name, (first, best) in (steps | loops | ensemble).items()]
    common.print_table(f"{epochs} epochs of {STEPS} batches of {BATCH}", ["task", "first call, s", "steady, ms"], rows)
    report = dict(
        step_ratio=steps["step, mlp_apply"][1] / steps["step, by hand"][1],
        fit_ratio=loops["epochs, fit"][1] / loops["epochs, by hand"][1],
        xor_seconds=ensemble["xor, 1,000 x 1,000"][1],
    )
    for name, value in report.items():
        print(f"  {name:<12} {value:.3f}")
    common.finish(run, {}, {name: best for name, _, best in rows}, **report)
    return report


if __name__ == "__main__":
    jn.configure_cpu()
    tyro.cli(main, description=__doc__)
