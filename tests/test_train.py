"""Training: against gradient descent by hand, closed forms of penalties, and itself under transformations."""

import csv
import functools
import gc
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_close, read_events
from jax.core import Tracer

import jaxneuro as jn
from jaxneuro.train.recipe import Same

KEY = jax.random.key(5)
X = np.asarray(jax.random.normal(jax.random.key(0), (40, 3)))
Y = X @ np.array([1.0, -2.0, 0.5]) + 0.1 * np.asarray(jax.random.normal(jax.random.key(1), (40,)))
ZERO = {"w": jnp.zeros(3)}


def squares(params, batch, key):
    x, y = batch
    return jnp.mean((x @ params["w"] - y) ** 2) / 2


def train(loss_fn=squares, params=ZERO, data=(X, Y), **options):
    settings: dict[str, Any] = dict(key=KEY, optimizer=optax.sgd(0.1), num_epochs=5, batch_size=10) | options
    return jn.fit(loss_fn, params, data, **settings)


def test_full_batches_are_gradient_descent():
    w, losses = np.zeros(3), []
    for _ in range(20):
        losses.append(np.mean((X @ w - Y) ** 2) / 2)
        w = w - 0.1 * X.T @ (X @ w - Y) / 40
    params, history = train(num_epochs=20, batch_size=None, validation=(X, Y))
    np.testing.assert_allclose(params["w"], w, rtol=1e-12)
    np.testing.assert_allclose(history.train["loss"], losses, rtol=1e-12)
    np.testing.assert_allclose(history.validation["loss"][:-1], losses[1:], rtol=1e-12)
    assert history.num_epochs == 20 and history.result == jn.RESULTS.successful
    assert (int(history.best_epoch), int(history.failed_step)) == (-1, -1)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10])
def test_every_example_once_an_epoch_in_an_order_of_its_own(batch_size):
    # The gradient of -p sum(batch) adds the batch to p; powers of ten count the visits of each example.
    data = 10.0 ** np.arange(10)
    total = lambda p, batch, key: -p["sum"] * jnp.sum(batch) - p["order"] * jax.lax.stop_gradient(p["sum"] % 1e10)
    params, _ = train(
        total, {"sum": 0.0, "order": 0.0}, data, optimizer=optax.sgd(1.0), batch_size=batch_size, num_epochs=3
    )
    assert params["sum"] == 3 * 1111111111
    orders = [train(total, {"sum": 0.0, "order": 0.0}, data, optimizer=optax.sgd(1.0), batch_size=batch_size, key=k,
                    num_epochs=1)[0]["order"] for k in jax.random.split(KEY, 3)]  # fmt: skip
    assert len(set(map(float, orders))) == (3 if batch_size < 10 else 1)


def test_means_weigh_a_smaller_last_batch_by_its_size():
    mean = lambda p, batch, key: (p * 0.0 + jnp.mean(batch), {"twice": 2 * jnp.mean(batch)})
    data, other = np.arange(7.0), np.arange(11.0)
    _, history = train(mean, 1.0, data, batch_size=3, validation=other)
    for found, x in ((history.train, data), (history.validation, other)):
        np.testing.assert_allclose(found["loss"], np.full(5, x.mean()), rtol=1e-14)
        np.testing.assert_allclose(found["twice"], np.full(5, 2 * x.mean()), rtol=1e-14)


def test_keys_are_the_randomness():
    noisy = lambda p, batch, key: squares(p, batch, key) + (0 if key is None else jax.random.normal(key))
    runs = [train(noisy, validation=(X, Y), key=k) for k in (KEY, KEY, jax.random.key(6), jax.random.PRNGKey(5))]
    losses = [np.asarray(history.train["loss"]) for _, history in runs]
    assert np.array_equal(losses[0], losses[1]) and not np.allclose(losses[0], losses[2])
    assert np.array_equal(losses[0], losses[3])  # the old kind of key with the same seed
    assert len(np.unique(losses[0])) == 5  # another key each step
    np.testing.assert_allclose(runs[0][1].validation["loss"], runs[2][1].validation["loss"], rtol=0.1)


