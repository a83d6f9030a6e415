"""What `fit` refuses, in sentences, before it trains."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxneuro.train.recipe import traced
from jaxneuro.train.step import strong
from jaxneuro.types import Integer


def checked_params(params: Any) -> Any:
    """Return params with its arrays, and its floats outside of equinox modules, as JAX arrays of a dtype of their own."""
    array = lambda x: strong(x) if eqx.is_array(x) or isinstance(x, np.ndarray | np.generic) else x
    module = lambda x: isinstance(x, eqx.Module)

    def convert(x: Any) -> Any:
        if module(x):
            return jax.tree.map(array, x)
        return strong(x) if isinstance(x, float | complex) else array(x)

    params = jax.tree.map(convert, params, is_leaf=module)
    if not any(eqx.is_inexact_array(x) for x in jax.tree.leaves(params)):
        raise ValueError("params holds no array of floats: there is nothing to train.")
    _finite("params", params)
    return params


def checked_data(name: str, data: Any, like: Any = None) -> Any:
    """Return data as JAX arrays with one leading axis; `like` is what their structure and shapes must agree with."""
    leaves = jax.tree_util.tree_leaves_with_path(data)
    if not leaves:
        raise ValueError(f"{name} holds no arrays; it must be a pytree of arrays (examples, ...).")
    for path, leaf in leaves:
        where = name + jax.tree_util.keystr(path)
        if not eqx.is_array_like(leaf) or getattr(leaf, "dtype", np.dtype(float)).kind in "OSU":
            raise TypeError(f"{where} is a {type(leaf).__name__}; {name} must be a pytree of arrays (examples, ...).")
        if np.ndim(leaf) == 0 or np.shape(leaf)[0] == 0:
            raise ValueError(
                f"{where} has the shape {np.shape(leaf)}; it needs a leading axis of one or more examples."
            )
    sizes = {name + jax.tree_util.keystr(path): np.shape(leaf)[0] for path, leaf in leaves}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{where}: {n}" for where, n in sizes.items())
        raise ValueError(f"The arrays of {name} must have as many examples each; they have {found}.")
    data = jax.tree.map(jnp.asarray, data)
    if like is not None:
        _alike(name, data, like)
    _finite(name, data)
    return data


def checked_number(name: str, value: Any, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, Integer):
        raise TypeError(f"{name} must be an integer; it is {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be >= 1; it is {value}.")
    if most is not None and value > most:
        raise ValueError(
            f"{name} is {value}, but there are only {most} examples. Pass {most} or less (None: all at once)."
        )
    return int(value)


def checked_penalty(name: str, weight: Any) -> Any:
    """Return the weight of a penalty as an array, None for the number 0."""
    if isinstance(weight, int | float) and weight == 0:
        return None
    if not eqx.is_array_like(weight) or jnp.ndim(weight) != 0 or jnp.iscomplexobj(weight):
        raise ValueError(f"{name} must be one number >= 0; it is {weight!r}.")
    if not traced(weight) and not (np.isfinite(float(weight)) and float(weight) >= 0):
        raise ValueError(f"{name} must be finite and >= 0; it is {float(weight)}.")
    return jnp.asarray(weight)


def checked_function(name: str, function: Any) -> Any:
    if not callable(function):
        raise TypeError(f"{name} must be a function; it is {function!r}.")
    return function


def checked_optimizer(optimizer: Any) -> Any:
    if not callable(getattr(optimizer, "init", None)) or not callable(getattr(optimizer, "update", None)):
        raise TypeError(f"optimizer must come from optax, e.g. optax.adam(1e-3); it is {optimizer!r}.")
    return optimizer


def _alike(name: str, data: Any, like: Any) -> None:
    if jax.tree.structure(data) != jax.tree.structure(like):
        raise ValueError(
            f"{name} must have the structure of data, {jax.tree.structure(like)}; it is {jax.tree.structure(data)}."
        )
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(data), jax.tree.leaves(like), strict=True):
        if x.shape[1:] != y.shape[1:] or x.dtype != y.dtype:
            raise ValueError(
                f"An example of {name}{jax.tree_util.keystr(path)} must be like one of data, {y.dtype}{list(y.shape[1:])}; "
                f"it is {x.dtype}{list(x.shape[1:])}."
            )


def _finite(name: str, tree: Any) -> None:
    """Raise for NaN or infinite numbers; traced ones show in the result."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        fine = jnp.all(jnp.isfinite(leaf)) if eqx.is_inexact_array(leaf) else True  # where the array lives
        if not isinstance(fine, Tracer) and not bool(fine):
            values = np.asarray(leaf)
            bad = ~np.isfinite(values)
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{name}{jax.tree_util.keystr(path)} must be finite: {int(bad.sum())} of {bad.size} values are NaN or "
                f"infinite, the first, {values[index]}, at index {list(index)}."
            )
