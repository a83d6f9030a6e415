"""Is backpropagation written out by hand what `jax.grad` computes, and what do its common mistakes do?

`experiments.delta_rule` holds the forward pass, the backward pass and the update of a multilayer perceptron, in NumPy and
float64, with the equations

    delta_l = (W_{l+1}^T delta_{l+1}) sigma'(z_l),   dW_l = delta_l a_{l-1}^T / n,   db_l = mean of delta_l.

Beside them stand `jax.grad` through `jn.mlp_apply`, central differences of the loss (forward passes only), and `jn.fit` with
`optax.sgd`. Then single steps of the rule are replaced by common mistakes, and each trains networks of sigmoids, with the
squared error, to tell two moons apart.

Source: Rumelhart, Hinton & Williams (1986), Nature 323:533, doi:10.1038/323533a0.

What one should see: the gradients agree to 1e-12 for every depth, activation and loss, and so do whole runs of gradient
descent; central differences agree to what they can resolve. Against central differences every mistake shows at once, as
a difference of tens of percent or more in some array. The loss curve is a worse witness: only the wrong sign and the
forgotten mean fail outright. The others learn, by steps at a growing angle to the true gradient, and some stop at a nearly
straight boundary (87 % right), which looks like a network too small or a task too hard. With W in place of its
transpose the network gets as far as with the right rule, and without s' at the output it gets there faster: that is the
gradient of another loss, the cross-entropy.
"""

from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from sklearn.datasets import make_moons

import jaxneuro as jn
from experiments.common import BadInput, begin, finish, print_table, run_script
from experiments.delta_rule import (
    LOSSES,
    MISTAKES,
    SIGMAS,
    Rule,
    central_differences,
    descend,
    difference,
    forward,
    value_and_gradient,
)

MOONS = (2, 8, 8, 1)  # units of the networks that train with mistakes; the square weight is for the transpose
EVERY = 10  # steps between two looks at the angle


class Case(NamedTuple):
    activation: str
    depth: int  # hidden layers
    loss: str


class Agreement(NamedTuple):
    """Relative differences of the hand-written numbers (`delta_rule.difference`), one for each case."""

    gradient: Any  # to jax.grad
    central: Any  # to central differences
    params: Any  # after all steps, to jn.fit with optax.sgd
    losses: Any  # on the way


class Mistakes(NamedTuple):
    """What each mistake does, (mistakes, seeds, ...)."""

    check: Any  # relative difference to central differences, before training
    loss: Any  # (..., steps)
    angle: Any  # (..., looks), degrees between the steps and the true gradient at the same parameters
    accuracy: Any  # after training, on moons not trained on


class Artefacts(NamedTuple):
    cases: list[Case]
    agreement: Agreement
    mistakes: Mistakes
    folder: str


def main(
    *,
    depths: tuple[int, ...] = (1, 2, 3, 5),
    activations: tuple[str, ...] = tuple(SIGMAS),
    losses: tuple[str, ...] = tuple(LOSSES),
    descent_steps: int = 100,
    learning_rate: float = 0.1,
    mistake_steps: int = 3000,
    mistake_learning_rate: float = 5.0,
    num_seeds: int = 8,
    out: str | None = None,
    smoke: bool = False,
) -> Artefacts:
    """Compare the hand-written passes with JAX, train with each mistake, and draw both.

    Args:
        depths: numbers of hidden layers to compare.
        activations: of sigmoid, tanh and relu.
        losses: of "squared error", "binary cross-entropy" and "softmax cross-entropy".
        descent_steps: steps of gradient descent, by hand and by `jn.fit`.
        learning_rate: eta of these steps. Where it is so large that the loss rises now and then, rounding errors grow from
            step to step: with 0.5 and five layers of tanh no digit is left after 100 steps.
        mistake_steps: steps with each mistake.
        mistake_learning_rate: eta of these steps.
        num_seeds: networks trained with each mistake.
        out: folder for the results (default results/backprop_by_hand).
        smoke: few cases and few steps, for tests.
    """
    if smoke:
        depths, activations, losses = (2,), ("sigmoid", "relu"), ("squared error", "softmax cross-entropy")
        mistake_steps, num_seeds = 300, 2
    for name, given, known in (("activations", activations, SIGMAS), ("losses", losses, LOSSES)):
        if not given or not set(given) <= set(known):
            raise BadInput(f"{name} must be some of {', '.join(known)}; they are {', '.join(given) or 'none'}.")
    for name, given in (("depths", depths), ("steps and seeds", (descent_steps, mistake_steps, num_seeds))):
        if not given or min(given) < 1:
            raise BadInput(f"{name} must be numbers >= 1; they are {given}.")
    run = begin("backprop_by_hand", out, locals())
    cases = [Case(*case) for case in product(activations, depths, losses)]
    agreement = Agreement(*np.transpose([agree(case, descent_steps, learning_rate) for case in cases]))
    mistakes = with_mistakes(mistake_steps, mistake_learning_rate, num_seeds)
    report(cases, agreement, mistakes, descent_steps)
    figures = {
        "agreement": draw_agreement(cases, agreement, descent_steps),
        "mistakes": draw_mistakes(mistakes),
    }
    worst = {name: x.max() for name, x in agreement._asdict().items()}
    finish(run, figures, {**agreement._asdict(), **mistakes._asdict()}, cases=cases, mistakes=[*MISTAKES], worst=worst)
    return Artefacts(cases, agreement, mistakes, str(run.folder))


