"""The pieces of a network, each for one example: dense layer, convolution, pooling, dropout."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxneuro.types import Array, Float, Integer, KeyLike, ScalarLike

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    name: getattr(jax.nn, name)
    for name in ("relu", "sigmoid", "tanh", "gelu", "silu", "elu", "selu", "celu", "leaky_relu", "softplus", "identity")
}
"""The names that `activation` may have; any other function goes in as the function itself."""

Activation: TypeAlias = str | Callable[[Array], Array]
Input: TypeAlias = Any
"""One example, an array of numbers; a wrong shape or dtype is refused with a sentence."""
Integers: TypeAlias = Any
"""Integers >= 1, a sequence of them or one; anything else is refused with a sentence."""
Initializer: TypeAlias = Callable[..., Array]


class Layer(NamedTuple):
    """One layer."""

    weight: Float[Array, "..."]  # dense: (out, in); convolution: (height, width, in channels, out channels)
    bias: Float[Array, "..."]  # (out,)


def dense_init(
    key: KeyLike, sizes: tuple[int, ...], weight_init: Initializer | None, bias_init: Initializer, dtype: Any
) -> tuple[Layer, ...]:
    init = weight_init or jax.nn.initializers.he_normal()
    layers = []
    for k in range(len(sizes) - 1):
        w_key, b_key = jax.random.split(jax.random.fold_in(key, k))
        # Drawn as (in, out), the convention of jax.nn.initializers, and stored as the W of W x + b.
        weight = init(w_key, (sizes[k], sizes[k + 1]), float_dtype(dtype)).T
        layers.append(Layer(weight, bias_init(b_key, (sizes[k + 1],), float_dtype(dtype))))
    return tuple(layers)


def dense(layers: tuple[Layer, ...], x: Array, sigma: Callable, dropout_rate: ScalarLike, key: Any) -> Array:
    for k, layer in enumerate(layers):
        x = _affine(layer, x, f"dense layer {k + 1}")
        if k + 1 < len(layers):
            x = dropout(sigma(x), dropout_rate, None if key is None else jax.random.fold_in(key, k))
    return x


def _affine(layer: Layer, x: Array, name: str) -> Array:
    weight, bias = layer
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise ValueError(
            f"In {name} the weight must be (out, in) and the bias (out,); they are {weight.shape} and {bias.shape}."
        )
    if x.shape != weight.shape[1:]:
        raise ValueError(
            f"In {name} the weight {weight.shape} wants an input {weight.shape[1:]}, got {x.shape}.{_HINT}"
        )
    return weight @ x + bias


def convolve(layer: Layer, x: Array, name: str) -> Array:
    weight, bias = layer
    if weight.ndim != 4 or bias.shape != weight.shape[3:]:
        raise ValueError(
            f"In {name} the weight must be (height, width, in, out) and the bias (out,); "
            f"they are {weight.shape} and {bias.shape}."
        )
    if x.ndim != 3 or x.shape[2] != weight.shape[2]:
        raise ValueError(
            f"In {name} the weight {weight.shape} wants an image (height, width, {weight.shape[2]}), got {x.shape}.{_HINT}"
        )
    return jnp.tensordot(_patches(x, *weight.shape[:2]), weight.reshape(-1, weight.shape[3]), 1) + bias[None, None]


def _patches(x: Array, rows: int, columns: int) -> Array:
    """Return the rows x columns neighbourhood of each pixel, (height, width, rows * columns * channels), zeros beyond.

    A convolution is then a matrix product. On the CPU `lax.conv_general_dilated` would do the same in fast kernels, but
    inside a loop (training is one) its gradients fall back to ten times slower ones, and so they do under a `vmap` over
    kernels (jaxlib 0.10.2).
    """
    height, width, _ = x.shape
    before = (rows - 1) // 2, (columns - 1) // 2
    x = jnp.pad(x, ((before[0], rows // 2), (before[1], columns // 2), (0, 0)))
    return jnp.concatenate([x[i : i + height, j : j + width] for i in range(rows) for j in range(columns)], axis=-1)


def max_pool(x: Array, step: int) -> Array:
    """Return the maximum over windows of step x step pixels.

    By maxima of slices: on the CPU the gradient of `lax.reduce_window` takes longer than all the rest of a network.
    """
    if step == 1:
        return x
    low, right = -x.shape[0] % step, -x.shape[1] % step
    if low or right:
        x = jnp.pad(x, ((0, low), (0, right), (0, 0)), constant_values=-jnp.inf)
    x = x.reshape(x.shape[0] // step, step, x.shape[1] // step, step, x.shape[2])
    x = functools.reduce(jnp.maximum, [x[:, i] for i in range(step)])
    return functools.reduce(jnp.maximum, [x[:, :, i] for i in range(step)])


def dropout(x: Array, rate: ScalarLike, key: Any) -> Array:
    known = isinstance(rate, int | float | np.generic)
    if known and not 0 <= float(rate) < 1:
        raise ValueError(f"dropout_rate must be in [0, 1); it is {rate!r}.")
    if key is None or (known and rate == 0):
        return x
    # In float32 at least: a rate of 0.05 is another number in bfloat16.
    rate = jnp.asarray(rate, jnp.promote_types(x.dtype, jnp.float32))
    keep = jnp.where((rate >= 0) & (rate < 1), 1 - rate, jnp.nan)
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / keep, 0 * keep).astype(x.dtype)


def activation_of(activation: Activation) -> Callable[[Array], Array]:
    if callable(activation):
        return activation
    if not isinstance(activation, str):
        raise TypeError(f"activation must be a function of arrays, or a name; it is {activation!r}.")
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"Unknown activation {activation!r}: known by name are {', '.join(ACTIVATIONS)}; "
            "any other goes in as a function, e.g. activation=jnp.sin."
        )
    return ACTIVATIONS[activation]


def example(x: Input, params: Any) -> Array:
    dtype = jnp.result_type(*jax.tree.leaves(params))
    x = x if hasattr(x, "dtype") else jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.number) and x.dtype != jnp.bool_:
        raise TypeError(f"x must hold numbers; its dtype is {x.dtype}.")
    return jnp.asarray(x, dtype)


def positive(name: str, values: Integers, at_least: int = 1, exactly: int | None = None) -> tuple[int, ...]:
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence of integers; it is {values!r}.")
    values = tuple(values)
    wanted = f"{exactly}" if exactly is not None else f"at least {at_least}"
    if len(values) < at_least or len(values) != (exactly or len(values)):
        raise ValueError(f"{name} needs {wanted} numbers; it is {values}.")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, Integer):
            raise TypeError(f"{name} must be integers; it holds {value!r}.")
        if value < 1:
            raise ValueError(f"{name} must be >= 1; it holds {value}.")
    return tuple(int(value) for value in values)


def float_dtype(dtype: Any) -> Any:
    return jnp.zeros(()).dtype if dtype is None else dtype


_HINT = " One example at a time; for a batch: jax.vmap(lambda x: apply(params, x))(batch)."