def test_vmap_over_keys_is_a_loop_over_keys():
    keys = jax.random.split(KEY, 4)
    options = dict(batch_size=7, l2=0.01, validation=(X, Y), patience=2, num_epochs=8, optimizer=optax.adam(0.3))
    together = jax.vmap(lambda k: train(key=k, **options))(keys)
    jitted = jax.jit(jax.vmap(lambda k: train(key=k, **options)))(keys)
    for k in range(4):
        alone = train(key=keys[k], **options)
        for one in (jax.tree.map(lambda x, k=k: x[k], together), jax.tree.map(lambda x, k=k: x[k], jitted)):
            assert_close(one[0], alone[0], rtol=1e-11)
            assert_close(one[1].validation, alone[1].validation, rtol=1e-10)
            assert (one[1].num_epochs, one[1].best_epoch) == (alone[1].num_epochs, alone[1].best_epoch)


def test_vmap_over_hyperparameters():
    rates, weights = jnp.array([0.05, 0.1]), jnp.array([0.0, 0.3])
    many = jax.vmap(lambda r, weight: train(optimizer=optax.sgd(r), l2=weight)[0]["w"])(rates, weights)
    for k in range(2):
        one = train(optimizer=optax.sgd(float(rates[k])), l2=float(weights[k]))[0]["w"]
        np.testing.assert_allclose(many[k], one, rtol=1e-12)


def test_nothing_is_traced_again():
    count = 0

    def counting(params, batch, key):
        nonlocal count
        count += 1
        return squares(params, batch, key)

    def run(**options):  # a new optimizer each time
        train(
            counting, optimizer=optax.chain(optax.clip(1.0), optax.adam(optax.cosine_decay_schedule(0.1, 9))), **options
        )
        return count

    assert run() == 1
    assert run() == 1 and run(num_epochs=150) == 1 and run(key=jax.random.key(9)) == 1
    assert run(data=(X + 1, Y)) == 1 and run(data=(jnp.asarray(X), jnp.asarray(Y))) == 1
    train(counting, optimizer=optax.adam(1e-2))  # another optimizer is another program
    assert count == 2
    ensemble = lambda: jax.vmap(lambda k: train(counting, key=k, optimizer=optax.adam(1e-3))[0])(
        jax.random.split(KEY, 3)
    )
    for _ in range(2):
        ensemble()
    assert count == 3


def test_a_new_loss_is_a_new_loss():
    """Equal code that reads another value, from a closure, a global or an object, must not find the old program."""
    data, settings = np.ones(4), dict(optimizer=optax.sgd(0.5), num_epochs=50, batch_size=4)
    ends: list[list[float]] = []
    where: dict[str, Any] = {"jnp": jnp}
    box = SimpleNamespace()
    for target in (1.0, 2.0):
        where["target"] = box.target = target
        losses = [
            lambda p, batch, key: jnp.mean((p - target * batch) ** 2),  # noqa: B023
            lambda p, batch, key: jnp.mean((p - box.target * batch) ** 2),
            eval("lambda p, batch, key: jnp.mean((p - target * batch) ** 2)", where),
        ]
        ends.append([float(train(loss, jnp.zeros(()), data, **settings)[0]) for loss in losses])
    np.testing.assert_allclose(ends, [[1.0] * 3, [2.0] * 3], rtol=1e-6)


def test_a_wrapped_loss_is_still_the_users():
    def make(factor):
        @functools.wraps(jn.losses.l1_penalty)  # copies the name of the library's module
        def loss(p, batch, key):
            return where["factor"] * p * jnp.mean(batch)

        where["factor"] = factor
        return loss

    where = {}
    ends = [float(train(make(f), 0.0, np.ones(4), num_epochs=1, batch_size=4)[0]) for f in (1.0, 2.0)]
    np.testing.assert_allclose(ends, [-0.1, -0.2], rtol=1e-12)