def agree(case: Case, steps: int, eta: float, width: int = 6, examples: int = 16) -> Agreement:
    """Compare the hand-written numbers of one case with JAX's, on random examples of three classes."""
    key, rng = jax.random.key(case.depth), np.random.default_rng(case.depth)
    sizes = (4, *[width] * case.depth, 3)
    params = jn.mlp_init(key, sizes, bias_init=jax.nn.initializers.normal(0.5), dtype=jnp.float64)
    x, y = rng.normal(size=(examples, 4)), np.eye(3)[rng.integers(3, size=examples)]
    sigma, loss = SIGMAS[case.activation], LOSSES[case.loss]

    def loss_fn(params: Any, batch: Any, key: Any) -> Any:
        logits = jax.vmap(lambda x: jn.mlp_apply(params, x, case.activation))(batch[0])
        return jnp.mean(loss.in_jax(logits, batch[1]))

    by_hand = jax.tree.map(np.asarray, params), x.T, y.T, sigma, loss
    found = value_and_gradient(*by_hand)
    wanted = jax.jit(jax.value_and_grad(loss_fn))(params, (x, y), None)
    descent = descend(*by_hand, eta=eta, steps=steps, every=steps)
    optimizer = optax.sgd(eta)
    fitted, history = jn.fit(loss_fn, params, (x, y), key=key, optimizer=optimizer, num_epochs=steps)
    return Agreement(
        gradient=difference(found, wanted),
        central=difference(found[1], central_differences(*by_hand)),
        params=difference(descent.params, fitted),
        losses=difference(descent.loss, history.train["loss"]),
    )


def with_mistakes(steps: int, eta: float, num_seeds: int) -> Mistakes:
    """Train with each mistake, from the same networks and on the same moons."""
    sigma, loss = SIGMAS["sigmoid"], LOSSES["squared error"]
    (x, y), (test_x, test_y) = moons(200, 0), moons(1000, 1)
    keys = jax.random.split(jax.random.key(0), num_seeds)
    starts = [jax.tree.map(np.asarray, jn.mlp_init(key, MOONS, dtype=jnp.float64)) for key in keys]

    def train(rule: Rule, start: Any) -> tuple[Any, ...]:
        problem = start, x, y, sigma, loss
        check = difference(value_and_gradient(*problem, rule)[1], central_differences(*problem))
        found = descend(*problem, eta=eta, steps=steps, rule=rule, every=EVERY)
        right = (forward(found.params, test_x, sigma)[0][-1] > 0) == test_y
        return check, found.loss, found.angle, np.mean(right)

    each = [zip(*[train(rule, start) for start in starts], strict=True) for rule in MISTAKES.values()]
    return Mistakes(*[np.array(x) for x in zip(*each, strict=True)])


