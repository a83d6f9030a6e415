"""Backpropagation by hand and generalisation: what the scripts compute, against numbers from outside."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import written
from scipy.special import log_softmax

import jaxneuro as jn
from experiments import backprop_by_hand, delta_rule, generalisation, images, regularisation
from experiments.common import BadInput
from jaxneuro.nets import Layer, MLPParams


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    return backprop_by_hand.main(smoke=True, out=str(tmp_path_factory.mktemp("backprop")))


def layer(weight: Any, bias: Any) -> Layer:
    return Layer(weight, bias)


def problem(loss="squared error", sizes=(3, 5, 5, 2), examples=7):
    """Return what the functions of delta_rule take: a random network with biases, random examples."""
    rng = np.random.default_rng(0)
    layers = [layer(rng.normal(size=(o, i)), rng.normal(size=o)) for i, o in zip(sizes[:-1], sizes[1:], strict=True)]
    x, y = rng.normal(size=(sizes[0], examples)), np.eye(sizes[-1])[:, rng.integers(sizes[-1], size=examples)]
    return MLPParams(tuple(layers)), x, y, delta_rule.SIGMAS["sigmoid"], delta_rule.LOSSES[loss]


def equal(found, wanted, rtol=1e-13):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-300), found, wanted)


def test_backprop_by_hand(by_hand):
    written(by_hand.folder)
    assert len(by_hand.cases) == 4
    agreement = by_hand.agreement
    assert agreement.gradient.max() < 1e-12 and agreement.central.max() < 1e-7
    assert agreement.params.max() < 1e-11 and agreement.losses.max() < 1e-11


def test_mistakes(by_hand):
    """Central differences find every mistake; the loss does not rise for most of them."""
    found = dict(zip(delta_rule.MISTAKES, zip(*by_hand.mistakes, strict=True), strict=True))
    assert np.all(by_hand.mistakes.check[0] < 1e-6) and np.all(by_hand.mistakes.check[1:] > 0.2)
    for name, (_, loss, angle, accuracy) in found.items():
        fails = name.startswith(("sign", "sum"))
        assert np.all((loss[:, -1] > loss[:, 0]) == fails) and np.all((accuracy <= 0.5) == fails)
        steady = {"none": 0.0, "sign: y - s(z) at the output": 180.0, "sum over examples, not mean": 0.0}
        if name in steady:
            np.testing.assert_allclose(angle[:, 0], steady[name], atol=1e-6)
        else:
            assert np.all((angle > 1e-3) & (angle < 120))
    assert np.all(by_hand.mistakes.loss[:, :, 0] == by_hand.mistakes.loss[:1, :, 0])  # the same networks


def test_two_units_by_the_chain_rule():
    """One hidden unit, one output, one example, every factor written out."""
    w1, b1, w2, b2, x, y = 0.5, -0.25, 1.5, 0.75, 2.0, 1.0
    s = lambda z: 1 / (1 + np.exp(-z))
    a1 = s(w1 * x + b1)
    a2 = s(w2 * a1 + b2)
    d2 = (a2 - y) * a2 * (1 - a2)
    d1 = d2 * w2 * a1 * (1 - a1)
    arrays = lambda w, b: layer(np.array([[w]]), np.array([b]))
    params = MLPParams((arrays(w1, b1), arrays(w2, b2)))
    options = delta_rule.SIGMAS["sigmoid"], delta_rule.LOSSES["squared error"]
    value, grads = delta_rule.value_and_gradient(params, np.array([[x]]), np.array([[y]]), *options)
    assert value == pytest.approx((a2 - y) ** 2 / 2, rel=1e-14)
    equal(grads, MLPParams((arrays(d1 * x, d1), arrays(d2 * a1, d2))))
    moved = delta_rule.descend(params, np.array([[x]]), np.array([[y]]), *options, eta=3.0, steps=1, every=1).params
    equal(moved, MLPParams((arrays(w1 - 3 * d1 * x, b1 - 3 * d1), arrays(w2 - 3 * d2 * a1, b2 - 3 * d2))))


def test_every_slope_and_delta_against_central_differences():
    for sigma in delta_rule.SIGMAS.values():
        for name in delta_rule.LOSSES:
            params, x, y, _, loss = problem(name)
            grads = delta_rule.value_and_gradient(params, x, y, sigma, loss)[1]
            assert delta_rule.difference(grads, delta_rule.central_differences(params, x, y, sigma, loss)) < 1e-7


def test_central_differences_against_logistic_regression():
    """Without hidden layers dE/dW = (s(x) - y) x^T / n for both cross-entropies."""
    for loss in ("binary cross-entropy", "softmax cross-entropy"):
        params, x, y, sigma, _ = problem(sizes=(3, 4), examples=9)
        z = params.layers[0].weight @ x + params.layers[0].bias[:, None]
        p = 1 / (1 + np.exp(-z)) if loss[0] == "b" else np.exp(z) / np.exp(z).sum(axis=0)
        wanted = MLPParams((layer((p - y) @ x.T / 9, (p - y).mean(axis=1)),))
        found = delta_rule.central_differences(params, x, y, sigma, delta_rule.LOSSES[loss])
        assert delta_rule.difference(found, wanted) < 1e-9


def test_what_two_of_the_mistakes_are():
    """Without s' at the output: the gradient of the cross-entropy. The sum: n times the gradient."""
    right = delta_rule.value_and_gradient(*problem())
    wrong = lambda name: delta_rule.value_and_gradient(*problem(), delta_rule.MISTAKES[name])
    equal(wrong("s' missing at the output")[1], delta_rule.value_and_gradient(*problem("binary cross-entropy"))[1])
    equal(wrong("sum over examples, not mean")[1], jax.tree.map(lambda g: 7 * g, right[1]))
    assert wrong("W for its transpose")[0] == right[0]


