"""Losses and metrics: against closed forms and scikit-learn; labels that make no sense."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as reference

import jaxneuro as jn

LOGITS = jax.random.normal(jax.random.key(0), (200, 5)) * 2
LABELS = jax.random.randint(jax.random.key(1), (200,), 0, 5)


def test_cross_entropy():
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    np.testing.assert_allclose(jn.losses.cross_entropy(LOGITS, LABELS), -np.log(p[np.arange(200), LABELS]), rtol=1e-12)
    # d loss / d logits = p - onehot.
    grad = jax.grad(lambda z: jn.losses.cross_entropy(z, LABELS).sum())(LOGITS)
    np.testing.assert_allclose(grad, p - np.eye(5)[np.asarray(LABELS)], atol=1e-14)


def test_binary_cross_entropy():
    z, y = np.linspace(-3, 3, 7), np.array([0, 1, 0.25, 1, 0, 1, 0])
    p = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(
        jn.losses.binary_cross_entropy(z, y), -y * np.log(p) - (1 - y) * np.log(1 - p), rtol=1e-12
    )
    grad = jax.grad(lambda z: jn.losses.binary_cross_entropy(z, y).sum())(jnp.asarray(z))
    np.testing.assert_allclose(grad, p - y, atol=1e-14)
    assert np.isfinite(jn.losses.binary_cross_entropy(jnp.array([1e4, -1e4]), jnp.array([0, 1]))).all()


@pytest.mark.parametrize("label", [5, -1])
def test_labels_out_of_range(label):
    bad = LABELS.at[7].set(label)
    for fn in (jn.losses.cross_entropy, jn.metrics.accuracy, jn.metrics.confusion_matrix, jn.metrics.calibration):
        with pytest.raises(ValueError, match=rf"0 .. 4 \(5 classes\): the label at index 7 is {label}; 1 of 200 are"):
            fn(LOGITS, bad)
    # Traced, it is a value that cannot pass for a class.
    losses = jax.jit(jn.losses.cross_entropy)(LOGITS, bad)
    assert np.isnan(losses[7]) and np.isfinite(np.delete(losses, 7)).all()
    assert np.isnan(jax.jit(jn.metrics.accuracy)(LOGITS, bad))
    assert jax.jit(jn.metrics.confusion_matrix)(LOGITS, bad).sum() == 199
    assert np.isnan(jax.jit(jn.metrics.calibration)(LOGITS, bad).error)


def test_other_bad_labels():
    with pytest.raises(TypeError, match="must be integers 0 .. classes - 1; their dtype is float64"):
        jn.losses.cross_entropy(LOGITS, LABELS.astype(float))
    with pytest.raises(ValueError, match=r"do not fit: \(200, 5\) and \(3,\)"):
        jn.losses.cross_entropy(LOGITS, LABELS[:3])
    with pytest.raises(ValueError, match=r"in \[0, 1\]: the label at index 1 is 2.0; 2 of 3"):
        jn.losses.binary_cross_entropy(jnp.zeros(3), jnp.array([0.0, 2.0, -1.0]))
    with pytest.raises(ValueError, match=r"one shape; they are \(3,\) and \(3, 1\)"):
        jn.losses.binary_cross_entropy(jnp.zeros(3), jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"they are \(200, 5\) and \(3,\)"):
        jn.metrics.accuracy(LOGITS, LABELS[:3])
    with pytest.raises(ValueError, match="num_bins must be >= 1; it is 0"):
        jn.metrics.calibration(LOGITS, LABELS, 0)


def test_accuracy_and_confusion_matrix():
    chosen = np.argmax(LOGITS, axis=1)
    np.testing.assert_allclose(jn.metrics.accuracy(LOGITS, LABELS), reference.accuracy_score(LABELS, chosen))
    np.testing.assert_array_equal(
        jn.metrics.confusion_matrix(LOGITS, LABELS), reference.confusion_matrix(LABELS, chosen)
    )
    broken = LOGITS.at[0, 0].set(jnp.nan)
    assert np.isnan(jn.metrics.accuracy(broken, LABELS)) and jn.metrics.confusion_matrix(broken, LABELS).sum() == 199


@pytest.mark.parametrize(
    "dtype, classes", [(np.uint8, 17), (np.int8, 12), (np.uint8, 256), (np.int8, 128), (np.int16, 200)]
)
def test_labels_of_few_bits(dtype, classes):
    labels = np.arange(classes).astype(dtype)
    logits = 5 * np.eye(classes)
    np.testing.assert_array_equal(jn.metrics.confusion_matrix(logits, labels), np.eye(classes))
    expected = jn.losses.cross_entropy(logits, labels.astype(int))
    np.testing.assert_array_equal(jax.jit(jn.losses.cross_entropy)(logits, labels), expected)


def test_metrics_of_half_precision():
    logits = jax.random.normal(jax.random.key(2), (20_000, 4)) * 2
    labels = jnp.argmax(logits + 2 * jax.random.normal(jax.random.key(3), logits.shape), axis=1)
    for dtype in (jnp.float16, jnp.bfloat16):
        half = logits.astype(dtype)
        exact = jn.metrics.calibration(half.astype(jnp.float64), labels)
        np.testing.assert_allclose(jn.metrics.calibration(half, labels).error, exact.error, rtol=1e-3)


def test_calibration():
    # Two classes; log(9) makes a confidence of 0.9, log(3) one of 0.75.
    logits = jnp.array([[jnp.log(9.0), 0.0]] * 4 + [[0.0, jnp.log(3.0)]] * 2)
    found = jn.metrics.calibration(logits, jnp.array([0, 0, 0, 1, 1, 0]), num_bins=5)
    assert found.count.tolist() == [0, 0, 0, 2, 4]
    np.testing.assert_allclose(found.confidence, [np.nan] * 3 + [0.75, 0.9], rtol=1e-12)
    np.testing.assert_allclose(found.accuracy, [np.nan] * 3 + [0.5, 0.75], rtol=1e-12)
    np.testing.assert_allclose(found.error, (2 * 0.25 + 4 * 0.15) / 6, rtol=1e-12)
    # Against a loop over the bins.
    p = np.asarray(jax.nn.softmax(LOGITS, axis=1))
    top, right = p.max(1), np.argmax(p, axis=1) == np.asarray(LABELS)
    gap = 0.0
    for k in range(10):
        inside = (top > k / 10) & (top <= (k + 1) / 10)
        gap += abs(right[inside].sum() - top[inside].sum()) / 200
    np.testing.assert_allclose(jn.metrics.calibration(LOGITS, LABELS).error, gap, rtol=1e-12)


def test_penalties_choose_weights():
    params = jn.mlp_init(jax.random.key(0), (3, 2, 1), bias_init=jax.nn.initializers.ones)
    w = [np.asarray(layer.weight) for layer in params.layers]
    np.testing.assert_allclose(jn.losses.l1_penalty(params), sum(np.abs(x).sum() for x in w), rtol=1e-14)
    np.testing.assert_allclose(jn.losses.l2_penalty(params), sum((x**2).sum() for x in w), rtol=1e-14)
    assert jn.losses.l1_penalty(params, jax.tree.map(lambda x: x.ndim == 1, params)) == 3
    assert jn.losses.l2_penalty(params, lambda p: jax.tree.map(lambda x: False, p)) == 0
    assert np.all(jax.grad(jn.losses.l1_penalty)({"w": jnp.zeros((2, 2))})["w"] == 0)


def test_classification_is_the_mean_over_the_batch_with_a_key_each():
    apply = lambda params, x, key: params * x + (0 if key is None else jax.random.normal(key, x.shape))
    loss_fn = jn.losses.classification(apply)
    loss, found = loss_fn(1.0, (LOGITS, LABELS), None)
    np.testing.assert_allclose(loss, jn.losses.cross_entropy(LOGITS, LABELS).mean(), rtol=1e-14)
    assert found["accuracy"] == jn.metrics.accuracy(LOGITS, LABELS)
    noise = jax.vmap(lambda k: jax.random.normal(k, (5,)))(jax.random.split(jax.random.key(9), 200))
    loss, _ = loss_fn(1.0, (LOGITS, LABELS), jax.random.key(9))
    np.testing.assert_allclose(loss, jn.losses.cross_entropy(LOGITS + noise, LABELS).mean(), rtol=1e-12)
