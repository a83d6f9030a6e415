"""What helps a network that has seen little: L1, L2, dropout, augmentation, or all of them?

Multilayer perceptrons 64-128-10 learn scikit-learn's digits from 200 of the 1,797 images, by Adam on

    cross-entropy + l1 sum |w| + l2 sum w^2,

with hidden units silenced at random (dropout), and every image shifted by up to `shift` pixels and turned by up to 10 degrees
per pixel of shift, anew each time it is seen (augmentation). Of the images 797 are for the test, the same for all seeds, and
no choice sees them. From the other 1,000 each seed draws 200 to train on, the rest are for validation. The strength of each
means is the one above 0 with the least validation loss, on seeds of its own; "all" is a share of the four strengths chosen,
the share chosen likewise. Strengths are traced: one program trains a network for each strength and seed, by a `vmap` of
`jn.fit` over seeds inside one over strengths. Error bars are standard errors over seeds: of training sets and initial
networks, not of the test images.

Sources: L1 Tibshirani (1996), doi:10.1111/j.2517-6161.1996.tb02080.x; L2 Hoerl & Kennard (1970),
doi:10.1080/00401706.1970.10488634; dropout Srivastava et al. (2014), JMLR 15:1929; augmentation Simard, Steinkraus & Platt
(2003), doi:10.1109/ICDAR.2003.1227801; calibration Guo et al. (2017), arXiv:1706.04599.

What one should see: every network learns its 200 images by heart, so that the gap is what the test lacks. Knowledge
about images helps most: augmentation brings 1.5 percentage points, dropout half a point, L2 perhaps 0.2, L1 none that the error
bars would show; all together bring 2. The losses tell more than the accuracies. Each means lowers the test loss and the
calibration error: without it the network becomes ever surer of itself, right or wrong. Every strength has
a best value, beyond which it harms. With more images the gain shrinks, and at 800 little is left of it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import sem

from experiments.common import BadInput, begin, finish, print_failures, print_table, run_script
from experiments.images import digits, split
from experiments.regularisation import (
    MEANS,
    Scores,
    Strengths,
    Sweep,
    choose,
    draw_splits,
    draw_strengths,
    keys_of,
    score,
    train,
)

CONDITIONS = ("none", *MEANS, "all")


class Artefacts(NamedTuple):
    sweeps: dict[str, Sweep]  # of each means, and of all
    chosen: Strengths  # each (conditions,)
    train: Scores  # each (conditions, seeds)
    test: Scores
    curves: Any  # (2, conditions, seeds, epochs), loss in training and on validation images
    train_sizes: tuple[int, ...]
    by_size: Any  # (sizes, 2, seeds), test accuracy with none and with all
    failed: int  # networks of the final runs whose training failed
    folder: str


def main(
    *,
    train_size: int = 200,
    l1: tuple[float, ...] = (0.0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3),
    l2: tuple[float, ...] = (0.0, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    dropout_rate: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9),
    shift: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25),
    share: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    other_sizes: tuple[int, ...] = (50, 100, 400, 800),
    num_epochs: int = 200,
    num_seeds: int = 20,
    choice_seeds: int = 8,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Choose the strengths, train with none, each and all, and draw.

    Args:
        train_size: images to learn from.
        l1: strengths of L1 to choose from.
        l2: strengths of L2 to choose from.
        dropout_rate: probabilities of dropout to choose from.
        shift: largest shifts of the augmentation to choose from, pixels.
        share: shares of the chosen strengths to choose from, for all together.
        other_sizes: other numbers of images to learn from, with none and with all, as chosen for train_size.
        num_epochs: passes over train_size images; other numbers of images get as many steps.
        num_seeds: splits and networks of each condition.
        choice_seeds: splits and networks, others than those, of each strength to choose from.
        out: folder for the results (default results/generalisation).
        smoke: few seeds and epochs, for tests.
    """
    if smoke:
        other_sizes, num_epochs, num_seeds, choice_seeds = (), 20, 2, 2
    check(Strengths(l1, l2, dropout_rate, shift), share, num_epochs, num_seeds, choice_seeds)
    run = begin("generalisation", out, locals())
    candidates = Strengths(l1, l2, dropout_rate, shift)
    pool, test = split(digits(), seed=0, test=797)
    ours, others = range(num_seeds), range(num_seeds, num_seeds + choice_seeds)
    keys, data = keys_of(ours), {size: draw_splits(pool, size, ours) for size in (train_size, *other_sizes)}

    sweeps, chosen = choose(candidates, share, draw_splits(pool, train_size, others), keys_of(others), num_epochs)
    params, history = train(chosen, data[train_size], keys, num_epochs)
    on_train, on_test = score(params, data[train_size].train, 0), score(params, test, None)
    failed = print_failures(history.result)
    curves = np.stack([history.train["loss"], history.validation["loss"]])

    none_and_all = jax.tree.map(lambda x: x[jnp.array([0, -1])], chosen)
    by_size = {train_size: on_test.accuracy[jnp.array([0, -1])]}
    for size in other_sizes:
        params, _ = train(none_and_all, data[size], keys, num_epochs * train_size // size)
        by_size[size] = score(params, test, None).accuracy
    sizes = tuple(sorted(by_size))
    sized = np.stack([by_size[size] for size in sizes])

    found = Artefacts(sweeps, chosen, on_train, on_test, curves, sizes, sized, failed, str(run.folder))
    report(found)
    figures = {"accuracy": draw_accuracy(found), "curves": draw_curves(found), "strengths": draw_strengths(sweeps)}
    numbers = {f"{part}_{k}": x for part in ("train", "test") for k, x in getattr(found, part)._asdict().items()}
    numbers |= {f"{name}_{k}": x for name, one in sweeps.items() for k, x in one._asdict().items()}
    numbers |= dict(curves=curves, train_sizes=sizes, by_size=sized)
    finish(run, figures, numbers, conditions=CONDITIONS, chosen=chosen._asdict(), failed=failed)
    return found


def check(
    candidates: Strengths, share: tuple[float, ...], num_epochs: int, num_seeds: int, choice_seeds: int
) -> None:  # fmt: skip
    for name, values in (*candidates._asdict().items(), ("share", share)):
        if not all(0 <= x < np.inf for x in values) or not any(values):
            raise BadInput(f"{name} must be numbers >= 0, at least one above 0; it is {values}.")
    if max(candidates.dropout_rate) >= 1:
        raise BadInput(f"dropout_rate must be below 1; it is {candidates.dropout_rate}.")
    if max(share) > 1:
        raise BadInput(f"share must be at most 1; it is {share}.")
    if num_seeds < 2:
        raise BadInput(f"num_seeds must be >= 2, for a standard error; it is {num_seeds}.")
    if min(num_epochs, choice_seeds) < 1:
        raise BadInput(f"num_epochs and choice_seeds must be >= 1; they are {num_epochs} and {choice_seeds}.")


def report(found: Artefacts) -> None:
    share = found.sweeps["all"].values[found.sweeps["all"].best]
    print_table(
        f"Strengths chosen (all: a share of {share:g})",
        ["condition", "l1", "l2", "dropout", "shift, pixels"],
        zip(CONDITIONS, *np.asarray(found.chosen), strict=True),
    )
    train, test = found.train, found.test
    percent = lambda x: [f"{100 * np.mean(row):.2f} +- {100 * sem(row):.2f}" for row in np.asarray(x)]
    columns = {
        "train, %": percent(train.accuracy),
        "test, %": percent(test.accuracy),
        "gap": percent(train.accuracy - test.accuracy),
        "test - none": percent(test.accuracy - test.accuracy[:1]),
        "test loss": [f"{np.mean(row):.4f} +- {sem(row):.4f}" for row in np.asarray(test.loss)],
        "calibration error, %": percent(test.calibration_error),
    }
    title = f"Mean +- standard error over {test.accuracy.shape[1]} seeds; differences are paired by seed"
    print_table(title, ["condition", *columns], zip(CONDITIONS, *columns.values(), strict=True))
    sized = zip(found.train_sizes, found.by_size, strict=True)
    rows = ([size, *percent(pair), *percent(pair[1:] - pair[:1])] for size, pair in sized)
    print_table("Test accuracy, %", ["images", "none", "all", "all - none"], rows)


def draw_accuracy(found: Artefacts) -> Figure:
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    each, paired, size_ax = figure.subplots(1, 3)
    test, at = 100 * np.asarray(found.test.accuracy), np.arange(len(CONDITIONS))
    bars: dict[str, Any] = dict(fmt="o", capsize=4, color="k", zorder=3)
    for ax, x, first in ((each, test, 0), (paired, test - test[:1], 1)):
        for k in at[first:]:
            ax.plot(
                np.full(x.shape[1], k) + np.linspace(-0.2, 0.2, x.shape[1]), x[k], ".", ms=4, color=f"C{k}", alpha=0.6
            )
        ax.errorbar(at[first:], x[first:].mean(axis=1), sem(x[first:], axis=1), **bars)
        ax.set_xticks(at[first:], CONDITIONS[first:], rotation=30)
    each.set(title="Each seed, and mean with standard error", ylabel="right of the test images (%)")
    paired.axhline(0, color="gray", lw=1)
    paired.set(title="Against none, paired by seed", ylabel="difference (percentage points)")
    for k, name, color in ((0, "none", "C0"), (1, "all", "C5")):
        x = 100 * found.by_size[:, k]
        size_ax.errorbar(
            found.train_sizes, x.mean(axis=1), sem(x, axis=1), fmt="o-", capsize=4, color=color, label=name
        )
    size_ax.set(title="With more training images", xlabel="training images", ylabel="right of the test images (%)")
    size_ax.set(xscale="log")
    size_ax.set_xticks(found.train_sizes, [str(n) for n in found.train_sizes], minor=False)
    size_ax.minorticks_off()
    size_ax.legend()
    for ax in (each, paired, size_ax):
        ax.grid(alpha=0.3)
    return figure


def draw_curves(found: Artefacts) -> Figure:
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    epochs = np.arange(1, found.curves.shape[-1] + 1)
    for k, (ax, name) in enumerate(zip(axes.flat, CONDITIONS, strict=True)):
        for part, color, label in zip(found.curves, ("C0", "C1"), ("in training", "validation"), strict=True):
            mean, error = part[k].mean(axis=0), sem(part[k], axis=0)
            ax.semilogy(epochs, mean, color=color, label=label)
            ax.fill_between(epochs, mean - error, mean + error, color=color, alpha=0.3, lw=0)
        ax.axhline(found.curves[1, 0].mean(axis=0)[-1], color="gray", ls=":", label="validation with none, at the end")
        ax.set(title=name)
        ax.grid(alpha=0.3)
    for ax in axes[1]:
        ax.set(xlabel="epoch")
    for ax in axes[:, 0]:
        ax.set(ylabel="cross-entropy (nats)")
    axes[0, 0].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    run_script(main)
