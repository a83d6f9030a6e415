"""Metrics of classifiers: accuracy, confusion matrix, calibration."""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxneuro.types import Array, Float, Int, Integer, Scalar

ArrayLike: TypeAlias = Any
"""An array of numbers, of JAX or NumPy; a wrong shape or dtype is refused with a sentence."""


class Calibration(NamedTuple):
    """How far confidence, the probability given to the chosen class, is from accuracy."""

    confidence: Float[Array, " bins"]  # mean in each bin; NaN in an empty one
    accuracy: Float[Array, " bins"]  # NaN in an empty one
    count: Int[Array, " bins"]  # examples in each bin
    error: Scalar  # expected calibration error, sum_b count_b/n |accuracy_b - confidence_b|


def accuracy(logits: ArrayLike, labels: ArrayLike) -> Scalar:
    """Return the fraction of examples whose largest logit is that of the label.

    Args:
        logits: (n, classes).
        labels: integers (n,).

    Returns:
        A scalar; NaN if a logit is NaN or a traced label is out of range.

    Raises:
        ValueError, TypeError: labels that are out of range (when known) or no integers; shapes that do not fit.

    Differentiability: none (derivative 0).

    Example:
        >>> float(accuracy(jnp.eye(4), jnp.array([0, 1, 2, 0])))
        0.75
    """
    logits, labels, valid = _checked(logits, labels)
    right = (jnp.argmax(logits, axis=-1) == labels).astype(logits.dtype)
    return jnp.mean(jnp.where(valid, right, jnp.nan))


def confusion_matrix(logits: ArrayLike, labels: ArrayLike) -> Int[Array, "classes classes"]:
    """Return how many examples of each class (row) were taken for each class (column).

    Args:
        logits: (n, classes).
        labels: integers (n,).

    Returns:
        Counts (classes, classes); they sum to n. (An example with a NaN logit, or a traced label out of range, is counted
        nowhere, so that the sum shows it.)

    Raises:
        As `accuracy`.

    Differentiability: none.

    Example:
        >>> confusion_matrix(jnp.eye(2)[jnp.array([0, 0, 1])], jnp.array([0, 1, 1])).tolist()
        [[1, 0], [1, 1]]
    """
    logits, labels, valid = _checked(logits, labels)
    classes = logits.shape[-1]
    cell = jnp.where(valid, labels * classes + jnp.argmax(logits, axis=-1), classes**2)
    return jnp.zeros(classes**2, int).at[cell].add(1, mode="drop").reshape(classes, classes)


def calibration(logits: ArrayLike, labels: ArrayLike, num_bins: Integer = 10) -> Calibration:
    """Return confidence and accuracy in equal bins of confidence, and the expected calibration error.

    Args:
        logits: (n, classes).
        labels: integers (n,).
        num_bins: number of bins of (0, 1], each open on its left.

    Returns:
        A `Calibration`; its error is NaN if a logit is NaN or a traced label is out of range.

    Raises:
        ValueError: num_bins < 1; as `accuracy`.

    Differentiability: none that means anything: the bins are steps.

    Source: Guo, Pleiss, Sun & Weinberger (2017), eq. 2 and 3, arXiv:1706.04599.

    Example:
        >>> float(calibration(jnp.array([[0.0, 0.0], [0.0, 0.0]]), jnp.array([0, 1])).error)
        0.0
    """
    if num_bins < 1:
        raise ValueError(f"num_bins must be >= 1; it is {num_bins}.")
    logits, labels, valid = _checked(logits, labels)
    confidence = jnp.where(valid, jnp.max(jax.nn.softmax(logits, axis=-1), axis=-1), jnp.nan)
    right = (jnp.argmax(logits, axis=-1) == labels).astype(logits.dtype)
    bins = jnp.clip(jnp.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    total = lambda x: jnp.zeros(num_bins, jnp.asarray(x).dtype).at[bins].add(x)
    count = total(jnp.ones(labels.shape, int))
    n = jnp.where(count > 0, count, 1).astype(logits.dtype)
    mean = lambda x: jnp.where(count > 0, total(x) / n, jnp.nan)
    gaps = jnp.abs(total(right) - total(confidence))
    return Calibration(mean(confidence), mean(right), count, jnp.sum(gaps) / labels.size)


def checked_labels(labels: Array, num_classes: int) -> tuple[Array, Array]:
    """Return integer labels and which of them are in range; raise for known labels that are not."""
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"Class labels must be integers 0 .. classes - 1; their dtype is {labels.dtype}.")
    labels = labels.astype(jnp.promote_types(labels.dtype, jnp.int32))  # room for more classes than a byte counts
    valid = (labels >= 0) & (labels < num_classes)
    raise_if_known(labels, valid, f"must be in 0 .. {num_classes - 1} ({num_classes} classes)")
    return labels, valid


def raise_if_known(labels: Array, valid: Array, wanted: str) -> None:
    if not isinstance(valid, Tracer) and not bool(jnp.all(valid)):
        index = tuple(int(i) for i in jnp.argwhere(~valid)[0])
        raise ValueError(
            f"Labels {wanted}: the label at index {', '.join(map(str, index))} is {labels[index]}; "
            f"{int(jnp.sum(~valid))} of {labels.size} are out of range."
        )


def _checked(logits: ArrayLike, labels: ArrayLike) -> tuple[Array, Array, Array]:
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or labels.size == 0:
        raise ValueError(
            f"logits must be (n, classes) and labels (n,), n >= 1; they are {logits.shape} and {labels.shape}."
        )
    labels, valid = checked_labels(labels, logits.shape[1])
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))  # sums over many examples
    return logits, labels, valid & ~jnp.any(jnp.isnan(logits), axis=-1)


__all__ = ["Calibration", "accuracy", "calibration", "confusion_matrix"]