def test_programs_are_let_go():
    from jaxneuro.train.host import _programs

    class Box:
        value = 1.0

    box = Box()
    gone = weakref.ref(box)
    train(lambda p, batch, key: box.value * jnp.sum(p["w"] ** 2), num_epochs=1)
    del box
    _programs.cache_clear()
    gc.collect()
    assert gone() is None


def test_what_libraries_make_is_compared_by_what_it_holds():
    apply, other = lambda params, x, key: x, lambda params, x, key: x
    here = Path()
    # (losses.classification too, but in the tests its functions wear the type checker.)
    equal = [
        lambda: optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 0.1, 10, 100), weight_decay=1e-4),
        lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)),
        lambda: optax.masked(optax.adam(0.1), {"w": True}),
        lambda: optax.lbfgs(),
        lambda: optax.adam(optax.cosine_onecycle_schedule(100, 0.1)),  # holds tables
        lambda: optax.scale_by_learning_rate(jnp.array([0.1, 0.2])),
        lambda: functools.partial(apply, 1.0),
        lambda: here.with_name,  # a method is a new object each time it is asked for
    ]
    for make in equal:
        assert Same(make()) == Same(make()) and hash(Same(make())) == hash(Same(make()))
    different = [make() for make in equal] + [
        apply,
        other,
        jn.losses.classification(other),
        functools.partial(apply, 1),
    ]
    different += [
        optax.masked(optax.adam(0.1), {"w": False}),
        optax.adam(0.1),
        optax.adam(0.2),
        optax.adam(0.1, b1=0.8),
    ]
    different += [optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 0.1, 10, 99), weight_decay=1e-4)]
    different += [Path().with_name]
    assert len({Same(one) for one in different}) == len(different)
    mask = {"w": True}
    before = Same(optax.masked(optax.adam(0.1), mask))
    mask["w"] = False
    assert before != Same(optax.masked(optax.adam(0.1), mask))


def test_tracers_in_closures_are_found():
    def make(a, *, b=None):
        def fn(x):
            return fn, a, b  # refers to itself

        return fn

    found = []
    closures = lambda r: (make(r), make([1, {"a": r}]), make(make(r)), optax.adam(r), functools.partial(make, b=r))
    jax.jit(lambda r: found.extend(Same(fn).traced for fn in closures(r)))(1.0)
    assert found == [True] * 5 and not any(Same(fn).traced for fn in closures(1.0))


def test_penalties_reach_their_closed_forms():
    # Ridge: (X'X/n + 2 l2 I) w = X'y/n. L-BFGS needs the value and a function of it.
    params, _ = train(
        optimizer=optax.lbfgs(), num_epochs=30, batch_size=None, l2=0.1, penalty_mask=lambda p: {"w": True}
    )
    np.testing.assert_allclose(params["w"], np.linalg.solve(X.T @ X / 40 + 0.2 * np.eye(3), X.T @ Y / 40), rtol=1e-7)
    # Lasso with orthonormal columns: soft threshold of X'y, by l1 n / n.
    q = np.linalg.qr(X)[0] * np.sqrt(40)
    params, _ = train(data=(q, Y), l1=0.7, penalty_mask={"w": True}, batch_size=None, num_epochs=3000,
                      optimizer=optax.sgd(optax.exponential_decay(0.1, 100, 0.5)))  # fmt: skip
    z = q.T @ Y / 40
    np.testing.assert_allclose(params["w"], np.sign(z) * np.maximum(np.abs(z) - 0.7, 0), atol=1e-6)
    # A vector is no weight matrix: not penalised unless the mask says so.
    np.testing.assert_array_equal(train(l2=5.0)[0]["w"], train()[0]["w"])


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adamw(optax.cosine_decay_schedule(0.1, 100)),
        optax.sgd(0.05, momentum=0.9, nesterov=True),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1), optax.contrib.reduce_on_plateau(patience=40)),
        optax.chain(optax.add_noise(0.01, 0.5, jax.random.key(0)), optax.sgd(0.1)),
        optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
        optax.MultiSteps(optax.adam(0.1), 2),
        optax.contrib.schedule_free_sgd(0.1, warmup_steps=4),
        optax.contrib.sam(optax.adam(0.1), optax.chain(optax.contrib.normalize(), optax.sgd(0.01)), opaque_mode=True),
    ],
    ids=["adamw", "nesterov", "plateau", "noise", "inject", "multisteps", "schedule-free", "sam"],
)
def test_any_optimizer(optimizer, tmp_path):
    best = np.linalg.lstsq(X, Y)[0]
    options = dict(optimizer=optimizer, checkpoint=tmp_path / "run.ckpt", checkpoint_every=30)
    train(num_epochs=30, **options)
    params, _ = train(num_epochs=60, **options)
    np.testing.assert_allclose(params["w"], best, atol=0.1)
    np.testing.assert_array_equal(params["w"], train(num_epochs=60, optimizer=optimizer)[0]["w"])


