"""Currents as pytrees: a sequence of smooth pieces between breakpoints, differentiable in amplitude and in timing.

A stimulus owns *clocks*, sorted arrays of the times at which it changes its formula, and is evaluated at a time *and* a
position on each clock (how many of its times have passed). The solver carries the positions and lands on every breakpoint,
so a stage evaluated exactly at a breakpoint takes the limit from its own side, and the derivative in a breakpoint's time is
the one of a step whose length changes with it. Two breakpoints may coincide or swap their order in some lanes of a `vmap`:
each has a clock of its own, or lies on one that is sorted.

Time in ms; the unit of the current is the model's own. Stimuli add, subtract and scale: `2 * jn.step(1.0, 10.0, 50.0) - 0.1`.
"""

from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxneuro.types import Array, BoolScalar, Float, Int, Scalar, ScalarLike

Clocks: TypeAlias = tuple[Float[Array, " breakpoints"], ...]
Positions: TypeAlias = tuple[Int[Array, ""], ...]


class Stimulus(eqx.Module):
    """Base of all currents. A stimulus of your own needs `value`, and `clocks` where its formula changes.

    Define it as an `equinox.Module` (a dataclass that is a pytree): every array in it can be vmapped and differentiated.
    """

    def clocks(self) -> Clocks:
        """Return the breakpoints, as a tuple of sorted arrays (none by default)."""
        return ()

    def value(self, t: Scalar, positions: Positions) -> Any:
        """Return the current at `t`, where `positions[j]` breakpoints of `clocks()[j]` have passed."""
        raise TypeError(f"{type(self).__name__} must define value(self, t, positions).")

    def valid(self) -> BoolScalar:
        """Return whether the values make sense (durations >= 0, sample times increasing)."""
        return jnp.asarray(True)

    def breakpoints(self) -> Float[Array, " all_breakpoints"]:
        """Return all breakpoints, sorted."""
        return jnp.sort(jnp.concatenate([jnp.zeros(0), *self.clocks()]))

    def __call__(self, t: ScalarLike) -> Any:
        """Evaluate at a time (the limit from the right at a breakpoint); broadcast over times with `jax.vmap`."""
        t = jnp.asarray(t, float)
        return self.value(t, tuple(jnp.sum(clock <= t) for clock in self.clocks()))

    def __add__(self, other: "Stimulus | ScalarLike") -> "Stimulus":
        return Sum((self, as_stimulus(other)))

    def __radd__(self, other: ScalarLike) -> "Stimulus":
        return Sum((as_stimulus(other), self))

    def __sub__(self, other: "Stimulus | ScalarLike") -> "Stimulus":
        return Sum((self, -1.0 * as_stimulus(other)))

    def __rsub__(self, other: ScalarLike) -> "Stimulus":
        return Sum((as_stimulus(other), -1.0 * self))

    def __neg__(self) -> "Stimulus":
        return -1.0 * self

    def __mul__(self, factor: ScalarLike) -> "Stimulus":
        if isinstance(factor, Stimulus):
            raise TypeError("A stimulus is scaled by a number; the product of two stimuli is not defined.")
        return Scaled(jnp.asarray(factor), self)

    __rmul__ = __mul__


class Sum(Stimulus):
    """The sum of several stimuli; each keeps its own clocks."""

    parts: tuple[Stimulus, ...]

    def clocks(self) -> Clocks:
        return tuple(clock for part in self.parts for clock in part.clocks())

    def value(self, t: Scalar, positions: Positions) -> Any:
        total, start = None, 0
        for part in self.parts:
            stop = start + len(part.clocks())
            here = part.value(t, positions[start:stop])
            total, start = here if total is None else jax.tree.map(jnp.add, total, here), stop
        return total

    def valid(self) -> BoolScalar:
        return jnp.all(jnp.stack([part.valid() for part in self.parts]))


class Scaled(Stimulus):
    """A stimulus times a number."""

    factor: Array
    part: Stimulus

    def clocks(self) -> Clocks:
        return self.part.clocks()

    def value(self, t: Scalar, positions: Positions) -> Any:
        return jax.tree.map(lambda x: self.factor * x, self.part.value(t, positions))

    def valid(self) -> BoolScalar:
        return self.part.valid()


class Constant(Stimulus):
    amplitude: Array

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        return self.amplitude


class Step(Stimulus):
    amplitude: Array
    t_on: Array
    t_off: Array

    def clocks(self) -> Clocks:
        return (self.t_on[None], self.t_off[None])

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
        return self.width >= 0


class Ramp(Stimulus):
    slope: Array
    t_on: Array
    t_off: Array

    def clocks(self) -> Clocks:
        return (self.t_on[None], self.t_off[None])

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


