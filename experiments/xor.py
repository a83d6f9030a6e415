"""How often does a small network learn XOR, and what holds it up when it does not?

The network 2-n-1 (ReLU, then a sigmoid: the last layer gives a logit), weights uniform after Glorot and biases zero,
binary cross-entropy of the four examples at once, Adam. A thousand initialisations train together: `vmap` over keys of
`jn.fit`, and over learning rates as well. A network has learnt XOR when it puts all four on the right side of 1/2.

A network that has not may be slow or stuck. The 2-4-1 networks are therefore also trained ten times longer: the ones
that still fail sit in local minima, where a hidden unit is silent for all four inputs or two of them do the same.

Sources: Rumelhart, Hinton & Williams (1986), "Learning internal representations by error propagation", in Rumelhart &
McClelland (eds.), Parallel Distributed Processing, vol. 1, MIT Press, p. 318 (XOR by back-propagation and its local
minima); Glorot & Bengio (2010), PMLR 9:249; Kingma & Ba (2015), arXiv:1412.6980. Intervals: Wilson (1927),
doi:10.1080/01621459.1927.10502953, by SciPy.

What one should see: at Adam's default rate of 1e-3 about half of the 2-4-1 networks are there after 1000 epochs. With a
higher rate most of the slow ones arrive, but the stuck ones remain, and only width removes them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy.stats import binomtest

import jaxneuro as jn
from experiments.common import BadInput, begin, finish, print_table, run_script, timed

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
LABELS = np.array([0, 1, 1, 0], np.float32)
WIDTH, RATE = 4, 1e-3  # the network and Adam's rate that the question names


class Trained(NamedTuple):
    params: Any
    loss: Any  # (..., epochs), before each update
    logits: Any  # (..., 4)
    learnt: Any  # (...)


class Rate(NamedTuple):
    """A success rate with its 95 % interval."""

    rate: float
    low: float
    high: float


class Artefacts(NamedTuple):
    success: Any  # (widths, learning rates)
    named: Rate  # of 2-4-1 at 1e-3
    found: dict[str, Any] | None  # the smallest network with 99 % or more, twice; None if there is none
    short: Trained  # 2-4-1 at 1e-3
    long: Trained  # the same networks, trained longer
    gradient_norm: Any  # of each network after the long training
    seconds: float  # of one steady call, networks x epochs at 2-4-1
    folder: str


def main(
    *,
    networks: int = 1000,
    epochs: int = 1000,
    long_epochs: int = 10_000,
    widths: tuple[int, ...] = (2, 3, 4, 6, 8, 12, 16, 24, 32),
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    seed: int = 0,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Train the networks, count those that learn XOR, and draw what the others have learnt.

    Args:
        networks: initialisations of each setting.
        epochs: epochs, of one step on all four examples.
        long_epochs: epochs that tell slow from stuck.
        widths: hidden units to compare.
        learning_rates: of Adam, to compare.
        seed: of the initialisations.
        out: folder for the results (default results/xor).
        smoke: a smaller run, for tests.
    """
    if smoke:
        networks, epochs, long_epochs, widths, learning_rates = 60, 400, 1500, (4, 16), (1e-3, 3e-2)
    if min(networks, epochs, long_epochs, *widths) < 1 or min(learning_rates) <= 0:
        raise BadInput("networks, epochs and widths must be >= 1, and learning_rates above 0.")
    run = begin("xor", out, locals())
    keys = jax.random.split(jax.random.key(seed), networks)
    train_named = lambda: train_all(keys, jnp.asarray(RATE), WIDTH, epochs)
    short, first = timed(train_named)  # with compilation
    seconds = min(timed(train_named)[1] for _ in range(5))
    long = train_all(keys, jnp.asarray(RATE), WIDTH, long_epochs)
    norms = jax.jit(jax.vmap(gradient_norm))(long.params)
    named = success_rate(short.learnt)
    print(
        f"{networks} networks 2-{WIDTH}-1, {epochs} epochs, Adam {RATE:g}: {named.rate:.1%} learn XOR "
        f"(95 % interval {named.low:.1%} to {named.high:.1%}).\n"
        f"First call {first:.2f} s, steady {seconds:.3f} s.\n"
        f"After {long_epochs} epochs {np.mean(long.learnt):.1%}; the median gradient of those that still fail is "
        f"{np.median(norms[~np.asarray(long.learnt)]):.1e}."
    )

    grid = jax.jit(jax.vmap(train_all, (None, 0, None, None)), static_argnums=(2, 3))
    rates = jnp.asarray(learning_rates)
    learnt = [np.asarray(grid(keys, rates, width, epochs).learnt) for width in widths]
    success = np.array([[success_rate(x) for x in row] for row in learnt])
    table = [[f"{r:.1%} ({lo:.1%}-{hi:.1%})" for r, lo, hi in row] for row in success]
    headers = ["hidden units", *(f"Adam {r:g}" for r in learning_rates)]
    rows = ([width, *row] for width, row in zip(widths, table, strict=True))
    print_table(f"Networks that learn XOR in {epochs} epochs, with 95 % interval", headers, rows)
    # The best of several is better by chance too: it has to be 99 % again, with initialisations that chose nothing.
    fresh = jax.random.split(jax.random.key(seed + 1), networks)
    again = lambda width, rate: success_rate(train_all(fresh, jnp.asarray(rate), width, epochs).learnt)
    found = first_above(success[..., 0], 0.99, widths, learning_rates, again)
    print(f"\nThe smallest network that learns in 99 % of all cases or more: {found or 'none of these settings'}")
    figures = {
        "success": draw_success(success, widths, learning_rates),
        "losses": draw_losses(short, long, epochs),
        "surfaces": draw_surfaces(short, long),
    }
    numbers = dict(success=success, widths=widths, learning_rates=learning_rates, loss=short.loss, learnt=short.learnt)
    finish(run, figures, numbers, named=named, found=found, steady_seconds=seconds, first_call_seconds=first)
    return Artefacts(success[..., 0], named, found, short, long, norms, seconds, str(run.folder))


