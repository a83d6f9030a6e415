"""Multilayer perceptrons and convolutional networks: init(key, ...) -> params, apply(params, x) -> logits.

Written for **one** example; a batch is `jax.vmap(lambda x: mlp_apply(params, x))(batch)`, an ensemble a `vmap` over
`params`. Parameters are NamedTuples of arrays: gradients, optimizers and penalties see plain pytrees.
"""

from jaxneuro.nets.cnn import CNNParams as CNNParams
from jaxneuro.nets.cnn import cnn_apply as cnn_apply
from jaxneuro.nets.cnn import cnn_init as cnn_init
from jaxneuro.nets.layers import ACTIVATIONS as ACTIVATIONS
from jaxneuro.nets.layers import Layer as Layer
from jaxneuro.nets.mlp import MLPParams as MLPParams
from jaxneuro.nets.mlp import mlp_apply as mlp_apply
from jaxneuro.nets.mlp import mlp_init as mlp_init