def test_augmentation_sees_keys_and_training_batches_only():
    shifted = lambda key, batch: (batch[0], batch[1] + 1 + 0 * jax.random.normal(key, batch[1].shape))
    mean = lambda p, batch, key: jnp.mean(batch[1]) + 0 * jnp.sum(p["w"])
    _, history = train(mean, augment=shifted, validation=(X, Y))
    np.testing.assert_allclose(history.train["loss"], Y.mean() + 1, rtol=1e-12)
    np.testing.assert_allclose(history.validation["loss"], Y.mean(), rtol=1e-12)


def counter(params, batch, key):
    """Each step adds 1 to p; a validation batch holds where p should be (training data are 0)."""
    return -params["p"] + 0 * jnp.sum(batch) if key is not None else jnp.mean((params["p"] - batch) ** 2)


def counting(best, **options):
    settings: dict[str, Any] = dict(num_epochs=20, validation=jnp.full(3, 1.0) * best, patience=3) | options
    return jn.fit(counter, {"p": jnp.asarray(0.0)}, np.zeros(2), key=KEY, optimizer=optax.sgd(1.0), **settings)


def test_early_stopping_returns_the_best():
    # p is 1 after epoch 0: the best is epoch best - 1, three more epochs are waited.
    params, history = counting(6)
    assert params["p"] == 6 and (int(history.best_epoch), int(history.num_epochs)) == (5, 9)
    np.testing.assert_array_equal(history.validation["loss"][:9], (np.arange(1, 10.0) - 6) ** 2)
    assert np.isnan(history.validation["loss"][9:]).all() and history.validation["loss"].shape == (20,)
    assert history.result == jn.RESULTS.successful
    many, histories = jax.vmap(lambda best: counting(best))(jnp.array([1.0, 6.0, 19.0, 40.0]))
    np.testing.assert_array_equal(many["p"], [1, 6, 19, 20])
    np.testing.assert_array_equal(histories.num_epochs, [4, 9, 20, 20])
    np.testing.assert_array_equal(histories.best_epoch, [0, 5, 18, 19])
    np.testing.assert_array_equal(np.isnan(histories.train["loss"]).sum(1), [16, 11, 0, 0])
    assert counting(6, patience=None)[0]["p"] == 20


def turns_bad(params, batch, key):
    """Each step adds 1 to p; the loss is NaN from p = 7 on."""
    return -params["p"] + 0 * jnp.sqrt(params["limit"] - jax.lax.stop_gradient(params["p"])) + 0 * jnp.sum(batch)


BAD = dict(data=np.zeros(4), batch_size=1, optimizer=optax.sgd(1.0), num_epochs=4)