def loss_fn(params: Any, batch: Any, key: Any) -> Any:
    del key  # nothing is random
    x, y = batch
    return jnp.mean(jn.losses.binary_cross_entropy(logits_at(params, x), y))


def logits_at(params: Any, x: Any) -> Any:
    return jax.vmap(lambda x: jn.mlp_apply(params, x)[0])(x)


def train(key: Any, learning_rate: Any, width: int, epochs: int) -> Trained:
    init_key, fit_key = jax.random.split(key)
    glorot = jax.nn.initializers.glorot_uniform()
    params = jn.mlp_init(init_key, (2, width, 1), weight_init=glorot, dtype=jnp.float32)
    data = jnp.asarray(INPUTS), jnp.asarray(LABELS)
    params, history = jn.fit(loss_fn, params, data, key=fit_key, optimizer=optax.adam(learning_rate), num_epochs=epochs)
    logits = logits_at(params, data[0])
    return Trained(params, history.train["loss"], logits, jnp.all((logits > 0) == (data[1] > 0)))


train_all = jax.jit(jax.vmap(train, (0, None, None, None)), static_argnums=(2, 3))


def gradient_norm(params: Any) -> Any:
    return optax.tree.norm(jax.grad(loss_fn)(params, (INPUTS, LABELS), None))


def success_rate(learnt: Any) -> Rate:
    count, total = int(np.sum(learnt)), int(np.size(learnt))
    interval = binomtest(count, total).proportion_ci(0.95, method="wilson")
    return Rate(count / total, float(interval.low), float(interval.high))


def first_above(
    success: Any, wanted: float, widths: Sequence[int], rates: Sequence[float], again: Callable[[int, float], Rate]
) -> dict[str, Any] | None:
    """Return the smallest network that reaches the rate with its best learning rate, and once more in `again`."""
    for width, row in zip(widths, success, strict=True):
        rate = rates[int(np.argmax(row))]
        if np.max(row) >= wanted and (second := again(width, rate)).rate >= wanted:
            return dict(width=width, learning_rate=rate, success=float(np.max(row)), again=second._asdict())
    return None


