"""How small a change of an image changes a decision, what does training against such changes cost, and what decides?

Multilayer perceptrons learn scikit-learn's digits, the pixels in [0, 1]: on the images as they are, and under attack,

    min_theta E max_{|delta|_inf <= epsilon} L(theta, x + delta, y),

the maximum by PGD (Madry et al. 2018, eq. 2.1, arXiv:1706.06083). The test images are then attacked by FGSM (Goodfellow
et al. 2015, arXiv:1412.6572) and by PGD of 20 steps, and, as a control, by random signs of the same size. What decided
is read off the saliency and the integrated gradients of the chosen class (Sundararajan et al. 2017, arXiv:1703.01365),
which are tested by blacking out what they point to. Equations: `experiments.attacks`, `experiments.attributions`.
Every seed draws the split of the images, the weights and the order of the batches; all seeds train in one `vmap`.

What one should see: random signs do little where an attack of the same size leaves next to nothing of the accuracy. PGD
is as strong as FGSM or stronger. Networks trained under attack hold out longer. They cost time (each step of PGD is a
forward and a backward pass, on top of the one of the training step) and, at a large epsilon, accuracy on clean images.
The integrated gradients of F add up to F(x) - F(0), with an error that falls as 1/m in the number of steps m: along the
line the gradient of a ReLU network is piecewise constant, and a step that holds a jump errs by O(1/m). Blacking out the
pixels that the attributions rank first changes many more decisions than blacking out random ones. Wrong decisions change
more easily than right ones, their margin being smaller.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy.stats import sem

import jaxneuro as jn
from experiments.attacks import adversarial, attacked, fgsm, pgd, random_signs
from experiments.attributions import Decisions, decide, draw_attributions, report_decisions
from experiments.common import BadInput, begin, finish, print_failures, print_table, run_script, timed
from experiments.images import Images, digits, split

BATCH_SIZE, NUM_BATCHES = 128, 11  # whole batches of the 1,437 images: a smaller last one is a second step to compile
ATTACKS: dict[str, Callable] = {"random signs": random_signs, "FGSM": fgsm, "PGD": pgd}


class Artefacts(NamedTuple):
    epsilons: Any  # of the attacks, in units of the range of a pixel
    train_epsilons: Any  # of the attacks in training; 0: none
    accuracy: Any  # (trainings, seeds, attacks, epsilons), on test images
    seconds: Any  # (trainings,), training of all seeds: compiled, blocked, least of two calls
    failed: int  # networks whose training failed
    decisions: Decisions  # (trainings, seeds, images, ...)
    folder: str


def main(
    *,
    seeds: int = 8,
    hidden: tuple[int, ...] = (128, 128),
    epsilons: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3),
    train_epsilons: tuple[float, ...] = (0.0, 0.1, 0.2),
    train_steps: int = 7,
    num_epochs: int = 60,
    ig_steps: tuple[int, ...] = (4, 16, 64, 256),
    blacked: int = 3,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Train, attack, explain, and draw.

    Args:
        seeds: splits, and networks of each training; at least 2.
        hidden: units of the hidden layers.
        epsilons: sizes of the attacks, in units of the range of a pixel; the first is 0, the clean images.
        train_epsilons: sizes of the attacks in training; the first is 0, standard training.
        train_steps: steps of PGD in training.
        num_epochs: passes over the training images.
        ig_steps: numbers of steps of the integrated gradients; the last is the one that is tested and drawn.
        blacked: pixels, of 64, that the test of the attributions blacks out.
        out: folder for the results (default results/robustness).
        smoke: fewer of everything, for tests.
    """
    if smoke:
        seeds, hidden, epsilons, train_epsilons = 2, (64,), (0.0, 0.1, 0.2), (0.0, 0.15)
        num_epochs, ig_steps = 20, (4, 64)
    check(seeds, epsilons, train_epsilons, ig_steps, blacked)
    run = begin("robustness", out, locals())
    parts = [split(digits(), seed, train_size=NUM_BATCHES * BATCH_SIZE) for seed in range(seeds)]
    data = jax.tree.map(lambda *x: np.stack(x), *parts)
    train_keys, test_keys = jax.random.split(jax.random.key(0), (2, seeds))
    fits = [train(train_keys, data.train, hidden, e, train_steps, num_epochs) for e in train_epsilons]
    params, results = jax.tree.map(lambda *x: jnp.stack(x), *[fit[:2] for fit in fits])
    seconds, failed = np.array([fit[2] for fit in fits]), print_failures(results)

    # One network at a time: the memory of one, and matrices that fit the cache.
    of_seeds = lambda fn, params: jax.lax.map(lambda args: fn(*args), (params, data.test, test_keys))
    of_networks = lambda fn: jax.tree.map(np.asarray, jax.jit(partial(jax.lax.map, partial(of_seeds, fn)))(params))
    accuracy = of_networks(partial(accuracies, epsilons=jnp.asarray(epsilons, jnp.float32)))
    decisions = of_networks(partial(decide, apply, steps=ig_steps, count=blacked))

    report(accuracy, seconds, epsilons, train_epsilons)
    report_decisions(decisions, [f"trained at {e:g}" for e in train_epsilons], ig_steps, blacked)
    standard, robust = (jax.tree.map(lambda x: x[k, 0], params) for k in (0, -1))  # noqa: B023
    figures = {
        "accuracy": draw_accuracy(accuracy, epsilons, train_epsilons),
        "attacks": draw_attacks(standard, robust, parts[0].test, test_keys[0], train_epsilons[-1]),
        "attributions": draw_attributions(apply, standard, parts[0].test, ig_steps[-1]),
    }
    found = Artefacts(epsilons, train_epsilons, accuracy, seconds, failed, decisions, str(run.folder))
    numbers = {k: x for k, x in found._asdict().items() if k not in ("decisions", "folder")} | decisions._asdict()
    finish(run, figures, numbers, seconds=seconds, failed=failed, accuracy=accuracy.mean(axis=1))
    return found


