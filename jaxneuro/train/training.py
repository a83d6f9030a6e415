"""`fit`: the training loop, shared by networks and neurons."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.losses import LossFn, resolved_mask
from jaxneuro.results import RESULTS, code, from_code
from jaxneuro.train.checks import (
    checked_data,
    checked_function,
    checked_number,
    checked_optimizer,
    checked_params,
    checked_penalty,
)
from jaxneuro.train.epoch import Row, TrainState, scan_epochs, start
from jaxneuro.train.host import Host, train_on_host
from jaxneuro.train.recipe import Given, Recipe, Same, Static, traced
from jaxneuro.train.step import whole
from jaxneuro.types import Array, Float, Integer, IntScalar, KeyLike, ScalarLike, checked_key


class History(NamedTuple):
    """How training went. Rows of epochs that were not run hold NaN."""

    train: dict[str, Float[Array, " epochs"]]  # "loss" and metrics: means over an epoch while the parameters move
    validation: dict[str, Float[Array, " epochs"]]  # the same at the end of each epoch; empty without validation
    num_epochs: IntScalar  # epochs run
    best_epoch: IntScalar  # the epoch, from 0, whose parameters are returned by early stopping; -1 without
    failed_step: IntScalar  # the step, counted from 0 over all epochs, that was not finite; -1: none
    result: Any  # a jn.RESULTS
    opt_state: Any  # of the optimizer, at the end


def fit(
    loss_fn: LossFn,
    params: Any,
    data: Any,
    *,
    key: KeyLike,
    optimizer: Any,
    num_epochs: Integer,
    batch_size: Integer | None = None,
    validation: Any = None,
    l1: ScalarLike = 0.0,
    l2: ScalarLike = 0.0,
    penalty_mask: Any = None,
    augment: Callable[[KeyLike, Any], Any] | None = None,
    patience: Integer | None = None,
    monitor: str = "loss",
    progress: bool = False,
    csv_file: Any = None,
    tensorboard: Any = None,
    checkpoint: Any = None,
    checkpoint_every: Integer = 1,
) -> tuple[Any, History]:
    """Minimise `loss_fn` over `params` by stochastic gradient descent.

    Every step takes the next batch of a random order of the examples (each once an epoch; the last batch of an epoch is
    smaller where batch_size does not divide their number), and does

        value  = loss_fn(params, augment(key, batch), key) + l1 sum |w| + l2 sum w^2
        params = params + optimizer.update(d value / d params)

    Called eagerly, the epochs run in a loop on the host, a few per call of one compiled program. Under `jax.vmap` or
    `jax.jit` all epochs are one scan, so that `vmap` over keys, parameters, learning rates or penalties trains an ensemble
    in one call. A second call of equal shapes compiles nothing, also with a new `optax.adam(...)` of the same numbers. A new
    function of your own compiles, as it would under `jit`: define `loss_fn` once, not in a loop. Where a closure holds a traced
    value, such as a learning rate under `vmap`, put `jax.jit` around the `vmap`.

    Main arguments:
        loss_fn: `loss_fn(params, batch, key)` -> a scalar, the mean over the batch, or (scalar, {name: scalar}) with metrics.
            `key` is None in evaluation: no dropout then.
        params: a pytree. Its arrays of floats and its Python floats are trained (a float inside an equinox module is a
            setting, and stays); integers, booleans and functions stay.
        data: a pytree of arrays with a common leading axis, the examples.
        key: a JAX random key: all randomness (order, augmentation, dropout) follows from it.
        optimizer: any optax optimizer that takes gradients of `params`; it also gets `value`, `grad`, `value_fn` and `grad_fn`
            (L-BFGS, reduce_on_plateau, SAM). Not `lookahead`, whose parameters are pairs. Optimizers that average
            (`schedule_free`) return the point they train at; `history.opt_state` has what evaluates the average.
        num_epochs: passes over the data.
        batch_size: examples per step; None: all of them.
        validation: None, or a pytree like `data`: its loss and metrics are reported after every epoch.

    Other arguments:
        l1, l2: weights of the penalties `losses.l1_penalty` and `losses.l2_penalty`; may be traced.
        penalty_mask: the leaves they hold for, as in `losses.l1_penalty`. None: those with two axes or more.
        augment: `augment(key, batch) -> batch`, applied to every training batch.
        patience: stop when the monitored value has not fallen for so many epochs, and return the best parameters.
        monitor: the name of that value among the validation metrics, lower is better.
        progress: show a bar (needs tqdm).
        csv_file: a file that gets a row per epoch; one that is there is overwritten.
        tensorboard: a folder for event files (needs tensorboardX).
        checkpoint: a file that keeps what training has reached. If it is there the run goes on from it, with a larger
            num_epochs too, and gives bit for bit the parameters of an unbroken run. It is written whole or not at all. Loss,
            optimizer, augmentation and mask are code and cannot be compared: resume with the same.
        checkpoint_every: epochs between two checkpoints; the last epoch is always kept.

    Returns:
        (params, history): the last parameters, or with `patience` the best; and a `History`. If a loss or a parameter
        becomes NaN or infinite, training stops: the parameters before that step are returned (with `patience` the best),
        `history.result` and `history.failed_step` say so, and an eager call warns.

    Raises:
        ValueError: NaN or infinite numbers in data or params; arrays that do not fit; a batch_size above the number of
            examples; a loss that is no scalar; labels out of range; a checkpoint that is damaged or of another run
            (`CheckpointError`).
        TypeError: an optimizer that is none, a key that is none, data that are no arrays.
        ImportError: progress or tensorboard without their packages.

    Differentiability: called inside `jax.grad`, in everything that enters: the start, the data, the penalties, the
    hyperparameters of the optimizer (the memory is that of all steps).

    Example:
        >>> import optax
        >>> x, y = jnp.linspace(-1.0, 1.0, 20), 3 * jnp.linspace(-1.0, 1.0, 20) + 1
        >>> loss_fn = lambda p, batch, key: jnp.mean((p["a"] * batch[0] + p["b"] - batch[1]) ** 2)
        >>> settings = dict(key=jax.random.key(0), optimizer=optax.adam(0.1), num_epochs=200, batch_size=5)
        >>> line, history = fit(loss_fn, {"a": 0.0, "b": 0.0}, (x, y), **settings)
        >>> round(float(line["a"]), 3), round(float(line["b"]), 3), history.train["loss"].shape
        (3.0, 1.0, (200,))
    """
    params, data = checked_params(params), checked_data("data", data)
    if validation is not None:
        validation = checked_data("validation", validation, like=data)
    if patience is not None and validation is None:
        raise ValueError("patience needs validation data to watch. Pass validation=..., or leave patience out.")
    trained, rest = eqx.partition(params, eqx.is_inexact_array)
    constants, static = eqx.partition(rest, eqx.is_array)
    examples = jax.tree.leaves(data)[0].shape[0]
    given = Given(checked_key(key), constants, data, validation, checked_penalty("l1", l1), checked_penalty("l2", l2))
    recipe = Recipe(
        loss_fn=Same(checked_function("loss_fn", loss_fn)),
        optimizer=Same(checked_optimizer(optimizer)),
        augment=Same(augment if augment is None else checked_function("augment", augment)),
        constants=Static.of(static),
        penalty_mask=Static.of(None if penalty_mask is None else resolved_mask(penalty_mask, params)),
        batch_size=examples if batch_size is None else checked_number("batch_size", batch_size, most=examples),
        monitor=monitor,
        patience=None if patience is None else checked_number("patience", patience),
        gated=True,
    )
    num_epochs = checked_number("num_epochs", num_epochs)
    every = checked_number("checkpoint_every", checkpoint_every)
    host = Host(progress, csv_file, tensorboard, None if checkpoint is None else Path(checkpoint), every)
    # The zero is a tracer inside jit and scan, where nothing runs on the host even if all arguments are known.
    if not recipe.traced and not traced((trained, given, jnp.zeros(()))):
        state, rows = train_on_host(recipe, given, trained, num_epochs, host)
    else:
        if progress or not (csv_file is tensorboard is checkpoint is None):
            raise ValueError(
                "progress, csv_file, tensorboard and checkpoint belong to the host and need an eager call: call fit outside "
                "of jit, vmap and grad, or leave them out."
            )
        # A program that closes over a tracer must not be kept.
        scan = _scan(recipe, num_epochs) if recipe.traced else _kept_scan(recipe, num_epochs)
        state, rows = scan(given, trained)
    return _finish(recipe, whole(recipe, given, state.params), state, rows)


def _scan(recipe: Recipe, num_epochs: int) -> Callable[[Given, Any], tuple[TrainState, Row]]:
    return lambda given, trained: scan_epochs(recipe, given, start(recipe, trained), num_epochs)


@functools.lru_cache(maxsize=16)  # programs hold their functions, and what these close over: the last few only
def _kept_scan(recipe: Recipe, num_epochs: int) -> Callable[[Given, Any], tuple[TrainState, Row]]:
    return jax.jit(_scan(recipe, num_epochs))


def _finish(recipe: Recipe, params: Any, state: TrainState, rows: Row) -> tuple[Any, History]:
    best, failed = state.best_epoch, state.failed_step >= 0
    if recipe.patience is not None:
        chosen = jax.tree.map(lambda x, y: jnp.where(best >= 0, x, y), state.best_params, state.params)
        params = eqx.combine(chosen, params)
        failed = failed | (best < 0)  # the monitored value never was a number
    result = from_code(jnp.where(failed, code(RESULTS.nonfinite_loss), code(RESULTS.successful)))
    return params, History(rows.train, rows.validation, state.epoch, best, state.failed_step, result, state.opt_state)
