"""What counts as close: the accuracy asked for, and the lengths of time that follow from it."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from jaxneuro.hybrid.problem import Config, Settings
from jaxneuro.types import Scalar


def tolerance(config: Config, settings: Settings) -> Any:
    """Return the relative accuracy asked for: the larger of rtol and atol, 1e-12 for constant steps."""
    floor = 10 * float(jnp.finfo(config.dtype).eps)
    if not config.adaptive:
        return max(floor, 1e-12)
    controller = eqx.combine(settings.controller, config.controller)
    asked = jnp.maximum(jnp.asarray(controller.rtol, config.dtype), jnp.asarray(controller.atol, config.dtype))
    return jnp.maximum(asked, floor)


def resolution(config: Config, settings: Settings) -> Any:
    """Return what a step may leave unseen, in units of the step: the square root of the tolerance, and less."""
    return 0.1 * jnp.sqrt(jnp.asarray(tolerance(config, settings), config.dtype))


def same_time(config: Config, settings: Settings, t: Scalar) -> Scalar:
    """Return how close (ms) two times must be to be one: to this a crossing is located, and a state is on the threshold."""
    return 0.1 * tolerance(config, settings) + ulps(t, 8)


def ulps(t: Scalar, n: int) -> Scalar:
    """Return n units in the last place of a time."""
    return n * float(jnp.finfo(t.dtype).eps) * jnp.maximum(jnp.abs(t), 1e-3)