def moons(n: int, seed: int) -> tuple[Any, Any]:
    """Return scikit-learn's two moons, points (2, n) and which moon (1, n)."""
    x, y = make_moons(n, noise=0.15, random_state=seed)
    return np.transpose(x), np.array([y], float)


def report(cases: list[Case], agreement: Agreement, mistakes: Mistakes, steps: int) -> None:
    headers = ["activation", "hidden layers", "loss", "jax.grad", "central", f"{steps} steps", "their losses"]
    rows = ([*case, *numbers] for case, numbers in zip(cases, zip(*agreement, strict=True), strict=True))
    print_table("Largest relative difference of the hand-written numbers, of all arrays, to", headers, rows)
    headers = ["mistake", "check", "angle at first", "in the middle", "at last", "loss at last", "right, %", "worst, %"]
    middle = mistakes.angle.shape[2] // 2
    columns = [
        np.median(mistakes.check, axis=1),
        *[np.median(mistakes.angle[:, :, k], axis=1) for k in (0, middle, -1)],
        np.median(mistakes.loss[:, :, -1], axis=1),
        100 * np.median(mistakes.accuracy, axis=1),
        100 * np.min(mistakes.accuracy, axis=1),
    ]
    title = (
        f"Two moons, median of {mistakes.loss.shape[1]} networks (check: relative difference to central differences; "
        "angle: degrees to the true gradient; right: of 1,000 moons not trained on)"
    )
    print_table(title, headers, zip(MISTAKES, *columns, strict=True))


def draw_agreement(cases: list[Case], agreement: Agreement, steps: int) -> Figure:
    figure = Figure(figsize=(12, 5), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    titles = (
        "Gradient, against jax.grad",
        "Gradient, against central differences",
        f"After {steps} steps, against jn.fit",
    )
    rows = [*dict.fromkeys(case[:2] for case in cases)]
    for ax, title, numbers in zip(axes, titles, agreement[:3], strict=True):
        for k, loss in enumerate(LOSSES):
            shown = [(x, rows.index(c[:2])) for c, x in zip(cases, numbers, strict=True) if c.loss == loss]
            ax.semilogx(*np.transpose(shown), "osD"[k], ms=6 - k, label=loss, alpha=0.8)
        ax.set(title=title, xlabel="largest relative difference")
        ax.grid(alpha=0.3)
    axes[0].axvline(1e-12, color="k", ls="--", lw=1, label="1e-12")
    axes[0].set(ylabel="activation, hidden layers", yticks=range(len(rows)))
    axes[0].set(yticklabels=[f"{activation}, {depth}" for activation, depth in rows])
    axes[0].invert_yaxis()
    axes[0].legend(fontsize=8, loc="upper center")
    return figure


def draw_mistakes(mistakes: Mistakes) -> Figure:
    figure = Figure(figsize=(13, 5), layout="constrained")
    loss_ax, angle_ax, accuracy_ax = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1))
    steps, looks = np.arange(1, mistakes.loss.shape[2] + 1), 1 + EVERY * np.arange(mistakes.angle.shape[2])
    for k, name in enumerate(MISTAKES):
        style: dict[str, Any] = dict(color="k" if k == 0 else f"C{k - 1}", lw=2.5 if k == 0 else 1.3)
        loss_ax.loglog(steps, np.median(mistakes.loss[k], axis=0), label=name, **style)
        angle_ax.semilogx(looks, np.median(mistakes.angle[k], axis=0), **style)
        row = np.full(mistakes.accuracy.shape[1], k)
        accuracy_ax.plot(100 * mistakes.accuracy[k], row, "o", color=style["color"], alpha=0.6)
    loss_ax.set(title="Loss, median of the networks", xlabel="step", ylabel="squared error (half, mean)")
    angle_ax.set(title="Angle to the true gradient, median", xlabel="step", ylabel="angle (degrees)")
    angle_ax.set(yticks=range(0, 181, 30))
    accuracy_ax.set(title="After training, each network", xlabel="right on moons not trained on (%)")
    accuracy_ax.set(yticks=range(len(MISTAKES)), yticklabels=list(MISTAKES))
    accuracy_ax.invert_yaxis()
    for ax in (loss_ax, angle_ax, accuracy_ax):
        ax.grid(alpha=0.3)
    loss_ax.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    run_script(main)
