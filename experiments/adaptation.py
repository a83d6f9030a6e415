"""Learning new classes with what was learned of old ones: the two tasks, pretraining, adapting all or a part of a network.

The old classes are the digits 0 to 4 of scikit-learn, the new ones 5 to 9. A network is a head, the last layer, and what
lies below it. Functions that train do so for all seeds in one `vmap`: their arrays have a leading axis of seeds.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxneuro as jn
from experiments.common import BadInput
from experiments.images import Images, Split, digits, split

NUM_CLASSES = 5  # of the old and of the new
BATCH_SIZE = 80  # of the pretraining: 9 whole batches
LOSS = jn.losses.classification(lambda params, x, key: jn.mlp_apply(params, x.ravel()))


class Adapted(NamedTuple):
    """Networks after training on few labels, (seeds, ...)."""

    accuracy: Any  # on test images of the new classes
    train_loss: Any  # at the last step
    movement: Any  # |change| / |start| of the parameters below the head
    features: Any  # (units, 8, 8), the weights of the first layer
    result: Any  # a jn.RESULTS


def tasks(seeds: int) -> tuple[list[Split], list[Split]]:
    """Return splits of the digits 0 to 4, and of 5 to 9 with the labels 0 to 4; one of each per seed."""
    images = digits()
    low = images.y < NUM_CLASSES
    old, new = Images(images.x[low], images.y[low]), Images(images.x[~low], images.y[~low] - NUM_CLASSES)
    return [split(old, seed) for seed in range(seeds)], [split(new, seed, test=0.4) for seed in range(seeds)]


def few(images: Images, count: int) -> Images:
    """Return the first `count` images of each class."""
    most = np.bincount(images.y).min()
    if count > most:
        raise BadInput(f"labels must be at most {most}, the training images of a class; one is {count}.")
    index = np.concatenate([np.flatnonzero(images.y == c)[:count] for c in range(NUM_CLASSES)])
    return Images(images.x[index], images.y[index])


def with_head_of(fresh: Any, trained: Any) -> Any:
    """Return trained networks with the last layer of fresh ones: the head of the old classes goes."""
    return trained._replace(layers=(*trained.layers[:-1], fresh.layers[-1]))


def stack(splits: list[Split]) -> Split:
    return jax.tree.map(lambda *x: np.stack(x), *splits)


@partial(jax.jit, static_argnames="num_epochs")
def pretrain(params: Any, task: Split, keys: Any, learning_rate: Any, *, num_epochs: int) -> tuple[Any, Any, Any]:
    """Return the networks of all seeds after training on the old classes, their accuracy there, and how it ended."""
    settings: dict[str, Any] = dict(optimizer=optax.adam(learning_rate), num_epochs=num_epochs, batch_size=BATCH_SIZE)

    def one(params: Any, task: Split, key: Any) -> tuple[Any, Any, Any]:
        params, history = jn.fit(LOSS, params, task.train, key=key, **settings)
        return params, LOSS(params, task.test, None)[1]["accuracy"], history.result

    return jax.vmap(one)(params, task, keys)


@partial(jax.jit, static_argnames=("frozen", "num_steps"))
def adapt(params: Any, task: Split, learning_rate: Any, *, trunk_rate: Any, frozen: bool, num_steps: int) -> Adapted:
    """Return the networks of all seeds after training on the few labels of the new classes."""
    optimizer = head_and_trunk(learning_rate, trunk_rate, frozen)
    # One batch, no dropout: the key draws nothing.
    settings: dict[str, Any] = dict(optimizer=optimizer, num_epochs=num_steps, key=jax.random.key(0))

    def one(params: Any, task: Split) -> Adapted:
        new, history = jn.fit(LOSS, params, task.train, **settings)
        before, after = params.layers[:-1], new.layers[:-1]
        movement = optax.tree.norm(jax.tree.map(jnp.subtract, after, before)) / optax.tree.norm(before)
        features = new.layers[0].weight.reshape(-1, *task.test.x.shape[1:3])
        accuracy = LOSS(new, task.test, None)[1]["accuracy"]
        return Adapted(accuracy, history.train["loss"][-1], movement, features, history.result)

    return jax.vmap(one)(params, task)


def head_and_trunk(learning_rate: Any, trunk_rate: Any, frozen: bool) -> optax.GradientTransformation:
    """Return Adam for the last layer, and for those below it nothing or Adam at `trunk_rate` times its rate."""
    trunk = optax.set_to_zero() if frozen else optax.adam(trunk_rate * learning_rate)
    parts = lambda params: params._replace(layers=("trunk",) * (len(params.layers) - 1) + ("head",))
    return optax.multi_transform({"trunk": trunk, "head": optax.adam(learning_rate)}, parts)


@jax.jit
@jax.vmap
def dimensions(params: Any, images: Any) -> Any:
    """Return the participation ratio of the last hidden layer's response to the images of each seed."""
    below = params._replace(layers=params.layers[:-1])
    covariance = jnp.cov(jax.vmap(lambda x: jax.nn.relu(jn.mlp_apply(below, x.ravel())))(images), rowvar=False)
    return jnp.trace(covariance) ** 2 / jnp.sum(covariance**2)
