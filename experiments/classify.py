"""What `digits` and `mnist` share: a network, its training, its report, its figures, and scikit-learn beside it."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy.stats import sem

import jaxneuro as jn
from experiments.common import timed
from experiments.images import Images, augmentation, logits_of

distortion = functools.cache(augmentation)  # one function for equal numbers, so that a second training compiles nothing


class Network(NamedTuple):
    """An architecture: parameters from a key, logits of one image."""

    name: str
    init: Callable[[Any], Any]
    apply: Callable[[Any, Any, Any], Any]  # (params, image, key) -> logits; key None: no dropout


class Recipe(NamedTuple):
    """How it is trained: Adam with decoupled weight decay, the rate rising and falling over the run (one cycle)."""

    epochs: int
    learning_rate: float  # the highest
    batch_size: int = 64
    weight_decay: float = 1e-4
    shift: float = 1.0  # distortions of the images: pixels,
    turn: float = 10.0  # degrees,
    zoom: float = 0.1  # relative size


class Report(NamedTuple):
    """What a trained network does on images it has not seen."""

    accuracy: float
    confusion: Any  # (true, chosen)
    calibration: Any
    logits: Any
    labels: Any
    seconds: float  # of training, with compilation


def mlp(shape: tuple[int, ...], hidden: tuple[int, ...], dropout: float) -> Network:
    return Network(
        f"MLP {'-'.join(map(str, (int(np.prod(shape)), *hidden, 10)))}",
        lambda key: jn.mlp_init(key, (int(np.prod(shape)), *hidden, 10), dtype=jnp.float32),
        lambda params, x, key: jn.mlp_apply(params, x.reshape(-1), dropout_rate=dropout, key=key),
    )


def cnn(
    shape: tuple[int, ...], channels: tuple[int, ...], pool: tuple[int, ...], hidden: tuple[int, ...], dropout: float
) -> Network:
    return Network(
        f"CNN {'-'.join(map(str, channels))}, dense {'-'.join(map(str, (*hidden, 10)))}",
        lambda key: jn.cnn_init(key, shape, channels, (*hidden, 10), pool=pool, dtype=jnp.float32),
        lambda params, x, key: jn.cnn_apply(params, x, pool=pool, dropout_rate=dropout, key=key),
    )


def train(
    network: Network,
    recipe: Recipe,
    images: Images,
    seed: int,
    *,
    progress: bool = False,
    checkpoint: Path | None = None,
) -> tuple[Any, jn.History, float]:
    """Train one network; return parameters, history and the seconds it took."""
    init_key, fit_key = jax.random.split(jax.random.key(seed))
    steps = recipe.epochs * -(-len(images.y) // recipe.batch_size)
    rate = optax.cosine_onecycle_schedule(steps, recipe.learning_rate)
    fit = functools.partial(
        jn.fit,
        jn.losses.classification(network.apply),
        network.init(init_key),
        images,
        key=fit_key,
        optimizer=optax.adamw(rate, weight_decay=recipe.weight_decay),
        num_epochs=recipe.epochs,
        batch_size=min(recipe.batch_size, len(images.y)),
        augment=distortion(recipe.shift, recipe.turn, recipe.zoom),
        progress=progress,
        checkpoint=checkpoint,
    )
    (params, history), seconds = timed(fit)
    return params, history, seconds


def report(network: Network, params: Any, images: Images, seconds: float) -> Report:
    logits = logits_of(network.apply, params, images.x)
    return Report(
        accuracy=float(jn.metrics.accuracy(logits, images.y)),
        confusion=np.asarray(jn.metrics.confusion_matrix(logits, images.y)),
        calibration=jn.metrics.calibration(logits, images.y),
        logits=np.asarray(logits),
        labels=np.asarray(images.y),
        seconds=seconds,
    )


def scikit_learn(train: Images, test: Images, seed: int) -> dict[str, tuple[float, float]]:
    """Return test accuracy and seconds of scikit-learn's MLP and SVM, at its defaults but for room to converge."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    flat = lambda images: np.asarray(images.x, np.float64).reshape(len(images.y), -1)
    found = {}
    for name, model in {
        "scikit-learn MLP, 100 hidden": MLPClassifier(max_iter=1000, random_state=seed),
        "scikit-learn SVM, RBF, C = 10": SVC(C=10.0),
    }.items():
        _, seconds = timed(functools.partial(model.fit, flat(train), train.y))
        found[name] = float(model.score(flat(test), test.y)), seconds
    return found