def check(seeds: int, epsilons: tuple, train_epsilons: tuple, ig_steps: tuple, blacked: int) -> None:
    if seeds < 2:
        raise BadInput(f"seeds must be >= 2, for a standard error; it is {seeds}.")
    for name, values in (("epsilons", epsilons), ("train_epsilons", train_epsilons)):
        if len(values) < 2 or values[0] != 0 or not all(0 <= e <= 1 for e in values):
            raise BadInput(f"{name} must be 0 and more numbers in [0, 1]; they are {values}.")
    if not ig_steps or min(ig_steps) < 1:
        raise BadInput(f"ig_steps must be numbers >= 1; they are {ig_steps}.")
    if not 1 <= blacked <= 64:
        raise BadInput(f"blacked must be 1 to 64, the pixels of an image; it is {blacked}.")


def apply(params: Any, image: Any) -> Any:
    return jn.mlp_apply(params, image.ravel())


def train(keys: Any, data: Images, hidden: Any, epsilon: float, steps: int, num_epochs: int) -> tuple[Any, Any, float]:
    """Return a network per seed, how its training ended, and the seconds for all of them."""
    clean = jn.losses.classification(lambda params, x, key: apply(params, x))
    loss_fn = adversarial(apply, partial(pgd, steps=steps), epsilon) if epsilon else clean

    def one(key: Any, data: Images) -> tuple[Any, Any]:
        init_key, fit_key = jax.random.split(key)
        start = jn.mlp_init(init_key, (64, *hidden, 10), dtype=jnp.float32)
        settings: dict[str, Any] = dict(optimizer=optax.adam(1e-3), num_epochs=num_epochs, batch_size=BATCH_SIZE)
        params, history = jn.fit(loss_fn, start, data, key=fit_key, **settings)
        return params, history.result

    ensemble = jax.jit(jax.vmap(one)).lower(keys, data).compile()
    runs = [timed(lambda: ensemble(keys, data)) for _ in range(2)]
    params, result = runs[0][0]
    return params, result, min(seconds for _, seconds in runs)


def accuracies(params: Any, test: Images, key: Any, epsilons: Any) -> Any:
    """Return the accuracy of one network under every attack, (attacks, epsilons)."""

    def under(attack: Callable, epsilon: Any) -> Any:
        batch = attacked(apply, params, attack, test, epsilon, key)
        return jn.metrics.accuracy(jax.vmap(partial(apply, params))(batch.x), batch.y)

    return jnp.stack([jax.lax.map(partial(under, attack), epsilons) for attack in ATTACKS.values()])


