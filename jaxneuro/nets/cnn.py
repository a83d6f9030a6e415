"""Convolutional network: blocks of convolution, activation and pooling, then a dense head."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax

from jaxneuro.nets.layers import (
    Activation,
    Initializer,
    Input,
    Integers,
    Layer,
    activation_of,
    convolve,
    dense,
    dense_init,
    dropout,
    example,
    float_dtype,
    max_pool,
    positive,
)  # fmt: skip
from jaxneuro.types import Array, Float, KeyLike, ScalarLike


class CNNParams(NamedTuple):
    """Parameters of a convolutional network: blocks of convolution, activation and pooling, then a dense head."""

    convs: tuple[Layer, ...]
    layers: tuple[Layer, ...]


def cnn_init(
    key: KeyLike,
    image_shape: Integers,
    channels: Integers,
    sizes: Integers,
    *,
    kernel_size: Integers = 3,
    pool: Integers = 2,
    weight_init: Initializer | None = None,
    bias_init: Initializer = jax.nn.initializers.zeros,
    dtype: Any = None,
) -> CNNParams:
    """Draw the parameters of a convolutional network: blocks of convolution, activation, pooling, then a dense head.

    Args:
        key: a JAX random key.
        image_shape: (height, width, channels) of one image; a grey image has one channel.
        channels: output channels of each block.
        sizes: units of the dense head, (hidden ..., out); its input is the flattened last block.
        kernel_size: height and width of every kernel, or one number for both.
        pool: side of the pooling window of each block, or one for all (1: no pooling). `cnn_apply` needs the same.
        weight_init, bias_init, dtype: as in `mlp_init`; kernels are drawn with shape (height, width, in, out).

    Returns:
        `CNNParams(convs, layers)`.

    Raises:
        ValueError, TypeError: sizes that are not positive integers, a wrong number of them.

    Example:
        >>> params = cnn_init(jax.random.key(0), (28, 28, 1), channels=(16, 32), sizes=(128, 10))
        >>> params.convs[1].weight.shape, params.layers[0].weight.shape
        ((3, 3, 16, 32), (128, 1568))
    """
    height, width, depth = positive("image_shape", image_shape, exactly=3)
    channels, sizes = positive("channels", channels, at_least=1), positive("sizes", sizes, at_least=1)
    kernel = repeated("kernel_size", kernel_size, 2)
    conv_key, head_key = jax.random.split(key)
    init = weight_init or jax.nn.initializers.he_normal()
    convs = []
    for k, (step, out) in enumerate(zip(repeated("pool", pool, len(channels)), channels, strict=True)):
        w_key, b_key = jax.random.split(jax.random.fold_in(conv_key, k))
        convs.append(
            Layer(init(w_key, (*kernel, depth, out), float_dtype(dtype)), bias_init(b_key, (out,), float_dtype(dtype)))
        )
        height, width, depth = -(-height // step), -(-width // step), out
    return CNNParams(
        tuple(convs), dense_init(head_key, (height * width * depth, *sizes), weight_init, bias_init, dtype)
    )


def cnn_apply(
    params: CNNParams,
    x: Input,
    activation: Activation = jax.nn.relu,
    *,
    pool: Integers = 2,
    dropout_rate: ScalarLike = 0.0,
    key: KeyLike | None = None,
) -> Float[Array, " out"]:
    """Return the logits of one image: convolution (zero padding, stride 1), sigma, maximum over windows; dense head.

    Args:
        params: from `cnn_init`.
        x: one image (height, width, channels), cast to the dtype of the parameters.
        activation, key: as in `mlp_apply`.
        pool: as given to `cnn_init`. Windows do not overlap; the last may be smaller, so that no pixel is lost.
        dropout_rate: of the inputs of every dense layer.

    Returns:
        Logits (out,).

    Raises:
        ValueError, TypeError: as `mlp_apply`; another `pool` than at init shows as a first dense layer that does not fit.

    Differentiability: in params and x; where several pixels of a window share the maximum they share the gradient.

    Example:
        >>> params = cnn_init(jax.random.key(0), (8, 8, 1), channels=(4,), sizes=(10,))
        >>> cnn_apply(params, jax.numpy.ones((8, 8, 1))).shape
        (10,)
    """
    sigma, x = activation_of(activation), example(x, params)
    for k, (layer, step) in enumerate(zip(params.convs, repeated("pool", pool, len(params.convs)), strict=True)):
        x = max_pool(sigma(convolve(layer, x, f"convolution {k + 1}")), step)
    flat_key, head_key = (None, None) if key is None else jax.random.split(key)
    return dense(params.layers, dropout(x.reshape(-1), dropout_rate, flat_key), sigma, dropout_rate, head_key)


def repeated(name: str, value: Integers, count: int) -> tuple[int, ...]:
    """Return `count` integers, from as many or from one for all."""
    return positive(name, value if isinstance(value, Iterable) else (value,) * count, exactly=count)