def test_angle():
    tree = lambda *x: MLPParams((layer(np.array([x[:1]]), np.array(x[1:])),))
    assert delta_rule.angle(tree(1.0, 0.0), tree(2.0, 2.0)) == pytest.approx(45, rel=1e-14)
    assert delta_rule.angle(tree(1.0, 0.0), tree(1.0, 1e-10)) == pytest.approx(np.degrees(1e-10), rel=1e-6)
    assert np.isnan(delta_rule.angle(tree(1.0, 0.0), tree(0.0, 0.0)))


def test_generalisation(tmp_path):
    found = generalisation.main(smoke=True, out=str(tmp_path))
    written(found.folder)
    assert found.failed == 0 and found.train_sizes == (200,) and found.curves.shape == (2, 6, 2, 20)
    none = found.sweeps["L1"].loss[0]
    for sweep in found.sweeps.values():
        assert np.array_equal(sweep.loss[0], none)  # a traced strength of 0 is none, to the bit
        assert np.all(sweep.loss[1:].mean(axis=1) >= sweep.loss[sweep.best].mean()) and sweep.values[sweep.best] > 0
    chosen = np.asarray(found.chosen)  # rows: the means; columns: none, each, all
    assert np.all(chosen[:, 0] == 0) and np.count_nonzero(chosen[:, 1:5]) == 4
    share = found.sweeps["all"].values[found.sweeps["all"].best]
    np.testing.assert_allclose(chosen[:, 5], share * np.diag(chosen[:, 1:5]), rtol=1e-6)
    assert np.array_equal(found.by_size[0], np.asarray(found.test.accuracy)[[0, -1]])
    assert np.all(found.train.accuracy > 0.9) and np.all(found.test.accuracy > 0.8)


def test_choice(monkeypatch):
    """With a loss known in closed form: least at l1 = 2, l2 = 3, rate 0.5, shift 1, and all of it at a share of 0.5."""
    seen = []

    def train(strengths, data, keys, num_epochs):
        seen.append(np.asarray(strengths))
        return strengths, SimpleNamespace(result=np.zeros(0))

    def score(strengths, data, axis):
        weights, wanted = np.array([1.0, 10.0, 100.0, 1000.0]), np.array([2.0, 3.0, 0.5, 1.0])
        together = np.count_nonzero(strengths, axis=0) == 4
        wanted = np.where(together, 0.5, 1.0)[None] * wanted[:, None]
        loss = np.sum(weights[:, None] * (np.asarray(strengths) - wanted) ** 2 * (np.asarray(strengths) > 0), axis=0)
        return regularisation.Scores(-loss[:, None], loss[:, None] + np.array([[-0.1, 0.1]]), None)

    monkeypatch.setattr(regularisation, "train", train)
    monkeypatch.setattr(regularisation, "score", score)
    no_images: Any = images.Split(None, None)  # pyright: ignore
    candidates = regularisation.Strengths((0.0, 1.0, 2.0), (0.0, 3.0), (0.2, 0.5, 0.8), (0.0, 0.5, 1.0, 1.5))
    sweeps, chosen = regularisation.choose(candidates, (0.25, 0.5, 1.0), no_images, np.arange(2), 1)
    for k, values in enumerate(candidates):
        np.testing.assert_allclose(seen[k], np.eye(4)[:, k : k + 1] * np.array([values]))
    assert [sweep.best for sweep in sweeps.values()] == [2, 1, 1, 2, 1]
    best = np.array([2.0, 3.0, 0.5, 1.0])
    np.testing.assert_allclose(np.transpose(chosen), np.stack([0 * best, *np.diag(best), best / 2]))


