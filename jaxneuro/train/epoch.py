"""One epoch as a pure function, and many of them: by a scan where all is traced, by a counted loop for the host."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox.internal as eqxi
import jax
import jax.numpy as jnp

from jaxneuro.train.recipe import Given, Recipe
from jaxneuro.train.step import all_finite, loss_of, one_step, strong
from jaxneuro.types import Array, BoolScalar, IntScalar, Scalar


class TrainState(NamedTuple):
    """What the next epoch needs."""

    params: Any  # the trained leaves; None where params has constants
    opt_state: Any
    best_params: Any  # None without early stopping
    best_value: Scalar
    best_epoch: IntScalar  # -1: none yet
    epoch: IntScalar  # epochs done
    failed_step: IntScalar  # -1: none
    stopped: BoolScalar


class Row(NamedTuple):
    """What an epoch reports."""

    train: dict[str, Scalar]  # means over the examples, each at the parameters of its step
    validation: dict[str, Scalar]  # at the end of the epoch
    good: BoolScalar  # every loss and every parameter finite


def start(recipe: Recipe, params: Any) -> TrainState:
    best = None if recipe.patience is None else params
    number = lambda n: jnp.asarray(n, jnp.int32)
    opt_state = jax.tree.map(strong, recipe.optimizer.value.init(params))
    infinite = jnp.asarray(jnp.inf, jnp.finfo(jnp.result_type(jnp.float32, *jax.tree.leaves(params))).dtype)
    return TrainState(params, opt_state, best, infinite, number(-1), number(0), number(-1), jnp.asarray(False))


def scan_epochs(recipe: Recipe, given: Given, state: TrainState, num_epochs: int) -> tuple[TrainState, Row]:
    """Run `num_epochs` epochs, or until every lane of a vmap has stopped; rows beyond that hold NaN."""
    epoch, like = _epoch(recipe, given, state)
    skip = lambda state: (state, jax.tree.map(_missing, like))
    # One branch for all lanes: under vmap a predicate per lane would run both.
    body = lambda state, _: jax.lax.cond(eqxi.unvmap_all(state.stopped), skip, epoch, state)
    return jax.lax.scan(body, state, length=num_epochs)


def count_epochs(recipe: Recipe, given: Given, state: TrainState, limit: Any, rows: int) -> tuple[TrainState, Row]:
    """Run at most `limit` <= `rows` epochs, which may be traced: the same program whatever the host asks for."""
    epoch, like = _epoch(recipe, given, state)
    buffers = jax.tree.map(lambda x: jnp.zeros((rows, *x.shape), x.dtype), like)

    def body(carry: Any) -> Any:
        k, state, buffers, _ = carry
        state, row = epoch(state)
        return k + 1, state, jax.tree.map(lambda b, x: b.at[k].set(x), buffers, row), row.good

    def going(carry: Any) -> Any:
        k, state, _, good = carry
        return (k < limit) & ~state.stopped & good

    _, state, buffers, _ = jax.lax.while_loop(going, body, (jnp.int32(0), state, buffers, jnp.asarray(True)))
    return state, buffers


def batch_at(recipe: Recipe, given: Given, epoch: Any, step: Any) -> Any:
    """Return the batch of a step, as training saw it but for the augmentation."""
    order, _ = _order(recipe, given, epoch)
    b = recipe.batch_size
    return _take(given.data, order[step * b : (step + 1) * b])


def _epoch(recipe: Recipe, given: Given, state: TrainState) -> tuple[Callable, Row]:
    """Return the epoch as a function of the state, traced once, and the shapes of its row."""
    epoch = jax.jit(lambda state: _run_epoch(recipe, given, state))
    _, like = jax.eval_shape(epoch, state)
    return epoch, like


def _run_epoch(recipe: Recipe, given: Given, state: TrainState) -> tuple[TrainState, Row]:
    order, step_key = _order(recipe, given, state.epoch)
    n, b = order.shape[0], recipe.batch_size
    steps = n // b

    def step(carry: Any, at: Any) -> Any:
        k, index = at
        batch = given.data if b == n else _take(given.data, index)
        return one_step(recipe, given, carry, batch, jax.random.fold_in(step_key, k))

    carry = (state.params, state.opt_state, state.stopped)
    carry, full = jax.lax.scan(step, carry, (jnp.arange(steps), order[: steps * b].reshape(steps, b)))
    good_steps, rest = full.pop("good"), None
    if n % b:  # the rest of the examples, a smaller batch
        carry, rest = step(carry, (jnp.asarray(steps), order[steps * b :]))
        good_steps = jnp.append(good_steps, rest.pop("good"))
    params, opt_state, failed = carry
    means = _means(full, rest, b, n)
    good = jnp.isfinite(means.pop("objective")) & all_finite(params)
    row = Row(
        train=means,
        validation={} if given.validation is None else _evaluate(recipe, given, params),
        good=good,
    )
    new = state._replace(params=params, opt_state=opt_state, epoch=state.epoch + 1, stopped=failed)
    if recipe.patience is not None:
        new = _keep_best(recipe, new, row.validation)
    return _hold_stopped(state, new, row, failed, good_steps) if recipe.gated else (new, row)


def _hold_stopped(
    old: TrainState, new: TrainState, row: Row, failed: BoolScalar, good_steps: Array
) -> tuple[TrainState, Row]:
    """Note the step that failed, and leave lanes as they are that had stopped: under vmap they go round with the others."""
    first = old.epoch * good_steps.shape[0] + jnp.argmax(~good_steps).astype(jnp.int32)
    new = new._replace(failed_step=jnp.where(failed, first, old.failed_step))
    kept = old._replace(params=new.params, opt_state=new.opt_state)  # these are held step by step
    new = jax.tree.map(lambda x, y: jnp.where(old.stopped, x, y), kept, new)
    return new, jax.tree.map(lambda x: jnp.where(old.stopped, _missing(x), x), row)


def _evaluate(recipe: Recipe, given: Given, params: Any) -> dict[str, Array]:
    """Return the metrics of the validation data, in batches, weighted by their sizes."""
    data = given.validation
    n = jax.tree.leaves(data)[0].shape[0]
    b = min(recipe.batch_size, n)
    metrics = lambda batch: loss_of(recipe, given, params, batch, None)[1]
    full = jax.tree.map(lambda x: x[: n - n % b].reshape(n // b, b, *x.shape[1:]), data)
    rest = metrics(jax.tree.map(lambda x: x[n - n % b :], data)) if n % b else None
    return _means(jax.lax.map(metrics, full), rest, b, n)


def _means(full: dict[str, Array], rest: dict[str, Array] | None, b: int, n: int) -> dict[str, Array]:
    """Return the means over n examples, from those over the batches of b and over the rest (None: there is none)."""
    total = {name: jnp.sum(x, axis=0) * b for name, x in full.items()}
    if rest is not None:
        total = {name: x + rest[name] * (n % b) for name, x in total.items()}
    return {name: x / n for name, x in total.items()}


def _keep_best(recipe: Recipe, state: TrainState, validation: dict[str, Array]) -> TrainState:
    assert recipe.patience is not None  # else there is no best to keep
    if recipe.monitor not in validation:
        raise ValueError(f"monitor={recipe.monitor!r} is not among the metrics: {', '.join(validation)}.")
    value = validation[recipe.monitor].astype(state.best_value.dtype)
    better = value < state.best_value
    pick = lambda x, y: jnp.where(better, x, y)
    best_epoch = pick(state.epoch - 1, state.best_epoch)
    return state._replace(
        best_params=jax.tree.map(pick, state.params, state.best_params),
        best_value=pick(value, state.best_value),
        best_epoch=best_epoch,
        stopped=state.stopped | (state.epoch - 1 - best_epoch >= recipe.patience),
    )


def _order(recipe: Recipe, given: Given, epoch: Any) -> tuple[Array, Any]:
    """Return the order of the examples in an epoch, and the key of its steps."""
    n = jax.tree.leaves(given.data)[0].shape[0]
    order_key, step_key = jax.random.split(jax.random.fold_in(given.key, epoch))
    shuffled = recipe.batch_size < n  # in one batch the order means nothing
    return jax.random.permutation(order_key, n) if shuffled else jnp.arange(n), step_key


def _take(data: Any, index: Array) -> Any:
    return jax.tree.map(lambda x: x.at[index].get(mode="promise_in_bounds", unique_indices=True), data)


def _missing(x: Any) -> Array:
    return jnp.asarray(jnp.nan if jnp.issubdtype(x.dtype, jnp.inexact) else True).astype(x.dtype)
