"""Robustness and transfer at smoke size: they write their files, and what they claim holds."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import written

import jaxneuro as jn
from experiments import adaptation, attacks, attributions, robustness, transfer
from experiments.common import BadInput
from experiments.images import Images
from jaxneuro.nets import Layer
from jaxneuro.nets.mlp import MLPParams


def test_robustness(tmp_path):
    found = robustness.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert found.failed == 0 and found.accuracy.shape == (2, 2, 3, 3)
    noise, fgsm, pgd = np.moveaxis(found.accuracy, 2, 0)  # (trainings, seeds, epsilons)
    assert np.array_equal(noise[..., 0], fgsm[..., 0]) and np.array_equal(noise[..., 0], pgd[..., 0])  # epsilon 0
    assert np.all(noise[..., 0] > 0.85)
    assert np.all(noise[0, :, 2] > 0.8) and np.all(pgd[0, :, 2] < 0.1)  # signs of one size: chosen, and drawn
    assert np.all(pgd <= fgsm + 0.01)
    assert np.all(np.diff(pgd, axis=-1) < 0)
    assert np.all(pgd[1, :, 1:] > pgd[0, :, 1:] + 0.1)  # trained under attack
    assert found.seconds[1] > found.seconds[0] > 0
    gap = found.decisions.gap.mean(axis=2)
    assert np.all(gap[..., 1] < gap[..., 0] / 5)  # 4 and 64 steps: 1/m would be 16
    changed = found.decisions.changed.mean(axis=2)
    assert np.all(changed[..., 0] > 2 * changed[..., 2]) and np.all(changed[..., 1] > 2 * changed[..., 2])
    np.testing.assert_allclose(found.decisions.right.mean(axis=2), noise[..., 0], rtol=1e-6)


@pytest.fixture
def linear():
    """A classifier of images of 3 x 3 pixels into two classes, W x, and the weights of the difference of its logits."""
    weight = jax.random.normal(jax.random.key(3), (2, 9), jnp.float32)
    return MLPParams((Layer(weight, jnp.zeros(2, jnp.float32)),)), np.asarray(weight[1] - weight[0]).reshape(3, 3, 1)


def test_attacks_on_a_linear_classifier_are_the_worst_case(linear):
    params, w = linear
    x = jnp.full((3, 3, 1), 0.5, jnp.float32)
    loss = lambda x: jn.losses.cross_entropy(jn.mlp_apply(params, x.ravel()), 0)
    worst = 0.5 + 0.1 * np.sign(w)  # of label 0 the loss is log(1 + exp(w . x)): the corner that w points to
    for attack in (attacks.fgsm, partial(attacks.pgd, steps=5)):
        np.testing.assert_allclose(attack(loss, x, 0.1, jax.random.key(0)), worst, atol=1e-6)
    np.testing.assert_allclose(loss(worst), np.log1p(np.exp(0.5 * w.sum() + 0.1 * np.abs(w).sum())), rtol=1e-5)
    # Near the border of the pixels' range: cut to it.
    edge = jnp.where(jnp.arange(9).reshape(3, 3, 1) % 2 == 0, 0.02, 0.97).astype(jnp.float32)
    for attack in (attacks.fgsm, attacks.pgd):
        expected = np.clip(np.asarray(edge) + 0.1 * np.sign(w), 0, 1)
        np.testing.assert_allclose(attack(loss, edge, 0.1, jax.random.key(0)), expected, atol=1e-6)


@pytest.mark.parametrize("attack", [attacks.random_signs, attacks.fgsm, attacks.pgd])
def test_attacks_stay_in_the_ball_and_in_the_range_of_a_pixel(attack):
    params = jn.mlp_init(jax.random.key(0), (64, 16, 10), dtype=jnp.float32)
    x = jax.random.uniform(jax.random.key(1), (20, 8, 8, 1), jnp.float32).round(1)
    batch = Images(x, jnp.arange(20) % 10)
    found = attacks.attacked(robustness.apply, params, attack, batch, 0.15, jax.random.key(2)).x
    assert found.dtype == jnp.float32 and np.min(found) >= 0 and np.max(found) <= 1
    size = np.abs(found - x)
    assert np.max(size) <= 0.15 + 1e-7 and np.mean(size) > 0.1
    unmoved = attacks.attacked(robustness.apply, params, attack, batch, 0.0, jax.random.key(2)).x
    np.testing.assert_array_equal(unmoved, x)
    loss = lambda x: robustness_loss(params, batch._replace(x=x))
    if attack is not attacks.random_signs:
        assert loss(found) > loss(x) + 0.1
    if attack is attacks.pgd:  # beaten by nothing that stands in for a search: 50 random corners
        corners = [attacks.attacked(robustness.apply, params, attacks.random_signs, batch, 0.15, jax.random.key(k)).x
                   for k in range(50)]  # fmt: skip
        assert loss(found) > max(loss(x) for x in corners)


def robustness_loss(params, batch):
    return float(jn.losses.classification(lambda p, x, key: robustness.apply(p, x))(params, batch, None)[0])


def test_the_gradient_of_adversarial_training_holds_the_attacked_images_fixed():
    params = jn.mlp_init(jax.random.key(0), (64, 8, 10))
    batch = Images(jax.random.uniform(jax.random.key(1), (6, 8, 8, 1)), jnp.arange(6))
    loss_fn = attacks.adversarial(robustness.apply, attacks.pgd, 0.1)
    key = jax.random.key(2)
    (value, _), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params, batch, key)
    fixed = attacks.attacked(robustness.apply, params, attacks.pgd, batch, 0.1, key)
    assert float(value) == pytest.approx(robustness_loss(params, fixed), rel=1e-12)
    direction = jax.tree.map(lambda x: jax.random.normal(jax.random.key(3), x.shape), params)
    moved = lambda h: robustness_loss(jax.tree.map(lambda p, d: p + h * d, params, direction), fixed)
    slope = sum(
        float(jnp.vdot(g, d)) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    )
    assert slope == pytest.approx((moved(1e-6) - moved(-1e-6)) / 2e-6, rel=1e-6)
    assert float(loss_fn(params, batch, None)[0]) == pytest.approx(robustness_loss(params, batch), rel=1e-12)


def test_integrated_gradients_against_closed_forms():
    # F = relu(relu(x1) - 1 - relu(x2)) at (3, 1): 1.5 and -0.5 (the appendix of Sundararajan et al. 2017, on sensitivity).
    score = lambda x: jax.nn.relu(jax.nn.relu(x[0]) - 1 - jax.nn.relu(x[1]))
    found = attributions.integrated_gradients(score, jnp.array([3.0, 1.0]), jnp.zeros(2), 1000)
    np.testing.assert_allclose(found, [1.5, -0.5], atol=1e-2)
    # F = x1^2 x2 from (1, 0) to (2, 3), by hand: int 2 (1 + a) 3a da = 5 and 3 int (1 + a)^2 da = 7.
    cubic = lambda x: x[0] ** 2 * x[1]
    x, baseline = jnp.array([2.0, 3.0]), jnp.array([1.0, 0.0])
    exact = np.array([5.0, 7.0])
    errors = [np.abs(attributions.integrated_gradients(cubic, x, baseline, m) - exact) for m in (10, 20)]
    np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=1e-6)  # the midpoint rule is of second order
    assert exact.sum() == cubic(x) - cubic(baseline)


def test_attributions_of_a_linear_score():
    weight = jnp.arange(9.0).reshape(3, 3, 1) - 4
    x = jax.random.uniform(jax.random.key(0), (3, 3, 1))
    score = lambda x: jnp.sum(weight * x)
    np.testing.assert_allclose(attributions.saliency(score, x), weight)
    np.testing.assert_allclose(
        attributions.integrated_gradients(score, x, jnp.zeros_like(x), 3), weight * x, rtol=1e-12
    )


def test_black_out_takes_the_first_pixels_that_are_not_black():
    x = jnp.array([[0.0, 0.2], [0.3, 0.4]])[..., None]
    ranking = jnp.array([[9.0, 1.0], [3.0, 2.0]])[..., None]
    np.testing.assert_array_equal(attributions.black_out(x, ranking, 2)[..., 0], [[0.0, 0.2], [0.0, 0.0]])


def test_transfer(tmp_path):
    found = transfer.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    ways = list(found.ways)
    assert found.failed == 0 and found.adapted.accuracy.shape == (4, 1, 8)
    assert np.mean(found.old_accuracy) > 0.98
    scratch, random, frozen, tuned = found.adapted.accuracy[:, 0]
    difference = lambda a, b: np.mean(a - b) / (np.std(a - b, ddof=1) / np.sqrt(8))
    assert difference(scratch, tuned) > 3 and difference(tuned, frozen) > 3 and difference(scratch, random) > 3
    assert np.all(random > 0.5)  # chance is 0.2
    moved = found.adapted.movement[:, 0]
    for k, name in enumerate(ways):
        assert np.all(moved[k] == 0) if name.startswith("frozen") else np.all(moved[k] > 0.01)
    assert np.all(found.dimension[1] < found.dimension[0])
    # Frozen weights are bit for bit those of the pretraining; what fine-tuning makes of them is not.
    features = dict(zip(ways, found.adapted.features[:, 0], strict=True))
    fresh, trained, _, _ = pretrained(8)
    first = lambda params: np.asarray(params.layers[0].weight).reshape(8, -1, 8, 8)
    np.testing.assert_array_equal(features["frozen random features"], first(fresh))
    np.testing.assert_array_equal(features["frozen after 40 epochs"], first(trained))
    assert not np.array_equal(features["fine-tuned after 40 epochs"], first(trained))


def pretrained(seeds):
    """Return the networks of the smoke run as they are drawn and pretrained, their accuracy, and the old task."""
    keys = jax.random.split(jax.random.key(0), seeds)
    fresh = jax.vmap(lambda key: jn.mlp_init(key, (64, 64, 32, 5), dtype=jnp.float32))(keys)
    old, _ = adaptation.tasks(seeds)
    trained, accuracy, _ = adaptation.pretrain(fresh, adaptation.stack(old), keys, 1e-3, num_epochs=40)
    return fresh, trained, accuracy, old


def test_the_tasks_share_no_image_and_no_class():
    old, new = adaptation.tasks(2)
    for part in (*old, *new):
        train, test = ({x.tobytes() for x in images.x} for images in part)
        assert not train & test and set(part.train.y) == set(part.test.y) == set(range(5))
    assert len(old[0].train.y) + len(old[0].test.y) == 901 and len(new[0].train.y) + len(new[0].test.y) == 896
    from sklearn.datasets import load_digits

    pixels, target = load_digits(return_X_y=True)
    label = {np.float32(x / 16).tobytes(): y for x, y in zip(pixels, target, strict=True)}
    assert all(label[x.tobytes()] == y + 5 for x, y in zip(new[1].test.x, new[1].test.y, strict=True))
    some, more = adaptation.few(new[0].train, 2), adaptation.few(new[0].train, 5)
    assert np.bincount(some.y).tolist() == [2] * 5 and np.bincount(more.y).tolist() == [5] * 5
    assert {x.tobytes() for x in some.x} < {x.tobytes() for x in more.x}
    with pytest.raises(BadInput, match="at most"):
        adaptation.few(new[0].train, 120)


@pytest.mark.parametrize(("frozen", "trunk_rate"), [(True, 0.0), (False, 0.1), (False, 1.0)])
def test_the_first_step_of_adam_moves_head_and_trunk_at_their_rates(frozen, trunk_rate):
    params = jn.mlp_init(jax.random.key(0), (4, 3, 3, 2))
    gradient = jax.tree.map(lambda x: jax.random.normal(jax.random.key(1), x.shape), params)
    optimizer = adaptation.head_and_trunk(0.01, trunk_rate, frozen)
    updates: Any = optimizer.update(gradient, optimizer.init(params), params)[0]
    for k, (update, g) in enumerate(zip(updates.layers, gradient.layers, strict=True)):
        rate = 0.01 if k == 2 else trunk_rate * 0.01  # Adam's first step is -rate sign(g)
        np.testing.assert_allclose(update.weight, -rate * np.sign(g.weight), atol=1e-8)
        np.testing.assert_allclose(update.bias, -rate * np.sign(g.bias), atol=1e-8)
    if trunk_rate == 1:
        plain: Any = optax.adam(0.01).update(gradient, optax.adam(0.01).init(params), params)[0]
        np.testing.assert_array_equal(updates.layers[0].weight, plain.layers[0].weight)


def test_features_transfer_where_they_must():
    """A positive control: with the classes of the pretraining, frozen features need one label per class."""
    fresh, trained, accuracy, old = pretrained(8)
    task = adaptation.stack([part._replace(train=adaptation.few(part.train, 1)) for part in old])
    how: dict[str, Any] = dict(trunk_rate=0.0, frozen=True, num_steps=150)
    learned = adaptation.adapt(adaptation.with_head_of(fresh, trained), task, 1e-2, **how)
    random = adaptation.adapt(fresh, task, 1e-2, **how)
    assert np.mean(learned.accuracy) > 0.93 and np.mean(learned.accuracy) > np.mean(random.accuracy) + 0.15
    assert np.all(learned.movement == 0) and np.mean(accuracy) > 0.98


def test_participation_ratio():
    # Two units that vary alike and independently, one that does not vary: eigenvalues (1, 1, 0), so 2 dimensions.
    eye = jnp.eye(3)
    params = MLPParams((Layer(eye, jnp.zeros(3)), Layer(eye, jnp.zeros(3))))
    images = jnp.array([[1.0, 1, 5], [3, 1, 5], [1, 3, 5], [3, 3, 5]]).reshape(1, 4, 3, 1, 1)
    stacked = jax.tree.map(lambda x: x[None], params)
    assert float(adaptation.dimensions(stacked, images)[0]) == pytest.approx(2.0)
    alike = images.at[:, :, 1].set(images[:, :, 0])
    assert float(adaptation.dimensions(stacked, alike)[0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("main", "knobs", "message"),
    [
        (robustness.main, dict(seeds=1), "seeds must be >= 2"),
        (robustness.main, dict(epsilons=(0.1, 0.2)), "epsilons must be 0 and more"),
        (robustness.main, dict(train_epsilons=(0.0, -0.1)), "train_epsilons must be 0 and more"),
        (robustness.main, dict(ig_steps=(0, 4)), "ig_steps must be numbers >= 1"),
        (robustness.main, dict(blacked=65), "blacked must be 1 to 64"),
        (transfer.main, dict(seeds=1), "seeds must be >= 2"),
        (transfer.main, dict(hidden=()), "at least one layer"),
        (transfer.main, dict(labels=()), "labels must be numbers"),
        (transfer.main, dict(trunk_rate=0.0), "trunk_rate must be positive"),
    ],
)
def test_wrong_knobs_are_refused_in_a_sentence(main, knobs, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        main(**knobs, out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
