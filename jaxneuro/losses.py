"""Losses for `fit`: from optax, with labels that are checked; penalties on weights."""

from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxneuro.metrics import ArrayLike, accuracy, checked_labels, raise_if_known
from jaxneuro.types import Array, Float, KeyLike, Scalar

LossFn: TypeAlias = Callable[[Any, Any, Any], Any]
"""loss_fn(params, batch, key) -> loss, or (loss, {name: scalar}); key None is evaluation."""


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Float[Array, "..."]:
    """Return -log softmax(logits)[label] for every example.

    Args:
        logits: (..., classes).
        labels: integers (...), 0 <= label < classes.

    Returns:
        Losses (...), in nats. A label out of range gives NaN where the labels are traced: it never counts as a class.

    Raises:
        ValueError: a label out of range (when the labels are known), shapes that do not fit.
        TypeError: labels that are no integers.

    Differentiability: in the logits, twice and more.

    Source: optax, `softmax_cross_entropy_with_integer_labels`.

    Example:
        >>> cross_entropy(jnp.zeros((2, 10)), jnp.array([3, 4])).round(4).tolist()
        [2.3026, 2.3026]
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    if logits.ndim == 0:
        raise ValueError("logits need a last axis of classes; they are a scalar.")
    labels, valid = checked_labels(labels, logits.shape[-1])
    if logits.shape[:-1] != labels.shape:
        raise ValueError(f"logits (..., classes) and labels (...) do not fit: {logits.shape} and {labels.shape}.")
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(valid, labels, 0))
    return jnp.where(valid, losses, jnp.nan)


def binary_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Float[Array, "..."]:
    """Return -y log sigmoid(logit) - (1 - y) log(1 - sigmoid(logit)) for every example.

    Args:
        logits: any shape.
        labels: the same shape; probabilities 0 <= y <= 1, usually 0 or 1.

    Returns:
        Losses of the same shape, in nats; NaN for a traced label out of range.

    Raises:
        ValueError: a label out of range (when the labels are known), shapes that differ.

    Differentiability: in both, twice and more.

    Source: optax, `sigmoid_binary_cross_entropy`.

    Example:
        >>> binary_cross_entropy(jnp.zeros(2), jnp.array([0.0, 1.0])).round(4).tolist()
        [0.6931, 0.6931]
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    if logits.shape != labels.shape:
        raise ValueError(f"logits and labels must have one shape; they are {logits.shape} and {labels.shape}.")
    labels = labels.astype(logits.dtype)
    valid = (labels >= 0) & (labels <= 1)
    raise_if_known(labels, valid, "must be in [0, 1]")
    return jnp.where(valid, optax.sigmoid_binary_cross_entropy(logits, labels), jnp.nan)


def classification(apply: Callable[[Any, Array, Any], Array]) -> LossFn:
    """Return a `loss_fn` for `fit`: the mean cross-entropy of integer labels, with the accuracy as a metric.

    Args:
        apply: `apply(params, x, key) -> logits` of **one** example; key is None in evaluation, else one per example.

    Returns:
        `loss_fn(params, (x, labels), key) -> (loss, {"accuracy": ...})`, x (n, ...) and labels (n,).

    Raises:
        As `cross_entropy`, when the returned function is called.

    Differentiability: of the loss, as `apply`.

    Example:
        >>> import jaxneuro as jn
        >>> loss_fn = classification(lambda params, x, key: jn.mlp_apply(params, x, dropout_rate=0.2, key=key))
        >>> params = jn.mlp_init(jax.random.key(0), (4, 8, 3))
        >>> loss, metrics = loss_fn(params, (jnp.ones((5, 4)), jnp.zeros(5, int)), None)
    """

    def loss_fn(params: Any, batch: Any, key: KeyLike | None) -> tuple[Scalar, dict[str, Scalar]]:
        x, labels = batch
        keys = None if key is None else jax.random.split(key, x.shape[0])
        logits = jax.vmap(apply, (None, 0, None if key is None else 0))(params, x, keys)
        return jnp.mean(cross_entropy(logits, labels)), {"accuracy": accuracy(logits, labels)}

    return loss_fn


def l1_penalty(params: Any, mask: Any = None) -> Scalar:
    """Return sum |w| over the penalised leaves of a pytree.

    Args:
        params: a pytree of arrays.
        mask: which leaves: a pytree of booleans like `params`, or a function from params to one. None: those with two
            or more axes, that is weights and kernels but not biases.

    Returns:
        A scalar, 0 if nothing is penalised.

    Differentiability: in params, with derivative 0 at w = 0.

    Source: Tibshirani (1996), doi:10.1111/j.2517-6161.1996.tb02080.x.

    Example:
        >>> float(l1_penalty({"w": jnp.array([[1.0, -2.0]]), "b": jnp.array([5.0])}))
        3.0
    """
    # Not jnp.abs, whose derivative at 0 is 1: a weight at 0 would be pushed away from it.
    return _penalty(lambda x: x * jax.lax.stop_gradient(jnp.sign(x)), params, mask)


def l2_penalty(params: Any, mask: Any = None) -> Scalar:
    """Return sum w^2 over the penalised leaves of a pytree (no factor 1/2).

    Args:
        params, mask: as in `l1_penalty`.

    Returns:
        A scalar, 0 if nothing is penalised.

    Differentiability: in params.

    Source: Hoerl & Kennard (1970), doi:10.1080/00401706.1970.10488634.

    Example:
        >>> float(l2_penalty({"w": jnp.array([[1.0, -2.0]]), "b": jnp.array([5.0])}))
        5.0
    """
    return _penalty(jnp.square, params, mask)


def resolved_mask(mask: Any, params: Any) -> Any:
    """Return which leaves are penalised, as a pytree of booleans like `params` or a prefix of it."""
    boolean = lambda x: isinstance(x, bool | np.bool_) or (eqx.is_array(x) and x.shape == () and x.dtype == bool)
    if mask is None:
        return jax.tree.map(lambda x: jnp.ndim(x) >= 2, params)
    if callable(mask) and not all(map(boolean, jax.tree.leaves(mask))):  # a module of booleans is no function
        mask = mask(params)
    if not all(map(boolean, jax.tree.leaves(mask))):
        raise TypeError(
            f"penalty_mask must hold booleans, or be a function from params to such a tree; it is {mask!r}."
        )
    try:
        jax.tree.map(lambda use, sub: None, mask, params)
    except ValueError as error:
        raise ValueError(f"penalty_mask must have the structure of params, or the start of it: {error}") from error
    return jax.tree.map(bool, mask)


def _penalty(fn: Callable[[Array], Array], params: Any, mask: Any) -> Scalar:
    mask = resolved_mask(mask, params)
    chosen = jax.tree.map(lambda use, sub: sub if use else None, mask, params)
    leaves = jax.tree.leaves(chosen)
    dtype = jnp.result_type(float, *leaves) if not leaves else jnp.result_type(*leaves)
    return sum((jnp.sum(fn(x)) for x in leaves), jnp.zeros((), dtype))


__all__ = [
    "binary_cross_entropy", "classification", "cross_entropy", "l1_penalty", "l2_penalty",
]  # fmt: skip
