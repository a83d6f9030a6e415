"""Does it save labels to have learned other classes before?

A multilayer perceptron learns scikit-learn's digits 0 to 4, then gets a new head and a few labels of the digits 5 to 9.
What it has learned may serve as fixed features, of which the new head alone is trained, or as a start. For each number
of labels these are compared, with one new head and the same labels,

    from scratch    new weights, all of them trained
    frozen          the layers below the head as they are: new (random features), or after pretraining
    fine-tuned      pretrained, all of them trained, those below the head at a smaller rate

as Yosinski, Clune, Bengio & Lipson (2014), arXiv:1411.1792, do for convolutional networks. The random features tell what
the architecture does by itself. Which layers move, and how fast, is an `optax.multi_transform`. Every seed draws the
split of the images, the labels that are given (more labels include the fewer) and the weights, from which the
pretraining starts as well; all seeds train in one `vmap`. All take the same number of steps, each on all labels,
enough for every way to fit them: the training loss is printed. The test images are never trained on and choose nothing.

What one should see: no label is saved. Learning from scratch is best, and what may move comes up to it as labels come.
Nothing makes a perceptron find features that serve any image, as convolutions find edges: it finds what tells 0 to 4
apart. After a few epochs of that, frozen features are a little better than random ones; after many they are far worse
with one label per class, and better again only with ten or more. Over pretraining the features of the digits 5 to 9
lose dimensions,

    (sum_i lambda_i)^2 / sum_i lambda_i^2,   lambda_i the eigenvalues of their covariance (the participation ratio).

That features which are better for the old classes may be worse for new ones is known of large networks (Kornblith,
Chen, Lee & Norouzi 2021, arXiv:2010.16402).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import sem

import jaxneuro as jn
from experiments.adaptation import NUM_CLASSES, Adapted, adapt, dimensions, few, pretrain, stack, tasks, with_head_of
from experiments.common import BadInput, begin, finish, print_failures, print_table, run_script
from experiments.images import Split


class Way(NamedTuple):
    """How a network for the new classes comes about."""

    epochs: int  # of pretraining; 0: none
    trunk_rate: float  # learning rate below the head, over that of the head; 0: frozen


class Artefacts(NamedTuple):
    ways: dict[str, Way]
    labels: Any  # per class
    adapted: Adapted  # (ways, labels, seeds, ...)
    old_accuracy: Any  # (pretrainings, seeds), on test images of the old classes
    dimension: Any  # (1 + pretrainings, seeds), of the features of the new classes; the first without pretraining
    failed: int  # networks whose training failed
    folder: str


def main(
    *,
    seeds: int = 24,
    labels: tuple[int, ...] = (1, 2, 5, 10, 20, 50),
    hidden: tuple[int, ...] = (128, 64),
    pretrain_epochs: tuple[int, ...] = (2, 60),
    pretrain_rate: float = 1e-3,
    learning_rate: float = 1e-2,
    trunk_rate: float = 0.1,
    num_steps: int = 500,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Pretrain, adapt in each way to each number of labels, compare and draw.

    Args:
        seeds: splits, and networks of each way; at least 2.
        labels: numbers of labelled images per new class.
        hidden: units of the hidden layers.
        pretrain_epochs: lengths of pretraining to compare, passes over the training images of the digits 0 to 4.
        pretrain_rate: learning rate of Adam in the pretraining.
        learning_rate: learning rate of Adam after it.
        trunk_rate: rate of the fine-tuned layers below the head, over that of the head.
        num_steps: steps on the new classes.
        out: folder for the results (default results/transfer).
        smoke: fewer of everything, for tests.
    """
    if smoke:
        seeds, labels, hidden, pretrain_epochs, num_steps = 8, (10,), (64, 32), (40,), 150
    check(seeds, labels, hidden, pretrain_epochs, trunk_rate)
    run = begin("transfer", out, locals())
    ways = {"from scratch": Way(0, 1.0), "frozen random features": Way(0, 0.0)}
    ways |= {f"frozen after {n} epochs": Way(n, 0.0) for n in pretrain_epochs}
    ways |= {f"fine-tuned after {n} epochs": Way(n, trunk_rate) for n in pretrain_epochs}
    old, new = tasks(seeds)
    keys = jax.random.split(jax.random.key(0), seeds)
    init = lambda key: jn.mlp_init(key, (64, *hidden, NUM_CLASSES), dtype=jnp.float32)
    fresh = jax.jit(jax.vmap(init))(keys)
    fits = {n: pretrain(fresh, stack(old), keys, pretrain_rate, num_epochs=n) for n in pretrain_epochs}
    starts = {0: fresh, **{n: with_head_of(fresh, params) for n, (params, *_) in fits.items()}}
    old_accuracy = np.stack([accuracy for _, accuracy, _ in fits.values()])
    dimension = np.stack([dimensions(params, stack(new).test.x) for params in starts.values()])

    rows = []
    for count in labels:
        task = stack([Split(few(part.train, count), part.test) for part in new])
        for way in ways.values():
            how: dict[str, Any] = dict(trunk_rate=way.trunk_rate, frozen=way.trunk_rate == 0, num_steps=num_steps)
            rows.append(jax.tree.map(np.asarray, adapt(starts[way.epochs], task, learning_rate, **how)))
    by_way = lambda *x: np.stack(x).reshape(len(labels), len(ways), *x[0].shape).swapaxes(0, 1)
    adapted = jax.tree.map(by_way, *rows)
    failed = print_failures(adapted.result) + sum(print_failures(result) for *_, result in fits.values())

    found = Artefacts(ways, labels, adapted, old_accuracy, dimension, failed, str(run.folder))
    report(found)
    figures = {"transfer": draw(found), "features": draw_features(found)}
    numbers = {k: x for k, x in adapted._asdict().items() if k != "result"}
    numbers |= dict(labels=labels, old_accuracy=old_accuracy, dimension=dimension)
    finish(run, figures, numbers, ways=list(ways), failed=failed, accuracy=adapted.accuracy.mean(axis=-1))
    return found


