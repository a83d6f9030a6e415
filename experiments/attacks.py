"""Attacks on a classifier of images, and the loss of a training against them.

An attack is `attack(loss, x, epsilon, key)`, of **one** image x with pixels in [0, 1] and a loss L that is a function of
the image. It returns an image that is within epsilon of x in every pixel, and in [0, 1].

    FGSM   x + epsilon sign(dL/dx)
           Goodfellow, Shlens & Szegedy (2015), section 4, arXiv:1412.6572
    PGD    x^(t+1) = Proj(x^t + alpha sign(dL/dx^t)),   x^0 uniform in the ball of radius epsilon around x
           Madry, Makelov, Schmidt, Tsipras & Vladu (2018), section 2.1, arXiv:1706.06083
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import jaxneuro as jn
from experiments.images import Images

PGD_STEP = 2.5  # alpha = 2.5 epsilon / steps: from any start every point of the ball can be reached


def random_signs(loss: Callable, x: Any, epsilon: Any, key: Any) -> Any:
    """Return x with a random sign times epsilon on every pixel: no attack, but of the size of one."""
    return jnp.clip(x + epsilon * jax.random.rademacher(key, x.shape, x.dtype), 0, 1)


def fgsm(loss: Callable, x: Any, epsilon: Any, key: Any) -> Any:
    return jnp.clip(x + epsilon * jnp.sign(jax.grad(loss)(x)), 0, 1)


def pgd(loss: Callable, x: Any, epsilon: Any, key: Any, steps: int = 20) -> Any:
    project = lambda z: jnp.clip(jnp.clip(z, x - epsilon, x + epsilon), 0, 1)
    alpha = PGD_STEP * epsilon / steps
    ascend = lambda z, _: (project(z + alpha * jnp.sign(jax.grad(loss)(z))), None)
    start = project(x + epsilon * jax.random.uniform(key, x.shape, x.dtype, -1, 1))
    return jax.lax.scan(ascend, start, length=steps)[0]


def attacked(apply: Callable, params: Any, attack: Callable, batch: Images, epsilon: Any, key: Any) -> Images:
    """Return the batch with every image attacked, the loss being the cross-entropy of `apply(params, x)`."""

    def one(x: Any, label: Any, key: Any) -> Any:
        return attack(lambda x: jn.losses.cross_entropy(apply(params, x), label), x, epsilon, key)

    return batch._replace(x=jax.vmap(one)(batch.x, batch.y, jax.random.split(key, len(batch.y))))


def adversarial(apply: Callable, attack: Callable, epsilon: Any) -> jn.losses.LossFn:
    """Return a loss for `jn.fit`: that of the attacked images (Madry et al., eq. 2.1), of the clean ones in evaluation."""
    clean = jn.losses.classification(lambda params, x, key: apply(params, x))

    def loss_fn(params: Any, batch: Images, key: Any) -> Any:
        if key is None:
            return clean(params, batch, None)
        # The gradient of the maximum is that at the attacked images, which are held fixed (Danskin, appendix A there).
        fixed = jax.lax.stop_gradient(params)
        return clean(params, attacked(apply, fixed, attack, batch, epsilon, key), key)

    return loss_fn
