"""Currents as pytrees: a sequence of smooth pieces between breakpoints, differentiable in amplitude and in timing.

A stimulus owns *clocks*, sorted arrays of the times at which it changes its formula, and is evaluated at a time *and* a
position on each clock (how many of its times have passed). The solver carries the positions and lands on every breakpoint,
so a stage evaluated exactly at a breakpoint takes the limit from its own side, and the derivative in a breakpoint's time is
the one of a step whose length changes with it. Two breakpoints may coincide or swap their order in some lanes of a `vmap`:
each has a clock of its own, or lies on one that is sorted.

Time in ms; the unit of the current is the model's own. Stimuli add, subtract and scale: `2 * jn.step(1.0, 10.0, 50.0) - 0.1`.
"""

import dataclasses
from typing import Any, TypeAlias

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
        """Return whether all numbers are finite (times t_on, t_off may be infinite)."""
        named = [(f.name, leaf) for f in dataclasses.fields(self) for leaf in jax.tree.leaves(getattr(self, f.name))]
        floating = [(name, leaf) for name, leaf in named if eqx.is_inexact_array(leaf)]
        good = [~jnp.isnan(x) if name in ("t_on", "t_off") else jnp.isfinite(x) for name, x in floating]
        return jnp.all(jnp.stack([jnp.asarray(True), *(jnp.all(x) for x in good)]))

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

    def __mul__(self, factor: Any) -> "Stimulus":
        if isinstance(factor, Stimulus):
            raise TypeError("A stimulus is scaled by a number; the product of two stimuli is not defined.")
        return Scaled(scalars(factor=factor)["factor"], self)

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
        return self.part.valid() & jnp.isfinite(self.factor)


class Constant(Stimulus):
    amplitude: Array

    def value(self, t: Scalar, positions: Positions) -> Scalar:
        return self.amplitude


def as_stimulus(current: Stimulus | ScalarLike) -> Stimulus:
    """Return `current` as a stimulus: a number is a constant current."""
    return current if isinstance(current, Stimulus) else Constant(**scalars(amplitude=current))


def scalars(**values: ScalarLike) -> dict[str, Array]:
    """Cast to arrays of one floating dtype and check that each is a scalar."""
    dtypes = [getattr(value, "dtype", jnp.int32) for value in values.values()]
    floating = [dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)]
    dtype = jnp.result_type(*floating) if floating else jnp.result_type(float)
    arrays = {name: jnp.asarray(value, dtype) for name, value in values.items()}
    for name, array in arrays.items():
        if array.shape != ():
            raise ValueError(
                f"{name} must be a scalar; it has shape {array.shape}. For many stimuli use jax.vmap over this "
                f"function, for many pulses jn.pulses, for a recorded current jn.sampled."
            )
    return arrays