def check(seeds: int, labels: tuple, hidden: tuple, pretrain_epochs: tuple, trunk_rate: float) -> None:
    if seeds < 2:
        raise BadInput(f"seeds must be >= 2, for a standard error; it is {seeds}.")
    if not hidden:
        raise BadInput("hidden must name at least one layer: a head alone has no features to transfer.")
    for name, values in (("labels", labels), ("pretrain_epochs", pretrain_epochs)):
        if not values or min(values) < 1:
            raise BadInput(f"{name} must be numbers >= 1; they are {values}.")
    if not 0 < trunk_rate < np.inf:
        raise BadInput(f"trunk_rate must be positive; it is {trunk_rate}. (Frozen layers are compared anyway.)")


def report(found: Artefacts) -> None:
    percent = lambda x: f"{100 * np.mean(x):.1f} ± {100 * sem(x):.1f}"
    epochs = dict.fromkeys(way.epochs for way in found.ways.values())
    old = ["-", *map(percent, found.old_accuracy)]
    dimension = [f"{x.mean():.1f} ± {sem(x):.1f}" for x in found.dimension]
    headers = ["epochs", "accuracy there, %", "dimension of the features of 5 to 9"]
    rows = zip(epochs, old, dimension, strict=True)
    print_table("Pretraining on the digits 0 to 4 (± standard error over the seeds)", headers, rows)

    ways, accuracy = list(found.ways), found.adapted.accuracy
    headers = ["labels per class", *(str(n) for n in found.labels)]
    rows = [[way, *map(percent, x)] for way, x in zip(ways, accuracy, strict=True)]
    print_table("Accuracy on test images of the digits 5 to 9, % (± standard error over the seeds)", headers, rows)
    for k in (0, 1):
        rows = [[way, *map(percent, x - accuracy[k])] for way, x in zip(ways, accuracy, strict=True) if way != ways[k]]
        print_table(f"The same less that of '{ways[k]}', paired by seed", headers, rows)
    rows = [[way, *x.mean(axis=-1)] for way, x in zip(ways, found.adapted.train_loss, strict=True)]
    print_table("Loss on the labels at the last step, mean over the seeds", headers, rows)


def draw(found: Artefacts) -> Figure:
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    lengths = sorted({way.epochs for way in found.ways.values()})
    for (name, way), accuracy in zip(found.ways.items(), 100 * found.adapted.accuracy, strict=True):
        style: dict[str, Any] = dict(ls="-" if way.trunk_rate else "--", color=f"C{lengths.index(way.epochs)}")
        style |= dict(marker="o" if way.trunk_rate else "s", ms=4, capsize=3, label=name)
        less = accuracy - 100 * found.adapted.accuracy[0]
        left.errorbar(found.labels, accuracy.mean(axis=-1), sem(accuracy, axis=-1), **style)
        right.errorbar(found.labels, less.mean(axis=-1), sem(less, axis=-1), **style)
    left.set(ylabel="accuracy on test images of 5 to 9 (%)", title="New classes after old ones")
    right.set(ylabel="accuracy less that from scratch (%)", title="Paired difference")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xticks(found.labels, found.labels)
        ax.minorticks_off()
        ax.set(xlabel="labelled images per class")
        ax.grid(alpha=0.3)
    left.legend(title="± standard error over the seeds", fontsize=8, title_fontsize=8)
    return figure


def draw_features(found: Artefacts, units: int = 16) -> Figure:
    """Draw what training has added to the first layer's weights, those of one seed with the most labels."""
    names = list(found.ways)
    weights = found.adapted.features[:, -1, 0, :units]
    added = {name: w - weights[1] for name, w in zip(names, weights, strict=True) if name != names[1]}  # 1: as drawn
    scale = max(np.abs(maps).max() for maps in added.values())
    figure = Figure(figsize=(11, 0.85 * len(added) + 0.5), layout="constrained")
    panels = figure.subplots(len(added), 1)
    for ax, (name, maps) in zip(panels, added.items(), strict=True):
        strip = np.concatenate(np.pad(maps, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan), axis=1)
        shown = ax.imshow(strip, cmap="RdBu_r", vmin=-scale, vmax=scale)
        ax.set(xticks=[], yticks=[])
        ax.set_title(name, fontsize=9, loc="left", pad=2)
    figure.colorbar(shown, ax=panels, fraction=0.01, aspect=40, pad=0.005, label="change of weight")
    figure.suptitle(
        f"What training added to the same {units} units of the first layer, {found.labels[-1]} labels per class"
    )
    return figure


if __name__ == "__main__":
    run_script(main)