def test_a_loss_that_turns_nan():
    start = {"p": jnp.asarray(0.0), "limit": jnp.asarray(6.5)}
    # p = 7 at step 7: its loss is NaN, and the parameters before step 7 are those with p = 7.
    with pytest.warns(
        RuntimeWarning, match=r"stopped at step 7 \(step 3 of epoch 1.*NaN or infinite. The parameters before it"
    ):
        params, history = train(turns_bad, start, **BAD)
    assert params["p"] == 7 and int(history.failed_step) == 7 and int(history.num_epochs) == 2
    assert history.result == jn.RESULTS.nonfinite_loss and "Training stopped" in jn.RESULTS[history.result]
    assert np.isfinite(history.train["loss"][0]) and np.isnan(history.train["loss"][1:]).all()
    # As a value of its lane, and the other lanes bitwise the same.
    run = jax.vmap(lambda limit: train(turns_bad, start | {"limit": limit}, **BAD))
    params, history = run(jnp.array([6.5, 99.0, -1.0]))
    np.testing.assert_array_equal(params["p"], [7, 16, 0])
    np.testing.assert_array_equal(history.failed_step, [7, -1, 0])
    assert (history.result == jn.RESULTS.nonfinite_loss).tolist() == [True, False, True]
    good, _ = run(jnp.array([99.0, 99.0, 99.0]))
    assert good["p"][1] == params["p"][1] == 16


def test_a_gradient_that_turns_infinite():
    # The loss is finite, its derivative at 0 is not: the parameters would be.
    root = lambda p, batch, key: jnp.sqrt(p["p"]) + 0 * jnp.sum(batch)
    with pytest.warns(RuntimeWarning, match=r"step 0 \(step 0 of epoch 0"):
        params, history = train(root, {"p": 0.0}, np.zeros(4), num_epochs=1, batch_size=4)
    assert params["p"] == 0 and history.result == jn.RESULTS.nonfinite_loss


def test_a_failure_whose_loss_raises_or_needs_a_key_still_returns():
    def loss(p, batch, key):
        if not isinstance(p["p"], Tracer):
            raise RuntimeError("no such batch")
        return turns_bad(p, batch, key) + 0 * jax.random.normal(key)

    start = {"p": jnp.asarray(0.0), "limit": jnp.asarray(6.5)}
    with pytest.warns(RuntimeWarning, match="stopped at step 7 .*Of that batch the loss says: no such batch"):
        params, _ = train(loss, start, **BAD)
    assert params["p"] == 7


def test_a_negative_weight_or_a_validation_that_is_never_a_number_fails():
    params, history = jax.vmap(lambda l2: train(l2=l2, penalty_mask={"w": True}))(jnp.array([0.1, -0.1]))
    assert (history.result == jn.RESULTS.successful).tolist() == [True, False]
    assert np.isfinite(params["w"]).all()
    lost = lambda p, batch, key: squares(p, batch, key) * (1.0 if key is not None else jnp.nan)
    params, history = train(lost, validation=(X, Y), patience=2)
    assert history.result == jn.RESULTS.nonfinite_loss and history.num_epochs == 2
    np.testing.assert_array_equal(params["w"], train(num_epochs=2)[0]["w"])


def test_the_best_parameters_survive_a_failure():
    fails = lambda p, batch, key: counter(p, batch, key) + 0 * jnp.sqrt(6.5 - jax.lax.stop_gradient(p["p"]))
    with pytest.warns(RuntimeWarning, match="The best parameters before it are returned"):
        params, history = jn.fit(fails, {"p": 0.0}, np.zeros(2), key=KEY, optimizer=optax.sgd(1.0), num_epochs=20,
                                 validation=np.full(2, 5.0), patience=9)  # fmt: skip
    assert params["p"] == 5 and int(history.best_epoch) == 4 and int(history.failed_step) == 7


