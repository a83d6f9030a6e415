"""Networks held back by L1, L2, dropout and augmentation: trained for many strengths and seeds at once, and chosen among.

The objective is cross-entropy + l1 sum |w| + l2 sum w^2; hidden units are silenced at random, and every image is shifted by
up to `shift` pixels and turned by up to 10 degrees per pixel of shift, anew each time it is seen. All strengths are traced:
0 is none of it, and `jax.vmap` trains networks with different strengths in one program.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy.stats import sem

import jaxneuro as jn
from experiments.common import print_failures
from experiments.images import Images, Split, augmentation, split

MEANS = ("L1", "L2", "dropout", "augmentation")  # the fields of Strengths
UNITS, BATCH_SIZE = (64, 128, 10), 50
NUM_WATCHED = 100  # validation images whose loss is followed through training
TURN = 10.0  # degrees per pixel of shift


class Strengths(NamedTuple):
    l1: Any
    l2: Any
    dropout_rate: Any
    shift: Any  # of the augmentation, pixels


class Scores(NamedTuple):
    accuracy: Any
    loss: Any  # cross-entropy, nats
    calibration_error: Any


class Sweep(NamedTuple):
    values: tuple[float, ...]  # of the strength; for "all" of the share
    accuracy: Any  # (values, seeds), on validation images after training
    loss: Any  # likewise
    best: int  # which of the values above 0 has the least mean loss


def draw_splits(pool: Images, train_size: int, seeds: Sequence[int]) -> Split:
    """Return images to learn from and all others, for validation, (seeds, images, ...)."""
    parts = [split(pool, seed, test=len(pool.y) - train_size, train_size=train_size) for seed in seeds]
    return jax.tree.map(lambda *x: np.stack(x), *parts)


def keys_of(seeds: Sequence[int]) -> Any:
    return jax.vmap(jax.random.key)(jnp.asarray(seeds))


@partial(jax.jit, static_argnames="num_epochs")
def train(strengths: Strengths, data: Split, keys: Any, num_epochs: int) -> tuple[Any, jn.History]:
    """Return a network, and how its training went, for every strength (first axis) and every seed (second)."""
    of_seeds = jax.vmap(partial(train_one, num_epochs=num_epochs), (None, 0, 0))
    return jax.vmap(of_seeds, (0, None, None))(strengths, data, keys)


def train_one(strengths: Strengths, data: Split, key: Any, num_epochs: int) -> tuple[Any, jn.History]:
    rate, shift = strengths.dropout_rate, strengths.shift
    init_key, fit_key = jax.random.split(key)
    return jn.fit(
        jn.losses.classification(lambda params, x, key: apply(params, x, dropout_rate=rate, key=key)),
        jn.mlp_init(init_key, UNITS, dtype=jnp.float32),
        data.train,
        key=fit_key,
        optimizer=optax.adam(3e-3),
        num_epochs=num_epochs,
        batch_size=min(BATCH_SIZE, data.train.y.shape[0]),
        validation=jax.tree.map(lambda x: x[:NUM_WATCHED], data.test),
        l1=strengths.l1,
        l2=strengths.l2,
        augment=augmentation(shift=shift, turn=TURN * shift, zoom=0.0),
    )


def apply(params: Any, image: Any, **dropout: Any) -> Any:
    return jn.mlp_apply(params, image.ravel(), **dropout)


@partial(jax.jit, static_argnames="axis")
def score(params: Any, images: Images, axis: int | None) -> Scores:
    """Score networks (strengths, seeds) on the images of their seed (axis 0), or on the same images (None)."""

    def one(params: Any, images: Images) -> Scores:
        logits = jax.vmap(partial(apply, params))(images.x)
        loss = jnp.mean(jn.losses.cross_entropy(logits, images.y))
        return Scores(jn.metrics.accuracy(logits, images.y), loss, jn.metrics.calibration(logits, images.y).error)

    return jax.vmap(jax.vmap(one, (0, axis)), (0, None))(params, images)


def choose(
    candidates: Strengths, share: tuple[float, ...], data: Split, keys: Any, num_epochs: int
) -> tuple[dict[str, Sweep], Strengths]:
    """Return what each strength gives on validation images, and the strengths of every condition."""

    def sweep(name: str, values: tuple[float, ...], strengths: Any) -> Sweep:
        print(f"{name}: {len(values)} strengths x {len(keys)} seeds")
        params, history = train(Strengths(*jnp.asarray(strengths, jnp.float32)), data, keys, num_epochs)
        print_failures(history.result)
        found = score(params, data.test, 0)
        above_0 = np.where(np.array(values) > 0, np.mean(found.loss, axis=1), np.inf)
        return Sweep(values, np.asarray(found.accuracy), np.asarray(found.loss), int(np.argmin(above_0)))

    rows = zip(MEANS, candidates, np.eye(4), strict=True)
    sweeps = {name: sweep(name, values, np.outer(row, values)) for name, values, row in rows}
    best = np.array([found.values[found.best] for found in sweeps.values()])
    sweeps["all"] = sweep("all", share, np.outer(best, share))
    together = best * share[sweeps["all"].best]
    table = np.column_stack([np.zeros(4), np.diag(best), together])
    return sweeps, Strengths(*jnp.asarray(table, jnp.float32))


def draw_strengths(sweeps: dict[str, Sweep]) -> Figure:
    figure = Figure(figsize=(14, 6), layout="constrained")
    axes = figure.subplots(2, len(sweeps), sharex="col", sharey="row")
    labels = ("l1", "l2", "dropout rate", "shift (pixels)", "share of the four")
    for (accuracy_ax, loss_ax), (name, found), label in zip(axes.T, sweeps.items(), labels, strict=True):
        at = np.arange(len(found.values))
        for ax, x in ((accuracy_ax, 100 * found.accuracy), (loss_ax, found.loss)):
            ax.errorbar(at, x.mean(axis=1), sem(x, axis=1), fmt="o-", capsize=3, color="k")
            ax.axvline(found.best, color="C3", ls="--", lw=1.2, label="chosen")
            ax.grid(alpha=0.3)
        accuracy_ax.set(title=name)
        loss_ax.set(xlabel=label)
        loss_ax.set_xticks(at, [f"{x:g}" for x in found.values], rotation=45)
    axes[0, 0].set(ylabel="right of the validation images (%)")
    axes[1, 0].set(ylabel="validation cross-entropy (nats)")
    axes[0, 0].legend(fontsize=8)
    return figure