class Chirp(Stimulus):
    amplitude: Array
    f0_hz: Array
    f1_hz: Array
    t_on: Array
    t_off: Array

    def clocks(self) -> Clocks:
        return (self.t_on[None], self.t_off[None])

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        on, off = positions
        s, duration = t - self.t_on, self.t_off - self.t_on
        sweep = (self.f1_hz - self.f0_hz) / jnp.where(duration > 0, duration, 1.0)
        angle = 2e-3 * jnp.pi * (self.f0_hz + 0.5 * sweep * s) * s
        inside = (on > 0) & (off == 0)
        return jnp.where(inside, self.amplitude * jnp.sin(angle), jnp.zeros_like(self.amplitude))


class Sampled(Stimulus):
    ts: Float[Array, " samples"]
    values: Float[Array, " samples"]
    interpolation: str = eqx.field(static=True)

    def clocks(self) -> Clocks:
        return (self.ts,)

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        (passed,) = positions
        last = self.ts.shape[0] - 1
        left, right = jnp.clip(passed - 1, 0, last), jnp.clip(passed, 0, last)
        if self.interpolation == "hold":
            return self.values[left]
        width = self.ts[right] - self.ts[left]
        slope = (self.values[right] - self.values[left]) / jnp.where(width > 0, width, 1.0)
        return self.values[left] + jnp.where(width > 0, slope, 0.0) * (t - self.ts[left])

    def valid(self) -> BoolScalar:
        return jnp.all(jnp.diff(self.ts) >= 0)


def as_stimulus(current: Stimulus | ScalarLike) -> Stimulus:
    """Return `current` as a stimulus: a number is a constant current."""
    return current if isinstance(current, Stimulus) else constant(current)


def _scalars(**values: ScalarLike) -> dict[str, Array]:
    """Cast to arrays of one floating dtype and check that each is a scalar."""
    typed = [v.dtype for v in values.values() if hasattr(v, "dtype") and jnp.issubdtype(v.dtype, jnp.floating)]
    dtype = jnp.result_type(*typed) if typed else jnp.result_type(float)
    arrays = {name: jnp.asarray(value, dtype) for name, value in values.items()}
    for name, array in arrays.items():
        if array.shape != ():
            raise ValueError(
                f"{name} must be a scalar; it has shape {array.shape}. For many stimuli use jax.vmap over this "
                f"function, for many pulses jn.pulses, for a recorded current jn.sampled."
            )
    return arrays


def constant(i: ScalarLike) -> Stimulus:
    """Return the constant current `i`. Writing the number itself as `current` does the same."""
    return Constant(**_scalars(amplitude=i))


def step(amplitude: ScalarLike, t_on: ScalarLike, t_off: ScalarLike = jnp.inf) -> Stimulus:
    """Return a step: `amplitude` for t_on <= t < t_off (ms), else 0. Nothing where t_off <= t_on.

    Differentiable in all three.

    Example:
        >>> import jaxneuro as jn
        >>> float(jn.step(2.0, 10.0, 20.0)(15.0))
        2.0
    """
    return Step(**_scalars(amplitude=amplitude, t_on=t_on, t_off=t_off))


def pulses(amplitude: ScalarLike, onsets: Any, width: ScalarLike) -> Stimulus:
    """Return rectangular pulses of `width` ms from each of `onsets` (n,); pulses that overlap add up.

    The onsets need no order. `width < 0` makes a run end with `RESULTS.bad_stimulus`. Differentiable in all three.
    """
    onsets = jnp.asarray(onsets)
    if onsets.ndim != 1:
        raise ValueError(f"onsets must be an array of times (n,); its shape is {onsets.shape}.")
    scalars = _scalars(amplitude=amplitude, width=width)
    return Pulses(onsets=onsets.astype(scalars["amplitude"].dtype), **scalars)


def ramp(slope: ScalarLike, t_on: ScalarLike, t_off: ScalarLike = jnp.inf) -> Stimulus:
    """Return a ramp: 0 to t_on, then slope (t - t_on), constant from t_off on (unit of the current per ms)."""
    return Ramp(**_scalars(slope=slope, t_on=t_on, t_off=t_off))


def sine(amplitude: ScalarLike, frequency_hz: ScalarLike, phase: ScalarLike = 0.0, t_on: ScalarLike = 0.0) -> Stimulus:
    """Return amplitude sin(2 pi f (t - t_on) + phase) from t_on (ms) on, 0 before; f in Hz, phase in rad."""
    return Sine(**_scalars(amplitude=amplitude, frequency_hz=frequency_hz, phase=phase, t_on=t_on))


def chirp(amplitude: ScalarLike, f0_hz: ScalarLike, f1_hz: ScalarLike, t_on: ScalarLike, t_off: ScalarLike) -> Stimulus:
    """Return a sine whose frequency runs linearly from f0_hz at t_on to f1_hz at t_off (ms); 0 outside."""
    return Chirp(**_scalars(amplitude=amplitude, f0_hz=f0_hz, f1_hz=f1_hz, t_on=t_on, t_off=t_off))


def sampled(ts: Any, values: Any, interpolation: Literal["linear", "hold"] = "linear") -> Stimulus:
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


__all__ = [
    "Stimulus", "as_stimulus", "chirp", "constant", "pulses", "ramp", "sampled", "sine", "step",
]  # fmt: skip
