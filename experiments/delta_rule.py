"""Forward pass, backward pass and gradient descent of a multilayer perceptron, with matrices in NumPy; common mistakes.

Examples are the columns of a_l. With a_0 = x, z_l = W_l a_{l-1} + b_l and a_l = sigma(z_l), l = 1 ... L, and E the mean over
n examples of a loss of z_L:

    delta_L = dE/dz_L                          squared error |s(z) - y|^2 / 2:    (s(z) - y) s'(z),  s the sigmoid
                                               cross-entropy of s(z):             s(z) - y
                                               cross-entropy of softmax(z):       softmax(z) - y
    delta_l = (W_{l+1}^T delta_{l+1}) sigma'(z_l)
    dW_l = delta_l a_{l-1}^T / n,              W_l <- W_l - eta dW_l
    db_l = mean of delta_l over examples,      b_l <- b_l - eta db_l

Source: Rumelhart, Hinton & Williams (1986), Nature 323:533, doi:10.1038/323533a0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import expit, logsumexp, softmax

import jaxneuro as jn
from jaxneuro.nets import Layer, MLPParams


class Sigma(NamedTuple):
    value: Callable[[Any], Any]
    slope: Callable[[Any], Any]  # sigma'(z)


class Loss(NamedTuple):
    value: Callable[[Any, Any], Any]  # of z_L and y (units, n), for each example
    delta: Callable[[Any, Any], Any]  # its derivative with respect to z_L
    in_jax: Callable[[Any, Any], Any]  # of logits and y (n, units), the same in JAX


class Rule(NamedTuple):
    """The steps of the backward pass, each a field so that a mistake can replace it."""

    output: Callable[[Loss, Any, Any], Any] = lambda loss, z, y: loss.delta(z, y)
    back: Callable[[Any, Any], Any] = lambda weight, delta: weight.T @ delta
    slope: Callable[[Sigma, Any], Any] = lambda sigma, z: sigma.slope(z)
    weight: Callable[[Any, Any], Any] = lambda delta, before: delta @ before.T / delta.shape[1]
    bias: Callable[[Any], Any] = lambda delta: delta.mean(axis=1)


class Descent(NamedTuple):
    params: MLPParams  # after the last step
    loss: Any  # (steps,), before each step
    angle: Any  # degrees between the descent and the true gradient, every so many steps


RIGHT = Rule()

SIGMAS = {
    "sigmoid": Sigma(expit, lambda z: expit(z) * (1 - expit(z))),
    "tanh": Sigma(np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": Sigma(lambda z: np.maximum(z, 0.0), lambda z: (z > 0).astype(z.dtype)),
}

LOSSES = {
    "squared error": Loss(
        value=lambda z, y: np.sum((expit(z) - y) ** 2, axis=0) / 2,
        delta=lambda z, y: (expit(z) - y) * expit(z) * (1 - expit(z)),
        in_jax=lambda logits, y: jnp.sum(optax.l2_loss(jax.nn.sigmoid(logits), y), axis=1),
    ),
    "binary cross-entropy": Loss(
        value=lambda z, y: np.sum(np.logaddexp(0.0, z) - y * z, axis=0),
        delta=lambda z, y: expit(z) - y,
        in_jax=lambda logits, y: jnp.sum(jn.losses.binary_cross_entropy(logits, y), axis=1),
    ),
    "softmax cross-entropy": Loss(
        value=lambda z, y: logsumexp(z, axis=0) - np.sum(y * z, axis=0),
        delta=lambda z, y: softmax(z, axis=0) - y,
        in_jax=lambda logits, y: jn.losses.cross_entropy(logits, jnp.argmax(y, axis=1)),
    ),
}

MISTAKES = {
    "none": RIGHT,
    "sign: y - s(z) at the output": Rule(output=lambda loss, z, y: -loss.delta(z, y)),
    "sum over examples, not mean": Rule(
        weight=lambda delta, before: delta @ before.T, bias=lambda delta: delta.sum(axis=1)
    ),
    "s' missing at the output": Rule(output=lambda loss, z, y: expit(z) - y),
    "sigma' missing in hidden layers": Rule(slope=lambda sigma, z: 1.0),
    "sigma'(a) for sigma'(z)": Rule(slope=lambda sigma, z: sigma.slope(sigma.value(z))),
    # Where W is square; elsewhere the shapes give it away.
    "W for its transpose": Rule(
        back=lambda weight, delta: (weight if weight.shape[0] == weight.shape[1] else weight.T) @ delta
    ),
    "bias not updated": Rule(bias=lambda delta: np.zeros(delta.shape[0])),
}


def forward(params: MLPParams, x: Any, sigma: Sigma) -> tuple[list[Any], list[Any]]:
    """Return z_1 ... z_L and a_0 ... a_{L-1}; the output has no sigma of its own, since the loss is one of z_L."""
    z, a = [], [x]
    for weight, bias in params.layers:
        if z:
            a.append(sigma.value(z[-1]))
        z.append(weight @ a[-1] + bias[:, None])
    return z, a


def value_and_gradient(
    params: MLPParams, x: Any, y: Any, sigma: Sigma, loss: Loss, rule: Rule = RIGHT
) -> tuple[Any, MLPParams]:
    """Return E and its derivatives; x and y are (units, n)."""
    z, a = forward(params, x, sigma)
    delta = rule.output(loss, z[-1], y)
    grads = [Layer(rule.weight(delta, a[-1]), rule.bias(delta))]
    for k in reversed(range(len(z) - 1)):
        delta = rule.back(params.layers[k + 1].weight, delta) * rule.slope(sigma, z[k])
        grads.insert(0, Layer(rule.weight(delta, a[k]), rule.bias(delta)))
    return np.mean(loss.value(z[-1], y)), MLPParams(tuple(grads))


def descend(
    params: MLPParams, x: Any, y: Any, sigma: Sigma, loss: Loss, *, eta: float, steps: int, rule: Rule = RIGHT, every: int
) -> Descent:  # fmt: skip
    """Take steps of gradient descent; at every so many of them look at the true gradient too."""
    losses, angles = [], []
    for step in range(steps):
        value, grads = value_and_gradient(params, x, y, sigma, loss, rule)
        losses.append(value)
        if step % every == 0:
            angles.append(angle(grads, value_and_gradient(params, x, y, sigma, loss)[1]))
        params = jax.tree.map(lambda w, g: w - eta * g, params, grads)
    return Descent(params, np.array(losses), np.array(angles))


def central_differences(
    params: MLPParams, x: Any, y: Any, sigma: Sigma, loss: Loss, step: float = 1e-5
) -> MLPParams:  # fmt: skip
    """Return dE/dw as (E(w + step) - E(w - step)) / (2 step) for every weight and bias: forward passes only."""
    leaves, structure = jax.tree.flatten(params)
    value = lambda leaves: np.mean(loss.value(forward(structure.unflatten(leaves), x, sigma)[0][-1], y))

    def derivative(k: int, at: tuple[int, ...]) -> Any:
        moved = np.zeros_like(leaves[k])
        moved[at] = step
        up, down = ([*leaves[:k], leaves[k] + d, *leaves[k + 1 :]] for d in (moved, -moved))
        return (value(up) - value(down)) / (2 * step)

    arrays = [
        np.array([derivative(k, at) for at in np.ndindex(w.shape)]).reshape(w.shape) for k, w in enumerate(leaves)
    ]
    return structure.unflatten(arrays)


def angle(grads: MLPParams, other: MLPParams) -> float:
    """Return the angle between two gradients, degrees; NaN where one is zero."""
    a, b = (np.concatenate([g.ravel() for g in jax.tree.leaves(tree)]) for tree in (grads, other))
    if not a.any() or not b.any():
        return np.nan
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    # Not the arc cosine, which loses half the digits of a small angle.
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))))


def difference(found: Any, wanted: Any) -> float:
    """Return the largest over the arrays of max |found - wanted| / max |wanted|."""
    ratio = lambda x, y: np.max(np.abs(x - y)) / max(np.max(np.abs(y)), np.finfo(float).tiny)
    return float(max(jax.tree.leaves(jax.tree.map(ratio, found, wanted))))