def draw_success(success: Any, widths: Any, rates: Any) -> Figure:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.subplots()
    for k, rate in enumerate(rates):
        value, low, high = success[:, k].T
        ax.errorbar(widths, value, [value - low, high - value], marker="o", ms=4, capsize=3, label=f"Adam {rate:g}")
    ax.axhline(0.99, color="k", lw=0.8, ls=":", label="99 %")
    ax.set(xlabel="hidden units", ylabel="fraction that learns XOR", ylim=(0, 1.02), xscale="log")
    ax.set_xticks(widths, [str(width) for width in widths])
    ax.minorticks_off()
    ax.set_title("Success against width and learning rate (bars: 95 % interval)")
    ax.legend()
    ax.grid(alpha=0.3)
    return figure


def draw_losses(short: Trained, long: Trained, epochs: int) -> Figure:
    """Draw the long training: networks that learn in time, late, never."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    ax = figure.subplots()
    soon, late = np.asarray(short.learnt), np.asarray(long.learnt & ~short.learnt)
    groups = {f"there at epoch {epochs}": soon, "there later": late, "stuck": ~np.asarray(long.learnt)}
    at = np.unique(np.geomspace(1, long.loss.shape[-1], 300).astype(int)) - 1
    for k, (name, group) in enumerate(groups.items()):
        if not group.any():
            continue
        low, middle, high = np.quantile(np.asarray(long.loss)[group][:, at], [0.1, 0.5, 0.9], axis=0)
        ax.plot(at + 1, middle, color=f"C{k}", label=f"{name}: {group.sum()} of {group.size}")
        ax.fill_between(at + 1, low, high, color=f"C{k}", alpha=0.2, lw=0)
    ax.axvline(epochs, color="k", lw=0.8, ls=":")
    ax.axhline(np.log(2), color="grey", lw=0.8, ls="--", label="ln 2: always 1/2")
    ax.set(xscale="log", yscale="log", xlabel="epoch", ylabel="binary cross-entropy (nats)")
    ax.set_title(f"2-{WIDTH}-1, Adam {RATE:g}: median and 10 to 90 % of each group")
    ax.legend()
    ax.grid(alpha=0.3)
    return figure


def draw_surfaces(short: Trained, long: Trained, columns: int = 4) -> Figure:
    figure = Figure(figsize=(11, 5.8), layout="constrained")
    axes = figure.subplots(2, columns)
    side = np.linspace(-0.5, 1.5, 121, dtype=np.float32)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    groups = np.flatnonzero(np.asarray(short.learnt)), np.flatnonzero(~np.asarray(long.learnt))
    shown = None
    for row, chosen, word in zip(axes, groups, ("learnt", "stuck"), strict=True):
        for ax, index in zip(row, spread(chosen, np.asarray(long.loss)[:, -1], columns), strict=False):
            one = jax.tree.map(lambda x, k=index: x[k], long.params)
            p = np.asarray(jax.nn.sigmoid(logits_at(one, points))).reshape(121, 121)
            shown = ax.contourf(side, side, p, levels=np.linspace(0, 1, 21), cmap="RdBu_r", vmin=0, vmax=1)
            ax.contour(side, side, p, levels=[0.5], colors="k", linewidths=1)
            ax.scatter(*INPUTS.T, c=LABELS, cmap="RdBu_r", vmin=0, vmax=1, edgecolors="k", s=45, zorder=3)
            ax.set(
                title=f"{word}, loss {float(long.loss[index, -1]):.2g}", aspect="equal", xticks=(0, 1), yticks=(0, 1)
            )
    for ax in axes.flat:
        if ax.has_data():
            ax.set(xlabel="x1", ylabel="x2")
        else:
            ax.set_axis_off()
    if shown is not None:
        figure.colorbar(shown, ax=axes, label="network output, probability of 1")
    figure.suptitle(
        f"2-{WIDTH}-1 networks at the end of the long training; line: output 1/2; circles: the four examples"
    )
    return figure


def spread(chosen: Any, loss: Any, count: int) -> Any:
    """Return up to `count` of the chosen, spread over the order of their losses, so that different minima show."""
    ordered = chosen[np.argsort(loss[chosen])]
    return ordered[np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int))] if len(ordered) else ordered


if __name__ == "__main__":
    run_script(main)