def table_row(name: str, accuracies: Sequence[float], seconds: Sequence[float]) -> list[str]:
    error = f" +- {100 * sem(accuracies):.2f}" if len(accuracies) > 1 else ""
    each = " ".join(f"{100 * a:.2f}" for a in accuracies)
    return [name, f"{100 * np.mean(accuracies):.2f}{error}", each, f"{np.mean(seconds):.1f}"]


HEADERS = ("", "test accuracy, %", "each seed", "training, s")


def draw_learning(histories: dict[str, Sequence[jn.History]]) -> Figure:
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for k, (name, runs) in enumerate(histories.items()):
        for run in runs:
            label = name if run is runs[0] else None
            epochs = 1 + np.arange(len(run.train["loss"]))
            loss.semilogy(epochs, run.train["loss"], color=f"C{k}", lw=1, alpha=0.8, label=label)
            accuracy.semilogy(epochs, 1 - run.train["accuracy"], color=f"C{k}", lw=1, alpha=0.8, label=label)
    loss.set(xlabel="epoch", ylabel="cross-entropy (nats)", title="Loss on the distorted training images")
    accuracy.set(xlabel="epoch", ylabel="1 - accuracy", title="Error on the distorted training images")
    for ax in (loss, accuracy):
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    return figure


def draw_confusion(reports: dict[str, Sequence[Report]]) -> Figure:
    """Draw the confusion of each network, added up over the seeds, and its calibration."""
    figure = Figure(figsize=(5 * len(reports) + 4.5, 4.6), layout="constrained")
    *axes, last = figure.subplots(1, len(reports) + 1)
    for ax, (name, runs) in zip(axes, reports.items(), strict=True):
        total = sum(run.confusion for run in runs)
        wrong = total - np.diag(np.diag(total))
        ax.imshow(wrong, cmap="Reds", vmin=0, vmax=1.6 * max(wrong.max(), 1))
        for (i, j), count in np.ndenumerate(total):
            if count:
                ax.text(j, i, count, ha="center", va="center", fontsize=7, color="grey" if i == j else "black")
        ax.set(xlabel="chosen", ylabel="true", xticks=range(10), yticks=range(10), title=f"{name}, {len(runs)} seeds")
    for k, (name, runs) in enumerate(reports.items()):
        logits, labels = (np.concatenate([getattr(run, at) for run in runs]) for at in ("logits", "labels"))
        confidence, right, _, error = jn.metrics.calibration(logits, labels)
        last.plot(confidence, right, "o-", color=f"C{k}", ms=4, label=f"{name}: error {100 * float(error):.2f} %")
    last.plot([0, 1], [0, 1], "k:", lw=1)
    last.set(xlabel="confidence", ylabel="accuracy", title="Calibration, bins of 0.1", xlim=(0, 1.02), ylim=(0, 1.02))
    last.legend(fontsize=7)
    return figure


def draw_wrong(title: str, found: Sequence[tuple[Images, Report]], columns: int = 8, most: int = 32) -> Figure:
    """Draw the images that are taken for another digit, the surest mistakes first."""
    x = np.concatenate([images.x for images, _ in found])
    logits, labels = (np.concatenate([getattr(report, at) for _, report in found]) for at in ("logits", "labels"))
    p = np.asarray(jax.nn.softmax(logits, axis=1))
    chosen = p.argmax(1)
    wrong = np.flatnonzero(chosen != labels)
    wrong = wrong[np.argsort(-p[wrong, chosen[wrong]])]
    rows = -(-min(max(len(wrong), 1), most) // columns)
    figure = Figure(figsize=(1.25 * columns, 1.5 * rows + 0.4), layout="constrained")
    figure.suptitle(f"{title}: {len(wrong)} of {len(labels)} wrong (true > chosen, its probability)", fontsize=10)
    for k, ax in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        ax.set_axis_off()
        if k < len(wrong):
            i = wrong[k]
            ax.imshow(x[i, ..., 0], cmap="gray_r", vmin=0, vmax=1)
            ax.set_title(f"{labels[i]} > {chosen[i]}, {p[i, chosen[i]]:.2f}", fontsize=8)
    return figure
