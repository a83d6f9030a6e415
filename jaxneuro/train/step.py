"""One step of training: the loss of a batch, its gradient, the optimizer's update."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from jaxneuro.losses import l1_penalty, l2_penalty
from jaxneuro.results import every
from jaxneuro.train.recipe import Given, Recipe
from jaxneuro.types import Array, BoolScalar


def one_step(recipe: Recipe, given: Given, carry: Any, batch: Any, key: Any) -> Any:
    params, opt_state, failed = carry
    augment_key, loss_key = jax.random.split(key)
    if recipe.augment.value is not None:
        batch = recipe.augment.value(augment_key, batch)
    objective = lambda params: _objective(recipe, given, params, batch, loss_key)
    (value, metrics), grads = jax.value_and_grad(objective, has_aux=True)(params)
    grads = jax.tree.map(jnp.conj, grads)  # the direction of ascent, where a parameter is complex
    optimizer = optax.with_extra_args_support(recipe.optimizer.value)
    extra = dict(
        value=value,
        grad=grads,
        value_fn=lambda params: objective(params)[0],
        grad_fn=lambda params, _: jax.grad(lambda p: objective(p)[0])(params),
    )
    updates, new_opt_state = optimizer.update(grads, opt_state, params, **_accepted(optimizer.update, extra))
    new = optax.apply_updates(params, updates), new_opt_state
    good = ~failed
    if recipe.gated:
        good = good & jnp.isfinite(value) & all_finite(new[0])
        failed = ~good
        new = jax.tree.map(lambda x, y: jnp.where(failed, x, y), (params, opt_state), new)
    return (*new, failed), {**metrics, "objective": value, "good": good}


def _accepted(update: Callable, extra: dict[str, Any]) -> dict[str, Any]:
    """Return the extra arguments that an optimizer's update takes: those it names, and if it takes any the common three."""
    parameters = inspect.signature(update).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {name: x for name, x in extra.items() if name in parameters or (takes_any and name != "grad_fn")}


def _objective(recipe: Recipe, given: Given, params: Any, batch: Any, key: Any) -> Any:
    loss, metrics = loss_of(recipe, given, params, batch, key)
    mask = recipe.penalty_mask.tree
    value = loss
    for weight, penalty in ((given.l1, l1_penalty), (given.l2, l2_penalty)):
        if weight is not None:
            weight = jnp.where(weight >= 0, weight, jnp.nan)  # a traced one below 0 is a failure of its lane
            value = value + (weight * penalty(params, mask)).astype(loss.dtype)
    return value, metrics


def whole(recipe: Recipe, given: Given, params: Any) -> Any:
    """Return the parameters as the user knows them, with what is not trained."""
    return eqx.combine(params, given.constants, recipe.constants.tree)


def loss_of(recipe: Recipe, given: Given, params: Any, batch: Any, key: Any) -> tuple[Array, dict[str, Array]]:
    out = recipe.loss_fn.value(whole(recipe, given, params), batch, key)
    loss, metrics = out if isinstance(out, tuple) and len(out) == 2 and isinstance(out[1], dict) else (out, {})
    found = {"loss": loss, **metrics}
    for name, value in found.items():
        if not eqx.is_array_like(value) or jnp.shape(value) != ():
            shape = f"shape {jnp.shape(value)}" if eqx.is_array_like(value) else type(value).__name__
            raise ValueError(
                f"loss_fn must return a scalar, or (a scalar, a dict of scalars); its {name!r} has {shape}. "
                "Take a mean or a sum over the batch."
            )
    reserved = {"loss", "objective", "good"} & set(metrics)
    if reserved:
        raise ValueError(f"A metric cannot be called {', '.join(sorted(reserved))}: fit reports under that name.")
    found = {
        name: x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)
        for name, x in jax.tree.map(jnp.asarray, found).items()
    }
    return found["loss"], found


def all_finite(tree: Any) -> BoolScalar:
    return every(jnp.isfinite(x) for x in jax.tree.leaves(tree))


def strong(x: Any) -> Array:
    """Return an array whose dtype is its own: a weakly typed one would make a second trace, of other dtypes."""
    return jnp.asarray(x, jnp.asarray(x).dtype)
