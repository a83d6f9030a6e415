"""The waveforms: each a class (its clocks, its value) and the function that makes one."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from jaxneuro.stimuli.base import Clocks, Constant, Positions, Stimulus, scalars
from jaxneuro.types import Array, BoolScalar, Float, Scalar, ScalarLike


class Window(Stimulus):
    """Something that acts between two times of its own."""

    t_on: eqx.AbstractVar[Array]
    t_off: eqx.AbstractVar[Array]

    def clocks(self) -> Clocks:
        return (self.t_on[None], self.t_off[None])


class Step(Window):
    amplitude: Array
    t_on: Array
    t_off: Array

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        on, off = positions
        return jnp.where((on > 0) & (off == 0), self.amplitude, jnp.zeros_like(self.amplitude))


class Pulses(Stimulus):
    amplitude: Array
    onsets: Array
    width: Array

    def clocks(self) -> Clocks:
        onsets = jnp.sort(self.onsets)
        return (onsets, onsets + self.width)

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        on, off = positions
        return self.amplitude * (on - off).astype(self.amplitude.dtype)

    def valid(self) -> BoolScalar:
        return super().valid() & (self.width >= 0)


class Ramp(Window):
    slope: Array
    t_on: Array
    t_off: Array

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        on, off = positions
        rising = jnp.where(off > 0, self.t_off, t) - self.t_on
        return jnp.where((on > 0) & (self.t_off > self.t_on), self.slope * rising, jnp.zeros_like(self.slope))


class Sine(Stimulus):
    amplitude: Array
    frequency_hz: Array
    phase: Array
    t_on: Array

    def clocks(self) -> Clocks:
        return (self.t_on[None],)

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        angle = 2e-3 * jnp.pi * self.frequency_hz * (t - self.t_on) + self.phase
        return jnp.where(positions[0] > 0, self.amplitude * jnp.sin(angle), jnp.zeros_like(self.amplitude))


class Chirp(Window):
    amplitude: Array
    f0_hz: Array
    f1_hz: Array
    t_on: Array
    t_off: Array

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        on, off = positions
        s, duration = t - self.t_on, self.t_off - self.t_on
        sweep = (self.f1_hz - self.f0_hz) / jnp.where(duration > 0, duration, 1.0)
        angle = 2e-3 * jnp.pi * (self.f0_hz + 0.5 * sweep * s) * s
        inside = (on > 0) & (off == 0)
        return jnp.where(inside, self.amplitude * jnp.sin(angle), jnp.zeros_like(self.amplitude))


class Line(Stimulus):
    at_start: Array
    start: Array
    slope: Array

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        return self.at_start + self.slope * (t - self.start)


class Sampled(Stimulus):
    ts: Float[Array, " samples"]
    values: Float[Array, " samples"]
    interpolation: str = eqx.field(static=True)

    def clocks(self) -> Clocks:
        return (self.ts,)

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        return self.piece(positions).value(t, ())

    def piece(self, positions: Positions) -> Stimulus:
        (passed,) = positions
        last = self.ts.shape[0] - 1
        left, right = jnp.clip(passed - 1, 0, last), jnp.clip(passed, 0, last)
        if self.interpolation == "hold":
            return Constant(self.values[left])
        v, start = self.values[left], self.ts[left]
        rise, width = self.values[right] - v, self.ts[right] - start
        slope = jnp.where(width > 0, rise / jnp.where(width > 0, width, 1.0), 0.0)
        # Between two samples at one time no time passes, but the derivative in either asks what would: the mean of both.
        return Line(jnp.where(width > 0, v, v + 0.5 * rise), start, slope)

    def valid(self) -> BoolScalar:
        return super().valid() & jnp.all(jnp.diff(self.ts) >= 0)


def constant(i: ScalarLike) -> Stimulus:
    """Return the constant current `i`. Writing the number itself as `current` does the same."""
    return Constant(**scalars(amplitude=i))


def step(amplitude: ScalarLike, t_on: ScalarLike, t_off: ScalarLike = jnp.inf) -> Stimulus:
    """Return a step: `amplitude` for t_on <= t < t_off (ms), else 0. Nothing where t_off <= t_on.

    Differentiable in all three.

    Example:
        >>> import jaxneuro as jn
        >>> float(jn.step(2.0, 10.0, 20.0)(15.0))
        2.0
    """
    return Step(**scalars(amplitude=amplitude, t_on=t_on, t_off=t_off))


def pulses(amplitude: ScalarLike, onsets: Any, width: ScalarLike) -> Stimulus:
    """Return rectangular pulses of `width` ms from each of `onsets` (n,); pulses that overlap add up.

    The onsets need no order. `width < 0` makes a run end with `RESULTS.bad_stimulus`. Differentiable in all three.
    """
    onsets = jnp.asarray(onsets)
    if onsets.ndim != 1:
        raise ValueError(f"onsets must be an array of times (n,); its shape is {onsets.shape}.")
    values = scalars(amplitude=amplitude, width=width)
    return Pulses(onsets=onsets.astype(values["amplitude"].dtype), **values)


def ramp(slope: ScalarLike, t_on: ScalarLike, t_off: ScalarLike = jnp.inf) -> Stimulus:
    """Return a ramp: 0 to t_on, then slope (t - t_on), constant from t_off on (unit of the current per ms)."""
    return Ramp(**scalars(slope=slope, t_on=t_on, t_off=t_off))


def sine(amplitude: ScalarLike, frequency_hz: ScalarLike, phase: ScalarLike = 0.0, t_on: ScalarLike = 0.0) -> Stimulus:
    """Return amplitude sin(2 pi f (t - t_on) + phase) from t_on (ms) on, 0 before; f in Hz, phase in rad."""
    return Sine(**scalars(amplitude=amplitude, frequency_hz=frequency_hz, phase=phase, t_on=t_on))


def chirp(amplitude: ScalarLike, f0_hz: ScalarLike, f1_hz: ScalarLike, t_on: ScalarLike, t_off: ScalarLike) -> Stimulus:
    """Return a sine whose frequency runs linearly from f0_hz at t_on to f1_hz at t_off (ms); 0 outside."""
    return Chirp(**scalars(amplitude=amplitude, f0_hz=f0_hz, f1_hz=f1_hz, t_on=t_on, t_off=t_off))


def sampled(ts: Any, values: Any, interpolation: str = "linear") -> Stimulus:
    """Return a current through the samples `values` (n,) at `ts` (n,) ms, constant before the first and after the last.

    "hold" keeps each value until the next sample. Every sample is a breakpoint that the solver lands on, so drop samples
    that change nothing (see `experiments/recorded_cell.py`). Equal times make a jump ("linear"); decreasing times make a
    run end with `RESULTS.bad_stimulus`. Differentiable in values and times.
    """
    ts, values = jnp.asarray(ts), jnp.asarray(values)
    dtype = jnp.result_type(ts, values, jnp.float32)
    if interpolation not in ("linear", "hold"):
        raise ValueError(f'interpolation must be "linear" or "hold"; it is {interpolation!r}.')
    if ts.ndim != 1 or ts.shape != values.shape or ts.shape[0] == 0:
        raise ValueError(
            f"ts and values must be arrays of one shape (n,), n >= 1; they have {ts.shape} and {values.shape}."
        )
    return Sampled(ts.astype(dtype), values.astype(dtype), interpolation)
