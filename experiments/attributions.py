"""Which pixels made a network decide as it did: gradients of a score in the image, and a test of what they say.

Of **one** image x and a score F, a function of the image (here the logit of the chosen class):

    saliency               dF/dx_i
                           Simonyan, Vedaldi & Zisserman (2014), section 3, arXiv:1312.6034
    integrated gradients   (x_i - x'_i) int_0^1 dF(x' + a (x - x'))/dx_i da,   with the sum F(x) - F(x') over the pixels
                           Sundararajan, Taly & Yan (2017), eq. 1 and proposition 1, arXiv:1703.01365

The test: black out the pixels that an attribution ranks first, and see whether the decision changes more often than
with as many pixels drawn at random, both among the pixels that are not black (a black one is nothing to take away).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import sem

from experiments.common import print_table
from experiments.images import Images

RANKINGS = ("integrated gradients", "saliency", "random")
MAPS = ("saliency", "integrated\ngradients", "integrated gradients\nof the difference")


class Decisions(NamedTuple):
    """Decisions on images, (images,) and what follows."""

    chosen: Any  # the class of the largest logit
    right: Any  # whether that is the label
    margin: Any  # logit of the chosen class minus the next
    gap: Any  # (images, numbers of steps), |sum of integrated gradients - (F(x) - F(0))|
    changed: Any  # (images, rankings), whether blacking out changes the decision


def saliency(score: Callable, x: Any) -> Any:
    return jax.grad(score)(x)


def integrated_gradients(score: Callable, x: Any, baseline: Any, steps: int) -> Any:
    """Return the integrated gradients by the midpoint rule with `steps` points on the line from `baseline` to x."""
    a = ((jnp.arange(steps) + 0.5) / steps).astype(x.dtype)
    gradients = jax.vmap(lambda a: jax.grad(score)(baseline + a * (x - baseline)))(a)
    return (x - baseline) * jnp.mean(gradients, axis=0)


def black_out(x: Any, ranking: Any, count: int) -> Any:
    """Return x with its first `count` pixels that are not black set to 0, in the order of falling `ranking`."""
    _, first = jax.lax.top_k(jnp.where(x > 0, ranking, -jnp.inf).ravel(), count)
    return x.ravel().at[first].set(0).reshape(x.shape)


def decide(apply: Callable, params: Any, images: Images, key: Any, steps: tuple[int, ...], count: int) -> Decisions:
    """Return the decisions of one network and their test; `key` draws the random pixels.

    Args:
        apply: `apply(params, x)`, the logits of one image.
        steps: numbers of steps of the integrated gradients; the last serves the ranking.
        count: pixels to black out.
    """

    def one(x: Any, label: Any, key: Any) -> Decisions:
        logits, black = apply(params, x), jnp.zeros_like(x)
        chosen = jnp.argmax(logits)
        score = lambda x: apply(params, x)[chosen]
        found = [integrated_gradients(score, x, black, m) for m in steps]
        gap = jnp.stack([jnp.abs(jnp.sum(ig) - (score(x) - score(black))) for ig in found])
        rankings = jnp.stack([found[-1], saliency(score, x), jax.random.uniform(key, x.shape, x.dtype)])
        after = jax.vmap(lambda ranking: jnp.argmax(apply(params, black_out(x, ranking, count))))(rankings)
        highest, _ = jax.lax.top_k(logits, 2)
        return Decisions(chosen, chosen == label, highest[0] - highest[1], gap, after != chosen)

    return jax.vmap(one)(images.x, images.y, jax.random.split(key, len(images.y)))


def report_decisions(decisions: Decisions, names: Any, steps: tuple[int, ...], count: int) -> None:
    """Print decisions (kinds of networks, seeds, images) by kind."""
    rows = [[name, *gap] for name, gap in zip(names, decisions.gap.mean(axis=(1, 2)), strict=True)]
    print_table(
        "Integrated gradients: mean |sum - (F(x) - F(0))| for each number of steps", ["", *map(str, steps)], rows
    )
    rows = []
    for k, name in enumerate(names):
        for which, chosen in (("right", decisions.right[k]), ("wrong", ~decisions.right[k])):
            changed = 100 * decisions.changed[k][chosen]
            shares = (
                [f"{x.mean():.1f} ± {sem(x):.1f}" for x in changed.T] if len(changed) > 1 else ["-"] * len(RANKINGS)
            )
            rows.append([name, which, len(changed), decisions.margin[k][chosen].mean(), *shares])
    title = f"Decisions that change when {count} pixels are blacked out, % (± standard error over the decisions)"
    print_table(title, ["", "decisions", "number", "mean margin", *RANKINGS], rows)


def draw_attributions(apply: Callable, params: Any, images: Images, steps: int, columns: int = 4) -> Figure:
    """Draw the first right and the first wrong decisions of one network, and the attributions of what it chose."""
    logits = np.asarray(jax.jit(jax.vmap(lambda x: apply(params, x)))(images.x))
    right = logits.argmax(axis=1) == images.y
    shown = [*np.flatnonzero(right)[:columns], *np.flatnonzero(~right)[:columns]]
    chosen, second = np.argsort(-logits[shown], axis=1)[:, :2].T
    rival = np.where(right[shown], second, images.y[shown])

    @jax.jit
    @jax.vmap
    def maps(x: Any, chosen: Any, rival: Any) -> Any:
        score = lambda x: apply(params, x)[chosen]
        lead = lambda x: score(x) - apply(params, x)[rival]
        integrated = lambda score: integrated_gradients(score, x, jnp.zeros_like(x), steps)
        return jnp.stack([saliency(score, x), integrated(score), integrated(lead)])

    figure = Figure(figsize=(1.4 * len(shown) + 0.8, 6.8), layout="constrained")
    panels = figure.subplots(1 + len(MAPS), len(shown), squeeze=False)
    found = np.asarray(maps(images.x[shown], chosen, rival))
    for column, k, of, c, r in zip(panels.T, shown, found, chosen, rival, strict=True):
        column[0].imshow(images.x[k, ..., 0], cmap="gray", vmin=0, vmax=1)
        column[0].set_title(f"a {images.y[k]}, says {c}", color="k" if right[k] else "tab:red", fontsize=9)
        for ax, values, title in zip(column[1:], of, (f"for {c}", f"for {c}", f"{c} over {r}"), strict=True):
            scale = np.abs(values).max()
            ax.imshow(values[..., 0], cmap="RdBu_r", vmin=-scale, vmax=scale)
            ax.set_title(title, fontsize=9)
        for ax, values in zip(column[2:], of[1:], strict=True):  # completeness: F(x) - F(0)
            ax.set_xlabel(f"sum {values.sum():.1f}", fontsize=8)
    for ax in panels.flat:
        ax.set(xticks=[], yticks=[])
    for ax, name in zip(panels[:, 0], ("image", *MAPS), strict=True):
        ax.set_ylabel(name)
    figure.suptitle(
        "Decisions, right ones and wrong (red). Red pixels speak for the class, blue against; each map has its scale"
    )
    return figure
