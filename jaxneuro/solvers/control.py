"""Step-size control that follows a spike's upstroke, and costs little batched."""

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.types import Array, Float, Scalar


def rough_power(x: Float[Array, ""], exponent: float) -> Float[Array, ""]:
    """Return x**exponent for x > 0 and |exponent| <= 1/2 to within 9 % (from above), at the cost of a multiplication.

    The bits of a float, read as an integer, are a piecewise linear logarithm; scaling it is a power. Enough for a
    step-size factor, where `x**p` would cost as much as a third of a Runge-Kutta step.
    """
    bits = jnp.int64 if x.dtype == jnp.float64 else jnp.int32
    one = jax.lax.bitcast_convert_type(jnp.ones((), x.dtype), bits).astype(x.dtype)
    log = jax.lax.bitcast_convert_type(x, bits).astype(x.dtype) - one
    return jax.lax.bitcast_convert_type((exponent * log + one).astype(bits), x.dtype)


class PredictiveController(dfx.AbstractAdaptiveStepSizeController):
    """Step-size control that extrapolates the trend of the optimal step.

    With e the error in units of atol + rtol (|y| + time_scale |dy/dt|), root mean square over the state, and k the order
    of the error, the optimal step is h_opt = h e^(-1/k), and the next one is 0.85 h_opt min(1, h_opt / h_opt of the step
    before); a step is rejected where e > 2. The last factor foresees the shrinking steps of a spike's upstroke, where
    control by the last error alone rejects every third. The term with dy/dt says that an error along the flow is a shift in
    time: through the upstroke, where |dy/dt| is a hundred mV/ms, errors that move a spike by rtol * time_scale may pass, if
    they are below 30 rtol of what the step moves. What is more than that leaves the spike time as it is and spoils its
    derivatives (AdEx, v to 20 mV at 1e14 mV/ms: by 6 %; so bounded, by 2e-4), and lets unstable steps pass.
    `time_scale = 0` is the usual norm.

    Source: Gustafsson (1994), ACM Trans. Math. Softw. 20:496, doi:10.1145/198429.198437. Deviation: the trend may only
    shorten the step, and the power is rounded to 9 %.
    """

    rtol: Any
    atol: Any
    time_scale: float = 10.0  # ms
    norm: Callable[[Any], Scalar] = eqx.field(static=True, default=lambda x: jnp.sqrt(_mean_square(x)))

    def wrap(self, direction: Any) -> "PredictiveController":
        return self

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Any, error_order: Any) -> Any:
        if dt0 is None:
            rate = func(terms, t0, y0, args)
            scale = jax.tree.map(lambda y: self.atol + self.rtol * jnp.abs(y), y0)
            size, speed = (_mean_square(jax.tree.map(jnp.divide, x, scale)) for x in (y0, rate))
            small = 1e-3 * (t1 - t0)
            # A state of zero has no scale of its own; and a step must not vanish in t0.
            least = 1e-6 + 100 * float(jnp.finfo(small.dtype).eps) * jnp.abs(t0)
            dt0 = jnp.minimum(small, jnp.maximum(0.01 * jnp.sqrt(size / jnp.where(speed > 0, speed, 1e-10)), least))
        return t0 + dt0, jnp.zeros_like(t0 + dt0)

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: Any, y1_candidate: Any, args: Any, y_error: Any, error_order: Any, controller_state: Any
    ) -> Any:  # fmt: skip
        if y_error is None:
            raise ValueError("PredictiveController needs a solver with an error estimate, such as diffrax.Tsit5.")
        h, previous = t1 - t0, controller_state
        tiny = float(jnp.finfo(h.dtype).tiny)  # a step of length zero has error zero
        # Where a Runge-Kutta step is unstable its error is a tenth of |y1 - y0| and more (Tsit5: 0.25 at 0.8 of the limit).
        shift = jnp.minimum(self.rtol * self.time_scale, jnp.minimum(30 * self.rtol, 0.03) * h)

        def scaled(y0: Array, y1: Array, error: Array) -> Array:
            size = self.atol + self.rtol * jnp.maximum(jnp.abs(y0), jnp.abs(y1))
            moved = shift * jnp.abs(y1 - y0)
            return error * h / (h * size + moved + tiny)  # both sides times h: |dy/dt| is |y1 - y0| / h

        square = _mean_square(jax.tree.map(scaled, y0, y1_candidate, y_error))
        keep = square <= 4.0
        # The clip keeps the bits those of a normal number; NaN and inf count as a huge error.
        square = jnp.where(square < 1e20, jnp.maximum(square, 1e-20), 1e20)
        optimal = h * rough_power(square, -0.5 / float(error_order))
        trend = jnp.where(optimal < previous, optimal / jnp.where(previous > 0, previous, 1.0), 1.0)
        accepted = jnp.clip(0.85 * optimal * trend, 0.2 * h, 10.0 * h)
        rejected = jnp.clip(0.85 * optimal, 0.1 * h, 0.9 * h)
        state = jnp.where(keep, optimal, previous)
        start = jnp.where(keep, t1, t0)
        return keep, start, start + jnp.where(keep, accepted, rejected), False, state, dfx.RESULTS.successful


def _mean_square(tree: Any) -> Scalar:
    leaves = jax.tree.leaves(tree)
    return sum(jnp.mean(jnp.square(leaf)) for leaf in leaves) / len(leaves)  # pyright: ignore


# What the default accuracy costs and gives is measured in experiments/benchmarks and held by tests/test_accuracy.py.
_DEFAULT_TOLERANCE = {"float64": 1e-7, "float32": 3e-6}


def default_controller(dtype: Any) -> PredictiveController:
    """Return the step-size control of `simulate`: rtol = atol = 1e-7 in float64, 3e-6 in float32."""
    tolerance = _DEFAULT_TOLERANCE[jnp.dtype(dtype).name]
    return PredictiveController(rtol=tolerance, atol=tolerance)