def report(accuracy: Any, seconds: Any, epsilons: Any, train_epsilons: Any) -> None:
    show = lambda x: f"{100 * np.mean(x):.1f} ± {100 * sem(x):.1f}"
    rows = [
        [f"{e:g}", name, *(show(x) for x in accuracy[k, :, a].T)]
        for k, e in enumerate(train_epsilons)
        for a, name in enumerate(ATTACKS)
    ]
    print_table("Accuracy on test images at each epsilon, % (± standard error over the seeds)",
                ["trained at", "attack", *(f"{e:g}" for e in epsilons)], rows)  # fmt: skip
    clean = accuracy[:, :, 0, 0]
    rows = [
        [f"{e:g}", seconds[k], seconds[k] / seconds[0], show(clean[k]), show(clean[k] - clean[0])]
        for k, e in enumerate(train_epsilons)
    ]
    print_table("What training under attack costs", ["trained at", "time of all seeds, s", "ratio",
                "clean accuracy, %", "less standard (paired)"], rows)  # fmt: skip


def draw_accuracy(accuracy: Any, epsilons: Any, train_epsilons: Any) -> Figure:
    figure = Figure(figsize=(4 * len(train_epsilons), 4), layout="constrained")
    panels = figure.subplots(1, len(train_epsilons), sharey=True)
    for ax, curves, trained in zip(panels, 100 * accuracy, train_epsilons, strict=True):
        for a, name in enumerate(ATTACKS):
            mean, error = curves[:, a].mean(axis=0), sem(curves[:, a])
            ax.errorbar(epsilons, mean, error, marker="os^"[a], ms=4, capsize=3, label=name)
        if trained:
            ax.axvline(trained, color="grey", ls=":")
        ax.set(title=f"trained at epsilon {trained:g}" if trained else "standard training")
        ax.set(xlabel="epsilon (range of a pixel)", ylim=(-3, 103))
        ax.grid(alpha=0.3)
    panels[0].set(ylabel="accuracy on test images (%)")
    panels[0].legend(loc="lower left", title="± standard error", title_fontsize=8, fontsize=8)
    return figure


def draw_attacks(standard: Any, robust: Any, test: Images, key: Any, epsilon: float) -> Figure:
    """Draw an image of every class under every attack, and what the network says to it."""
    clean = jax.tree.map(lambda x: x[[np.argmax(test.y == c) for c in range(10)]], test)
    unchanged = lambda loss, x, epsilon, key: x
    names = ("clean", *ATTACKS, "PGD, network\ntrained on it", "PGD - clean")

    @jax.jit
    def cases(standard: Any, robust: Any) -> Any:
        under = [(standard, unchanged), *((standard, attack) for attack in ATTACKS.values()), (robust, pgd)]
        x = [attacked(apply, params, attack, clean, epsilon, key).x for params, attack in under]
        says = [jnp.argmax(jax.vmap(partial(apply, params))(x), -1) for (params, _), x in zip(under, x, strict=True)]
        return jnp.stack(x), jnp.stack(says)

    x, says = (np.asarray(found) for found in cases(standard, robust))
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(len(names), 10)
    for row, column in np.ndindex(says.shape):
        ax, said = panels[row, column], says[row, column]
        ax.imshow(x[row, column, ..., 0], cmap="gray", vmin=0, vmax=1)
        ax.set_title(f"says {said}", fontsize=9, color="k" if said == clean.y[column] else "tab:red", pad=2)
    for ax, change in zip(panels[-1], x[names.index("PGD")] - clean.x, strict=True):
        ax.imshow(change[..., 0], cmap="RdBu_r", vmin=-epsilon, vmax=epsilon)
    for line, name in zip(panels, names, strict=True):
        line[0].set_ylabel(name)
    for ax in panels.flat:
        ax.set(xticks=[], yticks=[])
    figure.suptitle(
        f"epsilon {epsilon:g}. Titles: what the network says, red where it errs. Last row: red brighter, blue darker"
    )
    return figure


if __name__ == "__main__":
    run_script(main)
