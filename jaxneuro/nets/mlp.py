"""Multilayer perceptron: y = sigma(W x + b), layer by layer."""

from typing import Any, NamedTuple

import jax

from jaxneuro.nets.layers import (
    Activation,
    Initializer,
    Input,
    Integers,
    Layer,
    activation_of,
    dense,
    dense_init,
    example,
    positive,
)
from jaxneuro.types import Array, Float, KeyLike, ScalarLike


class MLPParams(NamedTuple):
    """Parameters of a multilayer perceptron."""

    layers: tuple[Layer, ...]


def mlp_init(
    key: KeyLike,
    sizes: Integers,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer = jax.nn.initializers.zeros,
    dtype: Any = None,
) -> MLPParams:
    """Draw the parameters of a multilayer perceptron.

    Args:
        key: a JAX random key.
        sizes: numbers of units from input to output, (in, hidden ..., out); at least two, each >= 1.
        weight_init: one of `jax.nn.initializers`, called with shape (in, out) whose axes are what they take by default.
            None is `he_normal()` (He et al. 2015, doi:10.1109/ICCV.2015.123), made for ReLU.
        bias_init: likewise, called with shape (out,).
        dtype: of the parameters, and so of every computation with them; None is JAX's default float.

    Returns:
        `MLPParams(layers)`, layer k with `weight` (sizes[k+1], sizes[k]) and `bias` (sizes[k+1],).

    Raises:
        ValueError: fewer than two sizes, or one below 1.
        TypeError: a size that is no integer.

    Example:
        >>> params = mlp_init(jax.random.key(0), (2, 4, 1))
        >>> [layer.weight.shape for layer in params.layers]
        [(4, 2), (1, 4)]
    """
    sizes = positive("sizes", sizes, at_least=2)
    return MLPParams(dense_init(key, sizes, weight_init, bias_init, dtype))


def mlp_apply(
    params: MLPParams,
    x: Input,
    activation: Activation = jax.nn.relu,
    *,
    dropout_rate: ScalarLike = 0.0,
    key: KeyLike | None = None,
) -> Float[Array, " out"]:
    """Return the logits of one example: y = sigma(W x + b) layer by layer, the last one without sigma.

    Args:
        params: from `mlp_init`, or built by hand.
        x: one example (in,), cast to the dtype of the parameters.
        activation: sigma, a function of arrays or a name in `ACTIVATIONS`.
        dropout_rate: probability in [0, 1) with which a hidden unit is silenced; the others are divided by
            1 - dropout_rate (Srivastava et al. 2014, JMLR 15:1929). May be traced: a value outside gives NaN.
        key: of the dropout. None is evaluation: no unit is silenced.

    Returns:
        Logits (out,), before any sigmoid or softmax.

    Raises:
        ValueError: shapes that do not fit (naming the layer), an unknown activation, a dropout_rate outside [0, 1).
        TypeError: an activation that is neither name nor function, an x that holds no numbers.

    Differentiability: in params and x, wherever the activation is.

    Example:
        >>> params = mlp_init(jax.random.key(0), (2, 4, 1))
        >>> jax.vmap(lambda x: mlp_apply(params, x, "tanh"))(jax.numpy.ones((5, 2))).shape
        (5, 1)
    """
    return dense(params.layers, example(x, params), activation_of(activation), dropout_rate, key)