def test_each_strength_goes_where_it_belongs():
    """One program for all strengths gives what `jn.fit` gives with none of them and with each as a number."""
    data = regularisation.draw_splits(images.digits(), 50, range(2))
    keys, table = regularisation.keys_of(range(2)), np.array([[0, 0, 0, 0], [1e-3, 5e-3, 0.3, 0.5]])
    params, _ = regularisation.train(regularisation.Strengths(*jnp.asarray(table.T, jnp.float32)), data, keys, 2)
    for k, (l1, l2, rate, shift) in enumerate(table.tolist()):
        loss_fn = jn.losses.classification(
            lambda p, x, key: jn.mlp_apply(p, x.reshape(-1), dropout_rate=rate, key=key)  # noqa: B023
        )
        augment = images.augmentation(shift=shift, turn=10 * shift, zoom=0.0) if shift else None
        init_key, fit_key = jax.random.split(keys[1])
        start = jn.mlp_init(init_key, (64, 128, 10), dtype=jnp.float32)
        settings = dict(key=fit_key, optimizer=optax.adam(3e-3), num_epochs=2, batch_size=50, l1=l1, l2=l2)
        alone, _ = jn.fit(loss_fn, start, jax.tree.map(lambda x: x[1], data.train), augment=augment, **settings)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[k, 1], b, rtol=1e-4, atol=1e-5), params, alone)  # noqa: B023


def test_splits_share_no_image():
    pool, test = images.split(images.digits(), seed=0, test=797)
    data = regularisation.draw_splits(pool, 200, range(3))
    assert data.train.x.shape == (3, 200, 8, 8, 1) and data.test.x.shape == (3, 800, 8, 8, 1)
    as_set = lambda x: {image.tobytes() for image in x}
    everything = as_set(images.digits().x)
    assert len(everything) == 1797
    for seed in range(3):
        parts = [as_set(x) for x in (data.train.x[seed], data.test.x[seed], test.x)]
        assert sum(map(len, parts)) == 1797 and set.union(*parts) == everything
        assert set(np.bincount(data.train.y[seed])) <= {19, 20, 21}
    assert as_set(data.train.x[0]) != as_set(data.train.x[1])


def test_score_against_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40, 8, 8, 1)).astype(np.float32), rng.integers(10, size=(2, 40)).astype(np.int32)
    shapes = ((128, 64), (128,), (10, 128), (10,))
    w1, b1, w2, b2 = (rng.normal(size=(3, 2, *shape)).astype(np.float32) / 8 for shape in shapes)
    params = MLPParams((Layer(jnp.asarray(w1), jnp.asarray(b1)), Layer(jnp.asarray(w2), jnp.asarray(b2))))
    own = regularisation.score(params, images.Images(jnp.asarray(x), jnp.asarray(y)), 0)
    same = regularisation.score(params, images.Images(jnp.asarray(x[1]), jnp.asarray(y[1])), None)
    for k in range(3):
        for seed in range(2):
            hidden = np.maximum(x[seed].reshape(40, 64) @ w1[k, seed].T + b1[k, seed], 0)
            log_p = log_softmax(hidden @ w2[k, seed].T + b2[k, seed], axis=1)
            right, confidence = log_p.argmax(axis=1) == y[seed], np.exp(log_p.max(axis=1))
            bins = np.ceil(10 * confidence)
            gaps = [abs(np.sum(right[bins == b]) - np.sum(confidence[bins == b])) for b in range(1, 11)]
            wanted = right.mean(), -log_p[np.arange(40), y[seed]].mean(), np.sum(gaps) / 40
            np.testing.assert_allclose([s[k, seed] for s in own], wanted, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(own)[:, :, 1], np.asarray(same)[:, :, 1], rtol=1e-5)


def test_knobs_that_make_no_sense(tmp_path):
    wrong = {
        "activations must be some of": (backprop_by_hand, dict(activations=("sine",))),
        "losses must be some of": (backprop_by_hand, dict(losses=())),
        "depths must be numbers >= 1": (backprop_by_hand, dict(depths=(0, 1))),
        "steps and seeds must be": (backprop_by_hand, dict(descent_steps=0)),
        "l2 must be numbers >= 0": (generalisation, dict(l2=(0.0, -1e-3))),
        "shift must be numbers >= 0, at least one above 0": (generalisation, dict(shift=(0.0,))),
        "dropout_rate must be below 1": (generalisation, dict(dropout_rate=(0.5, 1.0))),
        "num_seeds must be >= 2": (generalisation, dict(num_seeds=1)),
        "share must be at most 1": (generalisation, dict(share=(1.5,))),
        "num_epochs and choice_seeds must be >= 1": (generalisation, dict(num_epochs=0)),
        "1000 images cannot be split into 995": (generalisation, dict(other_sizes=(100, 995))),
    }
    for message, (script, knobs) in wrong.items():
        with pytest.raises(BadInput, match=message):
            script.main(**knobs, out=str(tmp_path))