def test_derivatives_through_training():
    # SGD on p^2/2 (a step multiplies by 1 - r): p_n = p_0 (1 - r)^n.
    loss = lambda p, batch, key: p**2 / 2 + 0 * jnp.sum(batch)
    end = lambda r: jn.fit(loss, jnp.asarray(3.0), np.zeros(1), key=KEY, optimizer=optax.sgd(r), num_epochs=10)[0]
    value, slope = jax.value_and_grad(end)(0.1)
    np.testing.assert_allclose([value, slope], [3 * 0.9**10, -30 * 0.9**9], rtol=1e-12)
    penalised = lambda weight: train(l2=weight, penalty_mask={"w": True}, num_epochs=2)[0]["w"][1]
    h = 1e-5
    difference = (penalised(0.1 + h) - penalised(0.1 - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(penalised)(0.1), difference, rtol=1e-8)


def test_any_pytree():
    # An equinox module: a function, a static size and integers are leaves or attributes that are not trained.
    net = eqx.nn.MLP(3, "scalar", 8, 2, activation=jnp.tanh, key=KEY)
    loss = lambda net, batch, key: jnp.mean((jax.vmap(net)(batch[0]) - batch[1]) ** 2)
    trained, history = train(loss, net, optimizer=optax.adam(1e-2), num_epochs=100)
    assert history.train["loss"][-1] < 0.1 * history.train["loss"][0] and trained.activation is net.activation
    params = {"w": jnp.zeros(3), "shift": np.array([1, 2, 3]), "scale": 1.0, "name": None}
    scaled = lambda p, batch, key: squares({"w": p["w"] * p["scale"]}, batch, key) + 0 * p["shift"].sum()
    trained, _ = train(scaled, params, num_epochs=2)
    assert trained["shift"].tolist() == [1, 2, 3] and trained["scale"] != 1.0 and trained["name"] is None


def test_settings_of_a_module_are_no_parameters():
    layers = [eqx.nn.Linear(3, 4, key=KEY), eqx.nn.Dropout(0.5), eqx.nn.Linear(4, "scalar", key=KEY)]
    net = eqx.nn.Sequential(layers)

    def loss(net, batch, key):
        keys = None if key is None else jax.random.split(key, batch[0].shape[0])
        net = eqx.nn.inference_mode(net, key is None)
        return jnp.mean(
            (jax.vmap(lambda x, k: net(x, key=k), (0, None if key is None else 0))(batch[0], keys) - batch[1]) ** 2
        )

    trained, history = train(loss, net, validation=(X, Y), num_epochs=30)
    assert trained[1].p == 0.5 and history.validation["loss"][-1] < history.validation["loss"][0]
    mask = jax.tree.map(lambda x: eqx.is_array(x) and x.ndim > 1, net)  # callable, being a module
    small, _ = train(loss, net, l2=1.0, penalty_mask=mask, num_epochs=30)
    assert jnp.linalg.norm(small[0].weight) < jnp.linalg.norm(trained[0].weight)


def test_python_floats_are_strong():
    count = 0

    def line(p, batch, key):
        nonlocal count
        count += 1
        return jnp.mean((p["a"] * batch[0][:, 0] + p["b"] - batch[1]) ** 2)

    data = X.astype(np.float32), Y.astype(np.float32)
    eager, _ = train(line, {"a": 0.0, "b": 0.0}, data)
    assert count == 1
    lane = jax.vmap(lambda k: train(line, {"a": 0.0, "b": 0.0}, data, key=k)[0])(KEY[None])
    assert_close(jax.tree.map(lambda x: x[0], lane), eager, rtol=1e-13)


def test_complex_parameters_descend():
    distance = lambda p, batch, key: jnp.abs(p * batch[0] - (1 + 2j)) ** 2
    end, _ = train(distance, jnp.asarray(0j), np.ones(4), num_epochs=60, batch_size=4)
    np.testing.assert_allclose(end, 1 + 2j, rtol=1e-5)


def test_known_arrays_inside_a_transformation():
    start, data = jnp.zeros(()), jnp.ones((4, 1))
    mean = lambda p, batch, key: p * jnp.mean(batch)
    run = lambda: train(mean, start, data, num_epochs=3, batch_size=2)[0]
    np.testing.assert_allclose(jax.jit(lambda z: z + run())(1.0), 1.0 + run(), rtol=1e-12)
    with pytest.raises(TypeError, match="hold a traced value inside a jitted function or an object"):
        jax.vmap(lambda w: train(jax.jit(lambda p, b, k: w * mean(p, b, k)), start, data, batch_size=2)[0])(
            jnp.arange(3.0)
        )


def test_early_stopping_in_half_precision():
    # The validation loss is float32 and falls by less than bfloat16 resolves.
    def loss(p, batch, key):
        rises = -p + 0 * jnp.sum(batch).astype(p.dtype)
        return rises if key is not None else 1 + 5e-4 * jnp.abs(p.astype(jnp.float32) - 30)

    _, history = jn.fit(loss, jnp.zeros((), jnp.bfloat16), np.zeros(2, np.float32), validation=np.zeros(2, np.float32),
                        key=KEY, optimizer=optax.sgd(1.0), num_epochs=60, patience=4)  # fmt: skip
    assert (int(history.best_epoch), int(history.num_epochs)) == (29, 34)


def test_a_run_that_never_starts_leaves_an_older_file(tmp_path):
    train(csv_file=tmp_path / "run.csv")
    before = (tmp_path / "run.csv").read_bytes()
    with pytest.raises(ValueError, match="monitor='acc'"):
        train(csv_file=tmp_path / "run.csv", validation=(X, Y), patience=2, monitor="acc")
    assert (tmp_path / "run.csv").read_bytes() == before


def test_float32_stays_float32_under_x64():
    params = jn.mlp_init(KEY, (3, 4, 2), dtype=jnp.float32)
    loss = jn.losses.classification(lambda p, x, key: jn.mlp_apply(p, x))
    data = X.astype(np.float32), (Y > 0).astype(np.int32)
    for fit in (train, jax.jit(lambda *a, **k: train(*a, optimizer=optax.adam(1e-2), **k), static_argnums=0)):
        trained, history = fit(loss, params, data, l2=0.1)
        assert {x.dtype for x in jax.tree.leaves(trained)} == {jnp.dtype("float32")}
        assert history.train["loss"].dtype == jnp.float32


def test_it_trains_a_neuron():
    """`fit` knows nothing of layers: a membrane time constant from spike times, through exact derivatives."""
    currents = jnp.linspace(2.5, 4.0, 6)
    spikes = lambda tau_m, i: jn.simulate(
        jn.LIF, jn.LIF.default_params(tau_m=tau_m), i, 60.0, stop_after=2
    ).spike_times[:2]
    target = jax.vmap(lambda i: spikes(12.0, i))(currents)
    loss = lambda p, batch, key: jnp.mean((jax.vmap(lambda i: spikes(p["tau_m"], i))(batch[0]) - batch[1]) ** 2)
    params, history = train(
        loss, {"tau_m": 8.0}, (currents, target), optimizer=optax.adam(0.3), batch_size=3, num_epochs=60
    )
    assert history.result == jn.RESULTS.successful
    np.testing.assert_allclose(params["tau_m"], 12.0, rtol=1e-2)


def test_logs(tmp_path, capsys):
    files: dict[str, Any] = dict(csv_file=tmp_path / "logs" / "run.csv", tensorboard=tmp_path / "events", progress=True)
    _, history = train(validation=(X, Y), **files)
    with open(files["csv_file"]) as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4"]
    for kind in ("train", "validation"):
        found = [float(row[f"{kind}_loss"]) for row in rows]
        np.testing.assert_array_equal(found, getattr(history, kind)["loss"])
        events = [value for step, tag, value in read_events(files["tensorboard"]) if tag == f"{kind}/loss"]
        np.testing.assert_allclose(events, found, rtol=1e-6)
    shown = capsys.readouterr().err
    assert "5/5" in shown and "train/loss" in shown


@pytest.mark.parametrize(
    "option, package",
    [({"progress": True}, "tqdm"), ({"tensorboard": "events"}, "tensorboardX")],
    ids=["tqdm", "tensorboardX"],
)
def test_missing_packages_are_named(option, package, monkeypatch):
    for name in (package, f"{package}.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"needs {package}: `pip install 'jaxneuro\["):
        train(**option)


BROKEN = X.copy()
BROKEN[4, 1] = np.nan


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(batch_size=41), "batch_size is 41, but there are only 40 examples"),
        (dict(batch_size=0), "batch_size must be >= 1; it is 0"),
        (dict(num_epochs=0), "num_epochs must be >= 1; it is 0"),
        (dict(data=(BROKEN, Y)), r"data\[0\] must be finite: 1 of 120 values .* the first, nan, at index \[4, 1\]"),
        (dict(data=(X, np.append(Y[1:], np.inf))), r"data\[1\] must be finite: 1 of 40 .* at index \[39\]"),
        (dict(validation=(BROKEN, Y)), r"validation\[0\] must be finite"),
        (dict(data=(X, Y[:-1])), r"as many examples each; they have data\[0\]: 40, data\[1\]: 39"),
        (dict(data=(X, 1.0)), r"data\[1\] has the shape \(\); it needs a leading axis"),
        (dict(data=(X[:0], Y[:0])), r"data\[0\] has the shape \(0, 3\); it needs a leading axis of one or more"),
        (dict(data=()), "data holds no arrays"),
        (dict(validation=X), "validation must have the structure of data"),
        (dict(validation=(X[:, :2], Y)), r"validation\[0\] must be like one of data, float64\[3\]; it is float64\[2\]"),
        (dict(patience=2), "patience needs validation data"),
        (dict(patience=2, validation=(X, Y), monitor="acc"), "monitor='acc' is not among the metrics: loss"),
        (dict(l2=-1.0), "l2 must be finite and >= 0; it is -1.0"),
        (dict(l1=np.ones(3)), "l1 must be one number >= 0"),
        (dict(params={"w": jnp.array([1.0, jnp.nan, 0.0])}), r"params\['w'\] must be finite"),
        (dict(params={"w": np.arange(3)}), "params holds no array of floats"),
        (dict(loss_fn=lambda p, b, k: b[0] @ p["w"]), r"must return a scalar.*its 'loss' has shape \(10,\)"),
        (dict(loss_fn=lambda p, b, k: (jnp.sum(p["w"]), {"good": 1.0})), "A metric cannot be called good"),
        (dict(l2=0.1, penalty_mask={"v": True}), "penalty_mask must have the structure of params"),
        (dict(checkpoint_every=0), "checkpoint_every must be >= 1"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        train(**options)


def test_labels_out_of_range_are_named():
    loss = jn.losses.classification(lambda p, x, key: jn.mlp_apply(p, x))
    labels = np.zeros(40, int)
    labels[11] = 2
    with pytest.raises(ValueError, match=r"0 .. 1 \(2 classes\): the label at index \d is 2; 1 of 10 are out of range"):
        train(loss, jn.mlp_init(KEY, (3, 2)), (X, labels))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(key=0), r"key must be one JAX random key, e.g. jax.random.key\(0\); it is 0"),
        (dict(key=jax.random.split(KEY)), "key must be one JAX random key"),
        (dict(optimizer="adam"), r"optimizer must come from optax, e.g. optax.adam\(1e-3\); it is 'adam'"),
        (dict(l2=0.1, penalty_mask={"w": "yes"}), "penalty_mask must hold booleans"),
        (dict(data=(X, np.array(["a"] * 40))), r"data\[1\] is a ndarray; data must be a pytree of arrays"),
        (dict(data=(X, "abc")), r"data\[1\] is a str; data must be a pytree of arrays"),
    ],
)
def test_wrong_types(options, message):
    with pytest.raises(TypeError, match=message):
        train(**options)


@pytest.mark.parametrize(
    "option", [{"progress": True}, {"csv_file": "x.csv"}, {"checkpoint": "x"}, {"tensorboard": "x"}]
)
def test_the_host_is_out_of_reach_under_a_transformation(option):
    with pytest.raises(ValueError, match="belong to the host and need an eager call"):
        jax.vmap(lambda k: train(key=k, **option))(jax.random.split(KEY, 2))
